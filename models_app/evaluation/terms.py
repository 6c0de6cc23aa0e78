"""What a comparison is made by, apart from the scores: the policy of an environment says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models_app.evaluation.slices import USUAL_FIELDS

PRIMARY = "rouge2"
# Documents that a slice needs for a verdict of its own: 100 find a difference of 2.8 points four times in five.
SLICE_FLOOR = 100


@dataclass(frozen=True)
class Terms:
    """`primary`: the metric whose verdict is the comparison's. `margins`: the loss of a metric, in shown units, that
    still counts as not worse, where it is not the metric's own. `fields` cut the documents into slices, which need
    `floor` documents for a verdict of their own."""

    primary: str = PRIMARY
    margins: Mapping[str, float] = field(default_factory=dict)
    fields: Sequence[str] = USUAL_FIELDS
    floor: int = SLICE_FLOOR

    def as_json(self) -> dict[str, Any]:
        return {
            "primary": self.primary,
            "margins": {name: float(size) for name, size in self.margins.items()},
            "fields": list(self.fields),
            "floor": self.floor,
        }
