"""From *evaluating* on: the gates judge a submitted release in a job, and what they find moves it.

The job judges, then moves the release. A job that ended before it got so far, or failed, leaves a run that has ended
and a release that is still evaluated: the regular work settles those, once a minute.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.db import transaction

from models_app.foundation.errors import GalleyError, Refused
from models_app.foundation.identity import canonical_digest
from models_app.foundation.jobs import JobContext
from models_app.foundation.transitions import move
from models_app.gates import policies, running
from models_app.models import GateRun, Release, Route
from models_app.releases.accounts import Circle
from models_app.releases.composing import evidence, submit_release
from models_app.releases.expiring import decide_by

log = structlog.get_logger(__name__)
CHANGED = (
    "What it was submitted on is no longer what the database has: somebody rewrote it while the gates were judged. The "
    "audit trail and the database's log may say who; evaluate the release again."
)


def carry_out(context: JobContext) -> dict[str, Any]:
    """The job."""
    found = running.carry_out(context, judges=Circle)
    release = Release.objects.get(gate_runs=context.payload["run"])
    settle(release)
    reconsider(release)  # a job that was tried again, of a release that the first try blocked
    return {**found, "release": release.pk, "state": release.state}


def may_be_judged_again(release: Release) -> bool:
    """A draft on what it was judged on, to look before it is submitted; what is submitted on that comparison. Where
    changes were asked for it takes another one."""
    if release.state == Release.State.DRAFT:
        return running.newest(release) is not None
    return release.state in set(Release.SUBMITTABLE) - {Release.State.CHANGES}


def judge_again(*, release: Release, actor: Any | None) -> Release:
    """Run the gates once more; of what is submitted only where something has changed since."""
    last = running.newest(release)
    if last is None or not may_be_judged_again(release):
        raise Refused(f"Release {release.pk} is {release.state}; its gates are judged when it is submitted.")
    if release.state == Release.State.DRAFT:
        running.start(release=release, comparison=last.comparison, actor=actor)
        return release
    return submit_release(release=release, comparison=release.comparison or last.comparison, actor=actor)


def settle(release: Release) -> Release:
    """Move a release whose newest run has ended to what the run found; nothing where it is not evaluated.

    Where the policy was changed meanwhile, the gates are judged again by the one that holds.
    """
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=release.environment_id)
        Release.objects.select_for_update().get(pk=release.pk)
        release.refresh_from_db()
        run = running.newest(release)
        if release.state != Release.State.EVALUATING or run is None or run.state in GateRun.ACTIVE:
            return release
        assert release.comparison is not None  # nosec B101 (as below)
        if run.policy_id != policies.holding(release.environment_id).pk:
            running.start(release=release, comparison=release.comparison, actor=None)
            return release
        _move(release, run)
    return release


def reconsider(release: Release) -> Release:
    """What stood in the way of a release was waived: it waits for approval now, where nothing else does."""
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=release.environment_id)
        Release.objects.select_for_update().get(pk=release.pk)
        release.refresh_from_db()
        run = running.newest(release)
        if release.state not in (Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE) or run is None:
            return release
        if running.outcome(run).state == "awaiting approval" and not running.problem(release):
            move(release, to="evaluating", actor=None, action="release.reconsider")
            _move(release, run)
    return release


def _move(release: Release, run: GateRun) -> None:
    assert release.comparison is not None  # nosec B101 (for the types: it was submitted with one)
    found = running.outcome(run)
    to, words = found.state, found.words
    submitted = {name: value for name, value in release.evidence.items() if name != "gates"}
    people = submitted.get("people", {})
    facts = evidence(
        release, release.comparison,
        hands=people.get("judges_left_out", ()), votes_up_to=people.get("votes_up_to"),
    )  # fmt: skip
    as_submitted = canonical_digest(facts) == canonical_digest(submitted)
    as_written = canonical_digest(release.evidence) == release.evidence_digest
    if to == "awaiting approval":
        problem = running.problem(release) if as_submitted and as_written else CHANGED
        if problem:
            to, words = "blocked", problem
    facts["gates"] = running.evidence_of(release)
    changes: dict[str, Any] = (
        {"decide_by": decide_by(release.environment)} if to == "awaiting approval" else {}
    )
    move(
        release, to=to, actor=None, action="release.judged", reason=words,
        data={"run": run.pk, "verdict": run.verdict}, evidence=facts, evidence_digest=canonical_digest(facts),
        **changes,
    )  # fmt: skip
    # the page shows it where the release does not wait for approval; there, reasons say why it was sent back
    Release.objects.filter(pk=release.pk).update(reason="" if to == "awaiting approval" else words)
    release.refresh_from_db()


def settle_ended() -> int:
    """Regular work: releases that are evaluated, whose run has ended without moving them. Returns how many moved."""
    moved = 0
    for release in Release.objects.filter(state=Release.State.EVALUATING).order_by("pk"):
        try:
            moved += settle(release).state != Release.State.EVALUATING
        except GalleyError as error:  # such as a policy that cannot be read; others do not wait for that
            log.warning("release_not_settled", release=release.pk, reason=error.message)
    return moved
