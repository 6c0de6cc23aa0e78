"""Between submitting and deciding: the gates judge a release, and what they find moves it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.gates import policies, running
from models_app.gates.results import Result, Verdict
from models_app.models import (
    Approval,
    AuditEvent,
    ComparisonResult,
    Environment,
    GateResult,
    GateRun,
    Job,
    Release,
    Route,
)
from models_app.releases.accounts import Circle
from models_app.releases.composing import submit_release, withdraw_release
from models_app.releases.deploying import go_live
from models_app.releases.judging import settle, settle_ended
from tests import make
from tests.database import without_guards
from tests.doors.test_evidence import refusal
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, decisions, scene
from tests.releases.test_approving import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def submit(the: Scene, **fields: Any) -> Release:
    """Without the job."""
    values = {
        "release": now(the),
        "comparison": the.comparison,
        "note": "Better.",
        "actor": the.cast.ml_engineer,
    }
    return submit_release(**{**values, **fields})


def policy_changed(**sections: Any) -> None:
    environment = Environment.objects.get(name="production")
    held = policies.holding(environment)
    settings = policies.read(held).as_settings()
    for name, values in sections.items():
        settings[name] |= values
    policies.change_policy(
        environment=environment, settings=settings, reason="Stricter.", expected=held.number, actor=None
    )


# ---------------------------------------------------------------- evaluating


def test_a_release_that_is_submitted_is_evaluated_and_nobody_decides_yet(the: Scene) -> None:
    release = submit(the)
    assert (release.state, release.decide_by) == ("evaluating", None)
    assert Job.objects.get(kind="judge_release").state == "queued"
    with pytest.raises(StaleState, match="evaluating"):
        the.approved_by(the.cast.approver)
    assert Approval.objects.count() == 0


@pytest.mark.usefixtures("waiting")
def test_what_passes_its_gates_waits_for_approval(the: Scene) -> None:
    release = the.candidate
    assert release.state == "awaiting approval"
    assert release.decide_by is not None
    run = running.newest(release)
    assert run is not None
    assert (run.state, run.verdict, run.comparison) == ("finished", "pass", the.comparison)
    gates = release.evidence["gates"]
    assert (gates["run"], gates["digest"], gates["policy_digest"]) == (run.pk, run.digest, run.policy_digest)
    event = AuditEvent.objects.get(action="release.judged")
    assert (event.from_state, event.to_state, event.data) == (
        "evaluating", "awaiting approval", {"run": run.pk, "verdict": "pass"},
    )  # fmt: skip


def test_what_is_worse_may_be_composed_and_shown_and_is_blocked() -> None:
    the = scene(before=0.16, after=0.10)
    release = the.submitted()
    assert release.state == "blocked"
    assert "fail" in release.reason
    with pytest.raises(StaleState):
        the.approved_by(the.cast.approver)
    page = markup(signed_in(the.cast.ml_engineer).get(f"/releases/{release.pk}/"))
    assert "Blocked" in page
    assert 'value="approve"' not in page


def test_a_test_set_that_suits_does_not_decide_where_the_policy_names_another(the: Scene) -> None:
    """Whoever submits could freeze one document after another until the figures please."""
    suits = scenes.evaluation_set(12)
    pleasing = scenes.compared(the.candidate, the.live, suits, before=0.10, after=0.30)
    scenes.small_policy(primary={"test_set": the.on.pk, "least_documents": 10})
    release = the.submitted(comparison=pleasing)
    assert release.state == "needs evidence"
    run = running.newest(release)
    assert run is not None
    row = run.results.get(gate="primary", name="test_set")
    assert row.verdict == "inconclusive"
    assert f"evaluate --candidate {release.pk} --test-set {the.on.pk}" in row.words
    assert the.submitted(release=release, comparison=the.comparison).state == "awaiting approval"


def test_what_the_gates_cannot_tell_needs_evidence(the: Scene) -> None:
    policy_changed(primary={"least_documents": 100})
    release = the.submitted()
    assert release.state == "needs evidence"
    with pytest.raises(StaleState):
        the.approved_by(the.cast.approver)


@pytest.mark.parametrize("state", ["blocked", "needs evidence"])
def test_what_did_not_pass_is_submitted_again_with_the_same_comparison(the: Scene, state: str) -> None:
    policy_changed(primary={"least_documents": 100})
    make.forced(the.submitted(), state)
    policy_changed(primary={"least_documents": 10})
    assert the.submitted(release=now(the)).state == "awaiting approval"
    assert GateRun.objects.filter(release=the.candidate).count() == 2


def test_it_can_be_withdrawn_from_each_state_before_the_decision(the: Scene) -> None:
    submit(the)
    withdraw_release(release=now(the), actor=the.cast.ml_engineer)
    job = Job.objects.get(kind="judge_release")
    make.carried_out(job)
    assert now(the).state == "withdrawn", "the job moves nothing that nobody asks for any more"


def test_submitting_twice_is_once_while_it_is_evaluated_and_while_it_waits(the: Scene) -> None:
    submit(the)
    submit(the)
    assert GateRun.objects.count() == 1
    make.carried_out(Job.objects.get(kind="judge_release"))
    submit(the)
    assert (GateRun.objects.count(), now(the).state) == (1, "awaiting approval")


def test_another_comparison_while_it_is_evaluated_is_judged_in_its_place(the: Scene) -> None:
    submit(the)
    other = scenes.compared(now(the), the.live, scenes.evaluation_set(24))
    submit(the, comparison=other)
    first, second = Job.objects.filter(kind="judge_release").order_by("pk")
    assert first.state == "cancelled"
    make.carried_out(second)
    assert (now(the).state, now(the).comparison) == ("awaiting approval", other)


# ---------------------------------------------------------------- the job


def test_a_job_that_is_carried_out_twice_moves_the_release_once(the: Scene) -> None:
    submit(the)
    job = Job.objects.get(kind="judge_release")
    make.carried_out(job)
    settle(now(the))
    assert settle_ended() == 0
    assert AuditEvent.objects.filter(action="release.judged").count() == 1


def test_a_job_that_died_between_the_gates_and_the_release_is_made_up_for(the: Scene) -> None:
    submit(the)
    run = running.newest(the.candidate)
    assert run is not None
    job = jobs.claim(run.job_id)  # type: ignore[arg-type]
    assert job is not None
    running.carry_out(jobs.JobContext(job), judges=Circle)
    assert now(the).state == "evaluating"
    assert (settle_ended(), now(the).state) == (1, "awaiting approval")


def test_a_job_that_fails_blocks_the_release_with_the_reason(the: Scene) -> None:
    submit(the)
    jobs.request_cancel(job=Job.objects.get(kind="judge_release"), actor=None)
    assert settle_ended() == 1
    release = now(the)
    assert release.state == "blocked"
    assert "could not be judged to the end" in release.reason
    assert the.submitted(release=release).state == "awaiting approval"


def test_a_gate_that_breaks_lets_nothing_pass(the: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from models_app.gates import catalogue, running
    from models_app.gates.gate import Gate

    def breaks(judged: Any) -> list[Result]:
        raise RuntimeError("no such file")

    broken = (*catalogue.GATES, Gate("broken", "A broken gate", breaks))
    monkeypatch.setattr(running, "GATES", broken)
    release = the.submitted()
    assert release.state == "blocked"
    assert GateResult.objects.get(gate="broken").verdict == Verdict.ERROR


# ---------------------------------------------------------------- what changes meanwhile


def test_a_policy_that_is_changed_while_it_is_evaluated_judges_it(the: Scene) -> None:
    submit(the)
    first = Job.objects.get(kind="judge_release")
    policy_changed(primary={"least_documents": 100})
    make.carried_out(first)
    assert now(the).state == "evaluating", "what the earlier policy found is of no use"
    make.carried_out(Job.objects.get(kind="judge_release", state="queued"))
    assert now(the).state == "needs evidence"


def test_a_policy_that_is_changed_while_it_waits_makes_approvals_void(the: Scene) -> None:
    policy_changed(approvals={"approvers": 2})
    the.submitted()
    the.approved_by(the.cast.approver)
    policy_changed(guards={"least_documents": 11})
    with pytest.raises(Refused, match="changed the policy") as refused:
        the.approved_by(the.cast.another_approver)
    assert refused.value.code == "evidence_changed"
    assert decisions(the.candidate) == [("ada", "approved", False)]
    assert now(the).state == "awaiting approval"
    page = markup(signed_in(the.cast.ml_engineer).get(f"/releases/{the.candidate.pk}/"))
    assert "Run the gates again" in page
    the.submitted(release=now(the))
    the.approved_by(the.cast.approver)
    the.approved_by(the.cast.another_approver)
    assert now(the).state == "warming"


@pytest.mark.usefixtures("waiting")
def test_a_policy_that_is_changed_after_the_approval_lets_nothing_go_live(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    policy_changed(guards={"least_documents": 11})
    with pytest.raises(Refused, match="changed the policy"):
        go_live(release=now(the))
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)
    assert decisions(the.candidate) == [("ada", "approved", False)]


def test_what_is_rewritten_while_the_gates_are_judged_is_found(the: Scene) -> None:
    submit(the)
    with without_guards(ComparisonResult):
        ComparisonResult.objects.filter(comparison=the.comparison, metric="rouge2").update(after=99.0)
    make.carried_out(Job.objects.get(kind="judge_release"))
    assert now(the).state == "blocked"


@pytest.mark.usefixtures("waiting")
def test_results_of_gates_that_are_rewritten_are_found_at_the_approval(the: Scene) -> None:
    with without_guards(GateResult):
        GateResult.objects.filter(gate="primary").update(estimate=99.0)
    with pytest.raises(Refused, match="not what they were"):
        the.approved_by(the.cast.approver)
    assert now(the).state == "awaiting approval"


def test_no_statement_moves_a_release_past_its_gates(the: Scene) -> None:
    submit(the)
    table = f"UPDATE models_app_release SET state = %s WHERE id = {the.candidate.pk}"
    assert refusal(table % "'awaiting approval'") == "23001"
    make.carried_out(Job.objects.get(kind="judge_release"))
    make.approval(now(the))
    assert refusal(table % "'approved'") == ""
    policy_changed(guards={"least_documents": 11})
    assert refusal(table % "'approved'") == "23001", "by an earlier policy"
    with without_guards(Release):
        Release.objects.filter(pk=the.candidate.pk).update(state="warming")
    away = f"UPDATE models_app_release SET state = 'superseded' WHERE id = {the.live.pk}"
    live = table % "'live'"
    assert refusal(f"{away}; {live}") == "23001"


def test_no_statement_changes_how_many_approvals_an_environment_asks_for() -> None:
    assert refusal("UPDATE models_app_environment SET approvals_required = 3") == "23001"


@pytest.mark.usefixtures("waiting")
def test_evidence_of_what_waits_does_not_change_by_itself(the: Scene) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Release.objects.filter(pk=the.candidate.pk).update(evidence={})


@pytest.mark.usefixtures("waiting")
@pytest.mark.django_db(transaction=True)
def test_approving_while_the_policy_is_changed_is_decided_by_one_of_the_two(the: Scene) -> None:
    outcomes = at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: policy_changed(guards={"least_documents": 11}),
    )
    assert outcomes in (["done", "done"], ["done", "evidence_changed"])
    if "evidence_changed" in outcomes:
        assert now(the).state == "awaiting approval"
    else:
        assert now(the).state == "warming"
        with pytest.raises(Refused, match="changed the policy"):
            go_live(release=now(the))
    assert Route.objects.get().release == the.live


@pytest.mark.usefixtures("waiting")
@pytest.mark.django_db(transaction=True)
def test_approving_while_it_is_submitted_again_is_decided_by_one_of_the_two(the: Scene) -> None:
    other = scenes.compared(now(the), the.live, scenes.evaluation_set(24))
    outcomes = at_once(lambda: the.approved_by(the.cast.approver), lambda: submit(the, comparison=other))
    assert outcomes in (["done", "refused"], ["done", "stale"])
    assert now(the).state in ("warming", "evaluating")
    assert Approval.objects.filter(voided_at=None).count() == (now(the).state == "warming")


@pytest.mark.django_db(transaction=True)
def test_two_jobs_of_one_run_at_once_move_it_once(the: Scene) -> None:
    submit(the)
    run = running.newest(the.candidate)
    assert run is not None
    job = jobs.claim(run.job_id)  # type: ignore[arg-type]
    assert job is not None
    running.carry_out(jobs.JobContext(job), judges=Circle)
    assert at_once(lambda: settle(now(the)), lambda: settle(now(the)), settle_ended) == ["done"] * 3
    assert now(the).state == "awaiting approval"
    assert AuditEvent.objects.filter(action="release.judged").count() == 1


# ---------------------------------------------------------------- on the page


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_the_page_says_how_far_it_is(the: Scene) -> None:
    submit(the)
    page = markup(signed_in(the.cast.approver).get(f"/releases/{the.candidate.pk}/"))
    assert "The gates are being judged" in page
    assert 'hx-trigger="every 2s"' in page
    assert 'value="approve"' not in page
    make.carried_out(Job.objects.get(kind="judge_release"))
    page = markup(signed_in(the.cast.approver).get(f"/releases/{the.candidate.pk}/"))
    assert "every 2s" not in page
    assert 'value="approve"' in page


@pytest.mark.usefixtures("waiting")
def test_who_may_not_submit_does_not_submit_again(the: Scene) -> None:
    for person in (the.cast.approver, the.cast.operator, the.cast.reviewer):
        with pytest.raises(NotAllowed):
            submit(the, actor=person)
    with pytest.raises(InvalidInput):
        submit(the, note="x" * 2001)
