"""Can summaries be served now? What `/readyz` and the pages say about it."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from models_app.models import Release, Slot
from models_app.models.releases import PRODUCTION, live_release
from models_app.serving import wire
from models_app.serving.keeping import keeper
from models_app.serving.request_log import request_log

# The serving supervisor writes every two seconds.
FRESH = timedelta(seconds=15)


def readiness(environment: str = PRODUCTION) -> tuple[bool, str]:
    """Can summaries be served now, and one sentence about it."""
    live = live_release(environment)
    if live is None:
        return False, _nothing_live(environment)
    number = live.pk
    slot = getattr(live, "slot", None)
    if slot is None or slot.state == Slot.State.STOPPED:
        return False, f"Release {number} is live; its model is not loaded yet."
    if slot.state == Slot.State.FAILED:
        return False, f"The model of release {number} could not be loaded and is tried again: {slot.reason}"
    if slot.state == Slot.State.STARTING:
        return False, f"The model of release {number} is loading."
    if slot.heartbeat_at is None or timezone.now() - slot.heartbeat_at > FRESH:
        return False, "The serving process does not answer; it is being restarted."
    return True, f"Release {number} is served."


def readiness_without_database() -> tuple[bool, str]:
    """Can summaries be served by what this process knows?"""
    target = keeper.target()
    if target is None or target.live.release_id is None:
        return False, "The database does not answer."
    number = target.live.release_id
    if not target.live.ready or wire.health(target.live.address) is None:
        return False, f"The database does not answer, nor does the model of release {number}."
    if request_log.spool.is_full:
        return False, "The database does not answer, and what waits to be logged has reached its limit."
    waits = request_log.spool.held
    return True, (
        f"The database does not answer. Release {number} is served by what was known; {waits / 1e6:,.1f} MB wait to be "
        "logged."
    )


def _nothing_live(environment: str) -> str:
    warming = Release.objects.filter(environment__name=environment, state=Release.State.WARMING).first()
    if warming is not None:
        return f"No release is live yet; the model of release {warming.pk} is loading."
    failed = Release.objects.filter(environment__name=environment, state=Release.State.FAILED).first()
    if failed is not None:
        return f"No release is live. Release {failed.pk} failed: {failed.reason}"
    return "No release is live yet."
