"""What the request log and clients' feedback say about a window of time or a release. Every figure comes with its n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Avg, Count, FloatField, Q, QuerySet, StdDev
from django.db.models.functions import TruncDay, TruncHour

from models_app.models import ClientFeedback, Deployment, InferenceRequest, Release
from models_app.models.releases import PRODUCTION

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
    """From `start` (included) to `end` (excluded)."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class MeanAndDeviation:
    """`deviation` is the sample's (n − 1); both None where there is nothing to average."""

    n: int
    mean: float | None
    deviation: float | None


@dataclass(frozen=True)
class Traffic:
    requests: int
    answered: int
    answered_share: float | None  # 0–1, of the requests that were logged; availability.py counts time
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


def requests_in(window: Window, release: Release | None = None) -> QuerySet[InferenceRequest]:
    rows = InferenceRequest.objects.filter(created_at__gte=window.start, created_at__lt=window.end)
    return rows.filter(release=release) if release else rows


def _spread(found: Mapping[str, Any], name: str, n: int) -> MeanAndDeviation:
    return MeanAndDeviation(n, found[f"{name}_mean"], found[f"{name}_sd"] if n > 1 else None)


def _counts(rows: QuerySet[Any], name: str) -> dict[Any, int]:
    found = rows.values_list(name).annotate(n=Count("pk")).order_by("-n", name)
    return {key: n for key, n in found if key not in ("", None)}


def traffic(window: Window, release: Release | None = None) -> Traffic:
    """Seven queries, whatever the number of requests."""
    rows = requests_in(window, release)
    ok = Q(outcome="ok")
    found = rows.aggregate(
        requests=Count("pk"),
        answered=Count("pk", filter=ok),
        p50=Percentile("latency_ms", 0.5, filter=ok),
        p95=Percentile("latency_ms", 0.95, filter=ok),
        mean=Avg("latency_ms", filter=ok),
        users=Count("user_hash", distinct=True, filter=~Q(user_hash="")),
        sessions=Count("session_hash", distinct=True, filter=~Q(session_hash="")),
        input_mean=Avg("input_words", filter=ok),
        input_sd=StdDev("input_words", filter=ok, sample=True),
        summary_mean=Avg("summary_words", filter=ok),
        summary_sd=StdDev("summary_words", filter=ok, sample=True),
    )
    n, answered = found["requests"], found["answered"]
    return Traffic(
        requests=n,
        answered=answered,
        answered_share=answered / n if n else None,
        per_minute=n / (window.seconds / 60) if window.seconds else 0.0,
        busiest_minute=_busiest_minute(rows),
        latency_p50=found["p50"],
        latency_p95=found["p95"],
        latency_mean=found["mean"],
        users=found["users"],
        sessions=found["sessions"],
        input_words=_spread(found, "input", answered),
        summary_words=_spread(found, "summary", answered),
        domains=_counts(rows, "domain"),
        outcomes=_counts(rows, "outcome"),
        flags=_flags(rows),
    )


def _busiest_minute(rows: QuerySet[InferenceRequest]) -> int:
    from django.db.models.functions import TruncMinute

    minutes = rows.annotate(minute=TruncMinute("created_at")).values("minute").annotate(n=Count("pk"))
    busiest = minutes.order_by("-n").values_list("n", flat=True).first()
    return busiest or 0


def _flags(rows: QuerySet[InferenceRequest]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for flags in rows.exclude(flags=[]).values_list("flags", flat=True).iterator():
        for flag in flags:
            counts[flag] = counts.get(flag, 0) + 1
    return counts


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
    periods = []
    for deployment in deployments:
        window = Window(deployment.live_from, deployment.live_to or now)
        periods.append(
            ReleasePeriod(
                release=deployment.release,
                live_from=deployment.live_from,
                live_to=deployment.live_to,
                traffic=traffic(window, deployment.release),
                voice=voice(window, deployment.release),
            )
        )
    return periods


@dataclass
class Series:
    """Buckets in order; `step` is 'hour' or 'day'."""

    step: str
    buckets: list[Bucket] = field(default_factory=list)


def series(window: Window) -> Series:
    """Requests, failures and latency by hour, or by day where the window is longer than three days."""
    by_day = window.end - window.start > timedelta(days=3)
    truncate = TruncDay if by_day else TruncHour
    rows = (
        requests_in(window)
        .annotate(bucket=truncate("created_at"))
        .values("bucket")
        .annotate(
            n=Count("pk"),
            failed=Count("pk", filter=Q(outcome__in=SERVER_FAULTS)),
            p50=Percentile("latency_ms", 0.5, filter=Q(outcome="ok")),
            p95=Percentile("latency_ms", 0.95, filter=Q(outcome="ok")),
        )
        .order_by("bucket")
    )
    buckets = [Bucket(row["bucket"], row["n"], row["failed"], row["p50"], row["p95"]) for row in rows]
    return Series("day" if by_day else "hour", buckets)
