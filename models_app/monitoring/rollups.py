"""The request log summed up by minute, hour and day, so that no page reads it row by row.

The queue sums up every minute what was logged since; `RollupProgress` says until when. What was logged later is read
from the log itself: at most an hour of it. A row that comes late (its request was answered while the database was
away) is in the rollups of the minute in which it was asked for as soon as it is logged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log
from typing import Any

from django.db import transaction
from django.db.models import Count, F, FloatField, IntegerField, Max, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Floor, Greatest, Ln, Power, TruncMinute
from django.utils import timezone

from models_app.models import InferenceRequest, RequestRollup, RollupProgress
from models_app.monitoring import sketches
from models_app.monitoring.histograms import GROWTH, LEAST_MS
from models_app.monitoring.sums import Sums, total

Span = RequestRollup.Span
SECONDS = {Span.MINUTE: 60, Span.HOUR: 3600, Span.DAY: 86400}
# A statement of a web process takes 15 seconds at most: what was logged before is there to be seen by then.
SETTLED = timedelta(seconds=30)
# Read again the next time, in case it was not.
AGAIN = timedelta(minutes=2)
AT_ONCE = timedelta(hours=6)  # of the log, in one transaction
READ = timedelta(hours=1)  # of the log, by a page

Group = tuple[Any, ...]


# ---------------------------------------------------------------- from the log


def _square(name: str) -> Power:
    """As a fraction: of a text of 46,341 words PostgreSQL's integers do not hold it."""
    return Power(Cast(name, FloatField()), 2)


def summed(rows: QuerySet[InferenceRequest], *keys: str) -> dict[Group, Sums]:
    """Of each group of `keys` (fields, or `minute`). Seven queries."""
    rows = rows.order_by().annotate(
        minute=TruncMinute("created_at", tzinfo=UTC),
        bucket=Cast(
            Floor(
                Ln(Greatest(F("latency_ms"), Value(LEAST_MS))) / Value(log(GROWTH)), output_field=FloatField()
            ),
            IntegerField(),
        ),
    )
    ok = Q(outcome="ok")
    found: dict[Group, Sums] = {}
    counted = rows.values(*keys).annotate(
        requests=Count("pk"),
        answered=Count("pk", filter=ok),
        latency=Sum("latency_ms", filter=ok),
        input_sum=Sum("input_words", filter=ok),
        input_squares=Sum(_square("input_words"), filter=ok),
        summary_sum=Sum("summary_words", filter=ok),
        summary_squares=Sum(_square("summary_words"), filter=ok),
    )
    for row in counted:
        found[tuple(row[key] for key in keys)] = Sums(
            requests=row["requests"], answered=row["answered"], busiest=row["requests"],
            latency_ms=row["latency"] or 0.0,
            input_words=row["input_sum"] or 0, input_squares=int(row["input_squares"] or 0),
            summary_words=row["summary_sum"] or 0, summary_squares=int(row["summary_squares"] or 0),
        )  # fmt: skip
    _count(rows.filter(ok), keys, "bucket", {group: sums.latencies for group, sums in found.items()})
    _count(rows, keys, "outcome", {group: sums.outcomes for group, sums in found.items()})
    _count(rows.exclude(domain=""), keys, "domain", {group: sums.domains for group, sums in found.items()})
    for *group, flags, n in rows.exclude(flags=[]).values_list(*keys, "flags").annotate(n=Count("pk")):
        found[tuple(group)].flags.update(dict.fromkeys(flags, n))
    for name in ("user", "session"):
        for group, sketch in _different(rows, keys, f"{name}_hash").items():
            setattr(found[group], f"{name}s", sketch)
    return found


def _count(
    rows: QuerySet[InferenceRequest], keys: Sequence[str], name: str, into: dict[Group, Counter[Any]]
) -> None:
    for *group, value, n in rows.values_list(*keys, name).annotate(n=Count("pk")):
        into[tuple(group)][value] += n


def _different(rows: QuerySet[InferenceRequest], keys: Sequence[str], name: str) -> dict[Group, bytes]:
    people: dict[Group, list[str]] = defaultdict(list)
    for *group, value in rows.exclude(**{name: ""}).values_list(*keys, name).distinct():
        people[tuple(group)].append(value)
    return {group: sketches.sketch_of(values) for group, values in people.items()}


# ---------------------------------------------------------------- writing, in the queue


def roll_up_new() -> int:
    """What the queue does every minute. Returns how many minutes were summed up."""
    count, until = 0, timezone.now() - SETTLED
    while (summed_up := _roll_up_next(until)) is not None:
        count += summed_up
    return count


@transaction.atomic
def _roll_up_next(until: datetime) -> int | None:
    """The next piece of the log; None where nothing is left."""
    progress = RollupProgress.objects.select_for_update().filter(pk=1).first()
    log_rows = InferenceRequest.objects.order_by()
    if progress is None:
        first = log_rows.aggregate(first=Min("logged_at"))["first"]
        if first is None or first > until:
            return None
        # two at once: the second waits here for the first, and goes on from where that one ends
        RollupProgress.objects.bulk_create(
            [RollupProgress(pk=1, logged_until=first - AGAIN)], ignore_conflicts=True
        )
        progress = RollupProgress.objects.select_for_update().get(pk=1)
    if progress.logged_until >= until:
        return None
    end = min(until, progress.logged_until + AT_ONCE)
    new = log_rows.filter(logged_at__gt=progress.logged_until - AGAIN, logged_at__lte=end)
    minutes = list(
        new.annotate(minute=TruncMinute("created_at", tzinfo=UTC)).values_list("minute", flat=True).distinct()
    )
    _sum_up_minutes(sorted(minutes), end)
    _sum_up(Span.HOUR, Span.MINUTE, {_floor(minute, Span.HOUR) for minute in minutes})
    _sum_up(Span.DAY, Span.HOUR, {_floor(minute, Span.DAY) for minute in minutes})
    progress.logged_until = end
    progress.save()
    return len(minutes)


def _sum_up_minutes(minutes: Sequence[datetime], logged_until: datetime) -> None:
    """Each from all of its rows that were logged by then. An hour's worth at a time."""
    by_hour: dict[datetime, list[datetime]] = defaultdict(list)
    for minute in minutes:
        by_hour[_floor(minute, Span.HOUR)].append(minute)
    for asked in by_hour.values():
        rows = InferenceRequest.objects.filter(
            created_at__gte=asked[0],
            created_at__lt=asked[-1] + timedelta(minutes=1),
            logged_at__lte=logged_until,
        )
        wanted = set(asked)
        found = {
            group: sums for group, sums in summed(rows, "minute", "release_id").items() if group[0] in wanted
        }
        _write(Span.MINUTE, _with_all(found))


def _with_all(found: dict[Group, Sums]) -> dict[Group, Sums]:
    """For each time what all releases' requests add up to, beside each release's. Some have none: nothing was live."""
    by_time: dict[datetime, list[Sums]] = defaultdict(list)
    for (at, _), sums in found.items():
        by_time[at].append(sums)
    rows = {group: sums for group, sums in found.items() if group[1] is not None}
    for at, parts in by_time.items():
        rows[at, None] = total(parts)
        rows[at, None].busiest = rows[at, None].requests
    return rows


def _sum_up(span: Span, of: Span, times: Iterable[datetime]) -> None:
    for at in times:
        parts: dict[Group, list[Sums]] = defaultdict(list)
        end = at + timedelta(seconds=SECONDS[span])
        for row in RequestRollup.objects.filter(span=of, at__gte=at, at__lt=end).iterator():
            parts[at, row.release_id].append(Sums.of_row(row))
        _write(span, {group: total(sums) for group, sums in parts.items()})


def _write(span: Span, rows: dict[Group, Sums]) -> None:
    columns = [each.name for each in RequestRollup._meta.concrete_fields if each.name not in _KEY]
    RequestRollup.objects.bulk_create(
        [
            RequestRollup(span=span, at=at, release_id=release, **sums.values())
            for (at, release), sums in rows.items()
        ],
        update_conflicts=True,
        unique_fields=["span", "release", "at"],
        update_fields=columns,
        batch_size=500,
    )


_KEY = ("id", "span", "at", "release")


# ---------------------------------------------------------------- reading


def _floor(at: datetime, span: Span) -> datetime:
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % SECONDS[span], UTC)


def _ceiling(at: datetime, span: Span) -> datetime:
    floor = _floor(at, span)
    return floor if floor == at else floor + timedelta(seconds=SECONDS[span])


Piece = tuple[Span, datetime, datetime]


def pieces(start: datetime, end: datetime, largest: Span = Span.DAY) -> list[Piece]:
    """From `start` to `end`, both whole minutes, as the fewest days, hours and minutes."""
    found: list[Piece] = []
    spans = [Span.MINUTE, Span.HOUR, Span.DAY]
    spans = spans[: spans.index(largest) + 1]

    def cover(start: datetime, end: datetime, level: int) -> None:
        if start >= end:
            return
        if level + 1 < len(spans):
            inner = _ceiling(start, spans[level + 1]), _floor(end, spans[level + 1])
            if inner[0] < inner[1]:
                cover_flat(start, inner[0], level)
                cover(*inner, level + 1)
                cover_flat(inner[1], end, level)
                return
        cover_flat(start, end, level)

    def cover_flat(start: datetime, end: datetime, level: int) -> None:
        if start < end:
            found.append((spans[level], start, end))

    cover(start, end, 0)
    return found


@dataclass(frozen=True)
class Log:
    """What of the log is summed up, as one reader sees it. Taken once for all that a page shows."""

    summed_until: datetime | None
    now: datetime

    @classmethod
    def as_it_is(cls) -> Log:
        return cls(RollupProgress.objects.aggregate(at=Max("logged_until"))["at"], timezone.now())

    @property
    def read_from(self) -> datetime:
        """What was logged later is read row by row."""
        oldest = self.now - READ
        return max(self.summed_until, oldest) if self.summed_until else oldest

    @property
    def lacking_from(self) -> datetime | None:
        """What was logged from then until an hour ago is in no figure: the queue has not summed it up."""
        behind = self.summed_until is not None and self.summed_until < self.now - READ
        return self.summed_until if behind else None

    def rows(self, start: datetime, end: datetime, release: Any = None) -> QuerySet[InferenceRequest]:
        """Those that are in no rollup yet. Both are whole minutes."""
        rows = InferenceRequest.objects.filter(
            created_at__gte=start, created_at__lt=end, logged_at__gt=self.read_from
        )
        return rows.filter(release=release) if release is not None else rows


class Bucketed:
    """Sums by the start of each bucket."""

    def __init__(self, starts: Sequence[datetime]) -> None:
        self.starts = starts
        self.parts: list[list[Sums]] = [[] for _ in starts]

    def add(self, at: datetime, sums: Sums) -> None:
        self.parts[max(0, bisect_right(self.starts, at) - 1)].append(sums)

    def totals(self) -> list[Sums]:
        return [total(parts) for parts in self.parts]


def whole_minutes(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The minutes that the time touches: figures are of those."""
    return _floor(start, Span.MINUTE), _ceiling(end, Span.MINUTE)


def sums_in(
    start: datetime, end: datetime, release: Any = None, *, log: Log, starts: Sequence[datetime] = ()
) -> list[Sums]:
    """What the requests of the minutes from `start` to `end` add up to, for each bucket that begins at one of `starts`
    (whole minutes within; one bucket unless given). Ten queries."""
    start, end = whole_minutes(start, end)
    bounds = [start, *(at for at in starts if start < at < end), end]
    found = _read(bounds, release, log)
    # The queue may have summed up while we read: what we took from the log is in the rollups, too, then.
    while (now := Log.as_it_is()).summed_until != log.summed_until:
        log = now
        found = _read(bounds, release, log)
    return found


def _read(bounds: Sequence[datetime], release: Any, log: Log) -> list[Sums]:
    found = Bucketed(bounds[:-1])
    if log.summed_until is not None:
        wanted = Q(pk__in=[])
        for begin, finish in pairwise(bounds):
            for span, first, last in pieces(begin, finish):
                wanted |= Q(span=span, at__gte=first, at__lt=last)
        for row in RequestRollup.objects.filter(wanted, release=release).iterator():
            found.add(row.at, Sums.of_row(row))
    fresh = summed(log.rows(bounds[0], bounds[-1], release), "minute")
    # of minutes of which a rollup has the rest
    rolled = RequestRollup.objects.filter(
        span=Span.MINUTE, release=release, at__in=[minute for (minute,) in fresh]
    )
    before = dict(rolled.values_list("at", "requests")) if fresh else {}
    for (minute,), sums in fresh.items():
        sums.busiest += before.get(minute, 0)
        found.add(minute, sums)
    return found.totals()
