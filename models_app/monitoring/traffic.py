"""What the request log and clients' feedback say about a window of time or a release. Every figure comes with its n."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Avg, Count, FloatField, Q, QuerySet, StdDev
from django.utils import timezone

from models_app.models import ClientFeedback, Deployment, Release
from models_app.models.releases import PRODUCTION
from models_app.monitoring import sketches
from models_app.monitoring.rollups import Log, sums_in, whole_minutes
from models_app.monitoring.sums import MeanAndDeviation, Sums

SERVER_FAULTS = ("overloaded", "unavailable", "timeout", "error")


class Percentile(Aggregate):
    """PostgreSQL's percentile_cont: Percentile("latency_ms", 0.95)."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: str, fraction: float, **extra: Any) -> None:
        super().__init__(expression, fraction=repr(float(fraction)), **extra)


@dataclass(frozen=True)
class Window:
    """From `start` (included) to `end` (excluded). Figures of requests are of all minutes that it touches."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Traffic:
    requests: int
    answered: int
    answered_share: float | None  # 0–1, of those whose client waited; availability.py counts time
    per_minute: float
    busiest_minute: int
    latency_p50: float | None  # ms, answered requests
    latency_p95: float | None
    latency_mean: float | None
    users: int
    sessions: int
    input_words: MeanAndDeviation
    summary_words: MeanAndDeviation
    domains: Mapping[str, int]
    outcomes: Mapping[str, int]
    flags: Mapping[str, int]
    lacking_from: datetime | None = None  # what was logged since then, until an hour ago, is not in it

    @property
    def users_said(self) -> str:
        return sketches.said(self.users)

    @property
    def sessions_said(self) -> str:
        return sketches.said(self.sessions)


@dataclass(frozen=True)
class ClientVoice:
    """What users of client applications said."""

    n: int
    stars: MeanAndDeviation
    sentiments: Mapping[str, int]
    categories: Mapping[str, int]
    wants_retrain: int
    wants_refine: int
    edited: int


@dataclass(frozen=True)
class ReleasePeriod:
    """A release while it was live, with what came in during that time."""

    release: Release
    live_from: datetime
    live_to: datetime | None
    traffic: Traffic
    voice: ClientVoice


@dataclass(frozen=True)
class Bucket:
    at: datetime
    requests: int
    failed: int
    latency_p50: float | None
    latency_p95: float | None


def _spread(found: Mapping[str, Any], name: str, n: int) -> MeanAndDeviation:
    return MeanAndDeviation(n, found[f"{name}_mean"], found[f"{name}_sd"] if n > 1 else None)


def _counts(rows: QuerySet[Any], name: str) -> dict[Any, int]:
    found = rows.values_list(name).annotate(n=Count("pk")).order_by("-n", name)
    return {key: n for key, n in found if key not in ("", None)}


def traffic(window: Window, release: Release | None = None, *, log: Log | None = None) -> Traffic:
    """Ten queries, whatever the number of requests. Latencies are exact as long as nothing is summed up, within 1 %
    afterwards; users and sessions are exact up to a few hundred."""
    log = log or Log.as_it_is()
    (sums,) = sums_in(window.start, window.end, release, log=log)
    p50, p95 = _percentiles(log, window, release, sums)
    return Traffic(
        requests=sums.requests,
        answered=sums.answered,
        answered_share=sums.answered / waited
        if (waited := sums.requests - sums.outcomes["abandoned"])
        else None,
        per_minute=sums.requests / (window.seconds / 60) if window.seconds else 0.0,
        busiest_minute=sums.busiest,
        latency_p50=p50,
        latency_p95=p95,
        latency_mean=sums.latency_ms / sums.answered if sums.answered else None,
        users=sketches.count_of(sums.users),
        sessions=sketches.count_of(sums.sessions),
        input_words=sums.input,
        summary_words=sums.summary,
        domains=_ordered(sums.domains),
        outcomes=_ordered(sums.outcomes),
        flags=_ordered(sums.flags),
        lacking_from=log.lacking_from,
    )


def _percentiles(
    log: Log, window: Window, release: Release | None, sums: Sums
) -> tuple[float | None, float | None]:
    if log.summed_until is not None:
        return sums.latency(0.5), sums.latency(0.95)
    answered = log.rows(*whole_minutes(window.start, window.end), release).filter(outcome="ok")
    found = answered.aggregate(p50=Percentile("latency_ms", 0.5), p95=Percentile("latency_ms", 0.95))
    return found["p50"], found["p95"]


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def voice(window: Window, release: Release | None = None) -> ClientVoice:
    """What clients said in the window about requests, of one release where given."""
    rows = ClientFeedback.objects.filter(created_at__gte=window.start, created_at__lt=window.end)
    if release is not None:
        rows = rows.filter(request__release=release)
    found = rows.aggregate(
        n=Count("pk"),
        stars_mean=Avg("stars"),
        stars_sd=StdDev("stars", sample=True),
        retrain=Count("pk", filter=Q(wants="retrain")),
        refine=Count("pk", filter=Q(wants="refine")),
        edited=Count("pk", filter=Q(edited=True)),
    )
    return ClientVoice(
        n=found["n"],
        stars=_spread(found, "stars", found["n"]),
        sentiments=_counts(rows, "sentiment"),
        categories=_counts(rows, "category"),
        wants_retrain=found["retrain"],
        wants_refine=found["refine"],
        edited=found["edited"],
    )


def release_periods(*, now: datetime, environment: str = PRODUCTION, limit: int = 6) -> list[ReleasePeriod]:
    """The last deployments, the latest first, each with what came in while it was live."""
    deployments = (
        Deployment.objects.filter(environment__name=environment)
        .select_related("release__model_version", "release__prompt_version__prompt")
        .order_by("-live_from")[:limit]
    )
    periods, log = [], Log.as_it_is()
    for deployment in deployments:
        window = Window(deployment.live_from, deployment.live_to or now)
        periods.append(
            ReleasePeriod(
                release=deployment.release,
                live_from=deployment.live_from,
                live_to=deployment.live_to,
                traffic=traffic(window, deployment.release, log=log),
                voice=voice(window, deployment.release),
            )
        )
    return periods


@dataclass
class Series:
    """Buckets in order; `step` is 'hour' or 'day'."""

    step: str
    buckets: list[Bucket] = field(default_factory=list)


def series(window: Window, *, log: Log | None = None) -> Series:
    """Requests, failures and latency by hour, or by day where the window is longer than three days. Ten queries."""
    log = log or Log.as_it_is()
    by_day = window.end - window.start > timedelta(days=3)
    starts = list(_starts(window, by_day))
    found = sums_in(window.start, window.end, log=log, starts=starts)
    buckets = [
        Bucket(
            at,
            sums.requests,
            sum(sums.outcomes[fault] for fault in SERVER_FAULTS),
            sums.latency(0.5),
            sums.latency(0.95),
        )
        for at, sums in zip(starts, found, strict=True)
        if sums.requests
    ]
    return Series("day" if by_day else "hour", buckets)


def _faults(sums: Sums) -> int:
    return sum(sums.outcomes[fault] for fault in SERVER_FAULTS)


def _starts(window: Window, by_day: bool) -> Iterator[datetime]:
    """Of each hour or day, by the clock of the pages; the first began before the window."""
    at = timezone.localtime(window.start).replace(minute=0, second=0, microsecond=0)
    if by_day:
        at = at.replace(hour=0)
    while at < window.end:
        yield at
        # by the clock on the wall: a day of the change to summer time has 23 hours
        at = (
            timezone.make_aware(at.replace(tzinfo=None) + timedelta(days=1))
            if by_day
            else at + timedelta(hours=1)
        )
