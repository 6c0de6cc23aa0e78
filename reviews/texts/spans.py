"""Places in a text: what browsers count, what we keep, and what a reader takes for one character. Pure.

We count Unicode code points, end exclusive. A browser counts UTF-16 units: an emoji is two or more of them. A reader
sees grapheme clusters (Unicode UAX #29): a letter with its marks, a flag, a family of emoji. A span that cuts through
one would mark half a character.
"""

from __future__ import annotations

from collections.abc import Iterable

import regex

from models_app.texts.sentences import sentence_spans

_CLUSTER = regex.compile(r"\X")

Span = tuple[int, int]


def from_utf16(text: str, offset: int) -> int:
    """The offset in code points of an offset in UTF-16 units; one inside a surrogate pair is taken for its beginning.
    Raises ValueError outside the text."""
    units = text.encode("utf-16-le")
    if not 0 <= offset <= len(units) // 2:
        raise ValueError(f"{offset} lies outside a text of {len(units) // 2} UTF-16 units")
    return len(units[: 2 * offset].decode("utf-16-le", errors="ignore"))


def snapped(text: str, start: int, end: int) -> Span:
    """The smallest span of whole characters, as a reader sees them, around this one, without white space at either end.

    Raises ValueError where it lies outside the text or holds nothing but white space.
    """
    if not 0 <= start < end <= len(text):
        raise ValueError(f"{start}–{end} is no stretch of a text of {len(text)} characters")
    first = max(text.rfind("\n", 0, start), 0)  # a line break always begins a cluster of its own
    for cluster in _CLUSTER.finditer(text, first):
        if cluster.start() <= start < cluster.end():
            start = cluster.start()
        if cluster.end() >= end:
            end = cluster.end()
            break
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        raise ValueError("nothing but white space is marked")
    return start, end


def quotes(text: str, start: int, end: int, quote: str) -> bool:
    """Whether `quote` is what stands there: a mark made on another version of a text is found out."""
    return 0 <= start < end <= len(text) and text[start:end] == quote


def sentences(text: str) -> list[Span]:
    """Ordered, disjoint, without white space at either end."""
    return sentence_spans(text)


def sentence_at(sentences: Iterable[Span], offset: int) -> Span | None:
    """The sentence in which an offset lies; for one between two, the earlier."""
    found = None
    for start, end in sentences:
        if start > offset and found is not None:
            break
        found = (start, end)
        if offset < end:
            break
    return found
