"""Judging as a job: delivered twice, killed half-way, cancelled, with gates that break; and what it comes to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from models_app.foundation import jobs
from models_app.foundation.errors import NotAllowed, Refused
from models_app.gates import catalogue, policies, running
from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import Comparison, GatePolicy, GateResult, GateRun, Job, Release
from models_app.models.releases import Environment
from reviews.loop.sample_workspace import fit_the_policy
from tests import make
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return scene()


def started(the: Scene, **fields: Any) -> GateRun:
    values = {"release": the.candidate, "comparison": the.comparison, "actor": the.cast.ml_engineer, **fields}
    return running.start(**values)


def done(run: GateRun) -> GateRun:
    assert run.job is not None
    make.carried_out(run.job)
    run.refresh_from_db()
    return run


def says(name: str, *verdicts: Verdict) -> Gate:
    rows = [
        Result(name, f"row {i}", verdict, "Found.", "something", "looking")
        for i, verdict in enumerate(verdicts)
    ]
    return Gate(name, name.capitalize(), lambda judged: rows, waivable=name in ("guards", "speed"))


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(*gates: Gate) -> None:
        monkeypatch.setattr(running, "GATES", gates)
        monkeypatch.setattr(running, "BY_NAME", {gate.name: gate for gate in gates})

    return put


# ---------------------------------------------------------------- the job


def test_a_release_is_judged_by_every_gate_that_the_policy_asks_for(the: Scene) -> None:
    run = done(started(the))
    assert (run.state, run.verdict) == ("finished", "pass")
    asked = [gate.name for gate in catalogue.GATES if gate.applies(policies.read(run.policy))]
    rows = list(run.results.all())
    assert list(dict.fromkeys(row.gate for row in rows)) == asked
    assert all(row.words and row.need and row.method for row in rows)
    assert run.digest == running.digest_of(run)
    assert running.outcome(run).state == "awaiting approval"
    assert run.job is not None
    assert run.job.result["verdict"] == "pass"


def test_a_worse_release_is_blocked_and_says_by_what() -> None:
    the = scene(before=0.16, after=0.10)
    run = done(started(the))
    found = running.outcome(run)
    assert (run.verdict, found.state) == ("fail", "blocked")
    assert found.words.startswith(
        "Primary metric failed: ROUGE-2 fell by 6.00 points: worse. Guard metrics failed: "
    )
    failing = {row.name for row in run.results.filter(verdict="fail")}
    assert {"rouge2", "rouge1"} <= failing


def test_what_stands_in_the_way_is_said_gate_by_gate_and_not_without_end() -> None:
    def finding(gate: str, name: str, verdict: str, words: str) -> running.Finding:
        row = GateResult(gate=gate, name=name, verdict=verdict, words=words)
        return running.Finding(row, catalogue.BY_NAME.get(gate), None, "")

    found = [
        finding("slices", "domain: news", "fail", "ROUGE-2 -3.0 [-5.0, -1.0]: worse."),
        finding("integrity", "scores", "error", "The scores could not be read."),
        finding("preference", "", "inconclusive", "Nobody has been asked yet" + " and so on" * 60),
    ]
    words = running._said(found)
    assert words.startswith(
        "Slices (domain: news) failed: ROUGE-2 -3.0 [-5.0, -1.0]: worse. Integrity (scores) could not be judged: The "
        "scores could not be read. Human preference is inconclusive: Nobody has been asked yet and so on"
    )
    assert words.endswith(" ….")
    assert running._said(found * 3).endswith("And 5 more.")
    assert len(running._said(found * 300)) < 1500


def test_the_same_is_judged_once_at_a_time(the: Scene) -> None:
    run = started(the)
    assert started(the) == run
    assert Job.objects.filter(kind="judge_release").count() == 1
    done(run)
    again = started(the)
    assert again != run, "a run that ended stays as it is"
    assert done(again).digest == run.digest, "the same was found"


def test_a_policy_that_changed_meanwhile_begins_another_run_and_ends_the_first(the: Scene) -> None:
    first = started(the)
    scenes.small_policy(primary={"margin": 0.9})
    second = started(the)
    first.refresh_from_db()
    assert (first.state, second.policy.number) == ("failed", first.policy.number + 1)
    assert first.job is not None
    assert Job.objects.get(pk=first.job.pk).state == "cancelled"
    assert done(second).state == "finished"


def test_only_who_may_evaluate_asks_for_it(the: Scene) -> None:
    with pytest.raises(NotAllowed):
        started(the, actor=the.cast.reviewer)
    assert not GateRun.objects.exists()


def test_a_comparison_of_another_release_is_refused(the: Scene) -> None:
    with pytest.raises(Refused, match="is about release"):
        started(the, release=the.live)


def test_a_job_that_is_delivered_twice_changes_nothing_the_second_time(the: Scene) -> None:
    run = done(started(the))
    before = list(run.results.values_list("pk", flat=True))
    assert run.job is not None
    Job.objects.filter(pk=run.job.pk).update(state="queued", finished_at=None, lease_token=None)
    run.job.refresh_from_db()
    make.carried_out(run.job)
    assert list(run.results.values_list("pk", flat=True)) == before


def test_a_job_that_was_killed_goes_on_with_the_gates_that_are_missing(
    the: Scene, gates: Callable[..., None]
) -> None:
    asked: list[str] = []

    def counting(gate: Gate) -> Gate:
        def judge(judged: Judged) -> Sequence[Result]:
            asked.append(gate.name)
            return gate.judge(judged)

        return replace(gate, judge=judge)

    def killed(judged: Judged) -> Sequence[Result]:
        raise KeyboardInterrupt

    first, second = counting(says("guards", Verdict.PASS)), counting(says("speed", Verdict.PASS))
    gates(first, replace(second, judge=killed))
    run = started(the)
    assert run.job is not None
    with pytest.raises(KeyboardInterrupt):
        make.carried_out(run.job)
    assert [row.gate for row in run.results.all()] == ["guards"]
    Job.objects.filter(pk=run.job.pk).update(state="queued", lease_token=None)
    gates(first, second)
    assert done(run).verdict == "pass"
    assert asked == ["guards", "speed"]
    assert [row.position for row in run.results.all()] == [0, 1]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_in_the_middle_it_is_tried_again_and_judges_each_gate_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real child process."""
    run = started(scene())
    assert run.job is not None
    killed: list[int] = []

    def kill(job: Job) -> None:
        if killed or not GateRun.objects.filter(pk=run.pk, state="running").exists():
            return
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            if process.read_bytes().split(b"\0")[-3:] == [b"run_job", str(job.pk).encode(), b""]:
                killed.append(int(process.parent.name))
                os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.02)
    jobs.supervise(run.job.pk, watch=kill)
    run.job.refresh_from_db()
    assert killed
    assert (run.job.state, "signal 9" in run.job.reason) == ("queued", True)
    jobs.supervise(run.job.pk)
    run.refresh_from_db()
    assert (run.state, run.verdict, run.digest) == ("finished", "pass", running.digest_of(run))
    asked = [gate.name for gate in catalogue.GATES if gate.applies(policies.read(run.policy))]
    assert list(dict.fromkeys(run.results.order_by("position").values_list("gate", flat=True))) == asked


def test_a_job_that_is_cancelled_ends_its_run_as_failed(the: Scene) -> None:
    run = started(the)
    assert run.job is not None
    jobs.request_cancel(job=run.job, actor=the.cast.operator)
    run.refresh_from_db()
    assert (run.state, run.verdict) == ("failed", "")
    found = running.outcome(run)
    assert found.state == "blocked"
    assert "Cancelled" in found.words


def test_a_run_that_failed_is_begun_again_from_the_jobs_page(the: Scene) -> None:
    run = started(the)
    assert run.job is not None
    jobs.request_cancel(job=run.job, actor=the.cast.operator)
    run.job.refresh_from_db()
    again = jobs.retry(job=run.job, actor=the.cast.operator)
    make.carried_out(again)
    newest = running.newest(the.candidate)
    assert newest is not None
    assert (newest.state, newest.pk != run.pk) == ("finished", True)
    with pytest.raises(Refused, match="later job"):
        jobs.retry(job=run.job, actor=the.cast.operator)


# ---------------------------------------------------------------- gates that break


def broken(words: Exception) -> Callable[[Judged], Sequence[Result]]:
    def judge(judged: Judged) -> Sequence[Result]:
        raise words

    return judge


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (broken(ValueError("no such column")), "ValueError: no such column"),
        (broken(Refused("The files of model 3 are missing.")), "The files of model 3 are missing."),
        (lambda judged: [], "said nothing"),
        (lambda judged: [Result("speed", "", Verdict.PASS, "Fine.", "fine", "none")], "not its own"),
        (lambda judged: [Result("guards", "", Verdict.PASS, "Fine.", "fine", "none")] * 2, "two of one name"),
        (
            lambda judged: [
                Result("guards", "", Verdict.PASS, "Fine.", "fine", "none", estimate=float("nan"))
            ],
            "nan",
        ),
    ],
)
def test_a_gate_that_breaks_is_an_error_in_words_and_the_others_are_judged(
    the: Scene, gates: Callable[..., None], judge: Any, said: str
) -> None:
    gates(Gate("guards", "Guards", judge, waivable=True), says("speed", Verdict.PASS))
    run = done(started(the))
    rows = list(run.results.all())
    assert [(row.gate, row.verdict) for row in rows] == [("guards", "error"), ("speed", "pass")]
    assert said in rows[0].words
    assert (run.verdict, running.outcome(run).state) == ("error", "blocked")


@pytest.mark.parametrize(
    ("verdicts", "verdict", "state"),
    [
        ((Verdict.PASS, Verdict.PASS), "pass", "awaiting approval"),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), "inconclusive", "needs evidence"),
        ((Verdict.INCONCLUSIVE, Verdict.ERROR), "error", "blocked"),
        ((Verdict.ERROR, Verdict.FAIL), "fail", "blocked"),
    ],
)
def test_a_run_comes_to_its_worst_row(
    the: Scene, gates: Callable[..., None], verdicts: Sequence[Verdict], verdict: str, state: str
) -> None:
    gates(says("guards", *verdicts))
    run = done(started(the))
    assert (run.verdict, running.outcome(run).state) == (verdict, state)


def test_a_policy_that_asks_for_no_gate_passes_nothing(the: Scene, gates: Callable[..., None]) -> None:
    gates(replace(says("guards", Verdict.PASS), applies=lambda policy: False))
    run = done(started(the))
    assert (run.verdict, running.outcome(run).state) == ("error", "needs evidence")


def test_the_sample_workspace_has_a_policy_that_its_dozen_test_documents_can_meet_or_waive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scenes, "small_policy", fit_the_policy)
    the = scene(documents=13)
    held = policies.holding(the.candidate.environment)
    assert (held.number, held.made_by, policies.read(held).approvals.approvers) == (2, None, 1)
    fit_the_policy()
    assert policies.holding(the.candidate.environment) == held, "once, and never over somebody's"
    done(started(the))
    run = running.newest(the.candidate)
    assert run is not None
    stuck = [one.row for one in running.outcome(run).standing_in_the_way if one.unwaivable]
    assert stuck == []


# ---------------------------------------------------------------- whether it still holds


def submitted(the: Scene) -> Release:
    Release.objects.filter(pk=the.candidate.pk).update(comparison=the.comparison)
    return Release.objects.get(pk=the.candidate.pk)


def test_what_passed_holds(the: Scene) -> None:
    release = submitted(the)
    assert "No gate has judged it" in running.problem(release)
    run = started(the)
    assert "being judged" in running.problem(release)
    done(run)
    assert running.problem(release) == ""


def test_a_policy_that_is_changed_while_a_release_waits_asks_for_another_run(the: Scene) -> None:
    release = submitted(the)
    done(started(the))
    held = policies.holding(release.environment)
    policies.change_policy(
        environment=release.environment, settings={**held.settings, "waivers": {"longest_days": 3}}, reason="Shorter.",
        expected=held.number, actor=make.user("petra", "policy editor"),
    )  # fmt: skip
    assert (
        running.problem(release)
        == "petra changed the policy after the gates had judged it. Run the gates again."
    )
    done(started(the))
    assert running.problem(release) == ""


def test_another_comparison_asks_for_another_run(the: Scene) -> None:
    done(started(the))
    release = submitted(the)
    other = scenes.compared(the.candidate, the.live, scenes.evaluation_set(20))
    Release.objects.filter(pk=release.pk).update(comparison=other)
    release.refresh_from_db()
    assert "another comparison" in running.problem(release)


def test_results_that_were_rewritten_are_found(the: Scene) -> None:
    release = submitted(the)
    run = done(started(the))
    with without_guards(GateResult):
        GateResult.objects.filter(run=run, gate="primary").update(estimate=99.0)
    assert "not what they were" in running.problem(release)


def test_a_policy_that_was_rewritten_is_found(the: Scene) -> None:
    release = submitted(the)
    run = done(started(the))
    with without_guards(GatePolicy):
        GatePolicy.objects.filter(pk=run.policy_id).update(settings={"primary": {"margin": 50}})
    assert "by other settings" in running.problem(release)


def test_evidence_says_what_was_found_by_which_policy(the: Scene) -> None:
    release = submitted(the)
    assert running.evidence_of(release) == {}
    run = done(started(the))
    facts = running.evidence_of(release)
    assert (facts["run"], facts["verdict"], facts["digest"]) == (run.pk, "pass", run.digest)
    assert facts["policy_digest"] == policies.read(run.policy).digest
    assert len(facts["results"]) == run.results.count()


def test_an_environment_without_a_policy_judges_nothing(the: Scene) -> None:
    elsewhere = Environment.objects.create(name="elsewhere")
    with pytest.raises(Refused, match="has no policy"):
        policies.holding(elsewhere)


# ---------------------------------------------------------------- the database


def refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        return True
    return False


def test_the_database_lets_no_run_pass_that_did_not(the: Scene, gates: Callable[..., None]) -> None:
    gates(says("guards", Verdict.PASS, Verdict.FAIL))
    run = started(the)
    passed = "state = 'finished', verdict = 'pass', digest = 'x', finished_at = now()"
    claims = f"UPDATE models_app_gaterun SET {passed} WHERE id = {run.pk}"
    assert refused(claims), "it has not begun"
    GateRun.objects.filter(pk=run.pk).update(state="running")
    assert refused(claims), "it has no results"
    done_already = done(run)
    assert done_already.verdict == "fail"
    assert refused(f"UPDATE models_app_gaterun SET verdict = 'pass' WHERE id = {run.pk}")
    assert refused(
        f"UPDATE models_app_gaterun SET state = 'running', verdict = '', digest = '' WHERE id = {run.pk}"
    )
    assert refused(f"UPDATE models_app_gateresult SET verdict = 'pass' WHERE run_id = {run.pk}")
    assert refused(f"DELETE FROM models_app_gateresult WHERE run_id = {run.pk}")
    assert refused(f"DELETE FROM models_app_gaterun WHERE id = {run.pk}")
    assert refused("TRUNCATE models_app_gaterun CASCADE")
    columns = "run_id, position, gate, name, verdict, words, need, method, unit, evidence"
    assert refused(
        f"INSERT INTO models_app_gateresult ({columns}) VALUES ({run.pk}, 9, 'x', '', 'pass', 'x', 'x', 'x', '', '')"
    )
    of_run = "release_id, comparison_id, policy_id, policy_digest"
    assert refused(
        f"INSERT INTO models_app_gaterun ({of_run}, state, verdict, digest, reason, created_at, finished_at) "
        f"SELECT {of_run}, 'finished', 'pass', 'x', '', now(), now() FROM models_app_gaterun WHERE id = {run.pk}"
    )


@pytest.mark.parametrize(
    "column", ["release_id", "comparison_id", "policy_id", "policy_digest", "requested_by_id", "created_at"]
)
def test_what_was_judged_by_what_is_never_another(the: Scene, column: str) -> None:
    run = done(started(the))
    value = {"policy_digest": "'x'", "created_at": "now()", "requested_by_id": "NULL"}.get(column, "999")
    assert refused(f"UPDATE models_app_gaterun SET {column} = {value} WHERE id = {run.pk}")


def test_a_comparison_by_other_terms_is_another_one(the: Scene) -> None:
    again = scenes.compared(the.candidate, the.live, the.on)
    assert again == the.comparison
    scenes.small_policy(primary={"margin": 0.25})
    other = scenes.compared(the.candidate, the.live, the.on)
    assert other != the.comparison
    assert other.results.get(metric="rouge2", slice="all", against="baseline").margin == 0.25
    assert Comparison.objects.get(pk=the.comparison.pk).terms["margins"]["rouge2"] == 0.5


@pytest.mark.django_db(transaction=True)
def test_two_who_begin_at_the_same_instant_begin_one_run() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    the = scene()

    def begin(_: int) -> int:
        try:
            return started(the, release=Release.objects.get(pk=the.candidate.pk)).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(begin, range(8)))) == 1
    assert GateRun.objects.count() == 1
