"""The metrics of an evaluation: what they are called, which way is better, and what loss does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """Stored values times `scale` are shown values; `margin` (shown) is the loss that still counts as not worse."""

    key: str
    label: str
    better: Better
    unit: str = ""
    scale: float = 1.0
    decimals: int = 1
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"the margin of {self.key} is {self.margin}; it can't be negative")


# The margin of ROUGE: with the usual spread of paired differences (10 points) about 800 documents settle a loss of one
# point, and smaller ones do not follow what readers say (Deutsch, Dror and Roth, NAACL 2022).
_CATALOGUE = (
    Metric("rouge1", "ROUGE-1", "higher", "points", 100.0, 1, 1.0),
    Metric("rouge2", "ROUGE-2", "higher", "points", 100.0, 1, 1.0),
    Metric("rougeL", "ROUGE-L", "higher", "points", 100.0, 1, 1.0),
    Metric("rougeLsum", "ROUGE-Lsum", "higher", "points", 100.0, 1, 1.0),
    Metric("summary_words", "Summary length", "neither", "words", 1.0, 1),
    Metric("length_ratio", "Length against the reference", "neither", "", 1.0, 2),
    Metric("repetition", "Repeated trigrams", "lower", "%", 100.0, 1, 1.0),
    Metric("copied_share", "Copied words", "neither", "%", 100.0, 1),
    Metric("copied_density", "Mean copied fragment", "neither", "words", 1.0, 1),
    Metric("unsupported_numbers", "Numbers not in the source", "lower", "a summary", 1.0, 2, 0.05),
    Metric("unsupported_names", "Names not in the source", "lower", "a summary", 1.0, 2, 0.05),
    Metric("latency_ms", "Latency", "lower", "ms", 1.0, 0),
)

METRICS = {metric.key: metric for metric in _CATALOGUE}
