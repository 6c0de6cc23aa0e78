"""Rows that take each other's numbers, and tables that are emptied along with others."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from models_app.foundation.errors import Refused
from models_app.models import Release, Route, TrainingRun
from models_app.releases.composing import compose_release
from models_app.releases.deploying import roll_back
from tests import make
from tests.api.conftest import Api, error
from tests.doors.guarantees import EMPTIED
from tests.releases import scene as scenes
from tests.releases.scene import scene

pytestmark = pytest.mark.django_db


def tried(*statements: str) -> str:
    """In one transaction, with every constraint that may wait waiting; the refusal, or nothing."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except DatabaseError as error:
        return str(error)
    return ""


def swapped(table: str, one: int, other: int) -> list[str]:
    moves = ((one, 999_999), (other, one), (999_999, other))
    return [f"UPDATE models_app_{table} SET id = {to} WHERE id = {number}" for number, to in moves]


def test_two_evaluations_do_not_change_places_so_that_one_has_the_other_s_scores() -> None:
    """Each row stays as it is, and what refers to it is another's: no score is rewritten, no digest differs."""
    the = scene()
    worse = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 3}, origin="decoding",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    bad = scenes.evaluated(worse, the.on, level=0.01)
    assert "append-only" in tried(*swapped("evaluationrun", the.comparison.candidate_id, bad.pk))
    the.comparison.candidate.refresh_from_db()
    assert the.comparison.candidate.release_id == the.candidate.pk


def test_two_trainings_do_not_change_places_so_that_one_is_somebody_else_s() -> None:
    the = scene()
    other = scenes.trained_model(
        the.live.model_version,
        scenes.snapshot(by=the.cast.administrator, curators=[]),
        by=the.cast.administrator,
    )
    mine, theirs = the.model.training_run_id, other.training_run_id
    assert mine is not None
    assert theirs is not None
    assert "append-only" in tried(*swapped("trainingrun", mine, theirs))
    assert TrainingRun.objects.get(pk=mine).requested_by == the.cast.ml_engineer


def test_no_statement_sends_requests_to_a_release_that_is_not_live() -> None:
    the = scene()
    refusal = tried(f"UPDATE models_app_route SET release_id = {the.candidate.pk}")
    assert "a route leads to the live release" in refusal
    assert Route.objects.get().release == the.live


def test_a_draft_does_not_become_something_to_roll_back_to() -> None:
    the = scene()
    assert "a release that is draft does not become superseded" in tried(
        f"UPDATE models_app_release SET state = 'superseded' WHERE id = {the.candidate.pk}"
    )
    with pytest.raises(Refused):
        roll_back(
            environment=the.live.environment,
            actor=the.cast.operator,
            reason="Back to mine.",
            to=the.candidate.pk,
        )
    assert Release.objects.get(pk=the.candidate.pk).state == "draft"


def test_each_table_itself_refuses_to_be_emptied() -> None:
    """Not only one that would be emptied with it."""
    make.cast()
    for table in EMPTIED.split():
        refusal = tried(f"TRUNCATE models_app_{table} CASCADE")
        assert f"models_app_{table} is append-only: TRUNCATE is refused" in refusal


@pytest.mark.parametrize("with_other", [False, True])
def test_what_was_approved_is_not_submitted_again_while_it_warms_up(with_other: bool) -> None:
    """Neither with what it was decided on nor with something else: it ended in a fault of the database's."""
    the = scenes.waiting()
    the.approved_by(the.cast.approver)
    comparison = the.comparison
    if with_other:
        comparison = scenes.compared(the.candidate, the.live, scenes.evaluation_set(8))
    answer = Api(the.cast.ml_engineer, "releases:submit").post("releases/", {"comparison": comparison.pk})
    assert error(answer) == (409, "refused")
    assert Release.objects.get(pk=the.candidate.pk).state == "warming"
