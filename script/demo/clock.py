"""The clock of the made-up history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import django.utils.timezone

NOW = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)


BEGINS = NOW - dt.timedelta(days=20)


class Clock(dt.datetime):
    """Stands in for the clock that `django.utils.timezone.now` reads."""

    moment = BEGINS

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        cls.moment += dt.timedelta(milliseconds=60)
        return cls.moment.astimezone(tz)


@contextmanager
def story() -> Iterator[None]:
    """What is written inside has the story's time on it, from its beginning."""
    Clock.moment = BEGINS
    with mock.patch.object(django.utils.timezone, "datetime", Clock):
        yield


def at(days_ago: float, hour: int, minute: int = 0) -> None:
    """Go on with the story at this hour, so many days ago; the clock never runs backwards."""
    day = (NOW - dt.timedelta(days=days_ago)).replace(hour=hour, minute=minute)
    Clock.moment = max(Clock.moment, day)


def later(minutes: float) -> None:
    Clock.moment += dt.timedelta(minutes=minutes)
