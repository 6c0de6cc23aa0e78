"""What of a comparison is read document by document: worst, typical and best, and how all differences spread.

Computed once, with the comparison, whatever its size; pages take it as it is stored. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models_app.evaluation.metrics import Metric
from models_app.texts.bins import Bins, bins

#: Of each kind; a comparison of fewer than nine documents has fewer.
SHOWN = 3
KINDS = ("worst", "typical", "best")


@dataclass(frozen=True)
class Shown:
    """A document of the nine; scores as they are shown."""

    kind: str
    example: int
    before: float
    after: float


@dataclass(frozen=True)
class Reading:
    metric: str
    bins: Bins
    documents: Sequence[Shown]

    def of_kind(self, kind: str) -> list[Shown]:
        return [one for one in self.documents if one.kind == kind]

    def as_json(self) -> dict[str, Any]:
        documents = [[one.kind, one.example, one.before, one.after] for one in self.documents]
        return {"metric": self.metric, "bins": self.bins.as_json(), "documents": documents}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Reading:
        return cls(
            values["metric"],
            Bins.of_json(values["bins"]),
            [Shown(*document) for document in values["documents"]],
        )


def read(
    examples: Sequence[int], before: Sequence[float], after: Sequence[float], *, metric: Metric, seed: int
) -> Reading:
    """`before` and `after` as they are stored.

    Typical documents are drawn from the middle third by a hash of seed and document, so nobody picks them, everybody
    draws the same, and the order of the rows says nothing.
    """
    scaled = [
        (example, float(old) * metric.scale, float(new) * metric.scale)
        for example, old, new in zip(examples, before, after, strict=True)
    ]
    sign = -1.0 if metric.better == "lower" else 1.0
    ranked = sorted(scaled, key=lambda row: (sign * (row[2] - row[1]), row[0]))
    third = len(ranked) // 3
    middle = sorted(ranked[third : len(ranked) - third], key=lambda row: _lot(seed, row[0]))[:SHOWN]
    drawn = {row[0] for row in middle}
    groups = {
        "worst": ranked[: min(SHOWN, third)],
        "typical": [row for row in ranked if row[0] in drawn],
        "best": ranked[::-1][: min(SHOWN, third)],
    }
    documents = [Shown(kind, *row) for kind in KINDS for row in groups[kind]]
    return Reading(metric.key, bins([new - old for _, old, new in scaled]), documents)


def _lot(seed: int, example: int) -> str:
    return hashlib.sha256(f"{seed}:{example}".encode()).hexdigest()
