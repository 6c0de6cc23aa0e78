"""Judging a release: a run of all gates as a job, what it comes to, and whether that still holds."""

from __future__ import annotations

import contextlib
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from models_app.evaluation.comparing import SEED
from models_app.evaluation.metrics import METRICS
from models_app.foundation import audit, jobs
from models_app.foundation.constraints import broke
from models_app.foundation.errors import GalleyError, Refused
from models_app.foundation.identity import canonical_digest
from models_app.foundation.jobs import JobCancelled, JobContext, LeaseLost, NotYet
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.foundation.unavailability import is_away
from models_app.gates import policies, waivers
from models_app.gates.catalogue import BY_NAME, GATES
from models_app.gates.gate import Gate, Judged, Judges
from models_app.gates.policy import Policy
from models_app.gates.results import Result, Verdict, worst
from models_app.models import Comparison, GatePolicy, GateResult, GateRun, Job, Release, Waiver

log = structlog.get_logger(__name__)

KIND = "judge_release"
DEADLINE_SECONDS = 1800
FIELDS = (
    "gate", "name", "verdict", "words", "need", "method", "estimate", "low", "high", "threshold", "n", "unit",
    "evidence",
)  # fmt: skip


# ---------------------------------------------------------------- asking for a run


def start(*, release: Release, comparison: Comparison, actor: Any | None, deliver: bool = True) -> GateRun:
    """Queue a run of all gates by the policy that holds; the active one of the same where there is one.

    A run that is under way on another comparison or by an earlier policy is ended: what it finds is of no use any
    more. Raises Refused where the comparison is not about this release, or was drawn with a seed of its own.
    """
    require(actor, "evaluate")
    if comparison.candidate.release_id != release.pk:
        raise Refused(
            f"Comparison {comparison.pk} is about release {comparison.candidate.release_id}, not this one."
        )
    if comparison.seed != SEED:
        raise Refused(
            f"Comparison {comparison.pk} was drawn with seed {comparison.seed}. Gates judge by seed {SEED} alone, so "
            f"that nobody draws again until an interval suits. Compare once more: evaluate --candidate {release.pk}"
        )
    with transaction.atomic():
        Release.objects.select_for_update(no_key=True).get(pk=release.pk)
        policy = policies.holding(release.environment_id)
        active = (
            GateRun.objects.select_related("job").filter(release=release, state__in=GateRun.ACTIVE).first()
        )
        if active is not None:
            if (active.comparison_id, active.policy_id) == (comparison.pk, policy.pk):
                return active
            _give_up(active, actor)
        run = GateRun.objects.create(
            release=release, comparison=comparison, policy=policy, policy_digest=policies.read(policy).digest,
            requested_by=actor,
        )  # fmt: skip
        run.job = jobs.enqueue(
            kind=KIND, actor=actor, subject=audit.subject_of(run), payload={"run": run.pk},
            unique_key=f"judge:{run.pk}", deadline_seconds=DEADLINE_SECONDS, deliver=deliver,
        )  # fmt: skip
        run.save(update_fields=["job"])
        audit.record(
            actor=actor, action="gates.start", subject=run,
            data={"release": release.pk, "comparison": comparison.pk, "policy": policy.number},
        )  # fmt: skip
    return run


def _give_up(run: GateRun, actor: Any | None) -> None:
    """The job first, as its own end does, which locks it, the run and the audit trail in this order."""
    if run.job is not None and run.job.is_active:
        with contextlib.suppress(Refused):  # it ends at this instant
            jobs.request_cancel(job=run.job, actor=actor)
        run.refresh_from_db(fields=["state"])
    if run.state in GateRun.ACTIVE:
        _end(run, "It was begun again, on another comparison or by another policy.")


def again(job: Job) -> Job | None:
    """For people who manage jobs: another run of the same. None where a later one has its place."""
    run = GateRun.objects.select_related("release", "comparison").get(pk=job.payload["run"])
    if newest(run.release) != run:
        return None
    return start(release=run.release, comparison=run.comparison, actor=None).job


# ---------------------------------------------------------------- the job


def carry_out(context: JobContext, *, judges: Callable[[Release], Judges]) -> dict[str, Any]:
    """The job: gate after gate, each kept as it ends. A run that another attempt has begun goes on with what is
    missing; one that has ended stays as it is. `judges`: who may have chosen for a release."""
    run = _to_be_judged().get(pk=context.payload["run"])
    if run.state == GateRun.State.QUEUED:
        move(run, to="running", actor=None, action="gates.running")
    if run.state != GateRun.State.RUNNING:
        return {"run": run.pk, "state": run.state, "verdict": run.verdict}
    policy = policies.read(run.policy)
    kept = list(run.results.values_list("gate", flat=True))
    done, position = set(kept), len(kept)
    wanted = [gate for gate in GATES if gate.applies(policy) and gate.name not in done]
    for number, gate in enumerate(wanted):
        context.phase(gate.label[:50], total=len(wanted))
        context.step(number)
        judged = Judged(
            run.release,
            run.comparison,
            policy,
            _progress(context, gate, number),
            lambda: judges(run.release),
        )
        found = _judged(gate, judged)
        _keep(run, found, first=position)
        position += len(found)
    return _finish(run)


def _to_be_judged() -> QuerySet[GateRun]:
    """Three queries: a join of all these tables takes PostgreSQL ten times as long to plan as to carry out."""
    releases = Release.objects.select_related(
        "model_version__training_run__snapshot", "prompt_version__prompt", "environment"
    )
    comparisons = Comparison.objects.select_related("candidate__evaluation_set", "baseline__release", "lead")
    return GateRun.objects.select_related("policy").prefetch_related(
        Prefetch("release", releases), Prefetch("comparison", comparisons)
    )


def _progress(context: JobContext, gate: Gate, number: int) -> Callable[[str], None]:
    def progress(words: str) -> None:
        phase = f"{gate.label}: {words}"[:50]
        if phase != context.job.phase:
            print(phase, flush=True)
            context.job.phase = phase
            Job.objects.filter(pk=context.job.pk, lease_token=context.job.lease_token).update(phase=phase)
        context.step(number)

    return progress


def _judged(gate: Gate, judged: Judged) -> list[Result]:
    """What the gate found. One that breaks has not passed: it is an error, said in plain words."""
    try:
        results = list(gate.judge(judged))
        _check(gate, results)
    except (JobCancelled, LeaseLost, NotYet):
        raise
    except Exception as error:
        if is_away(error):  # the job is tried again
            raise
        traceback.print_exc()
        log.exception("gate_broke", gate=gate.name, release=judged.release.pk)
        said = error.message if isinstance(error, GalleyError) else f"{type(error).__name__}: {error}"
        return [_error(gate, f"It could not be judged. {said}"[:2000])]
    return results or [_error(gate, "It said nothing, so nobody knows whether the release would pass.")]


def _check(gate: Gate, results: Sequence[Result]) -> None:
    names = [result.name for result in results]
    if any(result.gate != gate.name for result in results) or len(set(names)) < len(names):
        raise ValueError(f"gate {gate.name} gave rows that are not its own, or two of one name")


def _error(gate: Gate, words: str) -> Result:
    return Result(gate.name, "", Verdict.ERROR, words, "an answer", "none")


def _keep(run: GateRun, results: Sequence[Result], *, first: int) -> None:
    """All rows of a gate, or none, from the position `first` on."""
    try:
        with transaction.atomic():
            now = GateRun.objects.select_for_update(no_key=True).get(pk=run.pk)
            if now.state != GateRun.State.RUNNING:
                raise LeaseLost(f"gate run {run.pk} is {now.state} meanwhile")
            GateResult.objects.bulk_create(
                GateResult(run=run, position=first + place, **result.as_json())
                for place, result in enumerate(results)
            )
    except IntegrityError as error:
        if broke(error, "gate_result_once") or broke(error, "gate_result_position"):
            raise LeaseLost(f"gate run {run.pk} is carried out by another process, too") from error
        raise


def _finish(run: GateRun) -> dict[str, Any]:
    rows = list(run.results.order_by("position"))
    verdict = worst(Verdict(row.verdict) for row in rows)
    counts = {each.value: sum(row.verdict == each for row in rows) for each in Verdict}
    with transaction.atomic():
        move(
            run, to="finished", actor=None, action="gates.finished", reason=verdict.value,
            data={"release": run.release_id, **counts},
            verdict=verdict.value, digest=digest_of(run, rows), finished_at=timezone.now(),
        )  # fmt: skip
    return {"run": run.pk, "verdict": verdict.value, **counts}


def ended(job: Job) -> None:
    """Bring the run in step with a job that did not finish it, in the transaction that ends the job."""
    run = GateRun.objects.filter(pk=job.payload["run"], state__in=GateRun.ACTIVE).first()
    if run is not None and job.state not in Job.ACTIVE:
        _end(run, job.reason or f"Its job {job.state}.")


def _end(run: GateRun, reason: str) -> None:
    with transaction.atomic():
        GateRun.objects.filter(pk=run.pk, state__in=GateRun.ACTIVE).update(reason=reason)
        move(
            run, to="failed", actor=None, action="gates.failed", reason=reason,
            data={"release": run.release_id}, finished_at=timezone.now(),
        )  # fmt: skip
    run.reason = reason


def digest_of(run: GateRun, rows: Iterable[GateResult] | None = None) -> str:
    """Over what was judged, by what, and all that was found, as the rows have it now."""
    rows = run.results.order_by("position") if rows is None else rows
    return canonical_digest(
        [
            run.release.digest,
            run.comparison.digest,
            run.comparison_id,
            run.policy_digest,
            [[getattr(row, name) for name in FIELDS] for row in rows],
        ]
    )


# ---------------------------------------------------------------- what it comes to

State = Literal["evaluating", "blocked", "needs evidence", "awaiting approval"]


@dataclass(frozen=True)
class Finding:
    """A row of a run, with what stands for it now. `waiver`: the one that covers it."""

    row: GateResult
    gate: Gate | None  # None: a later version of Galley knows no such gate
    waiver: Waiver | None
    unwaivable: str  # why no waiver of it can be asked for; empty where one can

    @property
    def counts_as(self) -> str:
        return Verdict.PASS if self.waiver is not None else self.row.verdict

    @property
    def label(self) -> str:
        return self.gate.label if self.gate is not None else self.row.gate


@dataclass(frozen=True)
class Outcome:
    """What a run means for its release."""

    state: State
    words: str
    findings: Sequence[Finding] = ()

    @property
    def standing_in_the_way(self) -> list[Finding]:
        return [one for one in self.findings if one.counts_as != Verdict.PASS]


def outcome(run: GateRun, *, at: datetime | None = None) -> Outcome:
    """By the waivers that hold at that moment. 3 queries."""
    return Found(run).outcome(at=at)


def findings(run: GateRun, *, at: datetime | None = None) -> list[Finding]:
    return Found(run).findings(at=at)


class Found:
    """What a run found: its rows and the release's waivers, each read at its first use and once, for one page or one
    decision."""

    def __init__(self, run: GateRun) -> None:
        self.run = run

    @cached_property
    def rows(self) -> list[GateResult]:
        return list(self.run.results.order_by("position"))

    @cached_property
    def _policy(self) -> Policy:
        return policies.read(self.run.policy)

    @cached_property
    def _waivers(self) -> list[Waiver]:
        return list(
            Waiver.objects.filter(release=self.run.release_id).select_related("asked_by", "agreed_by")
        )

    def findings(self, *, at: datetime | None = None) -> list[Finding]:
        held = waivers.holding(self._waivers, at=at or timezone.now())
        settings = self._policy.as_settings()
        return [_finding(row, self._policy, settings, held) for row in self.rows]

    def outcome(self, *, at: datetime | None = None) -> Outcome:
        run = self.run
        if run.state in GateRun.ACTIVE:
            return Outcome("evaluating", "The gates are being judged.")
        if run.state == GateRun.State.FAILED:
            return Outcome(
                "blocked", f"The gates could not be judged to the end: {run.reason} Run them again."
            )
        found = self.findings(at=at)
        in_the_way = [one for one in found if one.counts_as != Verdict.PASS]
        blocking = [one for one in in_the_way if one.row.verdict in (Verdict.FAIL, Verdict.ERROR)]
        waived = sum(one.waiver is not None for one in found)
        if blocking:
            return Outcome("blocked", _said(blocking), found)
        if in_the_way or not found:
            words = f"{_said(in_the_way)} More evidence or a waiver is needed."
            return Outcome("needs evidence", words, found)
        passed = f"All {len(found)} results pass"
        words = f"{passed}, {waived} of them by a waiver." if waived else f"{passed}."
        return Outcome("awaiting approval", words, found)

    def problem(self, release: Release, *, held: GatePolicy | None = None) -> str:
        """Why the gates do not let the release be approved now, whatever was found when it was submitted; empty where
        they do. `held`: the policy that holds, where it is read already."""
        run = self.run
        if run.comparison_id != release.comparison_id:
            return "The gates have judged it on another comparison than the one that was submitted. Submit it again."
        held = held or policies.holding(release.environment_id)
        if run.policy_id != held.pk:
            by = held.made_by.get_username() if held.made_by is not None else "Galley"
            return f"{by} changed the policy after the gates had judged it. Run the gates again."
        if run.policy_digest != policies.read(held).digest:
            return (
                "This version of Galley judges by other settings than the one that did. Run the gates again."
            )
        if run.state == GateRun.State.FINISHED and digest_of(run, self.rows) != run.digest:
            return "The results of the gates are not what they were. Run the gates again."
        found = self.outcome()
        return "" if found.state == "awaiting approval" else found.words

    def evidence(self) -> dict[str, Any]:
        """Of a finished run, as facts to decide on."""
        run = self.run
        return {
            "run": run.pk,
            "verdict": run.verdict,
            "policy": run.policy.number,
            "policy_digest": run.policy_digest,
            "digest": digest_of(run, self.rows),
            "results": [{name: _plain(getattr(row, name)) for name in FIELDS} for row in self.rows],
            "waivers": sorted(one.waiver.pk for one in self.findings() if one.waiver is not None),
        }


def _finding(
    row: GateResult,
    policy: Policy,
    settings: Mapping[str, Any],
    held: dict[tuple[str, str, str], Waiver],
) -> Finding:
    unwaivable = waivers.may_be_waived(row, policy.waivers)
    waiver = None if unwaivable else held.get((row.gate, row.name, waivers.digest_of_result(row, settings)))
    return Finding(row, BY_NAME.get(row.gate), waiver, unwaivable)


#: How many results a release's reason says, and how much of each; its page and the report have all.
_SAID, _LONGEST = 4, 240
_CAME_TO = {
    Verdict.FAIL: "failed",
    Verdict.ERROR: "could not be judged",
    Verdict.INCONCLUSIVE: "is inconclusive",
}


def _said(found: Sequence[Finding]) -> str:
    """Which gate found what, in words."""
    if not found:
        return "Nothing was judged."
    said = [_sentence(one) for one in found[:_SAID]]
    more = len(found) - _SAID
    return " ".join([*said, *([f"And {more} more."] if more > 0 else [])])


def _sentence(finding: Finding) -> str:
    row = finding.row
    of_what = f" ({row.name})" if row.name and row.name not in METRICS else ""
    words = textwrap.shorten(row.words, _LONGEST, placeholder=" …").rstrip(".")
    return f"{finding.label}{of_what} {_CAME_TO[Verdict(row.verdict)]}: {words}."


def newest(release: Release) -> GateRun | None:
    """The last run that was asked for, however far it is."""
    runs = GateRun.objects.filter(release=release).select_related("policy", "job", "release", "comparison")
    # of both only the digest is asked for; what they hold otherwise is large
    return runs.defer("release__evidence", "comparison__reading").order_by("-pk").first()


def problem(release: Release) -> str:
    """Of the newest run: see `Found.problem`."""
    run = newest(release)
    return "No gate has judged it. Submit it again." if run is None else Found(run).problem(release)


def evidence_of(release: Release) -> dict[str, Any]:
    """The newest finished run as facts to decide on, from the rows as they are now; empty where there is none."""
    finished = GateRun.objects.filter(release=release, state=GateRun.State.FINISHED)
    run = finished.select_related("policy", "release", "comparison").order_by("-pk").first()
    return {} if run is None else Found(run).evidence()


def _plain(value: Any) -> Any:
    """As JSON in the database gives it back: it knows no negative zero."""
    return value + 0.0 if isinstance(value, float) else value
