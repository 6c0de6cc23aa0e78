"""A release moves as its table declares, also for somebody with a database prompt: each other move is refused."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from models_app.models import Approval, Deployment, Release
from models_app.models.releases import Environment
from tests import make
from tests.database import without_guards
from tests.doors.test_evidence import refusal
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db

#: Declared, and not for a release that no gates let pass, that nobody approved and that was never live.
NEED_MORE = {
    ("draft", "warming"),
    ("evaluating", "awaiting approval"),
    ("awaiting approval", "approved"),
    ("approved", "warming"),
    ("warming", "approved"),
    ("warming", "live"),
    ("warming", "canary"),
    ("held", "canary"),
    ("canary", "baking"),
    ("held", "baking"),
    ("baking", "live"),
    ("superseded", "live"),
}


@pytest.fixture
def the(db: None, request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


def to(state: str, release: Release) -> str:
    return f"UPDATE models_app_release SET state = '{state}' WHERE id = {release.pk}"


@pytest.mark.parametrize("state", Release.State.values)
def test_a_release_makes_no_move_by_statement_that_its_table_does_not_declare(the: Scene, state: str) -> None:
    with transaction.atomic():
        with without_guards(Release):  # only one is live
            Release.objects.filter(pk=the.live.pk).update(state="superseded")
        release = make.release(state=state)
        for other in set(Release.State.values) - {state}:
            declared = other in Release.MOVES.get(state, ()) and (state, other) not in NEED_MORE
            assert refusal(to(other, release)) == ("" if declared else "23001"), f"{state} → {other}"
        transaction.set_rollback(True)


def test_a_draft_that_is_warmed_up_by_one_statement_and_put_live_by_the_next_is_refused(the: Scene) -> None:
    assert refusal(to("superseded", the.live)) == ""
    assert refusal(f"{to('superseded', the.live)}; {to('warming', the.candidate)}") == "23001"
    with without_guards(Release):
        Release.objects.filter(pk=the.live.pk).update(state="superseded")
        Release.objects.filter(pk=the.candidate.pk).update(state="warming")
    assert refusal(to("live", the.candidate)) == "23001"


def test_an_initial_draft_is_warmed_up_without_an_approval_only_where_nothing_has_been_live(
    the: Scene,
) -> None:
    assert refusal(to("warming", make.release(origin="initial"))) == "23001"
    elsewhere = Environment.objects.create(name="elsewhere")
    assert refusal(to("warming", make.release(origin="retraining", environment=elsewhere))) == "23001"
    first = make.release(origin="initial", environment=elsewhere)
    assert refusal(f"{to('warming', first)}; {to('live', first)}") == ""


@pytest.mark.parametrize("state", sorted(set(Release.State.values) - {"draft"}))
def test_a_release_is_inserted_as_a_draft_alone(the: Scene, state: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
            "WHERE table_name = 'models_app_release' AND column_name NOT IN ('id', 'state', 'digest')"
        )
        (columns,) = cursor.fetchone()
    assert (
        refusal(
            f"INSERT INTO models_app_release ({columns}, state, digest) SELECT {columns}, '{state}', 'new' "
            f"FROM models_app_release WHERE id = {the.candidate.pk}"
        )
        == "23001"
    )


@pytest.mark.usefixtures("waiting")
def test_approvals_that_were_voided_or_are_of_other_evidence_warm_nothing_up_and_put_nothing_live(
    the: Scene,
) -> None:
    the.approved_by(the.cast.approver)
    release = Release.objects.get(pk=the.candidate.pk)
    assert release.state == "warming"
    live = f"{to('superseded', the.live)}; {to('live', release)}"
    assert refusal(live) == ""
    with transaction.atomic():
        Approval.objects.update(voided_at=release.created_at, void_reason="for this test")
        assert refusal(live) == "23001"
        transaction.set_rollback(True)
    with transaction.atomic(), without_guards(Release):
        Release.objects.filter(pk=release.pk).update(state="approved", evidence_digest="0" * 64)
    assert refusal(to("warming", release)) == "23001"


def test_what_was_live_becomes_live_again_and_what_never_was_does_not(the: Scene) -> None:
    never = make.release(state="superseded")
    assert Deployment.objects.filter(release=the.live).exists()
    for release, refused in ((the.live, ""), (never, "23001")):
        with transaction.atomic():
            with without_guards(Release):
                Release.objects.filter(pk=the.live.pk).update(state="superseded")
            assert refusal(to("live", release)) == refused
            transaction.set_rollback(True)


def test_an_environment_asks_for_an_approval_at_least_and_for_as_many_as_its_policy(the: Scene) -> None:
    assert refusal("UPDATE models_app_environment SET approvals_required = 0") == "23001"
    assert refusal("INSERT INTO models_app_environment (name, approvals_required) VALUES ('x', 0)") == "23514"
