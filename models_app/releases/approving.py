"""Who may decide on a release, and the decision.

Locks are taken in the order route, release, audit trail, as everywhere that changes what is live: a decision can
neither deadlock with a switch nor overlook one.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from models_app.foundation import audit, tries
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.models import Approval, Release, Route
from models_app.releases.accounts import accounts
from models_app.releases.composing import LONGEST_REASON, void_approvals
from models_app.releases.deploying import start_deployment
from models_app.releases.hands import Hands, involved
from models_app.releases.standing import approvals, evidence_problem, listed, why_not


def may_decide(release: Release, user: Any, *, hands: Hands | None = None) -> tuple[bool, str]:
    """(True, why this person may) or (False, why not), in words for the page. `hands`: where they are known already."""
    if not isinstance(user, User):
        return False, "Only a person decides on a release."
    if not allowed(user, "approve_release"):
        return False, "Your role does not approve releases."
    hands = involved(release) if hands is None else hands
    if user.pk in hands:
        return False, f"You {listed(hands[user.pk])}, so somebody else has to decide."
    problem = why_not(user, hands=hands, accounts=accounts(release, hands))
    if problem:
        return False, f"{problem} So somebody else has to decide."
    if Approval.objects.filter(release=release, approver=user, voided_at=None).exists():
        return False, "You have decided already; another approver is needed."
    return True, "You did not request, train, register or evaluate it, curate its data or write its prompt."


def approve(*, release: Release, actor: User, reason: str, evidence_digest: str, password: str) -> Release:
    """Record an approval; with enough of them the release is approved and its deployment starts.

    `evidence_digest` is the one that the person saw, `password` the person's own, asked for again. Raises NotAllowed,
    InvalidInput, StaleState where somebody was faster, and Refused where the evidence no longer holds: then earlier
    approvals are void too.
    """
    reason = _checked(release, actor, reason, password)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=release.environment_id)
        _lock(release, evidence_digest)
        problem = evidence_problem(release, thorough=True)
        if problem:
            void_approvals(release=release, reason=problem)
        else:
            _record(release, actor, "approved", reason)
            _approve_if_enough(release, actor, reason)
    if problem:
        raise Refused(problem, code="evidence_changed")
    return release


def _approve_if_enough(release: Release, actor: User, reason: str) -> None:
    count = approvals(release)
    needed = release.environment.approvals_required
    audit.record(
        actor=actor, action="release.approve", subject=release, reason=reason,
        data={"evidence": release.evidence_digest, "approvals": count, "needed": needed},
    )  # fmt: skip
    if count >= needed:
        move(release, to="approved", actor=actor, action="release.approved", data={"approvals": count})
        Release.objects.filter(pk=release.pk).update(reason="")  # why it was sent back, where it was
        start_deployment(release=release, actor=None)


def reject(*, release: Release, actor: User, reason: str, evidence_digest: str, password: str) -> Release:
    """One rejection ends the release; a better one is a new release. Raises what `approve` raises."""
    reason = _checked(release, actor, reason, password)
    with transaction.atomic():
        _lock(release, evidence_digest)
        _record(release, actor, "rejected", reason)
        move(
            release, to="rejected", actor=actor, action="release.reject", reason=reason,
            data={"evidence": release.evidence_digest},
        )  # fmt: skip
        Release.objects.filter(pk=release.pk).update(reason=reason)
        release.reason = reason
    return release


def _checked(release: Release, actor: User, reason: str, password: str) -> str:
    """The reason, cleaned. What takes long (the password's hash) is done before any lock."""
    if not isinstance(actor, User):
        raise NotAllowed("Only a person decides on a release, on its page.")
    require(actor, "approve_release")
    if release.state != Release.State.AWAITING:
        raise StaleState(f"Release {release.pk} is {release.state}; there is nothing to decide.")
    may, why = may_decide(release, actor)
    if not may:
        raise NotAllowed(why)
    fields = {}
    reason = reason.replace("\x00", "").strip()
    if not reason:
        fields["reason"] = "Write why; the record keeps it."
    elif len(reason) > LONGEST_REASON:
        fields["reason"] = f"Write at most {LONGEST_REASON:,} characters."
    if not tries.is_password_of(actor, password):
        fields["password"] = "This is not your password."
    if fields:
        raise InvalidInput(" ".join(fields.values()), fields=fields)
    return reason


def _lock(release: Release, evidence_digest: str) -> None:
    """The row as it is now, held until the transaction ends: decisions come one after another."""
    Release.objects.select_for_update().get(pk=release.pk)
    release.refresh_from_db()
    if release.state != Release.State.AWAITING:
        raise StaleState(f"Release {release.pk} is {release.state} meanwhile; there is nothing to decide.")
    if evidence_digest != release.evidence_digest:
        raise StaleState(
            "The evidence has changed since you opened this page. Read it again before you decide."
        )


def _record(release: Release, actor: User, decision: str, reason: str) -> None:
    try:
        with transaction.atomic():
            Approval.objects.create(
                release=release, approver=actor, decision=decision, reason=reason,
                evidence_digest=release.evidence_digest,
            )  # fmt: skip
    except IntegrityError as error:
        raise StaleState("You have decided already.") from error
