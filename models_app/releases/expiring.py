"""What waits too long for a decision expires: evidence grows old, and a decision on it would be one on the past.

The moment is written by the database when the release begins to wait and compared by the database, so that no
machine's clock shortens or lengthens it.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from models_app.foundation.transitions import move
from models_app.gates import policies
from models_app.models import Release
from models_app.models.releases import Environment

WAITS = (Release.State.AWAITING, Release.State.CHANGES)


def decide_by(environment: Environment) -> CombinedExpression:
    """When what begins to wait now will expire."""
    days = policies.policy_of(environment).approvals.expire_after_days
    return Now() + Value(timedelta(days=days))


def overdue() -> QuerySet[Release]:
    return Release.objects.filter(state__in=WAITS, decide_by__lt=Now())


def expire(release: Release) -> bool:
    """Ends it if its time is over; False where it is not. Must run where the caller holds the release's row."""
    if not overdue().filter(pk=release.pk).exists():
        return False
    waited_for = "decided" if release.state == Release.State.AWAITING else "submitted again"
    reason = (
        f"It was not {waited_for} in time. Compare it with what is live now and submit it as a new release."
    )
    move(release, to="expired", actor=None, action="release.expire", reason=reason)
    Release.objects.filter(pk=release.pk).update(reason=reason)
    release.reason = reason
    return True


def expire_waiting() -> int:
    """Regular work: ends each that waited too long. Returns how many."""
    expired = 0
    for pk in list(overdue().order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            release = Release.objects.select_for_update().get(pk=pk)
            if release.state in WAITS:  # else somebody decided at this instant
                expired += expire(release)
    return expired
