"""What happens to a canary next, by what is known of it. Pure: no table, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from models_app.rollouts.looks import Look


class Act(StrEnum):
    STOP = "stop"  # all of its traffic goes back, at once
    HOLD = "hold"  # it keeps its share and gets no more
    WAIT = "wait"  # a condition of this step is still open
    ADVANCE = "advance"


@dataclass(frozen=True)
class Step:
    """A share of the traffic, in percent, and what has to be seen before the next one."""

    weight: int
    requests: int
    minutes: int


@dataclass(frozen=True)
class Measured:
    """One measure's looks since the rollout began. `against_concurrent`: p of the canary against the live release's
    requests of the same time alone."""

    name: str
    looks: Sequence[Look]
    against_concurrent: float


@dataclass(frozen=True)
class Ratio:
    """Canary to live, with its interval; None where there is too little of either."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """Of the step that runs. `hard_stop`: words for what is not a matter of counting, such as a model that died again
    and again. `quiet_minutes`: since the canary's last request; `held_hours`: for want of something to decide on, not
    by a person or a freeze window; `frozen`: words for such a window."""

    requests: int
    minutes: float
    measured: Sequence[Measured]
    latency: Ratio | None
    hard_stop: str
    quiet_minutes: float
    held_hours: float
    paused: bool
    frozen: str = ""

    @property
    def kept_waiting(self) -> bool:
        """By a person or a freeze window, for as long as they like."""
        return self.paused or bool(self.frozen)


@dataclass(frozen=True)
class Limits:
    """From the policy."""

    latency_ratio: float
    quiet_minutes: int
    hold_hours: int
    by_hand: bool


@dataclass(frozen=True)
class Decision:
    act: Act
    reasons: tuple[str, ...]


# A measure stops a canary that is also worse than what was live at the same time: an outage that hits both is not its
# fault.
CONCURRENT = 0.05


def decide(step: Step, facts: Facts, limits: Limits, *, asked_to_advance: bool = False) -> Decision:
    """Hard stops first, then looks, then what is held, then what this step still waits for. A person who asks for the
    next step walks round none of it."""
    if facts.hard_stop:
        return Decision(Act.STOP, (facts.hard_stop,))
    crossed = [one for one in facts.measured if one.looks and one.looks[-1].crossed]
    against = tuple(_crossed(one) for one in crossed if one.against_concurrent < CONCURRENT)
    if against:
        return Decision(Act.STOP, against)
    if facts.held_hours >= limits.hold_hours and not facts.kept_waiting:
        hours = f"{limits.hold_hours:,} hour{'s' if limits.hold_hours != 1 else ''}"
        return Decision(Act.STOP, (f"It was held for {hours} without enough to decide on.",))
    held = _held(facts, limits, crossed)
    if held:
        return Decision(Act.HOLD, held)
    waits = _waits(step, facts)
    if waits:
        return Decision(Act.WAIT, waits)
    if limits.by_hand and not asked_to_advance:
        return Decision(Act.WAIT, ("Somebody has to press Advance: the policy moves nothing by itself.",))
    return Decision(Act.ADVANCE, ("Requests, time and looks allow the next step.",))


def _crossed(one: Measured) -> str:
    last = one.looks[-1]
    return (
        f"{one.name.capitalize()}: {last.canary_events:,} of {last.canary_requests:,} requests to the canary, "
        f"{last.live_events:,} of {last.live_requests:,} to the live release; {last.boundary:,} stop it at this look."
    )


def _held(facts: Facts, limits: Limits, crossed: Sequence[Measured]) -> tuple[str, ...]:
    found = []
    if facts.paused:
        found.append("It is paused.")
    if facts.frozen:
        found.append(facts.frozen)
    found += [
        f"{one.name.capitalize()} of the canary crossed the boundary; the live release has as many at the same time."
        for one in crossed
    ]
    if facts.latency is not None and facts.latency.low > limits.latency_ratio:
        found.append(
            f"It takes {facts.latency.estimate:.2f} times as long as the live release (at least "
            f"{facts.latency.low:.2f}); {limits.latency_ratio:.2f} are allowed."
        )
    if facts.quiet_minutes >= limits.quiet_minutes:
        found.append(f"No request came to it for {int(facts.quiet_minutes):,} minutes.")
    return tuple(found)


def _waits(step: Step, facts: Facts) -> tuple[str, ...]:
    found = []
    if facts.requests < step.requests:
        found.append(f"{facts.requests:,} of {step.requests:,} requests.")
    if facts.minutes < step.minutes:
        found.append(f"{int(facts.minutes):,} of {step.minutes:,} minutes.")
    return tuple(found)
