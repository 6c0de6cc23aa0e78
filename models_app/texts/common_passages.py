"""Where two texts say the same, word for word, for people to see. Pure.

Words are read as in `near_duplicates`, so that capitals, invisible characters and letters that look alike hide
nothing; what is shown is the text as it is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from models_app.texts.near_duplicates import SHINGLE_WORDS, UNSPACED, plain

Spans: TypeAlias = list[tuple[int, int]]

_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_WORD = re.compile(r"[^\W_]+")
#: Characters of an excerpt, and what of them stands before the passage.
EXCERPT = 280
_BEFORE = 60


@dataclass(frozen=True)
class Stretch:
    text: str
    common: bool


def common_passages(one: str, other: str) -> tuple[Spans, Spans]:
    """(start, end) of the passages of each that stand in the other: three words in a row or more, in characters."""
    mine, theirs = _words(one), _words(other)
    return _spans(mine, _shingles(theirs)), _spans(theirs, _shingles(mine))


def _words(text: str) -> list[tuple[str, int, int]]:
    """(word, start, end) of the token that it is in"""
    return [
        (word, token.start(), token.end())
        for token in _TOKEN.finditer(text)
        for word in _WORD.findall(plain(token[0]))
    ]


def _shingles(words: Sequence[tuple[str, int, int]]) -> set[tuple[str, ...]]:
    return set(_in_a_row(words))


def _in_a_row(words: Sequence[tuple[str, int, int]]) -> list[tuple[str, ...]]:
    width = min(SHINGLE_WORDS, len(words))
    count = len(words) - width + 1 if width else 0
    return [tuple(word for word, _, _ in words[place : place + width]) for place in range(count)]


def _spans(words: Sequence[tuple[str, int, int]], others: set[tuple[str, ...]]) -> Spans:
    spans: Spans = []
    end = -1  # of the last passage, in words
    for place, shingle in enumerate(_in_a_row(words)):
        if shingle not in others:
            continue
        last = place + len(shingle)
        if spans and place <= end:
            spans[-1] = spans[-1][0], words[last - 1][2]
        else:
            spans.append((words[place][1], words[last - 1][2]))
        end = last
    return spans


def stretches(text: str, spans: Spans) -> list[Stretch]:
    """The text in parts, in reading order; joined they are the text."""
    borders = [0, *itertools.chain.from_iterable(spans), len(text)]
    parts = [Stretch(text[a:b], place % 2 == 1) for place, (a, b) in enumerate(itertools.pairwise(borders))]
    return [part for part in parts if part.text]


def excerpt(text: str, spans: Spans) -> str:
    """The longest passage with a little of what stands before it, on one line, at most EXCERPT characters."""
    start, end = max(spans, key=lambda span: span[1] - span[0], default=(0, 0))
    first = max(0, start - _BEFORE)
    last = min(len(text), max(end + _BEFORE, first + EXCERPT))
    words = " ".join(text[first:last].split())
    words = f"{'… ' if first else ''}{words}{' …' if last < len(text) else ''}"
    return words if len(words) <= EXCERPT else f"{words[: EXCERPT - 2].rstrip()} …"
