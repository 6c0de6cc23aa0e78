"""Which texts are nearly the same: MinHash over word shingles. Pure: knows no database and no Django.

A text is read as its words, without what can be changed and leave it the same to a reader: case, accents, compatibility
forms, punctuation, spaces, invisible characters, HTML. Three words in a row are a shingle, kept as a 64-bit hash; what
two texts have in common is counted on these sets. Whom to compare with is found by sketches, the lowest hashes of a
text (bottom-k MinHash: Broder 1997, "On the resemblance and containment of documents", section 4). Texts with three of
their 16 lowest hashes in common are candidates; their sketches of 64 tell how much they would have in common, give or
take; and those that could be near are counted out on all their shingles.

Bottom-k sketches and not the bands of k hash functions, for two reasons. One hash of each shingle is enough, where
datasketch computes 128 (benchmarks/near_duplicates.py measures both). And they find what contains: of an article and
its half, the half's share of the hashes are common; bands, made for equal sets, miss them.

Chances to miss a pair: 1e-8 where 80 % of all shingles are common (Jaccard), 0.2 % at a half, 6 % at a third.
"""

from __future__ import annotations

import html
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]

SHINGLE_WORDS = 3
#: Hashes that a text is found by, and those that say how like it is.
LOOKED_UP = 16
SKETCH = 64
#: So many of the first have to be common for two texts to be compared.
SHARED_HASHES = 3
#: Two texts are nearly the same where the shorter one has at least this share of its shingles in the other …
SHARE = 0.65
#: … and they make up at least this share of the longer one. Without it a notice that ends every article would be the
#: twin of all of them.
LEAST_OF_LONGER = 0.25
#: Of each hash only so many texts are looked at. A phrase that thousands share tells nothing; of thousands of copies
#: of one text the first ones are enough.
MOST_OF_A_HASH = 50
_DEVIATIONS = 3.5  # that a sketch may be off by chance: two in ten thousand are more
_AT_ONCE = 1 << 14  # characters: their arrays stay in the processor's cache

_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_GAP, _LETTER, _ALONE = range(3)
_APOSTROPHES = {ord("'"): None, ord("`"): None}
# Scripts without spaces between words: each character counts as a word.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
_BASE = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_PLACES = np.array(
    [0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB], dtype=np.uint64
)  # of a shingle's words


# ---------------------------------------------------------------- the words


def plain(text: str) -> str:
    """The text with HTML, compatibility forms, accents, apostrophes, invisible characters and case taken off."""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if text.isascii():
        return text.translate(_APOSTROPHES).lower()
    return _nothing().sub("", unicodedata.normalize("NFKD", text).casefold())


@cache
def _nothing() -> re.Pattern[str]:
    """What is part of a word and not told apart: marks, invisible characters, apostrophes."""
    codes = [
        code
        for code in (*range(0x80, 0x3000), *range(0xA000, 0xD800), *range(0xF900, 0x10000))
        if unicodedata.category(chr(code)) in ("Mn", "Me", "Mc", "Cf")
    ]
    return re.compile("[" + re.escape("".join(map(chr, codes)) + "'`´ʼ‘’") + "\U000e0000-\U000e01ef]")


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What each code point is: a gap, a part of a word, or a word of its own."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for code in (*range(0x3000), *range(0xA000, 0xD800), *range(0xF900, 0x20000)):
        if chr(code).isalnum():
            kinds[code] = _LETTER
    for first, last in _UNSPACED:
        letters = kinds[first : last + 1]
        letters[(letters == _LETTER) | (first >= 0x3000)] = _ALONE
    return kinds


@cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse, modulo 2^64."""
    with np.errstate(over="ignore"):
        inverse = pow(_BASE, -1, 1 << 64)
        pair = []
        for base in (_BASE, inverse):
            row = np.full(count, base, dtype=np.uint64)
            row[0] = 1
            pair.append(np.multiply.accumulate(row))
    return pair[0], pair[1]


def _word_hashes(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """(hash of each word of all texts in order, where the words of each text begin, with the end of the last).

    A word's hash is a polynomial of its characters: the difference of two prefix sums, moved to the first power."""
    joined = "\n".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    borders = np.cumsum([0, *(len(text) + 1 for text in texts)])
    kinds = np.zeros(len(codes) + 2, dtype=np.uint8)  # a gap before the first and after the last
    _kinds().take(codes, out=kinds[1:-1])
    word, alone = kinds != _GAP, kinds == _ALONE
    parted = ~(word[1:] & word[:-1]) | alone[1:] | alone[:-1]  # between each character and the one before it
    starts = np.flatnonzero(word[1:-1] & parted[:-1])
    ends = np.flatnonzero(word[1:-1] & parted[1:]) + 1
    powers, inverses = _powers(1 << max(18, len(codes).bit_length()))
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
    return (sums[ends] - sums[starts]) * inverses[starts], np.searchsorted(starts, borders)


def _mixed(hashes: Hashes) -> Hashes:
    """Every bit depends on every other (the finaliser of splitmix64): the lowest are a fair sample."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(_MIX[0])
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(_MIX[1])
    return hashes ^ (hashes >> np.uint64(31))


# ---------------------------------------------------------------- shingles and sketches


def shingles(texts: Iterable[str]) -> Iterator[Hashes]:
    """Of each text the hashes of its shingles, sorted, each once. A text of fewer words than a shingle has one."""
    waiting: list[str] = []
    size = 0
    for text in texts:
        waiting.append(plain(text))
        size += len(waiting[-1])
        if size >= _AT_ONCE:
            yield from _shingles(waiting)
            waiting, size = [], 0
    yield from _shingles(waiting)


def _shingles(texts: Sequence[str]) -> Iterator[Hashes]:
    if not texts:
        return
    words, borders = _word_hashes(texts)
    for first, end in itertools.pairwise(borders.tolist()):
        yield _of_words(words[first:end])


def _of_words(words: Hashes) -> Hashes:
    width = min(SHINGLE_WORDS, len(words))
    count = len(words) - width + 1 if width else 0
    whole = np.zeros(count, dtype=np.uint64)
    for place in range(width):
        whole += words[place : place + count] * _PLACES[place]
    whole = _mixed(whole)
    whole.sort()
    return _once(whole)


def _once(ordered: Hashes) -> Hashes:
    fresh = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return ordered[fresh]


def sketch(shingles: Hashes) -> Hashes:
    return shingles[:SKETCH]


# ---------------------------------------------------------------- what two texts have in common


@dataclass(frozen=True)
class Likeness:
    """How many shingles two texts have in common, and how many each has."""

    common: int
    one: int
    other: int

    @property
    def share(self) -> float:
        """Of the shorter one, in the other: 1 where all of it is there."""
        return self.common / max(1, min(self.one, self.other))

    @property
    def near(self) -> bool:
        """Holds wherever Jaccard is 0.8 or more, and for a text that is a part of the other, or was changed more."""
        return self.share >= SHARE and self.common >= LEAST_OF_LONGER * max(self.one, self.other)


def likeness(one: Hashes, other: Hashes) -> Likeness:
    shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
    if not len(shorter):
        return Likeness(0, len(one), len(other))
    places = np.minimum(np.searchsorted(longer, shorter), len(longer) - 1)
    return Likeness(int(np.count_nonzero(longer[places] == shorter)), len(one), len(other))


# ---------------------------------------------------------------- whom to compare with


def looked_up(sketch: Hashes) -> Hashes:
    """The hashes of a sketch that another text is found by."""
    return sketch[:LOOKED_UP]


def candidates(shared: int, one: Hashes, other: Hashes) -> bool:
    """Whether two texts are to be counted out, by their sketches and how many hashes that they are found by they share.

    Below the highest hash of the sketch that ends first, both are whole samples of the same shingles."""
    if not shared or shared < min(SHARED_HASHES, len(one), len(other)):
        return False
    ends = [row[-1] for row in (one, other) if len(row) == SKETCH]
    if ends:
        one, other = (row[: np.searchsorted(row, min(ends), side="right")] for row in (one, other))
    like = likeness(one, other)
    shorter, longer = sorted((like.one, like.other))
    return like.common >= _least(SHARE, shorter) and like.common >= _least(LEAST_OF_LONGER, longer)


def _least(share: float, count: int) -> float:
    return share * count - _DEVIATIONS * math.sqrt(share * (1 - share) * count)


class Index:
    """Texts, by their shingles, among which near duplicates are found. Does not change."""

    def __init__(self, texts: Sequence[Hashes]) -> None:
        self._texts = texts
        found_by = [looked_up(text) for text in texts]
        hashes = np.concatenate(found_by) if found_by else np.empty(0, dtype=np.uint64)
        owners = np.repeat(np.arange(len(texts)), [len(row) for row in found_by])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def near(self, text: Hashes) -> list[tuple[int, Likeness]]:
        """(place in the index, likeness) of all that are near duplicates of it, the likest first."""
        wanted = looked_up(text)
        first = np.searchsorted(self._hashes, wanted)
        last = np.minimum(np.searchsorted(self._hashes, wanted, side="right"), first + MOST_OF_A_HASH)
        shared = Counter(
            owner
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
            if b > a
            for owner in self._owners[a:b].tolist()
        )
        near = [
            (place, like)
            for place, count in shared.items()
            if candidates(count, sketch(text), sketch(self._texts[place]))
            and (like := likeness(text, self._texts[place])).near
        ]
        return sorted(near, key=lambda row: (-row[1].share, row[0]))
