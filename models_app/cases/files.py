"""Cases as JSON Lines, one a line: `{"number": 3, "title": …, "article": …, "assertions": [{"kind": …}, …]}`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from models_app.cases.writing import Draft
from models_app.foundation.errors import InvalidInput
from models_app.models import CaseSet, CaseVersion

LONGEST_LINE = 16 << 20  # bytes
_KINDS: dict[str, tuple[type, str]] = {
    "number": (int, "a whole number"),
    "title": (str, "text"),
    "domain": (str, "text"),
    "article": (str, "text"),
    "assertions": (list, "a list"),
    "must_pass": (bool, "true or false"),
    "origin": (str, "text"),
}


def lines_of(cases: Iterable[CaseVersion]) -> Iterator[bytes]:
    for case in cases:
        values = {name: getattr(case, name) for name in _KINDS}
        yield json.dumps(values, ensure_ascii=False).encode() + b"\n"


def read_drafts(file: IO[bytes]) -> list[Draft]:
    """Raises InvalidInput by line where one is none; empty lines are passed over."""
    drafts: list[Draft] = []
    wrong: dict[str, str] = {}
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        if len(drafts) == CaseSet.MOST_CASES:
            raise InvalidInput(f"More than {CaseSet.MOST_CASES} cases; a set has no more.")
        try:
            drafts.append(_draft(line))
        except ValueError as error:
            wrong[f"line {number}"] = str(error)
    if wrong:
        raise InvalidInput("Not all lines are cases; none was taken.", fields=wrong)
    if not drafts:
        raise InvalidInput("The file has no case.")
    return drafts


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise InvalidInput(f"A line has more than {LONGEST_LINE >> 20} MB; no case is so long.")
        yield line.removeprefix(b"\xef\xbb\xbf")


def _draft(line: bytes) -> Draft:
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("It is no JSON.") from error
    if not isinstance(values, dict):
        raise ValueError("It is no object.")
    for name, value in values.items():
        if name not in _KINDS:
            raise ValueError(f"A case has no {str(name)[:60]!r}; it has {', '.join(_KINDS)}.")
        kind, words = _KINDS[name]
        if not _is(value, kind):
            raise ValueError(f"{name} has to be {words}.")
    for name in ("article", "assertions"):
        if name not in values:
            raise ValueError(f"It has no {name}.")
    return Draft(**values)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
