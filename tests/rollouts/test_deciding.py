from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.rollouts.deciding import Act, Facts, Limits, Measured, Ratio, Step, decide
from models_app.rollouts.looks import Interval, look

STEP = Step(weight=10, requests=200, minutes=15)
LIMITS = Limits(latency_ratio=1.5, quiet_minutes=30, hold_hours=24, by_hand=False)
BAD = Measured("errors", look([Interval(200, 20, 1800, 18)], alpha=0.0125), against_concurrent=1e-9)
GOOD = Measured("errors", look([Interval(200, 2, 1800, 18)], alpha=0.0125), against_concurrent=0.6)
FINE = Facts(
    requests=200, minutes=15, measured=(GOOD,), latency=Ratio(1.1, 0.9, 1.3), hard_stop="", quiet_minutes=0,
    held_hours=0, paused=False,
)  # fmt: skip


def act(asked_to_advance: bool = False, limits: Limits = LIMITS, **changes: Any) -> Act:
    return decide(STEP, replace(FINE, **changes), limits, asked_to_advance=asked_to_advance).act


def test_enough_requests_minutes_and_good_looks_advance_it() -> None:
    assert act() == Act.ADVANCE


@pytest.mark.parametrize("changes", [{"requests": 199}, {"minutes": 14.9}])
def test_one_condition_that_is_open_lets_it_wait_whoever_presses(changes: dict[str, Any]) -> None:
    assert act(**changes) == act(asked_to_advance=True, **changes) == Act.WAIT


def test_by_hand_it_waits_for_somebody() -> None:
    by_hand = replace(LIMITS, by_hand=True)
    assert act(limits=by_hand) == Act.WAIT
    assert act(limits=by_hand, asked_to_advance=True) == Act.ADVANCE


def test_a_crossed_boundary_stops_it_and_says_the_counts() -> None:
    found = decide(STEP, replace(FINE, measured=(BAD,)), LIMITS)
    assert found.act == Act.STOP
    assert "20 of 200" in found.reasons[0]
    assert "18 of 1,800" in found.reasons[0]


def test_an_outage_that_hits_both_holds_it() -> None:
    both = replace(BAD, against_concurrent=0.5)
    assert act(measured=(both,)) == Act.HOLD


@pytest.mark.parametrize(
    "changes",
    [{"paused": True}, {"quiet_minutes": 30}, {"latency": Ratio(2, 1.6, 2.4)}],
)
def test_it_is_held(changes: dict[str, Any]) -> None:
    assert act(**changes) == act(asked_to_advance=True, **changes) == Act.HOLD


def test_a_ratio_that_may_be_within_the_limit_holds_nothing() -> None:
    assert act(latency=Ratio(1.7, 1.4, 2.1)) == Act.ADVANCE
    assert act(latency=None) == Act.ADVANCE


def test_no_data_holds_and_then_ends_it() -> None:
    nothing: dict[str, Any] = {"requests": 0, "quiet_minutes": 600.0}
    assert act(**nothing, held_hours=23.9) == Act.HOLD
    assert act(**nothing, held_hours=24) == Act.STOP


def test_a_hard_stop_comes_first() -> None:
    found = decide(STEP, replace(FINE, hard_stop="Its model died three times.", paused=True), LIMITS)
    assert found.act == Act.STOP
    assert found.reasons == ("Its model died three times.",)
