"""What the pages, the API, the commands and the database say of evaluations is so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from models_app.evaluation import running, signature
from models_app.evaluation.comparing import compare_releases
from models_app.evaluation.running import resume_evaluation, start_evaluation
from models_app.evaluation.signature import SIGNATURE
from models_app.evidence.envelope import check
from models_app.evidence.keys import public_key
from models_app.foundation import jobs
from models_app.foundation.errors import Refused
from models_app.gates.comparing import compare_by_policy
from models_app.models import (
    Comparison,
    EvaluationExample,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    Job,
    Release,
)
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import scene

pytestmark = pytest.mark.django_db

OLDER = "rouge1+2+L+Lsum|splitter-0"


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def upgraded() -> tuple[Release, Release, EvaluationSet]:
    """Candidate, live release and test set; both were evaluated by another version of the metrics."""
    make.cast()
    live = scenes.made_live(make.release(decoding={"max_words": 50}))
    candidate = make.release()
    on = scenes.evaluation_set(12)
    with mock.patch.object(scenes, "SIGNATURE", OLDER):
        scenes.evaluated(candidate, on, level=0.16)
        scenes.evaluated(live, on, level=0.10)
    return candidate, live, on


def evaluated_today(candidate: Release, live: Release) -> None:
    runs = EvaluationRun.objects.filter(release__in=(candidate, live))
    assert sorted(runs.values_list("release", "signature", "state")) == sorted(
        [
            (candidate.pk, OLDER, "succeeded"),
            (candidate.pk, SIGNATURE, "succeeded"),
            (live.pk, OLDER, "succeeded"),
            (live.pk, SIGNATURE, "succeeded"),
        ]
    )


# ---------------------------------------------------------------- an older evaluation is made again


def test_an_evaluation_of_another_signature_can_be_made_again(
    upgraded: tuple[Release, Release, EvaluationSet],
) -> None:
    candidate, _, on = upgraded
    older = EvaluationRun.objects.get(release=candidate)
    again = start_evaluation(release=candidate, evaluation_set=on, actor=None, deliver=False)
    assert again.pk != older.pk
    assert (again.state, again.signature) == ("queued", SIGNATURE)
    assert start_evaluation(release=candidate, evaluation_set=on, actor=None).pk == again.pk, "twice is once"
    assert make.carried_out(again.job).state == "succeeded"  # type: ignore[arg-type]
    older.refresh_from_db()
    assert (older.state, older.signature) == ("succeeded", OLDER), "it stays as it was"


def test_the_page_compares_again_what_another_version_scored(
    upgraded: tuple[Release, Release, EvaluationSet],
) -> None:
    candidate, live, on = upgraded
    by_release = {run.release_id: run for run in EvaluationRun.objects.all()}
    old = compare_releases(
        candidate=by_release[candidate.pk], baseline=by_release[live.pk], lead=None, actor=None, resamples=200
    )
    mila = make.user("mila-2", "ml engineer")
    client = signed_in(mila)
    page = markup(client.get(f"/comparisons/{old.pk}/"))
    assert "Another version of the metrics scored this comparison" in page
    form = {"candidate": candidate.pk, "baseline": live.pk, "evaluation_set": on.pk}
    assert client.post("/comparisons/new/", form).status_code == 302
    for job in Job.objects.filter(kind="evaluate"):
        make.carried_out(job)
    made = make.carried_out(Job.objects.get(kind="compare"))
    assert made.state == "succeeded", made.reason
    evaluated_today(candidate, live)
    new = Comparison.objects.get(pk=made.result["comparison"])
    assert (new.signature, old.signature) == (SIGNATURE, OLDER)
    page = markup(client.get(f"/comparisons/{new.pk}/"))
    assert "Another version of the metrics" not in page


def test_the_command_compares_again_what_another_version_scored(
    upgraded: tuple[Release, Release, EvaluationSet], capsys: pytest.CaptureFixture[str]
) -> None:
    candidate, live, _ = upgraded

    def here(job: int, **_: Any) -> str:  # the job in this process: its rows are in the test's transaction
        return make.carried_out(Job.objects.get(pk=job)).state

    with mock.patch.object(jobs, "supervise", here):
        call_command("evaluate", "--candidate", str(candidate.pk), "--no-lead", "--format", "json")
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["signature"] == SIGNATURE
    evaluated_today(candidate, live)


def test_scores_of_two_signatures_are_not_compared_and_the_words_say_what_to_do(
    upgraded: tuple[Release, Release, EvaluationSet],
) -> None:
    candidate, live, on = upgraded
    new = scenes.evaluated(candidate, on, level=0.16)
    with pytest.raises(Refused, match=r"Compare the two releases again"):
        compare_releases(
            candidate=new, baseline=EvaluationRun.objects.get(release=live), lead=None, actor=None
        )


# ---------------------------------------------------------------- signatures are never mixed


@pytest.fixture
def half_done() -> EvaluationRun:
    """Begun by another version of the metrics: 2 of 6 documents are scored."""
    make.cast()
    on = scenes.evaluation_set(6)
    with mock.patch.dict(signature._OF, latin=OLDER):
        run = start_evaluation(release=make.release(), evaluation_set=on, actor=None, deliver=False)
        with (
            mock.patch.object(running, "BATCH", 2),
            mock.patch.object(running, "_score", _twice(running._score)),
        ):
            assert make.carried_out(run.job).state == "failed"  # type: ignore[arg-type]
    run.refresh_from_db()
    assert (run.state, ExampleScore.objects.filter(run=run).count()) == ("failed", 2)
    return run


def _twice(score: Any) -> Any:
    """The real function, until it is called for the second time."""
    calls: list[int] = []

    def first_only(*values: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("the power went")
        score(*values)

    return first_only


def test_a_run_resumed_after_an_upgrade_is_refused_with_what_to_do(half_done: EvaluationRun) -> None:
    with pytest.raises(Refused, match=r"Scores of two versions are never mixed: start the evaluation"):
        resume_evaluation(run=half_done, actor=None)
    half_done.refresh_from_db()
    assert half_done.state == "failed"
    otto = make.user("otto-2", "operator")
    answer = signed_in(otto).post(f"/jobs/{half_done.job_id}/retry/")
    assert answer.status_code == 409


def test_a_job_that_goes_on_after_an_upgrade_scores_nothing(half_done: EvaluationRun) -> None:
    with mock.patch.dict(signature._OF, latin=OLDER):
        resume_evaluation(run=half_done, actor=None, deliver=False)
    half_done.refresh_from_db()
    done = make.carried_out(half_done.job)  # type: ignore[arg-type]
    assert done.state == "failed"
    assert "begun by another version of the metrics" in done.reason
    assert set(ExampleScore.objects.filter(run=half_done).values_list("signature", flat=True)) == {OLDER}
    assert ExampleScore.objects.filter(run=half_done).count() == 2


def test_a_run_that_scored_nothing_yet_takes_the_new_signature() -> None:
    make.cast()
    on = scenes.evaluation_set(6)
    with mock.patch.dict(signature._OF, latin=OLDER):
        run = start_evaluation(release=make.release(), evaluation_set=on, actor=None, deliver=False)
    assert make.carried_out(run.job).state == "succeeded"  # type: ignore[arg-type]
    run.refresh_from_db()
    assert run.signature == SIGNATURE
    assert set(run.scores.values_list("signature", flat=True)) == {SIGNATURE}


def test_the_database_refuses_a_score_of_another_signature(half_done: EvaluationRun) -> None:
    score = ExampleScore.objects.filter(run=half_done).first()
    assert score is not None
    other = (
        EvaluationExample.objects.filter(evaluation_set=half_done.evaluation_set)
        .exclude(pk__in=half_done.scores.values("example"))
        .first()
    )
    assert other is not None
    chosen = ("id", "example_id", "signature")
    columns = [
        f'"{field.column}"' for field in ExampleScore._meta.concrete_fields if field.column not in chosen
    ]
    names = ", ".join(columns)
    with broken("score_has_signature_of_run"), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO models_app_examplescore (example_id, signature, {names}) "
            f"SELECT %s, %s, {names} FROM models_app_examplescore WHERE id = %s",
            [other.pk, SIGNATURE, score.pk],
        )


def test_the_database_refuses_another_signature_for_a_run_that_has_scores(half_done: EvaluationRun) -> None:
    with broken("score_has_signature_of_run"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE models_app_evaluationrun SET signature = %s WHERE id = %s", [SIGNATURE, half_done.pk]
        )


@contextmanager
def broken(constraint: str) -> Iterator[None]:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        yield


# ---------------------------------------------------------------- what got worse is said


def test_every_door_says_what_fell_within_its_margin(capsys: pytest.CaptureFixture[str]) -> None:
    """ROUGE-1 falls by 0.6 points, surely; ROUGE-2 improves."""
    the = scene()
    on = scenes.evaluation_set(40)
    made = compare_by_policy(
        candidate=scenes.evaluated(the.candidate, on, level=0.16, rouge1_above=0.134),
        baseline=scenes.evaluated(the.live, on, level=0.10),
        lead=None,
        actor=None,
    )
    fell = "within the margin: ROUGE-1 fell by 0.6"
    assert made.verdict == "improved"
    assert fell in made.sentence
    assert "No other judged measure got worse" not in made.sentence
    page = markup(signed_in(the.cast.ml_engineer).get(f"/comparisons/{made.pk}/"))
    assert fell in page
    assert "worse beyond chance, but within the margin" in page
    assert "Not worse means that a loss of the margin or more is excluded" in page
    call_command("evaluate", "--candidate", str(the.candidate.pk), "--no-lead")
    said = capsys.readouterr().out
    assert fell in said
    assert "Margins: ROUGE-1, ROUGE-L, ROUGE-Lsum: 1.0 points; ROUGE-2: 0.5 points" in said
    the.submitted(comparison=made)
    signed = signed_in(the.cast.approver).get(f"/releases/{the.candidate.pk}/evidence.json").content
    evidence = check(signed, key=public_key()).document["decision"]["evidence"]
    assert fell in evidence["comparison"]["sentence"]
    assert {row["margin"] for row in evidence["comparison"]["results"] if row["metric"] == "rouge1"} == {1.0}
    assert fell in markup(signed_in(the.cast.approver).get(f"/releases/{the.candidate.pk}/"))


def test_evaluations_on_different_documents_are_not_compared_by_anybody() -> None:
    """As many documents of the same kind would give figures, of which nobody sees that they say nothing."""
    the = scene()
    elsewhere = scenes.evaluated(the.live, scenes.evaluation_set(40), level=0.10)
    for compare in (compare_releases, compare_by_policy):
        with pytest.raises(Refused, match="only the same documents can be compared"):
            compare(candidate=the.comparison.candidate, baseline=elsewhere, lead=None, actor=None)
    assert Comparison.objects.count() == 1
