"""A release that rolls out beside what is live, and requests as they are logged."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from models_app.models import InferenceRequest, Release, Rollout, Route
from models_app.rollouts import stepping
from tests.releases import scene

STEPS = [{"weight": 10, "requests": 40, "minutes": 5}, {"weight": 50, "requests": 40, "minutes": 5}]


def warming(**policy: Any) -> Release:
    """Approved, and its model answers; what is live has answered 700 requests this week."""
    the = scene.scene()
    scene.small_policy(rollout={"steps": STEPS, "bake_minutes": 5, "quiet_below": 50, **policy})
    requests(the.live, 700, at=timezone.now() - timedelta(hours=3))
    return scene.approved(the.candidate)


def rolling_out(**policy: Any) -> Rollout:
    """With a tenth of the requests."""
    return begun(warming(**policy))


def begun(release: Release) -> Rollout:
    rollout = stepping.begin(release=release)
    assert rollout is not None
    return rollout


def requests(release: Release, count: int, *, errors: int = 0, at: Any = None, arm: str = "live") -> None:
    InferenceRequest.objects.bulk_create(
        InferenceRequest(
            id=uuid.uuid4(), release=release, arm=arm, text_hash="0" * 64, latency_ms=100 + number % 50,
            outcome="error" if number < errors else "ok", created_at=at or timezone.now(),
        )
        for number in range(count)
    )  # fmt: skip


def route() -> Route:
    return Route.objects.select_related("release", "canary").get(environment__name="production")


def minutes_pass(rollout: Rollout, minutes: int = 6) -> None:
    """As if it had begun earlier; the database keeps when it began, so the step's time is moved."""
    Rollout.objects.filter(pk=rollout.pk).update(step_began_at=timezone.now() - timedelta(minutes=minutes))
    rollout.refresh_from_db()
