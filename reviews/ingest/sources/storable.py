"""Rows as the database can hold them, whatever their file says."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from reviews.ingest.sources.limits import DEEPEST
from reviews.ingest.sources.source import Record, Source

# PostgreSQL has no NUL in texts, and no encoding has halves of characters: `normalise` takes them out of texts, too.
_IN_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_HOLDS_OTHERS = (dict, list, tuple)


class _TooDeep(Exception):
    pass


def storable(source: Source) -> Source:
    """The source without characters that no text can have, in names as in values; numbers that are none are words;
    rows that are nested too deeply are refused."""
    names = {column: _text(column) for column in source.columns}
    if len(set(names.values())) < len(names):
        names = {column: column for column in source.columns if names[column] == column}

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        asked = None if wanted is None else [name for name, said in names.items() if said in wanted]
        for number, values in source.records(asked):
            yield number, _row(values)

    return replace(source, columns=tuple(names.values()), records=records)


def _row(values: dict[str, Any] | str) -> dict[str, Any] | str:
    if isinstance(values, str):
        return _text(values)
    try:
        return {_text(name): _value(value, 1) for name, value in values.items()}
    except _TooDeep:
        return f"It is nested more than {DEEPEST} deep."


def _value(value: Any, depth: int) -> Any:
    # Asked of everything in a file, a million times for some of 3 MB: by what is frequent first.
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, _HOLDS_OTHERS):
        if depth == DEEPEST:
            raise _TooDeep
        if isinstance(value, dict):
            return {_text(str(name)): _value(one, depth + 1) for name, one in value.items()}
        return [_value(one, depth + 1) for one in value] if value else []
    if isinstance(value, bytes):
        try:
            return _text(value.decode())
        except UnicodeDecodeError:
            return value  # said of its field, where it is asked for
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value


def _text(text: str) -> str:
    # Looking is many times faster than replacing, and most texts are of ASCII.
    if text.isascii() and "\x00" not in text:
        return text
    return _IN_NO_TEXT.sub("", text)
