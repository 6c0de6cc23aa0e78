"""For how much of a time summaries could be had: counted from what was seen, so that a dead machine counts as down.

`measure` is pure; `availability` reads the rows that the supervisor writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Min

from models_app.models import ServiceInterval
from models_app.monitoring.traffic import Window

# The supervisor asks every 10 seconds; younger than this, its last word is about now.
FRESH = timedelta(seconds=45)
UNSEEN = "nothing was written: Galley was killed, the machine was off, or the database was away"
NOTE = (
    "Availability is the share of time in which the supervisor, asking every 10 seconds, was told that summaries can "
    "be served. Time in which nothing could ask or be written (Galley killed, machine off, database away) counts as "
    "outage; time after a stop that somebody asked for does not count, nor does the time before Galley was first ready."
)


@dataclass(frozen=True)
class Seen:
    """One row: `state` from `began` to `seen`."""

    state: str
    began: datetime
    seen: datetime
    reason: str = ""


@dataclass(frozen=True)
class Outage:
    start: datetime
    end: datetime
    reason: str

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Availability:
    """Seconds of the window by what the service was; `since`: where counting begins, None before it was ever ready."""

    since: datetime | None = None
    ready_seconds: float = 0.0
    outage_seconds: float = 0.0
    planned_seconds: float = 0.0  # after a stop that somebody asked for
    outages: Sequence[Outage] = field(default_factory=tuple)

    @property
    def counted_seconds(self) -> float:
        return self.ready_seconds + self.outage_seconds

    @property
    def share(self) -> float | None:
        """0–1; None where nothing counts."""
        return self.ready_seconds / self.counted_seconds if self.counted_seconds else None


def availability(window: Window) -> Availability:
    """Of all rows that touch the window. 3 queries."""
    first = ServiceInterval.objects.filter(state="ready").aggregate(first=Min("began_at"))["first"]
    if first is None:
        return Availability()
    rows = ServiceInterval.objects.filter(began_at__lt=window.end).order_by("began_at", "id")
    # a stop lasts until the next row, and may have come before the window
    before = rows.filter(seen_at__lt=window.start).order_by("-began_at", "-id").first()
    within = list(rows.filter(seen_at__gte=window.start))
    seen = [
        Seen(row.state, row.began_at, row.seen_at, row.reason)
        for row in ([before] if before is not None else []) + within
    ]
    return measure(seen, start=max(window.start, first), end=window.end)


def measure(rows: Sequence[Seen], *, start: datetime, end: datetime) -> Availability:
    """`rows` by their beginning, those before `start` included as far as they matter."""
    if rows and rows[-1].state != "stopped" and timedelta(0) < end - rows[-1].seen <= FRESH:
        end = rows[-1].seen  # the next answer has not come yet
    if end <= start:
        return Availability(since=start)
    ready = _joined((row.began, row.seen) for row in rows if row.state == "ready")
    stops = [
        (row.began, rows[place + 1].began if place + 1 < len(rows) else end)
        for place, row in enumerate(rows)
        if row.state == "stopped"
    ]
    ready = _clipped(ready, start, end)
    planned = _without(_clipped(_joined(stops), start, end), ready)
    down = _without([(start, end)], _joined([*ready, *planned]))
    return Availability(
        since=start,
        ready_seconds=_seconds(ready),
        outage_seconds=_seconds(down),
        planned_seconds=_seconds(planned),
        outages=tuple(Outage(a, b, _reason(rows, a, b)) for a, b in down),
    )


Span = tuple[datetime, datetime]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Sorted, overlapping and touching ones as one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _clipped(spans: Sequence[Span], start: datetime, end: datetime) -> list[Span]:
    cut = [(max(begin, start), min(finish, end)) for begin, finish in spans]
    return [(begin, finish) for begin, finish in cut if begin < finish]


def _without(spans: Sequence[Span], holes: Sequence[Span]) -> list[Span]:
    """`spans` less `holes`; both joined."""
    left: list[Span] = []
    for begin, end in spans:
        for hole_begin, hole_end in holes:
            if hole_end <= begin or hole_begin >= end:
                continue
            if begin < hole_begin:
                left.append((begin, hole_begin))
            begin = hole_end
        if begin < end:
            left.append((begin, end))
    return left


def _seconds(spans: Sequence[Span]) -> float:
    return sum((end - begin).total_seconds() for begin, end in spans)


def _reason(rows: Sequence[Seen], start: datetime, end: datetime) -> str:
    """What was said for the longest part of it; that nothing was written where that took longer than between two words
    and longer than what was said."""
    said: dict[str, float] = {}
    for row in rows:
        if row.state == "not ready":
            overlap = (min(row.seen, end) - max(row.began, start)).total_seconds()
            if overlap >= 0:
                said[row.reason] = said.get(row.reason, 0.0) + overlap
    silent = (end - start).total_seconds() - sum(said.values())
    longest = max(said, key=said.__getitem__, default="")
    return longest if longest and silent <= max(said[longest], FRESH.total_seconds()) else UNSEEN
