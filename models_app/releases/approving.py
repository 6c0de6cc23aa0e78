"""Who may decide on a release, and the decision."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.models import Approval, Release
from models_app.releases.composing import canonical_digest, evidence, training_lineage
from models_app.releases.deploying import start_deployment


def involved(release: Release) -> dict[int, list[str]]:
    """Who had a hand in the release, by user id, with what they did: they can't decide on it."""
    hands: dict[int, list[str]] = {}

    def add(user_id: int | None, what: str) -> None:
        if user_id is not None and what not in hands.setdefault(user_id, []):
            hands[user_id].append(what)

    add(release.created_by_id, "composed it")
    add(release.requested_by_id, "requested it")
    add(release.prompt_version.created_by_id, "wrote its prompt")
    for run in training_lineage(release):
        add(run.requested_by_id, "started its training")
        add(run.snapshot.created_by_id, "froze its data")
        for user_id in run.snapshot.curators:
            add(user_id, "curated its data")
    return hands


def may_decide(release: Release, user: Any) -> tuple[bool, str]:
    """(True, why this person may) or (False, why not), in words for the page."""
    if not allowed(user, "approve_release"):
        return False, "Your role does not approve releases."
    hands = involved(release).get(user.pk)
    if hands:
        return False, f"You {', '.join(hands)}, so somebody else has to decide."
    if Approval.objects.filter(release=release, approver=user, voided_at=None).exists():
        return False, "You have decided already."
    return True, "You did not request it, train it, or curate its data."


def _check(release: Release, actor: User, reason: str, evidence_digest: str, password: str | None) -> str:
    require(actor, "approve_release")
    if release.state != Release.State.AWAITING:
        raise StaleState(f"Release {release.pk} is {release.state}; there is nothing to decide.")
    allowed_now, why = may_decide(release, actor)
    if not allowed_now:
        raise NotAllowed(why)
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "Write why; the record keeps it."})
    if password is not None and not actor.check_password(password):
        raise InvalidInput("The password is wrong.", fields={"password": "This is not your password."})
    if evidence_digest != release.evidence_digest:
        raise StaleState("The evidence has changed since you opened this page. Read it again before you decide.")
    return reason


def _current_evidence_digest(release: Release) -> str:
    assert release.comparison is not None, "a submitted release has a comparison"  # noqa: S101 (held by submit_release)
    return canonical_digest(evidence(release, release.comparison))


def void_if_changed(*, release: Release) -> bool:
    """Void the decisions of a release whose evidence is no longer what it was. True where that happened."""
    if release.comparison is None or _current_evidence_digest(release) == release.evidence_digest:
        return False
    with transaction.atomic():
        voided = Approval.objects.filter(release=release, voided_at=None).update(voided_at=timezone.now())
        audit.record(
            actor=None, action="release.void", subject=release, reason="The evidence changed.", data={"voided": voided}
        )
    return True


def approve(*, release: Release, actor: User, reason: str, evidence_digest: str, password: str | None) -> Release:
    """Record an approval; with enough of them the release is approved and its deployment starts.

    `password` is asked for on the page; None is for callers that have just proved who the actor is.
    """
    reason = _check(release, actor, reason, evidence_digest, password)
    if _current_evidence_digest(release) != release.evidence_digest:
        void_if_changed(release=release)
        raise Refused("The evidence behind this release changed after it was submitted. Withdraw it and submit anew.")
    with transaction.atomic():
        _record(release, actor, "approved", reason)
        Release.objects.select_for_update().get(pk=release.pk)
        count = Approval.objects.filter(release=release, decision="approved", voided_at=None).count()
        audit.record(
            actor=actor, action="release.approve", subject=release, reason=reason,
            data={"evidence": evidence_digest, "approvals": count, "needed": release.environment.approvals_required},
        )  # fmt: skip
        if count >= release.environment.approvals_required:
            move(release, to="approved", actor=actor, action="release.approved", data={"approvals": count})
            start_deployment(release=release, actor=None)
    return release


def reject(*, release: Release, actor: User, reason: str, evidence_digest: str, password: str | None) -> Release:
    """One rejection ends the release; a better one is a new release."""
    reason = _check(release, actor, reason, evidence_digest, password)
    with transaction.atomic():
        _record(release, actor, "rejected", reason)
        move(release, to="rejected", actor=actor, action="release.reject", reason=reason)
        Release.objects.filter(pk=release.pk).update(reason=reason)
    return release


def _record(release: Release, actor: User, decision: str, reason: str) -> None:
    try:
        with transaction.atomic():
            Approval.objects.create(
                release=release, approver=actor, decision=decision, reason=reason,
                evidence_digest=release.evidence_digest,
            )  # fmt: skip
    except IntegrityError as error:
        raise StaleState("You have decided already.") from error
