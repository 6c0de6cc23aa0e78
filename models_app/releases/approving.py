"""Who may decide on a release, and the decision.

Locks are taken in the order route, release, audit trail, as everywhere that changes what is live: a decision can
neither deadlock with a switch nor overlook one.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit, tries
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.models import Approval, AuditEvent, Deployment, PromptVersion, Release, Route
from models_app.releases.composing import LONGEST_REASON, canonical_digest, evidence, training_lineage
from models_app.releases.deploying import start_deployment


def involved(release: Release) -> dict[int, list[str]]:
    """Who had a hand in the release, by user id, with what they did: they can't decide on it."""
    hands: dict[int, list[str]] = {}

    def add(user_id: int | None, what: str) -> None:
        if user_id is not None and what not in hands.setdefault(user_id, []):
            hands[user_id].append(what)

    add(release.created_by_id, "composed it")
    add(release.requested_by_id, "requested it")
    submitted = AuditEvent.objects.filter(subject=audit.subject_of(release), action="release.submit")
    for user_id in submitted.values_list("actor", flat=True):  # an earlier request counts as well
        add(user_id, "requested it")
    for version in _new_prompts(release):
        for user_id in (version.created_by_id, *version.authors):
            add(user_id, "wrote its prompt")
    for run in training_lineage(release):
        add(run.requested_by_id, "started its training")
        add(run.snapshot.created_by_id, "froze its data")
        for user_id in run.snapshot.curators:
            add(user_id, "curated its data")
    return hands


def _new_prompts(release: Release) -> list[PromptVersion]:
    """The release's prompt version, and those it was made from back to one that has been live in another release."""
    versions = [release.prompt_version]
    while (parent := versions[-1].parent) is not None:
        if Deployment.objects.filter(release__prompt_version=parent).exists():
            break
        versions.append(parent)
    return versions


def may_decide(release: Release, user: Any) -> tuple[bool, str]:
    """(True, why this person may) or (False, why not), in words for the page."""
    if not isinstance(user, User):
        return False, "Only a person decides on a release."
    if not allowed(user, "approve_release"):
        return False, "Your role does not approve releases."
    hands = involved(release).get(user.pk)
    if hands:
        return False, f"You {_listed(hands)}, so somebody else has to decide."
    if Approval.objects.filter(release=release, approver=user, voided_at=None).exists():
        return False, "You have decided already; another approver is needed."
    return True, "You did not request it, train it, curate its data or write its prompt."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def evidence_problem(release: Release) -> str:
    """Why the evidence of a submitted release no longer holds; empty where it does."""
    comparison = release.comparison
    if comparison is None:
        return "It was submitted without a comparison."
    live = Route.objects.values_list("release", flat=True).get(environment=release.environment_id)
    if live is not None and comparison.baseline.release_id != live:
        return (
            f"Release {live} went live after this one was compared with release {comparison.baseline.release_id}. "
            "Compare it with what is live now and submit it again."
        )
    facts = evidence(
        release,
        comparison,
        hands=involved(release),
        votes_up_to=release.evidence["people"]["votes_up_to"],
    )
    if canonical_digest(facts) != release.evidence_digest:
        return (
            "The evidence is not what it was when the release was submitted. Withdraw it and submit it anew."
        )
    return ""


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
        problem = evidence_problem(release)
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
        start_deployment(release=release, actor=None)


def approvals(release: Release) -> int:
    """How many approvals hold."""
    return Approval.objects.filter(
        release=release, decision="approved", voided_at=None, evidence_digest=release.evidence_digest
    ).count()


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


def void_approvals(*, release: Release, reason: str) -> int:
    """The decisions so far no longer count; they stay on record. Returns how many there were."""
    with transaction.atomic():
        voided = Approval.objects.filter(release=release, voided_at=None).update(voided_at=timezone.now())
        if voided:
            audit.record(
                actor=None, action="release.void", subject=release, reason=reason, data={"voided": voided}
            )
    return voided


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
