"""Every evaluation runs the cases that are there, each once, whatever happens in between."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError

from models_app.cases import queries, running
from models_app.cases.running import missing_runs
from models_app.cases.writing import edit_case
from models_app.engines import ReleaseEngine, open_engine
from models_app.evaluation.cases_job import start_cases
from models_app.evaluation.running import resume_evaluation, start_evaluation
from models_app.foundation.errors import NotAllowed, Refused
from models_app.models import AuditEvent, CaseResult, CaseRun, EvaluationRun, Job, Release
from tests import make
from tests.cases import scene
from tests.database import without_guards
from tests.releases.scene import evaluation_set

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cast")]


def evaluated(release: Release) -> EvaluationRun:
    run = start_evaluation(release=release, evaluation_set=evaluation_set(3), actor=None, deliver=False)
    assert run.job is not None
    make.carried_out(run.job)
    run.refresh_from_db()
    return run


def verdicts(release: Release) -> list[tuple[int, str]]:
    rows = CaseResult.objects.filter(run__release=release).order_by("case__number")
    return list(rows.values_list("case__number", "verdict"))


def test_an_evaluation_runs_every_case_of_every_set() -> None:
    one = scene.case_set("One", scene.draft(), scene.draft(scene.FAILS))
    scene.case_set("Two", scene.draft([{"kind": "renamed person", "name": "Anna Berg", "to": "Clara Holm"}]))
    scene.case_set("Empty")
    release = make.release()
    run = evaluated(release)
    assert run.state == "succeeded", run.reason
    rows = queries.runs_of(release)
    assert [(row.run.set_version.case_set.name, row.passed, row.failed) for row in rows] == [
        ("Two", 1, 0),
        ("One", 1, 1),
    ]
    assert all(row.run.finished_at and row.run.digest for row in rows)
    failed = CaseResult.objects.get(verdict="fail")
    assert failed.run.set_version.case_set == one
    assert failed.findings == [{"outcome": "fail", "words": "“northern quay” is missing."}]
    assert "140 of its piles" in failed.output
    (changed,) = CaseResult.objects.get(run__set_version__case_set__name="Two").changed.values()
    assert "Clara Holm" in changed
    assert AuditEvent.objects.filter(action="cases.run").count() == 2


def test_a_second_evaluation_runs_nothing_twice_and_an_edit_is_run_with_the_next() -> None:
    the = scene.case_set("Acceptance", scene.draft(), scene.draft())
    release = make.release()
    evaluated(release)
    evaluated(release)
    assert (CaseRun.objects.count(), CaseResult.objects.count()) == (1, 2)
    case = queries.cases_of(queries.version_of(the)).get(number=1)
    edit_case(case=case, draft=scene.draft(scene.FAILS), reason="Harder.", actor=None)
    assert [str(version) for version in missing_runs(release)] == ["Acceptance version 3"]
    evaluated(release)
    assert (CaseRun.objects.count(), CaseResult.objects.count()) == (2, 4)
    assert verdicts(release) == [(1, "pass"), (1, "fail"), (2, "pass"), (2, "pass")]


def test_what_a_stopped_evaluation_leaves_is_kept_and_gone_on_with() -> None:
    scene.case_set("Acceptance", *(scene.draft() for _ in range(5)))
    release = make.release()
    run = start_evaluation(release=release, evaluation_set=evaluation_set(3), actor=None, deliver=False)
    with (
        mock.patch.object(running, "BATCH", 2),
        mock.patch.object(running, "_results", _once(running._results)),
    ):
        assert make.carried_out(run.job).state == "failed"  # type: ignore[arg-type]
    kept = set(CaseResult.objects.values_list("pk", flat=True))
    assert len(kept) == 2
    assert CaseRun.objects.get().finished_at is None
    run.refresh_from_db()
    asked: list[int] = []

    def counted(self: Any, articles: Any) -> Any:
        asked.append(len(articles))
        return write(self, articles)

    write = ReleaseEngine.write
    resume_evaluation(run=run, actor=None, deliver=False)
    run.refresh_from_db()
    with mock.patch.object(ReleaseEngine, "write", counted):
        assert make.carried_out(run.job).state == "succeeded"  # type: ignore[arg-type]
    assert asked == [3], "the documents were scored, and two cases were there"
    assert kept < set(CaseResult.objects.values_list("pk", flat=True))
    assert CaseResult.objects.count() == 5
    assert CaseRun.objects.get().finished_at is not None


def _once(work: Any) -> Any:
    calls: list[int] = []

    def first_only(*values: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("the power went")
        return work(*values)

    return first_only


def test_two_processes_at_once_write_each_result_once() -> None:
    """The slower one finds the run finished when it would write."""
    scene.case_set("Acceptance", scene.draft(), scene.draft())
    release = make.release()

    def results(*values: Any) -> Any:
        if not overtaken:
            overtaken.append(1)
            with open_engine(release, threads=1) as engine:
                running.run_cases(
                    release=release,
                    versions=missing_runs(release),
                    write=engine.write,
                    progress=lambda done, of: None,
                )
        return work(*values)

    overtaken: list[int] = []
    work = running._results
    with mock.patch.object(running, "_results", results):
        assert evaluated(release).state == "succeeded"
    assert (CaseRun.objects.count(), CaseResult.objects.count()) == (1, 2)
    assert AuditEvent.objects.filter(action="cases.run").count() == 1


def test_cases_that_came_later_are_run_by_themselves(cast: make.Cast) -> None:
    release = make.release()
    run = evaluated(release)
    with pytest.raises(Refused, match="every set of cases"):
        start_cases(release=release, actor=None)
    scene.case_set("Acceptance", scene.draft())
    with pytest.raises(NotAllowed):
        start_cases(release=release, actor=cast.approver)
    job = start_cases(release=release, actor=cast.ml_engineer, deliver=False)
    assert start_cases(release=release, actor=cast.ml_engineer, deliver=False).pk == job.pk
    done = make.carried_out(job)
    assert (done.state, done.result) == ("succeeded", {"runs": [CaseRun.objects.get().pk]})
    assert verdicts(release) == [(1, "pass")]
    scene.case_set("Another", scene.draft())
    again = start_evaluation(release=release, evaluation_set=run.evaluation_set, actor=None, deliver=False)
    assert again.pk == run.pk, "the evaluation is there"
    assert Job.objects.filter(kind="run_cases", state="queued").count() == 1, "its cases are not"


def test_articles_are_written_with_title_and_domain_in_full_batches() -> None:
    assertions: list[dict[str, Any]] = [
        {"kind": "upper case"},
        {"kind": "typos", "seed": 1},
        {"kind": "typos", "seed": 2},
    ]
    scene.case_set("Acceptance", *(scene.draft(assertions) for _ in range(20)))
    asked: list[Any] = []
    write = ReleaseEngine.write

    def recorded(self: Any, articles: Any) -> Any:
        asked.append(articles)
        return write(self, articles)

    with mock.patch.object(ReleaseEngine, "write", recorded):
        evaluated(make.release())
    assert [len(batch) for batch in asked] == [3, 32, 32, 16]
    assert {domain for _, _, domain in asked[1]} == {"news"}
    assert {title for _, title, _ in asked[1]} == {"Old pier closes", "OLD PIER CLOSES"}


# ---------------------------------------------------------------- what was found stays


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models_app_caseresult SET verdict = 'pass'",
        "UPDATE models_app_caseresult SET output = 'other'",
        "DELETE FROM models_app_caseresult",
        "UPDATE models_app_caserun SET finished_at = NULL, digest = ''",
        "UPDATE models_app_caserun SET digest = 'other'",
        "UPDATE models_app_caserun SET release_id = release_id + 1",
        "DELETE FROM models_app_caserun",
        "INSERT INTO models_app_caseresult (run_id, case_id, output, changed, verdict, findings) "
        "SELECT run_id, case_id, output, changed, verdict, findings FROM models_app_caseresult",
    ],
)
def test_the_database_refuses_to_rewrite_results(statement: str) -> None:
    scene.case_set("Acceptance", scene.draft(scene.FAILS))
    evaluated(make.release())
    with (
        pytest.raises((IntegrityError, InternalError)),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_what_is_rewritten_with_the_guards_off_is_found() -> None:
    scene.case_set("Acceptance", scene.draft(scene.FAILS))
    release = make.release()
    evaluated(release)

    def problem() -> str:
        (facts,) = queries.facts_of(release=release, before=None)
        return facts.problem

    assert problem() == ""
    with without_guards(CaseResult), transaction.atomic():
        CaseResult.objects.update(verdict="pass")
        assert "results of case run" in problem()
        run = CaseRun.objects.get()
        with without_guards(CaseRun):
            CaseRun.objects.update(digest=running.results_digest(run))
        assert "is not what its summary gives" in problem()
