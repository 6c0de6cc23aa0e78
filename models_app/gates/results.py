"""What a gate found, and what several findings come to. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

LONGEST_NAME = 120
LONGEST_EVIDENCE = 200


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


#: The worst first.
ORDER = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class Result:
    """A row of a gate. `estimate`, `low`, `high` and `threshold` are in `unit`, the interval is a 95 % one."""

    gate: str
    name: str  # row within the gate: a metric, a slice, a case set; "" where it has one row
    verdict: Verdict
    words: str  # one plain sentence: what was found
    need: str  # the threshold in words: "none allowed", "a loss of 0.5 points or more excluded"
    method: str  # "paired bootstrap, 10,000 resamples"
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n: int | None = None
    unit: str = ""
    evidence: str = ""  # what can be looked at: "comparison:12", "casesrun:3"

    def __post_init__(self) -> None:
        for name in ("estimate", "low", "high", "threshold"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{self.gate} {self.name}: {name} is {value}")
        if not self.words or not self.need:
            raise ValueError(f"{self.gate} {self.name}: a result says what was found and what is needed")
        if len(self.name) > LONGEST_NAME or len(self.evidence) > LONGEST_EVIDENCE:
            raise ValueError(f"{self.gate}: the name or evidence of a result is too long")

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """What rows come to. Nothing at all is an error: what was not judged has not passed."""
    found = set(verdicts)
    return next((verdict for verdict in ORDER if verdict in found), Verdict.ERROR)
