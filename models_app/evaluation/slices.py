"""Slices of a test set: which documents belong together, and what a release did to each group of them. Pure.

A field cuts the documents into groups: their domain, their length in thirds, their language, or any other field that
the test set froze with them. Each group of at least `floor` documents has a verdict of its own, corrected after Holm
over all groups of all fields, of one metric that was named before anybody looked. Smaller ones are counted and not
judged: fifty documents show nothing smaller than four points. The gaps say whether one group gained less than the
others did; their bounds hold together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models_app.evaluation.metrics import Metric
from models_app.evaluation.statistics import (
    RESAMPLES,
    Floats,
    Gap,
    Mask,
    MetricComparison,
    compare_slices,
    gaps,
    slices_by_label,
    slices_by_length,
)

LENGTH = "length"
#: What slices are cut by where nobody says otherwise.
USUAL_FIELDS = ("domain", LENGTH, "language")
#: Those that every document has, "source" for what slices by length are called; a document may have others.
OWN_FIELDS = (*USUAL_FIELDS, "origin", "licence", "group", "source")
LONGEST_FIELD = 40  # characters of a field's name
#: Of one field; further groups, the smallest ones, are no slices.
MOST_GROUPS = 20
_LONGEST_LABEL = 46


@dataclass(frozen=True)
class Document:
    """What slices are cut by. `fields`: domain, language and whatever else the test set has of it."""

    words: int
    fields: Mapping[str, str]


def slices_of(
    documents: Sequence[Document], fields: Sequence[str] = USUAL_FIELDS
) -> dict[str, dict[str, Mask]]:
    """Field → name of a slice → its documents. A field that all documents share cuts nothing and is left out, as are
    documents that have nothing there."""
    found: dict[str, dict[str, Mask]] = {}
    for field in dict.fromkeys(fields):
        if field == LENGTH:
            groups = slices_by_length([document.words for document in documents])
        else:
            groups = slices_by_label(
                _labels([document.fields.get(field, "") for document in documents]), field
            )
        if len(groups) > 1:
            found[field] = groups
    return found


def _labels(values: Sequence[str]) -> list[str]:
    """Those of the largest groups, so short that a name has room for them, and still told apart."""
    counts = Counter(value for value in values if value)
    largest = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_GROUPS]
    short: dict[str, str] = {}
    for value in largest:
        label = value if len(value) <= _LONGEST_LABEL else f"{value[: _LONGEST_LABEL - 1]}…"
        again = 1
        while label in short.values():
            again += 1
            label = f"{value[: _LONGEST_LABEL - 6]}… ({again})"
        short[value] = label
    return [short.get(value, "") for value in values]


@dataclass(frozen=True)
class Report:
    """One metric on all slices. `slices` and `gaps` are in the order of the fields."""

    metric: str
    floor: int
    slices: tuple[MetricComparison, ...]
    gaps: tuple[Gap, ...]

    @property
    def judged(self) -> list[MetricComparison]:
        return [row for row in self.slices if row.low is not None]

    @property
    def too_small(self) -> list[MetricComparison]:
        return [row for row in self.slices if row.low is None]

    @property
    def worst(self) -> MetricComparison | None:
        """Of the judged ones that which gained least, or lost most."""
        return min(self.judged, key=lambda row: row.delta, default=None)

    @property
    def widest_gap(self) -> Gap | None:
        return min(self.gaps, key=lambda gap: gap.delta, default=None)


def judge_slices(
    before: Floats,
    after: Floats,
    metric: Metric,
    slices: Mapping[str, Mapping[str, Mask]],
    *,
    floor: int,
    margin: float | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Report:
    """`before` and `after`: stored values of a metric of which more is better, one a document. `margin`, in shown
    units, overrides the metric's."""
    if metric.better != "higher":
        raise ValueError(f"slices are judged by a metric of which more is better, not by {metric.key}")
    flat = {name: mask for groups in slices.values() for name, mask in groups.items()}
    rows = compare_slices(
        before[:, None],
        after[:, None],
        [metric],
        flat,
        slice_floor=floor,
        seed=seed,
        resamples=resamples,
    )
    judged = {row.slice for row in rows if row.low is not None}
    changes = (after - before) * metric.scale
    found = [
        gap
        for groups in slices.values()
        for gap in gaps(
            changes, {name: mask for name, mask in groups.items() if name in judged}, among=len(judged)
        )
    ]
    return Report(metric.key, floor, tuple(rows), tuple(found))
