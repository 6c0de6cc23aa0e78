"""Slices as a forest plot with the same in words: of a comparison, or of what the slices gate found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import EVERYTHING
from models_app.models import ComparisonResult, GateResult
from models_app.texts.figures import DASH, interval, signed
from models_app.web import charts


@dataclass(frozen=True)
class SliceRow:
    """`verdict`: improved, not worse, worse, inconclusive, or not judged."""

    name: str
    n: int
    delta: float
    low: float | None
    high: float | None
    verdict: str

    @property
    def difference(self) -> str:
        return DASH if self.low is None else signed(self.delta, 1)

    @property
    def interval(self) -> str:
        return interval(self.low, self.high, 1)


@dataclass(frozen=True)
class SlicePicture:
    """`plot` is empty where there is no slice; `words` are what is said under it."""

    label: str
    plot: SafeString
    rows: Sequence[SliceRow]
    words: Sequence[str] = ()

    @property
    def judged(self) -> int:
        return sum(row.low is not None for row in self.rows)


def of_comparison(results: Sequence[ComparisonResult], metric: str, *, floor: int) -> SlicePicture:
    """Against before, of one metric; results of a comparison in their own order."""
    found = [row for row in results if row.against == "baseline" and row.metric == metric]
    rows = [
        SliceRow(
            row.slice, row.n, row.delta, row.low, row.high, "not judged" if row.low is None else row.verdict
        )
        for row in found
    ]
    margin = found[0].margin if found else None
    return _picture(METRICS[metric].label, rows, margin=margin, floor=floor)


def of_gate(found: Sequence[GateResult], *, label: str, floor: int) -> SlicePicture:
    """From the rows of the slices gate, those of gaps as words."""
    slices = [row for row in found if row.n is not None and ": " in row.name]
    rows = [
        SliceRow(row.name, row.n or 0, row.estimate or 0.0, row.low, row.high, _judgement(row))
        for row in slices
    ]
    margins = [-row.threshold for row in slices if row.threshold is not None]
    others = [row.words for row in found if row not in slices]
    return _picture(label, rows, margin=margins[0] if margins else None, floor=floor, words=others)


def _judgement(row: GateResult) -> str:
    if row.low is None or row.high is None:
        return "not judged"
    if row.verdict == "fail":
        return "worse"
    if row.low > 0 and "improved" in row.words:
        return "improved"
    if row.threshold is not None and row.low > row.threshold:
        return "not worse"
    return "inconclusive"


def _picture(
    label: str, rows: Sequence[SliceRow], *, margin: float | None, floor: int, words: Sequence[str] = ()
) -> SlicePicture:
    drawn = [_drawn(row, floor) for row in rows]
    has_slices = any(row.name != EVERYTHING for row in rows)
    plot = charts.forest_plot(
        drawn, title=f"{label}, difference by slice", zero_name="no change", margin=margin
    )
    if has_slices and margin and any(row.low is not None for row in rows):
        words = (*words, f"Dashed: a loss of the margin, {signed(-margin, 1)}.")
    return SlicePicture(label, plot if has_slices else SafeString(""), rows, words)


def _drawn(row: SliceRow, floor: int) -> charts.Interval | charts.Unjudged:
    name = "All documents" if row.name == EVERYTHING else row.name
    if row.low is None or row.high is None:
        return charts.Unjudged(name, row.n, f"not judged: under {floor:,}")
    return charts.Interval(name, row.n, row.low, row.delta, row.high, row.verdict)
