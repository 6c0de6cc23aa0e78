"""Is the canary worse than what is live? Looked at again and again, and wrong no more often for it.

At each planned look the canary's events (errors, complaints, wishes for refinement) are compared with those of the live
release. Were both equal, the canary's share of the events of an interval would be hypergeometric, given how many there
were and how many requests each of both answered. The boundary of a look is the smallest count of the canary that the
paths which have crossed no boundary before reach with at most the probability that the look may spend: Fisher's exact
test where there is one look, and its exact group-sequential form where there are several (Jennison and Turnbull, *Group
Sequential Methods with Applications to Clinical Trials*, 1999, chapters 7 and 12). What a look leaves unspent, since
counts are whole numbers, the next one may spend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Canary requests by which all of alpha may be spent: what is broken has to be seen early.
EARLY = 200
EXPONENT = 2.0
EVERY = 5
# Of the live release's requests of the day before, how many stand beside each one of the canary.
BESIDE = 100
# How often an equal canary may be stopped for each measure, at most: 1.44 % in all. Errors have most of it, since they
# are what a broken release shows first.
ALPHA = {"errors": 0.0132, "complaints": 0.0006, "wishes": 0.0006}


@dataclass(frozen=True)
class Interval:
    """What came between two looks: requests of both, and how many of them were events."""

    canary_requests: int
    canary_events: int
    live_requests: int
    live_events: int

    def __post_init__(self) -> None:
        for events, requests in (
            (self.canary_events, self.canary_requests),
            (self.live_events, self.live_requests),
        ):
            if not 0 <= events <= requests:
                raise ValueError(f"{events} events of {requests} requests")


@dataclass(frozen=True)
class Look:
    """Counts since the rollout began. `boundary`: the least count of canary events that stops it, None where no count
    could. `p`: the probability of a count this high, of paths that crossed no boundary before, were both equal.
    `spent`: alpha that this and all earlier looks have used."""

    canary_requests: int
    canary_events: int
    live_requests: int
    live_events: int
    boundary: int | None
    p: float
    spent: float

    @property
    def crossed(self) -> bool:
        return self.boundary is not None and self.canary_events >= self.boundary


def planned(most: int) -> list[int]:
    """The canary requests at which it is looked, up to `most`: every 5 up to 200, then at each doubling."""
    looks = list(range(EVERY, min(EARLY, most) + 1, EVERY))
    later = 2 * EARLY
    while later <= most:
        looks.append(later)
        later *= 2
    return looks


def allowed(canary_requests: int, alpha: float) -> float:
    """Alpha that may be spent by then."""
    return alpha * min(1.0, (canary_requests / EARLY) ** EXPONENT)


def beside_each(canary_requests: int, earlier_requests: int, earlier_events: int) -> tuple[int, int]:
    """Of the live release's requests before the rollout, how many stand beside so many of the canary, and how many of
    these were events: by and by, so that each interval has its part of them."""
    used = min(earlier_requests, BESIDE * canary_requests)
    return used, round(earlier_events * used / earlier_requests) if earlier_requests else 0


def look(intervals: Sequence[Interval], *, alpha: float) -> list[Look]:
    """Every look so far, the last one included; after one that crossed there is none."""
    looking, looks = Looking(alpha), []
    for interval in intervals:
        looks.append(looking.at(interval))
        if looks[-1].crossed:
            break
    return looks


class Looking:
    """One look after another, up to the one that crosses."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._spent = 0.0
        self._counts = (0, 0, 0, 0)
        # the probability of each count of canary events, of paths that have not crossed yet
        self._paths: NDArray[np.float64] = np.array([1.0])

    def at(self, interval: Interval) -> Look:
        before = self._counts
        requests, events = before[0] + interval.canary_requests, before[1] + interval.canary_events
        live_requests, live_events = before[2] + interval.live_requests, before[3] + interval.live_events
        self._counts = requests, events, live_requests, live_events
        self._paths = np.convolve(self._paths, _canary_share(interval))
        tails = np.cumsum(self._paths[::-1])[::-1]
        may = np.nonzero(tails <= allowed(requests, self._alpha) - self._spent)[0]
        boundary = int(may[0]) if len(may) else None
        p = float(tails[events]) if events < len(tails) else 0.0
        if boundary is not None:
            self._spent += float(tails[boundary])
            self._paths = self._paths[:boundary]
        return Look(requests, events, live_requests, live_events, boundary, p, self._spent)


def concurrent_p(counts: Interval) -> float:
    """Fisher's exact test, one-sided: as many events of the canary, were both equal."""
    from scipy.stats import hypergeom  # web processes load this module and look at nothing

    requests = counts.canary_requests + counts.live_requests
    events = counts.canary_events + counts.live_events
    return float(hypergeom.sf(counts.canary_events - 1, requests, events, counts.canary_requests))


def _canary_share(interval: Interval) -> NDArray[np.float64]:
    """The hypergeometric probability of each count of canary events; a tenth of the time that scipy's own takes."""
    canary, live = interval.canary_requests, interval.live_requests
    events = interval.canary_events + interval.live_events
    counts = np.arange(min(events, canary) + 1)
    least = max(0, events - live)
    share = np.zeros(len(counts))
    k = counts[least:]
    share[least:] = np.exp(
        _log_choose(canary, k) + _log_choose(live, events - k) - _log_choose(canary + live, events)
    )
    return share


def _log_choose(n: int, k: NDArray[np.int64] | int) -> Any:
    from scipy.special import gammaln

    return gammaln(n + 1) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1)
