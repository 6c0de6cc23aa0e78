"""The emergency path: what cannot wait goes live with one approver, and somebody else reviews that afterwards.

It has passed the gates and is as bound to the evidence as any release, and who takes it had no hand in it. What is
left out is the waiting: for further approvers, and for the end of a freeze window. It opens an incident, which stays
open until another person has reviewed it.

Until then no other release of the environment takes this path, whoever asks: otherwise one approver, or several in
turn, would put one release after another live that nobody else looked at.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from models_app.foundation import audit
from models_app.foundation.errors import NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.statements import database_time
from models_app.gates import policies
from models_app.models import Approval, Deployment, Incident, Release, Route
from models_app.people.proving import refuse_wrong
from models_app.releases.accounts import Circle
from models_app.releases.approving import (
    Signature,
    approve_if_enough,
    checked,
    may_judge,
    problem_now,
    record_decision,
)
from models_app.releases.composing import LONGEST_REASON
from models_app.releases.deploying import kept_from_starting, rolling_out, start_deployment
from models_app.releases.fuse import fuse_of
from models_app.releases.hands import involved
from models_app.releases.standing import Stand, approvals, freeze_for, listed, needed_approvals, why_not
from models_app.texts.normalise import normalise

STATES = (Release.State.AWAITING, Release.State.APPROVED)


def put_live_in_emergency(
    *,
    release: Release,
    actor: User,
    reason: str,
    evidence_digest: str,
    password: str = "",
    code: str = "",
    said: str = "",
) -> Incident:
    """Approve a release and let it go live although other approvals are missing or a freeze window holds; opens an
    incident.

    Raises what `approve` raises, and Refused where nothing is missing that an emergency would leave out, or the policy
    knows no emergencies.
    """
    signed = Signature(reason, evidence_digest, password, code, said)
    reason = checked(release, actor, signed, approving=True, again=True, states=STATES)
    if not policies.policy_of(release.environment_id).approvals.emergency:
        raise Refused(f"The policy of {release.environment} allows no emergencies.", code="no_emergency")
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=release.environment_id)
        problem, gone = problem_now(release, evidence_digest, states=STATES)
        if not problem:
            incident = _opened(release, actor, reason)
    if problem:
        raise Refused(problem, code="expired" if gone else "evidence_changed")
    return incident


def _opened(release: Release, actor: User, reason: str) -> Incident:
    before = to_review_first(release)
    if before is not None:
        raise Refused(_review_first(before), code="review_first")
    earlier = Incident.objects.filter(release=release, evidence_digest=release.evidence_digest).first()
    if earlier is not None and not Stand(release).is_emergency:
        raise Refused(
            f"{earlier.opened_by.get_username()} declared an emergency on this evidence and may not decide on it any "
            "more. Run the gates again, which makes other evidence, and declare it on that.",
            code="declared",
        )
    waiting = release.state == Release.State.AWAITING
    own = Approval.objects.filter(release=release, approver=actor, voided_at=None)
    if waiting and not own.exists():
        record_decision(release, actor, Approval.Decision.APPROVED, reason)
    skipped = missing(release)
    if not skipped:
        raise Refused(
            f"Nothing is missing that an emergency would leave out. Approve release {release.pk} as usual.",
            code="no_emergency",
        )
    incident = Incident.objects.create(
        release=release, opened_by=actor, opened_at=database_time(), reason=reason, skipped=skipped,
        evidence_digest=release.evidence_digest,
    )  # fmt: skip
    audit.record(
        actor=actor, action="release.emergency", subject=release, reason=reason,
        data={"incident": incident.pk, "skipped": ", ".join(skipped), "evidence": release.evidence_digest},
    )  # fmt: skip
    if waiting:
        approve_if_enough(release, actor, reason)
    else:
        start_deployment(release=release, actor=None)
    return incident


def missing(release: Release) -> list[str]:
    """In words, what a release that one person has approved waits for and an emergency would leave out."""
    found = []
    needed, count = needed_approvals(release), approvals(release)
    if count < needed:
        found.append(f"{count} of {needed} approvals")
    freeze = freeze_for(release)
    if freeze is not None:
        found.append(f"in a freeze {freeze.words}")
    fuse = fuse_of(release.environment)
    if fuse.blown:
        found.append(f"after {fuse.used:,} rollback{'s' * (fuse.used != 1)} in a day")
    other = rolling_out(release.environment).first()
    if other is not None:
        found.append(f"while {other} rolls out")
    return found


def may_declare(release: Release, user: Any, *, stand: Stand | None = None) -> tuple[bool, str]:
    """(True, "") where the page offers the emergency path to this person: an ordinary approval of theirs would not do.
    (False, why not), in words where it would be offered but for that."""
    stand = stand or Stand(release)
    if release.state not in STATES or not may_judge(release, user, stand=stand)[0]:
        return False, ""
    if not stand.policy.approvals.emergency:
        return False, ""
    short = stand.approvals + (not stand.has_decided(user)) < stand.needed
    kept = release.state == Release.State.APPROVED and kept_from_starting(release, stand) is not None
    if not short and stand.freeze is None and not kept:
        return False, ""
    before = to_review_first(release)
    return (True, "") if before is None else (False, _review_first(before))


def to_review_first(release: Release) -> Incident | None:
    """The oldest unreviewed incident of another release of the environment, which has been live or may still get
    there: one that ended on its way put nothing live."""
    was_live = Exists(Deployment.objects.filter(release=OuterRef("release")))
    before = open_incidents().filter(release__environment=release.environment_id).exclude(release=release)
    return before.filter(~Q(release__state__in=Release.ENDED) | was_live).order_by("pk").first()


def _review_first(before: Incident) -> str:
    who, release, environment = before.opened_by.get_username(), before.release_id, before.release.environment
    return (
        f"{who} declared an emergency for release {release}, and nobody has reviewed that yet. Until another approver "
        f"has, on the page of release {release}, no other release goes live in an emergency in {environment}. A "
        "rollback needs no approval."
    )


# ---------------------------------------------------------------- the review afterwards


def may_review(incident: Incident, user: Any) -> tuple[bool, str]:
    """(True, "") or (False, why not), in words for the page."""
    if not isinstance(user, User) or not allowed(user, "approve_release"):
        return False, "An approver who did not take this decision reviews it."
    if user.pk == incident.opened_by_id:
        return False, "You took this decision, so somebody else has to review it."
    hands = involved(incident.release)
    if user.pk in hands:
        return False, f"You {listed(hands[user.pk])}, so somebody else has to review it."
    hands.setdefault(incident.opened_by_id, []).append("put it live in an emergency")
    problem = why_not(user, Circle(incident.release, hands))
    return (False, f"{problem} So somebody else has to review it.") if problem else (True, "")


def review_incident(
    *, incident: Incident, actor: User, words: str, password: str = "", code: str = ""
) -> Incident:
    """Close an incident with what another approver says about it, who proves to be who they are. Raises NotAllowed,
    InvalidInput, StaleState, TooManyTries."""
    if not isinstance(actor, User):
        raise NotAllowed("Only a person reviews an incident, on the release's page.")
    require(actor, "approve_release")
    may, why = may_review(incident, actor)
    if not may:
        raise NotAllowed(why)
    if incident.reviewed_by_id is not None:
        raise StaleState(f"Incident {incident.pk} is reviewed already.")
    words = normalise(words)
    fields = {}
    if not words:
        fields["reason"] = "Write what you found; the record keeps it."
    elif len(words) > LONGEST_REASON:
        fields["reason"] = f"Write at most {LONGEST_REASON:,} characters."
    refuse_wrong(fields, actor, password=password, code=code)
    with transaction.atomic():
        now = database_time()
        changed = Incident.objects.filter(pk=incident.pk, reviewed_by=None).update(
            reviewed_by=actor, reviewed_at=now, review=words
        )
        if not changed:
            raise StaleState(f"Incident {incident.pk} is reviewed already.")
        audit.record(
            actor=actor, action="release.incident_reviewed", subject=incident.release, reason=words,
            data={"incident": incident.pk},
        )  # fmt: skip
    incident.refresh_from_db()
    return incident


def open_incidents() -> QuerySet[Incident]:
    return Incident.objects.filter(reviewed_by=None).select_related("release__environment", "opened_by")
