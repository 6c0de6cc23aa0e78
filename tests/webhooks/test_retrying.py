from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.webhooks import retrying

FIRST = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)


def tries(chance: float) -> list[datetime]:
    """When it is tried where nothing is ever taken and an attempt takes ten seconds."""
    times, now = [FIRST], FIRST
    while True:
        now += timedelta(seconds=10)
        due = retrying.next_try(failed=len(times), first=FIRST, now=now, chance=chance)
        if due is None:
            return times
        now = due
        times.append(now)


def test_it_is_tried_for_a_day_and_then_given_up() -> None:
    times = tries(0.5)
    waits = [round((later - earlier).total_seconds()) - 10 for earlier, later in itertools.pairwise(times)]
    assert waits[:9] == [30, 60, 120, 240, 480, 960, 1920, 3840, 7680]
    assert set(waits[9:]) == {14400}
    assert timedelta(hours=20) <= times[-1] - FIRST <= retrying.TRIED_FOR
    assert len(times) == 14


@given(st.floats(0, 1))
def test_whatever_chance_says_it_takes_most_of_a_day_and_never_longer(chance: float) -> None:
    times = tries(chance)
    assert timedelta(hours=18) < times[-1] - FIRST <= retrying.TRIED_FOR
    assert 12 <= len(times) <= 20


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_no_number_of_failures_is_too_many(failed: int, chance: float) -> None:
    assert timedelta(seconds=24) <= retrying.delay(failed, chance) <= timedelta(hours=4) * 1.2
    assert retrying.pause(failed, chance) <= timedelta(minutes=15)


def test_what_failed_together_is_not_tried_together() -> None:
    assert retrying.delay(1, 0) == timedelta(seconds=24)
    assert retrying.delay(1, 1) == timedelta(seconds=36)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 30), (5, 480), (6, 900), (60, 900)])
def test_an_endpoint_is_left_alone_longer_each_time(failures: int, seconds: int) -> None:
    assert retrying.pause(failures, 0.5) == timedelta(seconds=seconds)
