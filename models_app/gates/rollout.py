"""The part of a policy that says how an approved release comes to have all of the traffic. Pure; what follows from it,
`rollouts` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from models_app.texts.needs import Between

MOST_STEPS = 5
MOST_REQUESTS = 1_000_000
MOST_MINUTES = 7 * 24 * 60


#: What a step says, and how a form asks for it.
PARTS = {
    "weight": "percent of the requests",
    "requests": "requests to it, at least",
    "minutes": "minutes, at least",
}


def in_words(step: Mapping[str, int]) -> str:
    return f"{step['weight']} % for {step['requests']:,} requests and {step['minutes']:,} minutes"


def is_step(value: Any) -> bool:
    """{"weight": percent of 1 to 99, "requests": at least so many of the canary, "minutes": at least so long}"""
    if not isinstance(value, Mapping) or set(value) != set(PARTS):
        return False
    most = {"weight": 99, "requests": MOST_REQUESTS, "minutes": MOST_MINUTES}
    least = {"weight": 1, "requests": 1, "minutes": 0}
    return all(
        isinstance(number, int) and not isinstance(number, bool) and least[name] <= number <= most[name]
        for name, number in value.items()
    )


@dataclass(frozen=True)
class Steps:
    """A list of steps with growing weights."""

    def holds(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) > MOST_STEPS:
            return False
        if not all(is_step(one) for one in value):
            return False
        weights = [one["weight"] for one in value]
        return weights == sorted(set(weights))

    def noun(self, kind: str) -> str:
        return "a list of steps"

    def words(self, kind: str) -> str:
        return (
            f"At most {MOST_STEPS} steps of whole numbers: 1 to 99 percent, each more than the one before, at least "
            "one request, and minutes. Without a step a release has all requests at once."
        )


@dataclass(frozen=True)
class RolloutPolicy:
    LABELS: ClassVar = {
        "steps": "Shares of the traffic, one after the other",
        "bake_minutes": "Minutes with all of the traffic before it counts as live",
        "advance": "The next step",
        "quiet_below": "Requests a day below which a release has all of the traffic at once",
        "quiet_minutes": "Minutes without a request after which it is held",
        "hold_hours": "Hours on hold after which it is rolled back",
        "latency_ratio": "Times as long as the live release that it may take",
        "fuse_rollbacks": "Rollbacks in a day after which nothing starts",
    }
    HELP: ClassVar = {
        "steps": "Empty rows are no steps. Without a step a release has all requests at once.",
        "quiet_below": "Of the last seven days. Where hardly anybody asks, no share of it would ever tell anything.",
        "latency_ratio": "At the 95th percentile; held where its whole interval is above.",
    }

    steps: Annotated[Sequence[Mapping[str, int]], Steps()] = (
        {"weight": 10, "requests": 200, "minutes": 15},
        {"weight": 50, "requests": 400, "minutes": 15},
    )
    bake_minutes: Annotated[int, Between(0, MOST_MINUTES)] = 30
    advance: Literal["by itself", "by hand"] = "by itself"
    quiet_below: Annotated[int, Between(0, MOST_REQUESTS)] = 500
    quiet_minutes: Annotated[int, Between(1, MOST_MINUTES)] = 30
    hold_hours: Annotated[int, Between(1, 24 * 30)] = 24
    latency_ratio: Annotated[float, Between(1, 100)] = 1.5
    fuse_rollbacks: Annotated[int, Between(1, 100)] = 2
