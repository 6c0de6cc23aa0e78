from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from models_app.models.releases import Route, Slot

FRESH = timedelta(seconds=15)


def readiness(environment: str = "production") -> tuple[bool, str]:
    """Can summaries be served now, and one sentence about it."""
    route = Route.objects.select_related("release").filter(environment__name=environment).first()
    if route is None or route.release is None:
        return False, "No release is live yet."
    slot = Slot.objects.filter(release=route.release).first()
    if slot is None or slot.state == Slot.State.STOPPED:
        return False, f"Release {route.release.pk} is live; its model is not loaded yet."
    if slot.state == Slot.State.FAILED:
        return False, f"The model of release {route.release.pk} could not be loaded: {slot.reason}"
    if slot.state == Slot.State.STARTING:
        return False, f"The model of release {route.release.pk} is loading."
    if slot.heartbeat_at is None or timezone.now() - slot.heartbeat_at > FRESH:
        return False, "The serving process does not answer; it is being restarted."
    return True, f"Release {route.release.pk} is served."
