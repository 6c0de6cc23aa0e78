"""When a delivery is tried again, and for how long an endpoint is left alone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

TRIED_FOR = timedelta(hours=24)
_FIRST = timedelta(seconds=30)
_LONGEST = timedelta(hours=4)
# Of an endpoint as a whole: one that works again is found to within this time.
_LONGEST_PAUSE = timedelta(minutes=15)
# Times are moved by up to a fifth, so that what failed together is not tried together.
JITTER = 0.2


def delay(failed: int, chance: float) -> timedelta:
    """After `failed` attempts, from 1 on: 30 s, doubled each time up to four hours. `chance` is of 0 to 1."""
    return min(_FIRST * 2 ** min(failed - 1, 20), _LONGEST) * (1 + JITTER * (2 * chance - 1))


def next_try(*, failed: int, first: datetime, now: datetime, chance: float) -> datetime | None:
    """None where it is given up: the try would come more than a day after the first one."""
    due = now + delay(failed, chance)
    return due if due <= first + TRIED_FOR else None


def pause(failures: int, chance: float) -> timedelta:
    """How long nothing is sent to an endpoint after so many attempts in a row that failed."""
    return min(delay(failures, chance), _LONGEST_PAUSE)
