"""What a comparison is made by, apart from the scores: the policy of an environment says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PRIMARY = "rouge2"


@dataclass(frozen=True)
class Terms:
    """`primary`: the metric whose verdict is the comparison's. `margins`: the loss of a metric, in shown units, that
    still counts as not worse, where it is not the metric's own."""

    primary: str = PRIMARY
    margins: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "primary": self.primary,
            "margins": {name: float(size) for name, size in self.margins.items()},
        }
