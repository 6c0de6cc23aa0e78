"""Whole numbers out of the desks' forms."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Before a criterion's key, in the name of its field.
RATING = "rating-"
_INTEGER = re.compile(r"-?\d{1,9}")


def integer(values: Mapping[str, str], name: str, errors: dict[str, str]) -> int | None:
    raw = values.get(name, "").strip()
    if not raw:
        return None
    if not _INTEGER.fullmatch(raw):
        errors[name.removeprefix(RATING)] = "Not a whole number."
        return None
    return int(raw)
