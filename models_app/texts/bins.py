"""How differences of single documents spread: counted once, drawn as often as somebody looks. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Smaller differences are rounding: such documents are equal.
EQUAL = 1e-9
MOST_BINS = 21


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5 or 5 × 10ⁿ that cuts `span` into at most `most` parts."""
    if span <= 0:
        return 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * (1 - 1e-9))


@dataclass(frozen=True)
class Bins:
    """`counts` by number: 0 holds no change alone, 1 what is up to one step above it, -1 what is up to one step below
    it, and so on. So the bins of each side add up to `below` and `above`."""

    step: float
    counts: Mapping[int, int]

    @property
    def below(self) -> int:
        return sum(count for k, count in self.counts.items() if k < 0)

    @property
    def equal(self) -> int:
        return self.counts.get(0, 0)

    @property
    def above(self) -> int:
        return sum(count for k, count in self.counts.items() if k > 0)

    def place_of(self, value: float) -> int:
        if abs(value) <= EQUAL:
            return 0
        return math.ceil(value / self.step) if value > 0 else math.floor(value / self.step)

    def as_json(self) -> dict[str, Any]:
        return {"step": self.step, "counts": [[k, self.counts[k]] for k in sorted(self.counts)]}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Bins:
        return cls(float(values["step"]), {int(k): int(count) for k, count in values["counts"]})


def bins(differences: Sequence[float], *, most: int = MOST_BINS) -> Bins:
    """What is not finite is left out."""
    finite = [value for value in differences if math.isfinite(value)]
    empty = Bins(nice_step(max([0.0, *finite]) - min([0.0, *finite]), most - 1), {})
    return Bins(empty.step, dict(Counter(empty.place_of(value) for value in finite)))
