"""Which texts are nearly the same: MinHash over word shingles. Pure: knows no database and no Django.

A text is read as its words, without what can be changed and leave it the same to a reader: case, accents, compatibility
forms, letters that look alike, punctuation, spaces, invisible characters, HTML. Three words in a row are a shingle,
kept as a 64-bit hash; what two texts have in common is counted on these sets. Whom to compare with is found by
sketches, the lowest hashes of a text (bottom-k MinHash: Broder 1997, "On the resemblance and containment of documents",
section 4). Texts with two of their 16 lowest hashes in common are candidates; their sketches of 64 tell how much they
would have in common, give or take; and those that could be near are counted out on all their shingles.

Bottom-k sketches and not the bands of k hash functions, for two reasons. One hash of each shingle is enough, where
datasketch computes 128 (benchmarks/near_duplicates.py measures both). And they find what contains: of an article and
its half, the half's share of the hashes are common; bands, made for equal sets, miss them.

Chances to miss a pair: 1e-9 where 80 % of all shingles are common (Jaccard), 0.03 % at a half, 1.4 % at a third.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models_app.texts.lookalikes import in_latin

Hashes: TypeAlias = npt.NDArray[np.uint64]
Places: TypeAlias = npt.NDArray[np.int64]

SHINGLE_WORDS = 3
#: Hashes that a text is found by, and those that say how like it is.
LOOKED_UP = 16
SKETCH = 64
#: So many of the first have to be common for two texts to be compared.
SHARED_HASHES = 2
#: Two texts are nearly the same where the shorter one has at least this share of its shingles in the other …
SHARE = 0.65
#: … and they make up at least this share of the longer one. Without it a notice that ends every article would be the
#: twin of all of them.
LEAST_OF_LONGER = 0.25
#: Of each hash only so many texts are looked at. A phrase that thousands share tells nothing; of thousands of copies
#: of one text the first ones are enough.
MOST_OF_A_HASH = 50
_OWNER_BITS = 48  # of a pair's number: the rest is the text's
_FILLED = np.uint64(0xFFFFFFFFFFFFFFFF)  # of a sketch of fewer hashes
_PAIRS_AT_ONCE = 512
_TEXTS_AT_ONCE = 500
_DEVIATIONS = 3.5  # that a sketch may be off by chance: two in ten thousand are more
_AT_ONCE = 1 << 15  # characters: their arrays stay in the processor's cache

_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_GAP, _LETTER, _ALONE = range(3)
# What is no part of a word, such as dashes and quotation marks: without them most texts are ASCII, which costs less.
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_DASHES = re.compile(r"[^\w\x00-\x7f\u3000-\U0010ffff]+")
# What compatibility forms would make something else of than a reader sees: blank letters of Hangul, lunate sigmas.
_BEFORE = (("\u3164", " "), ("\uffa0", " "), ("\u03f2", "c"), ("\u03f9", "C"))
_FILLERS = (0x115F, 0x1160)
# Scripts without spaces between words: each character counts as a word.
UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
_BASE = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_BYTES = 8  # that are hashed at a time
_LONG = 128  # bytes: what is longer is no word, and is hashed by itself
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(_BYTES + 1)], dtype=np.uint64)  # of so many bytes
_PLACES = np.array(
    [0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB], dtype=np.uint64
)  # of a shingle's words


# ---------------------------------------------------------------- the words


def plain(text: str) -> str:
    """The text with HTML, compatibility forms, look-alikes, accents, apostrophes, invisible characters and case taken
    off."""
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if text.isascii():
        return text.replace("'", "").replace("`", "").lower()
    for seen, meant in _BEFORE:
        text = text.replace(seen, meant)
    text = unicodedata.normalize("NFKD", text).replace("'", "").replace("`", "")
    text = _NOT_ASCII.sub(_in_words, text)
    return text.lower() if text.isascii() else in_latin(text)


def _in_words(found: re.Match[str]) -> str:
    return _DASHES.sub(" ", _nothing().sub("", found[0]))


@cache
def _nothing() -> re.Pattern[str]:
    """What is part of a word and not told apart: marks, invisible characters, apostrophes."""
    codes = [
        code
        for code in (*range(0x80, 0x3000), *range(0xA000, 0xD800), *range(0xF900, 0x10000))
        if unicodedata.category(chr(code)) in ("Mn", "Me", "Mc", "Cf") or code in _FILLERS
    ]
    return re.compile("[" + re.escape("".join(map(chr, codes)) + "´ʼ‘’") + "\U000e0000-\U000e01ef]")


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What each code point is: a gap, a part of a word, or a word of its own."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for code in (*range(0x3000), *range(0xA000, 0xD800), *range(0xF900, 0x20000)):
        if chr(code).isalnum():
            kinds[code] = _LETTER
    for first, last in UNSPACED:
        letters = kinds[first : last + 1]
        letters[(letters == _LETTER) | (first >= 0x3000)] = _ALONE
    return kinds


def _words(text: str) -> tuple[bytes, Places, Places]:
    """(the text in UTF-8, at which bytes its words begin, and end)"""
    if text.isascii():
        written = text.encode()
        word = np.zeros(len(written) + 2, dtype=np.bool_)  # a gap before the first and after the last
        word[1:-1] = np.frombuffer(written.translate(_ascii_letters()), dtype=np.bool_)
        borders = np.flatnonzero(word[1:] != word[:-1])
        return written, borders[::2], borders[1::2]
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = np.zeros(len(codes) + 2, dtype=np.uint8)
    _kinds().take(codes, out=kinds[1:-1])
    word, alone = kinds != _GAP, kinds == _ALONE
    parted = ~(word[1:] & word[:-1]) | alone[1:] | alone[:-1]  # between each character and the one before it
    starts = np.flatnonzero(word[1:-1] & parted[:-1])
    ends = np.flatnonzero(word[1:-1] & parted[1:]) + 1
    places = np.zeros(len(codes) + 1, dtype=np.int64)  # of each character, in bytes
    np.cumsum(1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF), out=places[1:])
    return text.encode("utf-8", "surrogatepass"), places[starts], places[ends]


@cache
def _ascii_letters() -> bytes:
    """1 for bytes that are part of a word."""
    return bytes(_kinds()[:256] * (np.arange(256) < 128) != _GAP)


def _word_hashes(texts: Sequence[str]) -> tuple[Hashes, list[int]]:
    """(hash of each word of all texts in order, where the words of each text begin, with the end of the last)"""
    joined = "\n".join(texts)
    written, starts, ends = _words(joined)
    lengths = ends - starts
    # Eight bytes from each byte on, as a number: a word is hashed eight bytes at a time.
    eights = np.ndarray(
        len(written) + 1, dtype="<u8", buffer=written + b"\0" * _BYTES, strides=(1,)
    )  # fmt: skip
    hashes = _block(eights, starts, lengths)
    _mix(hashes)
    longer = np.flatnonzero(lengths > _BYTES)
    for place in range(_BYTES, _LONG, _BYTES):
        if not len(longer):
            break
        more = hashes[longer]
        more ^= _block(eights, starts[longer] + place, lengths[longer] - place)
        _mix(more)
        hashes[longer] = more
        longer = longer[lengths[longer] > place + _BYTES]
    for place in longer.tolist():  # no words
        whole = hashlib.blake2b(written[starts[place] : ends[place]], digest_size=_BYTES)
        hashes[place] = int.from_bytes(whole.digest(), "little")
    if len(written) == len(joined):
        sizes = [len(text) for text in texts]
    else:
        sizes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    borders = np.cumsum([0, *(size + 1 for size in sizes)])
    return hashes, np.searchsorted(starts, borders).tolist()


def _block(eights: Hashes, starts: Places, lengths: Places) -> Hashes:
    """Up to eight bytes of each word, with how many there are."""
    block = eights[starts]
    block &= _MASKS[np.minimum(lengths, _BYTES)]
    block += lengths.astype(np.uint64) * np.uint64(_BASE)
    return block


def _mix(hashes: Hashes) -> None:
    """Every bit depends on every other (the finaliser of splitmix64): the lowest are a fair sample."""
    shifted = np.empty_like(hashes)
    for shift, factor in ((30, _MIX[0]), (27, _MIX[1])):
        np.right_shift(hashes, np.uint64(shift), out=shifted)
        hashes ^= shifted
        hashes *= np.uint64(factor)
    np.right_shift(hashes, np.uint64(31), out=shifted)
    hashes ^= shifted


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
    whole = _in_a_row(words, SHINGLE_WORDS)  # those across the border of two texts are left out below
    for first, end in itertools.pairwise(borders):
        if end - first < SHINGLE_WORDS:
            mine = _in_a_row(words[first:end], end - first)
        else:
            mine = whole[first : end - SHINGLE_WORDS + 1]
        mine.sort()
        yield _once(mine)


def _in_a_row(words: Hashes, width: int) -> Hashes:
    """A hash for each so many words in a row."""
    count = max(0, len(words) - width + 1) if width else 0
    whole = np.zeros(count, dtype=np.uint64)
    for place in range(width):
        whole += words[place : place + count] * _PLACES[place]
    _mix(whole)
    return whole


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


@dataclass(frozen=True)
class Meetings:
    """Pairs of a text and an owner of hashes, with how many of those hashes that the text is found by it has."""

    texts: Places
    owners: Places
    shared: Places

    def only(self, chosen: npt.NDArray[np.bool_]) -> Meetings:
        return Meetings(self.texts[chosen], self.owners[chosen], self.shared[chosen])


def meetings(texts: Sequence[Hashes], hashes: Hashes, owners: Places) -> Meetings:
    """Who has enough hashes in common with each text for their sketches to be compared. `hashes` in order, each with
    its owner; of owners of the same hash the first MOST_OF_A_HASH."""
    wanted = [looked_up(text) for text in texts]
    lengths = np.array([len(row) for row in wanted], dtype=np.int64)
    if not len(hashes) or not lengths.sum():
        return Meetings(*(np.empty(0, dtype=np.int64) for _ in range(3)))
    flat = np.concatenate(wanted)
    asked = np.repeat(np.arange(len(texts)), lengths)
    order = np.argsort(flat)  # looked up in order, which stays in the processor's cache
    flat, asked = flat[order], asked[order]
    first = np.searchsorted(hashes, flat)
    counts = np.minimum(np.searchsorted(hashes, flat, side="right") - first, MOST_OF_A_HASH)
    before = np.cumsum(counts) - counts
    places = np.repeat(first - before, counts) + np.arange(counts.sum())
    pairs = (np.repeat(asked, counts) << _OWNER_BITS) | owners[places]
    met, shared = np.unique(pairs, return_counts=True)
    found = Meetings(met >> _OWNER_BITS, met & ((1 << _OWNER_BITS) - 1), shared)
    return found.only(shared >= np.minimum(SHARED_HASHES, lengths[found.texts]))


def stacked(sketches: Sequence[Hashes]) -> Hashes:
    """One row each, filled up at the end."""
    if sketches and min(map(len, sketches)) >= SKETCH:
        return np.concatenate([one[:SKETCH] for one in sketches]).reshape(-1, SKETCH)
    rows = np.full((len(sketches), SKETCH), _FILLED, dtype=np.uint64)
    for row, one in zip(rows, sketches, strict=True):
        row[: len(one)] = one[:SKETCH]
    return rows


def candidates(shared: Places, one: Hashes, other: Hashes) -> npt.NDArray[np.bool_]:
    """Which pairs of texts are to be counted out, by how many hashes that they are found by they share, and their
    sketches, stacked, a row a pair.

    Below the highest hash of the sketch that ends first, both are whole samples of the same shingles."""
    chosen = np.zeros(len(shared), dtype=np.bool_)
    for first in range(0, len(shared), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        chosen[part] = _candidates(shared[part], one[part], other[part])
    return chosen


def _candidates(shared: Places, one: Hashes, other: Hashes) -> npt.NDArray[np.bool_]:
    sizes = [np.count_nonzero(rows != _FILLED, axis=1) for rows in (one, other)]
    enough = shared >= np.minimum(np.minimum(*sizes), SHARED_HASHES)
    end = np.minimum(one[:, -1], other[:, -1])[:, None]  # of a whole sketch, or of none
    both = np.concatenate((one, other), axis=1)
    both.sort(axis=1)
    common = np.count_nonzero(
        (both[:, 1:] == both[:, :-1]) & (both[:, 1:] <= end) & (both[:, 1:] != _FILLED), axis=1
    )
    sizes = [np.count_nonzero((rows <= end) & (rows != _FILLED), axis=1) for rows in (one, other)]
    shorter, longer = np.minimum(*sizes), np.maximum(*sizes)
    likely: npt.NDArray[np.bool_] = (
        enough & (common >= _least(SHARE, shorter)) & (common >= _least(LEAST_OF_LONGER, longer))
    )
    return likely


def _least(share: float, counts: Places) -> npt.NDArray[np.float64]:
    least: npt.NDArray[np.float64] = share * counts - _DEVIATIONS * np.sqrt(share * (1 - share) * counts)
    return least


class Index:
    """Texts, by their shingles, among which near duplicates are found. Does not change."""

    def __init__(self, texts: Sequence[Hashes]) -> None:
        self._texts = texts
        self._sketches = stacked(texts)
        found_by = [looked_up(text) for text in texts]
        hashes = np.concatenate(found_by) if found_by else np.empty(0, dtype=np.uint64)
        owners = np.repeat(np.arange(len(texts)), [len(row) for row in found_by])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def near(self, text: Hashes) -> list[tuple[int, Likeness]]:
        """(place in the index, likeness) of all that are near duplicates of it, the likest first."""
        return self.all_near([text])[0]

    def all_near(self, texts: Sequence[Hashes]) -> list[list[tuple[int, Likeness]]]:
        """The same for each of several, which costs less together."""
        near: list[list[tuple[int, Likeness]]] = [[] for _ in texts]
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[first : first + _TEXTS_AT_ONCE]
            met = meetings(some, self._hashes, self._owners)
            for text, place, like in self._counted_out(some, stacked(some), met):
                near[first + text].append((place, like))
        return [sorted(row, key=lambda row: (-row[1].share, row[0])) for row in near]

    def pairs(self) -> Iterator[tuple[int, int, Likeness]]:
        """Those of the index that are near duplicates of each other, the later one first."""
        met = meetings(self._texts, self._hashes, self._owners)
        return self._counted_out(self._texts, self._sketches, met.only(met.texts > met.owners))

    def _counted_out(
        self, texts: Sequence[Hashes], sketches: Hashes, met: Meetings
    ) -> Iterator[tuple[int, int, Likeness]]:
        met = met.only(candidates(met.shared, sketches[met.texts], self._sketches[met.owners]))
        for text, place in zip(met.texts.tolist(), met.owners.tolist(), strict=True):
            if (like := likeness(texts[text], self._texts[place])).near:
                yield text, place, like
