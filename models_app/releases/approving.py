"""Who may decide on a release, and the decision.

Locks are taken in the order route, release, audit trail, as everywhere that changes what is live: a decision can
neither deadlock with a switch nor overlook one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.models import Approval, Release, Route
from models_app.people.proving import refuse_wrong
from models_app.releases.composing import LONGEST_REASON, void_approvals
from models_app.releases.deploying import kept_from_starting, send_back, start_deployment
from models_app.releases.expiring import decide_by, expire
from models_app.releases.standing import (
    Stand,
    approvals,
    evidence_problem,
    listed,
    needed_approvals,
    why_not,
    why_not_as_well,
)
from models_app.texts.normalise import normalise

MAY = "You did not request, train, register or evaluate it, curate its data or write its prompt."


def may_judge(release: Release, user: Any, *, stand: Stand | None = None) -> tuple[bool, str]:
    """(True, why this person may) or (False, why not), in words for the page, whatever they decided so far.
    `stand`: of the release, where it is read already."""
    if not isinstance(user, User):
        return False, "Only a person decides on a release."
    if not allowed(user, "approve_release"):
        return False, "Your role does not approve releases."
    circle = (stand or Stand(release)).circle
    if user.pk in circle.hands:
        return False, f"You {listed(circle.hands[user.pk])}, so somebody else has to decide."
    problem = why_not(user, circle)
    if problem:
        return False, f"{problem} So somebody else has to decide."
    return True, MAY


def may_decide(release: Release, user: Any, *, stand: Stand | None = None) -> tuple[bool, str]:
    """`may_judge`, once for the same evidence."""
    stand = stand or Stand(release)
    may, why = may_judge(release, user, stand=stand)
    if may and stand.has_decided(user):
        return False, "You have decided already; another approver is needed."
    return may, why


def confirmation(release: Release) -> str:
    """What an approver types, so that the verdict was read; empty where the release improved."""
    comparison = release.comparison
    if comparison is None or comparison.verdict == "improved":
        return ""
    return f"release {release.pk} is {comparison.verdict}"


@dataclass(frozen=True)
class Signature:
    """What a person gives with a decision. `evidence_digest` is that of the evidence they saw; the password is their
    own, asked for again, or a code of their authenticator app in its place; `said` is the confirmation, typed."""

    reason: str
    evidence_digest: str
    password: str = ""
    code: str = ""
    said: str = ""


def approve(
    *,
    release: Release,
    actor: User,
    reason: str,
    evidence_digest: str,
    password: str = "",
    code: str = "",
    said: str = "",
) -> Release:
    """Record an approval; with enough of them the release is approved and its deployment starts.

    Raises NotAllowed, InvalidInput, StaleState where somebody was faster, and Refused where the evidence no longer
    holds: then earlier approvals are void too.
    """
    signed = Signature(reason, evidence_digest, password, code, said)
    reason = checked(release, actor, signed, approving=True)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=release.environment_id)
        problem, gone = problem_now(release, evidence_digest)
        if not problem:
            record_decision(release, actor, Approval.Decision.APPROVED, reason)
            approve_if_enough(release, actor, reason)
    if problem:
        raise Refused(problem, code="expired" if gone else "evidence_changed")
    return release


def problem_now(
    release: Release, evidence_digest: str, *, states: tuple[str, ...] = (Release.State.AWAITING,)
) -> tuple[str, bool]:
    """(why the locked release cannot be approved, whether it has expired): what that means is done to it."""
    lock(release, evidence_digest, states=states)
    if expire(release):
        return f"Release {release.pk} has expired. {release.reason}", True
    problem = evidence_problem(release, thorough=True)
    if problem and release.state == Release.State.APPROVED:
        send_back(release, problem, evidence_changed=True)
    elif problem:
        void_approvals(release=release, reason=problem)
    return problem, False


def approve_if_enough(release: Release, actor: User, reason: str) -> None:
    count = approvals(release)
    needed = needed_approvals(release)
    audit.record(
        actor=actor, action="release.approve", subject=release, reason=reason,
        data={"evidence": release.evidence_digest, "approvals": count, "needed": needed},
    )  # fmt: skip
    if count >= needed:
        move(release, to="approved", actor=actor, action="release.approved", data={"approvals": count})
        Release.objects.filter(pk=release.pk).update(reason="")  # why it was sent back, where it was
        if kept_from_starting(release) is None:  # else the regular work starts it when that is over
            start_deployment(release=release, actor=None)


def reject(
    *, release: Release, actor: User, reason: str, evidence_digest: str, password: str = "", code: str = ""
) -> Release:
    """One rejection ends the release; a better one is a new release. Raises what `approve` raises."""
    signed = Signature(reason, evidence_digest, password, code)
    return _turn_down(release, actor, signed, Approval.Decision.REJECTED, "rejected", "release.reject")


def ask_for_changes(
    *, release: Release, actor: User, reason: str, evidence_digest: str, password: str = "", code: str = ""
) -> Release:
    """Back to its requester, who submits it with another comparison or withdraws it. Raises what `approve` raises."""
    signed = Signature(reason, evidence_digest, password, code)
    return _turn_down(
        release, actor, signed, Approval.Decision.CHANGES, "changes requested", "release.ask_for_changes"
    )


def _turn_down(
    release: Release, actor: User, signed: Signature, decision: Approval.Decision, to: str, action: str
) -> Release:
    reason = checked(release, actor, signed)
    with transaction.atomic():
        lock(release, signed.evidence_digest)
        gone = expire(release)
        if not gone:
            record_decision(release, actor, decision, reason)
            changes: dict[str, Any] = (
                {"decide_by": decide_by(release.environment)} if to == "changes requested" else {}
            )
            move(
                release, to=to, actor=actor, action=action, reason=reason,
                data={"evidence": release.evidence_digest}, **changes,
            )  # fmt: skip
            Release.objects.filter(pk=release.pk).update(reason=reason)
            release.refresh_from_db(fields=["reason", "decide_by"])
    if gone:
        raise Refused(f"Release {release.pk} has expired. {release.reason}", code="expired")
    return release


def checked(
    release: Release,
    actor: User,
    signed: Signature,
    *,
    approving: bool = False,
    again: bool = False,
    states: tuple[str, ...] = (Release.State.AWAITING,),
) -> str:
    """The reason, cleaned. What takes long (the password's hash) is done before any lock. `again`: also where this
    person has decided already."""
    if not isinstance(actor, User):
        raise NotAllowed("Only a person decides on a release, on its page.")
    require(actor, "approve_release")
    if release.state not in states:
        raise StaleState(f"Release {release.pk} is {release.state}; there is nothing to decide.")
    may, why = may_judge(release, actor) if again else may_decide(release, actor)
    if not may:
        raise NotAllowed(why)
    if approving and not again:
        alike = why_not_as_well(release, actor)
        if alike:
            raise NotAllowed(f"{alike} So somebody else has to approve it, too.")
    fields = {}
    reason = normalise(signed.reason)
    if not reason:
        fields["reason"] = "Write why; the record keeps it."
    elif len(reason) > LONGEST_REASON:
        fields["reason"] = f"Write at most {LONGEST_REASON:,} characters."
    if approving and not _is_said(confirmation(release), signed.said):
        fields["said"] = (
            f"It is not an improvement. To approve it all the same, type: {confirmation(release)}"
        )
    refuse_wrong(fields, actor, password=signed.password, code=signed.code)
    return reason


def _is_said(wanted: str, said: str) -> bool:
    return " ".join(said.split()).rstrip(".").casefold() == wanted if wanted else True


def lock(
    release: Release, evidence_digest: str, *, states: tuple[str, ...] = (Release.State.AWAITING,)
) -> None:
    """The row as it is now, held until the transaction ends: decisions come one after another."""
    Release.objects.select_for_update().get(pk=release.pk)
    release.refresh_from_db()
    if release.state not in states:
        raise StaleState(f"Release {release.pk} is {release.state} meanwhile; there is nothing to decide.")
    if evidence_digest != release.evidence_digest:
        raise StaleState(
            "The evidence has changed since you opened this page. Read it again before you decide."
        )


def record_decision(release: Release, actor: User, decision: Approval.Decision, reason: str) -> None:
    try:
        with transaction.atomic():
            Approval.objects.create(
                release=release, approver=actor, decision=decision, reason=reason,
                evidence_digest=release.evidence_digest,
            )  # fmt: skip
    except IntegrityError as error:
        raise StaleState("You have decided already.") from error
