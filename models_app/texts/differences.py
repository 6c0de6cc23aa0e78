"""Word differences of two texts, for pages. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Indel

TOKEN = re.compile(r"\s+|\w+(?:[.,'’]\w+)*|[^\w\s]", re.UNICODE)

Kind = Literal["same", "deleted", "inserted"]


@dataclass(frozen=True)
class Part:
    kind: Kind
    text: str


def word_difference(before: str, after: str) -> list[Part]:
    """Parts in reading order; deleted and same parts joined give `before`, inserted and same parts give `after`."""
    old, new = TOKEN.findall(before), TOKEN.findall(after)
    parts: list[Part] = []
    for code in Indel.opcodes(old, new):
        deleted, inserted = (
            "".join(old[code.src_start : code.src_end]),
            "".join(new[code.dest_start : code.dest_end]),
        )
        if code.tag == "equal":
            parts.append(Part("same", deleted))
        else:
            if deleted:
                parts.append(Part("deleted", deleted))
            if inserted:
                parts.append(Part("inserted", inserted))
    return _tidy(parts)


def _tidy(parts: list[Part]) -> list[Part]:
    """Join neighbours of a kind; put deletions before insertions between two equal stretches; a lone space between
    two changes belongs to the changes, so that a changed phrase reads as one."""
    tidy: list[Part] = []
    deleted = inserted = ""
    for index, part in enumerate(parts):
        if part.kind == "deleted":
            deleted += part.text
        elif part.kind == "inserted":
            inserted += part.text
        elif part.text.isspace() and (deleted or inserted) and index + 1 < len(parts):
            deleted, inserted = deleted + part.text, inserted + part.text
        else:
            tidy += [Part("deleted", deleted)] if deleted else []
            tidy += [Part("inserted", inserted)] if inserted else []
            deleted = inserted = ""
            tidy.append(part)
    tidy += [Part("deleted", deleted)] if deleted else []
    tidy += [Part("inserted", inserted)] if inserted else []
    return tidy


def around_changes(parts: list[Part], words: int) -> list[Part]:
    """What lies further than `words` words from a change is left out: " … " stands in its place. Empty where nothing
    changed."""
    if all(part.kind == "same" for part in parts):
        return []
    shown: list[Part] = []
    for index, part in enumerate(parts):
        if part.kind != "same":
            shown.append(part)
            continue
        tokens = re.findall(r"\s+|\S+", part.text)
        after = 0 if index == 0 else 2 * words
        before = 0 if index == len(parts) - 1 else 2 * words
        if len(tokens) <= after + before + 3:
            shown.append(part)
            continue
        head, tail = "".join(tokens[:after]).rstrip(), "".join(tokens[len(tokens) - before :]).lstrip()
        shown.append(Part("same", f"{head} … {tail}"))
    return shown
