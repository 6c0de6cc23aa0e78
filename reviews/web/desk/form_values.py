"""Numbers in the forms of desk, disputes and gold: whole numbers, and the scales of the questions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reviews.models import Criterion

#: Before a criterion's key, in the name of its field.
RATING = "rating-"
_INTEGER = re.compile(r"-?\d{1,9}")


def integer(values: Mapping[str, str], name: str, errors: dict[str, str] | None = None) -> int | None:
    """None for an empty field; where it holds another text, `errors` says so."""
    raw = values.get(name, "").strip()
    if _INTEGER.fullmatch(raw):
        return int(raw)
    if raw and errors is not None:
        errors[name.removeprefix(RATING)] = "Not a whole number."
    return None


def row_id(values: Mapping[str, str], name: str) -> int | None:
    """None for an empty field, or a number that no row has."""
    found = integer(values, name)
    return found if found is not None and found > 0 else None


def ratings_of(values: Mapping[str, str], errors: dict[str, str]) -> dict[str, int]:
    """By the criterion's key."""
    return {
        name.removeprefix(RATING): value
        for name in values
        if name.startswith(RATING) and (value := integer(values, name, errors)) is not None
    }


def scales(
    criteria: Iterable[Criterion], ratings: Mapping[str, int], errors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """As `partials/_scale.html` shows them."""
    return [
        {
            "name": RATING + criterion.key,
            "label": criterion.name,
            "question": criterion.question,
            "points": list(enumerate(criterion.anchors, start=1)),
            "value": ratings.get(criterion.key),
            "error": errors.get(criterion.key),
        }
        for criterion in criteria
    ]
