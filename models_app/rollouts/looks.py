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

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

# Canary requests by which all of alpha may be spent: what is broken has to be seen early.
EARLY = 200
EXPONENT = 1.5
EVERY = 20
# How often an equal canary may be stopped for each measure, at most: 1.5 % in all. Errors have most of it, since they
# are what a broken release shows first.
ALPHA = {"errors": 0.0125, "complaints": 0.00125, "wishes": 0.00125}


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
    """The canary requests at which it is looked, up to `most`: every 20 up to 200, then at each doubling."""
    looks = list(range(EVERY, min(EARLY, most) + 1, EVERY))
    later = 2 * EARLY
    while later <= most:
        looks.append(later)
        later *= 2
    return looks


def allowed(canary_requests: int, alpha: float) -> float:
    """Alpha that may be spent by then."""
    return alpha * min(1.0, (canary_requests / EARLY) ** EXPONENT)


def look(intervals: Sequence[Interval], *, alpha: float) -> list[Look]:
    """Every look so far, the last one included; after one that crossed there is none."""
    paths: NDArray[np.float64] = np.array(
        [1.0]
    )  # probability of each count of canary events, not crossed yet
    spent, looks = 0.0, []
    canary_requests = canary_events = live_requests = live_events = 0
    for interval in intervals:
        canary_requests += interval.canary_requests
        canary_events += interval.canary_events
        live_requests += interval.live_requests
        live_events += interval.live_events
        paths = np.convolve(paths, _canary_share(interval))
        tails = np.cumsum(paths[::-1])[::-1]
        may = np.nonzero(tails <= allowed(canary_requests, alpha) - spent)[0]
        boundary = int(may[0]) if len(may) else None
        p = float(tails[canary_events]) if canary_events < len(tails) else 0.0
        if boundary is not None:
            spent += float(tails[boundary])
            paths = paths[:boundary]
        looks.append(Look(canary_requests, canary_events, live_requests, live_events, boundary, p, spent))
        if looks[-1].crossed:
            break
    return looks


def concurrent_p(counts: Interval) -> float:
    """Fisher's exact test, one-sided: as many events of the canary, were both equal."""
    requests = counts.canary_requests + counts.live_requests
    events = counts.canary_events + counts.live_events
    return float(hypergeom.sf(counts.canary_events - 1, requests, events, counts.canary_requests))


def _canary_share(interval: Interval) -> NDArray[np.float64]:
    requests = interval.canary_requests + interval.live_requests
    events = interval.canary_events + interval.live_events
    counts = np.arange(min(events, interval.canary_requests) + 1)
    share: NDArray[np.float64] = hypergeom.pmf(counts, requests, events, interval.canary_requests)
    return share
