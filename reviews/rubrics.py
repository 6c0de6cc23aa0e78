"""The questions of a rubric version, kept in memory: the database refuses to change them (migration 0002)."""

from __future__ import annotations

from reviews.models import Criterion

_known: dict[int, tuple[Criterion, ...]] = {}


def criteria_of(rubric: int) -> tuple[Criterion, ...]:
    """In their order; none for a version that there is not. Not to be changed by whoever gets them."""
    found = _known.get(rubric)
    if found is None:
        found = tuple(Criterion.objects.filter(rubric=rubric).order_by("position"))
        if found:  # a version may be made in this very moment
            _known[rubric] = found
    return found
