"""@names in a text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# What Django lets a username be made of; an e-mail address is no mention.
_NAME = re.compile(r"(?<![\w@.+-])@([\w.@+-]{1,150})", re.UNICODE)
_TRAILING = ".+-@"


@dataclass(frozen=True)
class Piece:
    """`name` is the username where the piece is a mention."""

    text: str
    name: str = ""


def _spellings(raw: str) -> list[str]:
    """'ruben.' may be the name or end a sentence: the longest first."""
    names = [raw]
    while names[-1] and names[-1][-1] in _TRAILING:
        names.append(names[-1][:-1])
    return [name for name in names if name]


def named_in(text: str) -> list[str]:
    """Every spelling that may be a username, in reading order, each once."""
    return list(dict.fromkeys(name for found in _NAME.finditer(text) for name in _spellings(found[1])))


def pieces(text: str, usernames: Iterable[str]) -> list[Piece]:
    """The text in pieces, in which the given usernames are mentions; joined, they give the text again."""
    known = set(usernames)
    parts: list[Piece] = []
    at = 0
    for found in _NAME.finditer(text):
        name = next((name for name in _spellings(found[1]) if name in known), "")
        if not name:
            continue
        if found.start() > at:
            parts.append(Piece(text[at : found.start()]))
        at = found.start() + 1 + len(name)
        parts.append(Piece(text[found.start() : at], name))
    if at < len(text):
        parts.append(Piece(text[at:]))
    return parts
