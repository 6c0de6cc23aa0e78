"""What a person changed in a draft, change by change; each can be taken back alone. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from models_app.texts.differences import Part, word_difference
from models_app.texts.measures import words
from reviews.texts.grounding import FUNCTION_WORDS

ErrorType = Literal[
    "unsupported fact",
    "wrong entity or number",
    "omission",
    "redundancy",
    "unclear",
    "grammar",
    "tone",
    "personal data",
]

Severity = Literal["minor", "major", "critical"]
Side = Literal["summary", "source"]
_ISLAND_WORDS = 2
_STOP = re.compile(r"[.!?。！？।]")


def words_of(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


NEGATIONS = words_of("not no never nor without cannot n't")


@dataclass(frozen=True)
class Label:
    """A suggested error mark: offsets count code points of the draft, or of the source where `side` says so."""

    error_type: ErrorType
    severity: Severity
    start: int
    end: int
    quote: str
    side: Side = "summary"


@dataclass(frozen=True)
class Change:
    """draft[start:end], which is `old`, became edited[edited_start:edited_end], which is `new`."""

    start: int
    end: int
    old: str
    edited_start: int
    edited_end: int
    new: str
    label: Label | None = None


def find_changes(draft: str, edited: str) -> list[Change]:
    """The single changes, in reading order, disjoint, without labels. None for equal texts."""
    changes: list[Change] = []
    at = edited_at = 0
    parts = _joined(word_difference(draft, edited))
    for kind, group in itertools.groupby(parts, key=lambda part: part.kind == "same"):
        texts = list(group)
        old = "".join(part.text for part in texts if part.kind != "inserted")
        new = "".join(part.text for part in texts if part.kind != "deleted")
        if not kind:
            changes.append(Change(at, at + len(old), old, edited_at, edited_at + len(new), new))
        at, edited_at = at + len(old), edited_at + len(new)
    return [
        _slid(change, draft, edited, before)
        for before, change in zip([None, *changes], changes, strict=False)
    ]


def _slid(change: Change, draft: str, edited: str, before: Change | None) -> Change:
    """What was only taken out or only put in can often be told in several ways ("a b. a c." to "a c."): the one that
    begins and ends with a sentence, else with a word, reads best."""
    if bool(change.old) == bool(change.new):
        return change
    if change.old:
        text, start, end, least = draft, change.start, change.end, before.end if before else 0
    else:
        text, start, end = edited, change.edited_start, change.edited_end
        least = before.edited_end if before else 0
    best, most = 0, _begins_well(text, start)
    shift = 0
    while start + shift > least and text[start + shift - 1] == text[end + shift - 1]:
        shift -= 1
        if (score := _begins_well(text, start + shift)) > most:
            best, most = shift, score
    moved = text[start + best : end + best]
    return replace(
        change,
        start=change.start + best,
        end=change.end + best,
        edited_start=change.edited_start + best,
        edited_end=change.edited_end + best,
        old=moved if change.old else "",
        new=moved if change.new else "",
    )


def _begins_well(text: str, place: int) -> int:
    before = text[:place].rstrip()[-1:]
    if not before or _STOP.match(before):
        return 3
    if text[place : place + 1] in ",;(–—":
        return 2
    return 1 if text[place - 1 : place].isspace() or text[place : place + 1].isspace() else 0


def _joined(parts: Sequence[Part]) -> list[Part]:
    """A word or two of mere grammar between two larger changes belong to them: "a cut in rent" is one change."""
    joined: list[Part] = []
    for index, part in enumerate(parts):
        if part.kind == "same" and _is_island(part.text) and _in_the_midst(parts, index):
            joined += [Part("deleted", part.text), Part("inserted", part.text)]
        else:
            joined.append(part)
    return joined


def _is_island(text: str) -> bool:
    found = words(text)
    return (
        0 < len(found) <= _ISLAND_WORDS
        and all(word in FUNCTION_WORDS and word not in NEGATIONS for word in found)
        and not _STOP.search(text)
    )


def _in_the_midst(parts: Sequence[Part], index: int) -> bool:
    """Between two changes, one of them of several words: two slips of the pen stay two changes."""
    before = [part for part in parts[max(0, index - 2) : index] if part.kind != "same"]
    after = [
        part
        for part, previous in zip(parts[index + 1 : index + 3], parts[index : index + 2], strict=False)
        if part.kind != "same" and (previous is parts[index] or previous.kind != "same")
    ]
    if index >= 2 and before and parts[index - 1].kind == "same":
        before = []
    longest = max((len(words(part.text)) for part in [*before, *after]), default=0)
    return bool(before) and bool(after) and longest > 1
