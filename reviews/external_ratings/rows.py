"""From a record of somebody else's file to ratings, edits and choices. Pure: knows no Django and no database.

A mapping names for each field where its value is: `column`, `column.key` for what is inside, `column.*.key` where the
record holds several, one by key or place (each becomes a row of its own; `*` alone is that key), `=words` for what is
the same everywhere.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Mapped = Mapping[str, str]
RATING = "rating."
DOCUMENT_FIELDS = ("text", "external_id", "title", "domain", "reference")
REVIEW_FIELDS = ("summary", "system", "rater", "stars", "verdict", "edited_text", "comment", "at")
PAIR_FIELDS = (
    "before", "after", "before_system", "after_system", "rater", "choice", "strength", "comment", "at",
)  # fmt: skip
KINDS = {"reviews": REVIEW_FIELDS, "pairwise": PAIR_FIELDS}
NEEDED = {"reviews": ("text", "summary", "rater"), "pairwise": ("text", "before", "after", "rater", "choice")}
# What columns are usually called, the best first.
_USUAL = {
    "text": ("article", "text", "document", "source", "dialogue"),
    "external_id": ("id", "external_id", "doc_id"),
    "title": ("title", "headline"),
    "domain": ("domain", "category"),
    "reference": ("reference", "highlights", "reference_summary"),
    "summary": ("systems.*", "summary", "decoded", "output", "summary_text", "system_output"),
    "system": ("system", "model_id", "model", "model_version"),
    "rater": ("rater", "annotator", "reviewer", "worker", "annotator_id", "worker_id"),
    "stars": ("stars", "overall"),
    "verdict": ("verdict",),
    "edited_text": ("edited_text", "edit", "edited", "corrected"),
    "comment": ("comment", "note", "feedback"),
    "at": ("submitted_at", "at", "timestamp", "date"),
    "before": ("before_text", "before", "summary_a", "response_a", "rejected"),
    "after": ("after_text", "after", "summary_b", "response_b", "chosen"),
    "before_system": ("before_model_version", "system_a", "model_a"),
    "after_system": ("after_model_version", "system_b", "model_b"),
    "choice": ("choice", "winner", "preference"),
    "strength": ("strength",),
}  # fmt: skip
_CHOICES = {
    "before": ("before", "a", "left", "1", "first", "model_a", "rejected"),
    "after": ("after", "b", "right", "2", "second", "model_b", "chosen"),
    "tie": ("tie", "same", "equal", "0", "draw"),
    "both bad": ("both bad", "bothbad", "tie (bothbad)", "neither"),
}
MOST_INSIDE = 200
_SPLIT = re.compile(r"(?<!\\)\.")


class Unreadable(Exception):
    """One row cannot be taken: which field, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class Rules:
    """How values are understood. `scale` is what the file's numbers run from and to; `rounding` lets numbers between
    whole points be rounded, half up."""

    kind: str = "reviews"
    mapping: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 5.0)
    rounding: bool = False
    raters: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RatedRow:
    """A review as it would come in. `rounded` counts the numbers that were not whole points."""

    number: int
    summary: str
    system: str
    rater: str
    ratings: dict[str, int]
    stars: int
    verdict: str
    overall_from_ratings: bool
    edited_text: str
    comment: str
    at: datetime | None
    rounded: int = 0


@dataclass(frozen=True)
class PairRow:
    number: int
    before: str
    after: str
    before_system: str
    after_system: str
    rater: str
    choice: str
    strength: int | None
    comment: str
    at: datetime | None


# ---------------------------------------------------------------- where values are


def paths_in(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a mapping could name, found in some records, in the order in which it appears."""
    found: dict[str, None] = {}
    for record in records:
        for column, value in record.items():
            for path in _paths(column.replace(".", "\\."), value, depth=0, starred=False):
                found.setdefault(path)
    return list(itertools.islice(found, MOST_INSIDE))


def _paths(path: str, value: Any, *, depth: int, starred: bool) -> Iterator[str]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inside is None:
        yield path
        return
    if depth > 2:
        return
    if not starred:
        for one in itertools.islice(inside, 1):
            yield from _paths(f"{path}.*", one, depth=depth + 1, starred=True)
    if isinstance(value, dict) and not all(isinstance(one, dict | list) for one in inside):
        for key, one in itertools.islice(value.items(), 12):
            yield from _paths(f"{path}.{key}", one, depth=depth + 1, starred=starred)
    elif starred and isinstance(value, dict):
        for key, one in itertools.islice(value.items(), 12):
            yield from _paths(f"{path}.{key}", one, depth=depth + 1, starred=True)


def guess(paths: Collection[str], criteria: Collection[str], kind: str) -> dict[str, str]:
    """Field → path by usual names, for the fields of this kind."""
    by_name = {path.lower(): path for path in reversed(list(paths))}
    found = {}
    for name in (*DOCUMENT_FIELDS, *KINDS[kind]):
        path = next((by_name[usual] for usual in _USUAL[name] if usual in by_name), None)
        if path is not None:
            found[name] = path
    if kind == "reviews":
        for key in criteria:
            wanted = (
                key,
                f"ratings.{key}",
                f"rating_{key}",
                f"ratings.*.{key}",
                f"expert_annotations.*.{key}",
            )
            path = next((by_name[name] for name in wanted if name in by_name), None)
            if path is not None:
                found[f"{RATING}{key}"] = path
    if found.get("summary") == "systems.*":
        found.setdefault("system", "*")
    elif any("*" in path for path in found.values()):
        found.setdefault("rater", "*")
    return found


def mistakes(rules: Rules, columns: Collection[str], criteria: Collection[str]) -> dict[str, str]:
    """What is wrong with a mapping, by field."""
    wrong = {}
    if rules.kind not in KINDS:
        return {"kind": f"There is no kind {rules.kind[:40]!r}; there are {', '.join(KINDS)}."}
    known = {*DOCUMENT_FIELDS, *KINDS[rules.kind]}
    known |= {f"{RATING}{key}" for key in criteria} if rules.kind == "reviews" else set()
    for name, path in rules.mapping.items():
        if name not in known:
            wrong[name] = f"There is no field {name[:60]!r}; there are {', '.join(sorted(known))}."
        elif not path.startswith("=") and path != "*" and (column := _parts(path)[0]) not in columns:
            wrong[name] = f"There is no column {column[:60]!r}; there are {', '.join(sorted(columns))[:300]}."
    for name in NEEDED[rules.kind]:
        if not rules.mapping.get(name):
            wrong.setdefault(name, "Say which column it is, or =words for the same everywhere.")
    rated = any(name.startswith(RATING) or name == "stars" for name, path in rules.mapping.items() if path)
    if rules.kind == "reviews" and not rated:
        wrong.setdefault("stars", "Say which columns hold ratings, or stars; =3 gives all rows three stars.")
    low, high = rules.scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        wrong["scale"] = "Write the lowest and the highest value, such as 1 and 5."
    return wrong


def _parts(path: str) -> list[str]:
    return [part.replace("\\.", ".") for part in _SPLIT.split(path)]


def document_values(record: Mapping[str, Any], mapping: Mapped) -> dict[str, str]:
    """The article's fields. Raises Unreadable."""
    return {
        name: _text(name, _value(record, path, "")) for name in DOCUMENT_FIELDS if (path := mapping.get(name))
    }


def expanded(record: Mapping[str, Any], mapping: Mapped) -> Iterator[dict[str, Any]]:
    """Field → value, once, or once for each key of what `*` runs over."""
    fields = {name: path for name, path in mapping.items() if path and name not in DOCUMENT_FIELDS}
    starred = [
        path for path in fields.values() if "*" in _parts(path) and path != "*" and not path.startswith("=")
    ]
    for star in _keys(record, starred[0]) if starred else [""]:
        yield {name: _value(record, path, star) for name, path in fields.items()}


def _keys(record: Mapping[str, Any], path: str) -> list[str]:
    inside: Any = record
    for part in _parts(path):
        if part == "*":
            if isinstance(inside, dict):
                return [str(key) for key in inside]
            return [str(place) for place in range(len(inside))] if isinstance(inside, list) else []
        inside = inside.get(part) if isinstance(inside, dict) else None
    return []


def _value(record: Mapping[str, Any], path: str, star: str) -> Any:
    if path.startswith("="):
        return path[1:]
    if path == "*":
        return star
    inside: Any = record
    for part in _parts(path):
        key = star if part == "*" else part
        if isinstance(inside, dict):
            inside = inside.get(key)
        elif isinstance(inside, list) and key.isdecimal() and len(key) < 10 and int(key) < len(inside):
            inside = inside[int(key)]
        else:
            return None
    return inside


# ---------------------------------------------------------------- what values mean


def rated_row(number: int, values: Mapping[str, Any], rules: Rules) -> RatedRow:
    """Raises Unreadable."""
    rounded = 0
    ratings = {}
    for name, value in values.items():
        if name.startswith(RATING):
            ratings[name.removeprefix(RATING)], off = points(name, value, rules)
            rounded += off
    overall_from_ratings = values.get("stars") in (None, "")
    if overall_from_ratings:
        if not ratings:
            raise Unreadable("stars", "There are neither ratings nor stars.")
        stars = half_up(sum(ratings.values()) / len(ratings))
    else:
        stars, off = points("stars", values["stars"], rules)
        rounded += off
    verdict = _text("verdict", values.get("verdict")).strip().lower()
    if verdict not in ("", "good", "fair", "poor"):
        raise Unreadable("verdict", f"{verdict[:40]!r} is none of good, fair, poor.")
    summary = _needed("summary", values)
    return RatedRow(
        number=number, summary=summary, system=_text("system", values.get("system")).strip(),
        rater=_rater(values, rules), ratings=ratings, stars=stars, verdict=verdict or verdict_of(stars),
        overall_from_ratings=overall_from_ratings,
        edited_text=_text("edited_text", values.get("edited_text")).strip() or summary,
        comment=_text("comment", values.get("comment")).strip(), at=_instant(values.get("at")), rounded=rounded,
    )  # fmt: skip


def pair_row(number: int, values: Mapping[str, Any], rules: Rules) -> PairRow:
    """Raises Unreadable."""
    said = _needed("choice", values)
    known = {word: choice for choice, words in _CHOICES.items() for word in words} | rules.choices
    choice = known.get(said) or known.get(said.lower())
    if choice not in _CHOICES:
        raise Unreadable("choice", f"{said[:40]!r} is none of {', '.join(_CHOICES)}; say what it means.")
    strength = None
    if values.get("strength") not in (None, "") and choice in ("before", "after"):
        strength = _number("strength", values["strength"])
        if strength not in (1, 2, 3):
            raise Unreadable("strength", "From 1 to 3.")
    before, after = _needed("before", values), _needed("after", values)
    if before == after:
        raise Unreadable("after", "Both summaries are the same.")
    return PairRow(
        number=number, before=before, after=after,
        before_system=_text("before_system", values.get("before_system")).strip(),
        after_system=_text("after_system", values.get("after_system")).strip(),
        rater=_rater(values, rules), choice=choice, strength=None if strength is None else int(strength),
        comment=_text("comment", values.get("comment")).strip(), at=_instant(values.get("at")),
    )  # fmt: skip


def row_of(number: int, values: Mapping[str, Any], rules: Rules) -> RatedRow | PairRow:
    """Raises Unreadable."""
    return (rated_row if rules.kind == "reviews" else pair_row)(number, values, rules)


def verdict_of(stars: int) -> str:
    return "good" if stars >= 4 else "fair" if stars == 3 else "poor"


def half_up(value: float) -> int:
    return math.floor(value + 0.5)


def points(name: str, value: Any, rules: Rules) -> tuple[int, bool]:
    """(1–5, whether it was rounded), from the file's scale in a straight line. Raises Unreadable."""
    number = _number(name, value)
    low, high = rules.scale
    if not low <= number <= high:
        raise Unreadable(name, f"{number:g} is not from {low:g} to {high:g}.")
    exact = 1 + 4 * (number - low) / (high - low)
    whole = half_up(exact)
    between = abs(exact - round(exact)) > 1e-9
    if between and not rules.rounding:
        raise Unreadable(name, f"{number:g} lies between two points; allow rounding to take the nearest.")
    return whole, between


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or value is None or value == "":
        raise Unreadable(name, "There is no value." if value in (None, "") else "It is not a number.")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(name, f"{str(value)[:40]!r} is not a number.") from None
    if not math.isfinite(number):
        raise Unreadable(name, "It is not a number.")
    return number


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    if isinstance(value, dict | list | bytes):
        raise Unreadable(name, "It is not text.")
    return str(value)


def _needed(name: str, values: Mapping[str, Any]) -> str:
    text = _text(name, values.get(name)).strip()
    if not text:
        raise Unreadable(name, "There is no text.")
    return text


def _rater(values: Mapping[str, Any], rules: Rules) -> str:
    said = _needed("rater", values)
    return rules.raters.get(said, said)


def _instant(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise Unreadable("at", f"{str(value)[:40]!r} is no time, such as 2026-11-24T09:30:00Z.") from None
    if not 1970 <= at.year < 2200:  # others are mistakes, and the ends of the calendar no instants everywhere
        raise Unreadable("at", f"{at.year} is no year of a rating.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
