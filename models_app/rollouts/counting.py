"""What is counted of a rollout: requests of the canary and of the live release, and how many of them went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from models_app.models import ClientFeedback, InferenceRequest, Rollout, RolloutLook
from models_app.rollouts.deciding import Ratio

Measure = RolloutLook.Measure
FAILED = (InferenceRequest.Outcome.ERROR, InferenceRequest.Outcome.TIMEOUT)
POOR_STARS = 2
# Errors do not hang on the hour: the live release's of the day before tell more about its rate. What people say about
# a summary comes later than the summary, so it is compared with what they said of those of the same time.
DAY_BEFORE = timedelta(days=1)
# Of each release, the newest: more would take tens of milliseconds every two seconds.
LATENCIES = 500
RESAMPLES = 500
FEWEST = 50


@dataclass(frozen=True)
class Counts:
    """Of one release in one time."""

    requests: int
    events: dict[str, int]


def counts(release_id: int, *, since: datetime, until: datetime | None = None) -> Counts:
    said = ClientFeedback.objects.filter(request=OuterRef("pk"))
    found = _requests(release_id, since, until).aggregate(
        requests=Count("pk"),
        errors=Count("pk", filter=Q(outcome__in=FAILED)),
        complaints=Count("pk", filter=Exists(said.filter(stars__lte=POOR_STARS))),
        wishes=Count("pk", filter=Exists(said.exclude(wants=ClientFeedback.Wants.NONE))),
    )
    return Counts(found.pop("requests"), found)


def requests(release_id: int, *, since: datetime) -> int:
    """How many: asked every two seconds, where what became of them is asked at looks alone."""
    return _requests(release_id, since, None).count()


def _requests(release_id: int, since: datetime, until: datetime | None) -> QuerySet[InferenceRequest]:
    rows = InferenceRequest.objects.filter(release=release_id, created_at__gte=since)
    return rows.filter(created_at__lt=until) if until is not None else rows


def day_before(rollout: Rollout) -> Counts:
    """The live release's requests before the rollout began."""
    found = counts(rollout.beside_id, since=rollout.began_at - DAY_BEFORE, until=rollout.began_at)
    return Counts(found.requests, {Measure.ERRORS.value: found.events[Measure.ERRORS]})


def requests_a_day(environment_id: int, *, before: datetime, days: int = 7) -> float:
    """By the environment's live releases, on average."""
    since = before - timedelta(days=days)
    rows = InferenceRequest.objects.filter(
        release__environment=environment_id, created_at__gte=since, created_at__lt=before
    )
    return rows.count() / days


def newest_request(release_id: int, *, since: datetime) -> datetime | None:
    return (
        _requests(release_id, since, None)
        .order_by("-created_at")
        .values_list("created_at", flat=True)
        .first()
    )


def latency_ratio(canary: Sequence[float], live: Sequence[float]) -> Ratio | None:
    """Of the 95th percentiles, canary to live, with a 99 % interval by resampling both (seeded); None with fewer than
    50 of either."""
    if len(canary) < FEWEST or len(live) < FEWEST:
        return None
    rng = np.random.default_rng(20_26)

    def resampled(values: Sequence[float]) -> np.ndarray:
        given = np.asarray(values, dtype=np.float64)
        picks = rng.integers(0, len(given), size=(RESAMPLES, len(given)))
        return np.percentile(given[picks], 95, axis=1)

    ratios = resampled(canary) / resampled(live)
    estimate = float(np.percentile(canary, 95) / np.percentile(live, 95))
    low, high = np.percentile(ratios, [0.5, 99.5])
    return Ratio(estimate, float(low), float(high))


def latencies(release_id: int, *, since: datetime) -> list[float]:
    """Milliseconds of the newest answered requests."""
    rows = _requests(release_id, since, None).filter(outcome=InferenceRequest.Outcome.OK, latency_ms__gt=0)
    newest = rows.order_by("-created_at").values_list("latency_ms", flat=True)[:LATENCIES]
    return [taken for taken in newest if taken is not None]
