"""Fields of a document that have no place of their own here, such as its author or its page: what they are called, and
what is kept of them. Slices of a test set may be cut by them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from models_app.evaluation.slices import LONGEST_FIELD, OWN_FIELDS
from models_app.foundation.errors import InvalidInput
from models_app.texts.normalise import one_line
from reviews.models import SourceDocument

MOST = SourceDocument.MOST_FIELDS
LONGEST_VALUE = SourceDocument.LONGEST_LABEL_CHARACTERS
_NOT_IN_NAMES = re.compile(r"[^\w -]+")


def field_name(column: str) -> str:
    """As it is kept: small letters, digits, spaces, hyphens and underscores."""
    return one_line(_NOT_IN_NAMES.sub(" ", one_line(column).lower()))


def kept_columns(columns: Iterable[str], keep: Iterable[str]) -> dict[str, str]:
    """Field → column of those to keep. Raises InvalidInput for one that is not there or cannot be called so."""
    there, kept = set(columns), dict[str, str]()
    for column in keep:
        name = field_name(column)
        wrong = f"There is no column {column!r}." if column not in there else _wrong_name(name, kept)
        if wrong:
            raise InvalidInput(wrong, fields={"keep": wrong})
        kept[name] = column
    if len(kept) > MOST:
        raise InvalidInput(_too_many(), fields={"keep": _too_many()})
    return kept


def clean_fields(given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """(the fields that say something, ""), or ({}, why not)."""
    kept: dict[str, str] = {}
    for raw, value in given.items():
        name, line = field_name(raw), one_line(value)
        if wrong := _wrong_name(name, kept):
            return {}, wrong
        if len(line) > LONGEST_VALUE:
            return {}, f"{name} has {len(line):,} characters; at most {LONGEST_VALUE} are kept."
        kept[name] = line
    if len(kept) > MOST:
        return {}, _too_many()
    return {name: line for name, line in kept.items() if line}, ""


def _wrong_name(name: str, others: Mapping[str, str]) -> str:
    if not name or len(name) > LONGEST_FIELD:
        return f"A field's name has 1 to {LONGEST_FIELD} letters, digits, spaces, hyphens or underscores."
    if name in OWN_FIELDS:
        return f"“{name}” is a field of Galley's own: give it there."
    return f"Two fields are called “{name}”." if name in others else ""


def _too_many() -> str:
    return f"At most {MOST} other fields are kept of a document."
