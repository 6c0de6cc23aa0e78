"""Which texts of a test set stand in texts that were learnt from, and the other way. Pure: no database, no Django.

Two texts are compared by their shingles (`near_duplicates`): three words in a row, without what can be changed and
leave a text the same to a reader. What counts is the share of one that the other has, so that a reference inside a
long article is found as surely as an article that was changed a little (Broder 1997: containment).

No sketch decides here. A text that has half of another has at least a fifth of the rarest seven tenths of its shingles,
whatever these are (the prefix filter of Chaudhuri, Ganti and Kaushik 2006, and Bayardo, Ma and Srikant 2007): only the
rarest are looked up, and those that meet often enough are counted out. So nothing with a half or more is missed, and
phrases that every article has cost nothing. `benchmarks/leakage_speed.py`.

The texts of the test set lie in memory as numbers; learnt texts come in blocks, and are forgotten.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models_app.texts.near_duplicates import LEAST_OF_LONGER, SHINGLE_WORDS, Hashes, likeness, shingles

Counts: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

#: From this share on it is no chance, and a score is worth nothing.
BLOCKS = 0.8
#: From this share on a person should look.
LOOK = 0.5
#: A text of fewer shingles (ten words) says too little to be found in another one: it has to be the same text.
LEAST_SHINGLES = 8
#: A passage of a prompt is an example in it, not an instruction, from this many shingles on.
LEAST_OF_A_PASSAGE = 25
#: Of a text of the test set so many finds are named. One that has as many that block needs no more of them.
NAMED = 5

_RAREST = 0.7
_AT_ONCE = 1 << 22  # meetings counted at a time
_PRUNE = 64


class HeldOut(StrEnum):
    ARTICLE = "article"
    REFERENCE = "reference"


class Learnt(StrEnum):
    DOCUMENT = "same document"  # by its hash: nothing is counted
    ARTICLE = "article"
    SUMMARY = "summary"
    DRAFT = "rejected draft"
    PROMPT = "prompt"
    PASSAGE = "passage of the prompt"

    @property
    def is_prompt(self) -> bool:
        return self in (Learnt.PROMPT, Learnt.PASSAGE)


@dataclass(frozen=True)
class HeldOutText:
    """`document` is whatever names it to the caller, `reference` which of its references this is."""

    document: int
    role: HeldOut
    text: str
    reference: int = 0


@dataclass(frozen=True)
class LearntText:
    """`owner` is whatever names it to the caller."""

    owner: int
    role: Learnt
    text: str


@dataclass(frozen=True)
class Overlap:
    """A text of the test set and a learnt one; shingles in common, and of each."""

    document: int
    held_out: HeldOut
    owner: int
    learnt: Learnt
    share: float
    common: int
    of_held_out: int
    of_learnt: int
    reference: int = 0

    @property
    def words(self) -> int:
        """About how many they have in common."""
        return self.common + SHINGLE_WORDS - 1 if self.common else 0


def share(held_out: HeldOut, learnt: Learnt, common: int, of_held_out: int, of_learnt: int) -> float:
    """How much of one is in the other, 0 to 1; 0 where that would say nothing.

    The held-out text in the learnt one always counts. The other way round, a learnt text that is a part of the other
    counts where it makes up a quarter of it, or is a summary that stands in the article, or a passage of a prompt
    that is longer than an instruction: a notice that ends every article is in all of them.
    """
    shorter = min(of_held_out, of_learnt)
    if not shorter:
        return 0.0
    if shorter < LEAST_SHINGLES:
        articles = held_out is HeldOut.ARTICLE and learnt is Learnt.ARTICLE
        return 1.0 if articles and common == of_held_out == of_learnt else 0.0
    in_learnt = common / of_held_out
    in_held_out = common / of_learnt
    summary_in_article = held_out is HeldOut.ARTICLE and learnt in (Learnt.SUMMARY, Learnt.DRAFT)
    passage = learnt is Learnt.PASSAGE and common >= LEAST_OF_A_PASSAGE
    if learnt is Learnt.PROMPT or not (
        common >= LEAST_OF_LONGER * of_held_out or summary_in_article or passage
    ):
        in_held_out = 0.0
    return max(in_learnt, in_held_out)


class Overlaps:
    """What texts of a test set have in common with learnt texts, which are added in blocks."""

    def __init__(self, texts: Iterable[HeldOutText]) -> None:
        # Of each set of shingles: whose it is, as (document, which of its references), and what it is.
        self._members: list[list[tuple[int, int]]] = []
        self._roles: list[HeldOut] = []
        kept: list[Hashes] = []
        known: dict[tuple[HeldOut, bytes], int] = {}
        self.too_short = 0
        texts = list(texts)
        for text, hashes in zip(texts, shingles(one.text for one in texts), strict=True):
            if len(hashes) < LEAST_SHINGLES:
                self.too_short += text.role is HeldOut.REFERENCE
                if text.role is HeldOut.REFERENCE or not len(hashes):
                    continue
            key = text.role, hashlib.blake2b(hashes.tobytes(), digest_size=16).digest()
            if key not in known:
                known[key] = len(kept)
                kept.append(hashes.copy())
                self._roles.append(text.role)
                self._members.append([])
            self._members[known[key]].append((text.document, text.reference))
        self._index = _Index(kept)
        self._found: dict[int, list[_Found]] = defaultdict(list)
        self._seen: set[bytes] = set()
        self.learnt = 0  # different texts that were compared

    def add(self, texts: Sequence[LearntText]) -> None:
        """A text that was there before is passed over: the lineage's snapshots share most of their rows."""
        fresh = [text for text in texts if self._is_new(text)]
        self.learnt += len(fresh)
        learnt = list(shingles(text.text for text in fresh))
        for part in self._index.parts(learnt):
            for place, held_out, common in self._index.counted_out(learnt, part):
                self._keep(held_out, fresh[place], common, len(learnt[place]))

    def _is_new(self, text: LearntText) -> bool:
        raw = f"{text.role}:{text.text}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True

    def _keep(self, held_out: int, learnt: LearntText, common: int, of_learnt: int) -> None:
        size = self._index.size(held_out)
        found = share(self._roles[held_out], learnt.role, common, size, of_learnt)
        if found < LOOK:
            return
        rows = self._found[held_out]
        rows.append(_Found(found, learnt.owner, learnt.role, common, of_learnt))
        rows.sort(key=lambda row: -row.share)
        del rows[NAMED:]
        if len(rows) == NAMED and rows[-1].share >= BLOCKS:
            self._index.settle(held_out)

    def found(self) -> Iterator[Overlap]:
        """Those of LOOK and more; of each held-out text the NAMED with the most."""
        for held_out, rows in sorted(self._found.items()):
            for document, reference in self._members[held_out]:
                for row in rows:
                    yield Overlap(
                        document=document,
                        held_out=self._roles[held_out],
                        owner=row.owner,
                        learnt=row.role,
                        share=row.share,
                        common=row.common,
                        of_held_out=self._index.size(held_out),
                        of_learnt=row.of_learnt,
                        reference=reference,
                    )


@dataclass(frozen=True)
class _Found:
    share: float
    owner: int
    role: Learnt
    common: int
    of_learnt: int


@dataclass
class _Part:
    """Some learnt texts of a block, with their shingles that stand in the index: whose, which, in order of texts."""

    texts: Counts
    hits: Counts


@dataclass
class _Postings:
    """Owners of each hash, by its number: those of number i lie from first[i] on, count[i] of them."""

    owners: npt.NDArray[np.int32]
    first: Counts
    count: Counts = field(repr=False)

    @classmethod
    def of(cls, owners: npt.NDArray[np.int32], numbers: Counts, chosen: Mask, size: int) -> _Postings:
        count = np.bincount(numbers[chosen], minlength=size)
        return cls(owners[chosen], np.cumsum(count) - count, count)

    def met(self, texts: Counts, hits: Counts) -> tuple[Counts, Counts]:
        """(text, owner), once for each hash that they share."""
        counts = self.count[hits]
        before = np.cumsum(counts) - counts
        places = np.repeat(self.first[hits] - before, counts) + np.arange(counts.sum())
        return np.repeat(texts, counts), self.owners[places].astype(np.int64)


class _Index:
    """Texts by their shingles, among which those are found that share half of them with another text."""

    def __init__(self, texts: Sequence[Hashes]) -> None:
        self._sizes = np.array([len(text) for text in texts], dtype=np.int64)
        self._ends = np.cumsum(self._sizes)
        self._flat = np.concatenate(texts) if texts else np.empty(0, dtype=np.uint64)
        order = np.argsort(self._flat)
        ordered = self._flat[order]
        fresh = np.ones(len(ordered), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
        self._hashes = ordered[fresh]
        del ordered
        self._numbers = np.cumsum(fresh) - 1
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), self._sizes)
        self._owners = owners[order]
        frequency = np.bincount(self._numbers, minlength=len(self._hashes))
        rank = _ranks(self._owners, frequency[self._numbers], self._sizes)
        self._rarest = rank < _prefix(self._sizes)[self._owners]
        self._needed = _needed(self._sizes, LOOK)
        self._settled = np.zeros(len(texts), dtype=np.bool_)
        self._waiting = 0
        self._build()

    def _build(self) -> None:
        alive = ~self._settled[self._owners]
        size = len(self._hashes)
        self._all = _Postings.of(self._owners, self._numbers, alive, size)
        self._few = _Postings.of(self._owners, self._numbers, alive & self._rarest, size)
        self._waiting = 0

    def settle(self, text: int) -> None:
        """It is not looked for any more."""
        if not self._settled[text]:
            self._settled[text] = True
            self._waiting += 1

    def size(self, text: int) -> int:
        return int(self._sizes[text])

    def _text(self, text: int) -> Hashes:
        return self._flat[self._ends[text] - self._sizes[text] : self._ends[text]]

    def parts(self, learnt: Sequence[Hashes]) -> Iterator[_Part]:
        """The learnt texts, in parts of which the meetings fit into memory."""
        lengths = np.array([len(text) for text in learnt], dtype=np.int64)
        if not lengths.sum() or not len(self._hashes):
            return
        flat = np.concatenate(learnt)
        of = np.repeat(np.arange(len(learnt)), lengths)
        order = np.argsort(flat)  # looked up in order, which stays in the processor's cache
        places = np.empty(len(flat), dtype=np.int64)
        places[order] = np.minimum(np.searchsorted(self._hashes, flat[order]), len(self._hashes) - 1)
        hit = self._hashes[places] == flat
        texts, hits = of[hit], places[hit]
        first = 0
        while first < len(texts):
            if self._waiting >= max(_PRUNE, len(self._sizes) // 20):
                self._build()
            load = np.cumsum(self._all.count[hits[first:]])
            end = first + int(np.searchsorted(load, _AT_ONCE, side="right"))
            if end < len(texts):  # whole texts, one at least
                whole = int(np.searchsorted(texts, texts[end]))
                end = whole if whole > first else int(np.searchsorted(texts, texts[first], side="right"))
            yield _Part(texts[first:end], hits[first:end])
            first = end

    def counted_out(self, learnt: Sequence[Hashes], part: _Part) -> Iterator[tuple[int, int, int]]:
        """(learnt text, text of the index, shingles in common) of those that may have half of one in common."""
        lengths = np.array([len(text) for text in learnt], dtype=np.int64)
        pairs = np.union1d(self._have_held_out(part), self._stand_in_held_out(part, lengths))
        count = max(1, len(self._sizes))
        for text, held_out in zip((pairs // count).tolist(), (pairs % count).tolist(), strict=True):
            if not self._settled[held_out]:
                yield text, held_out, likeness(learnt[text], self._text(held_out)).common

    def _have_held_out(self, part: _Part) -> Counts:
        """Pairs in which the learnt text may have half of the held-out one."""
        texts, owners = self._few.met(part.texts, part.hits)
        met, shared = self._counted(texts, owners)
        return met[shared >= self._needed[met % max(1, len(self._sizes))]]

    def _stand_in_held_out(self, part: _Part, lengths: Counts) -> Counts:
        """Pairs in which the held-out text may have half of the learnt one. The rarest shingles of a learnt text are
        those that are nowhere in the index."""
        hits = np.bincount(part.texts, minlength=len(lengths))
        likely = (hits >= LOOK * lengths) & (lengths >= LEAST_SHINGLES)
        chosen = likely[part.texts]
        texts, found = part.texts[chosen], part.hits[chosen]
        if not len(texts):
            return np.empty(0, dtype=np.int64)
        rank = _ranks(texts, self._all.count[found], hits * likely) + (lengths - hits)[texts]
        few = rank < _prefix(lengths)[texts]
        met, shared = self._counted(*self._all.met(texts[few], found[few]))
        return met[shared >= _needed(lengths, LOOK)[met // max(1, len(self._sizes))]]

    def _counted(self, texts: Counts, owners: Counts) -> tuple[Counts, Counts]:
        return np.unique(texts * max(1, len(self._sizes)) + owners, return_counts=True)


def _ranks(owners: npt.NDArray[np.integer], frequency: Counts, sizes: Counts) -> Counts:
    """Of each shingle its place among those of its owner, the rarest first. `sizes`: how many each owner has here."""
    order = np.argsort((owners.astype(np.int64) << 32) | np.minimum(frequency, (1 << 32) - 1))
    first = np.cumsum(sizes) - sizes
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - first[owners[order]]
    return ranks


def _prefix(sizes: Counts) -> Counts:
    """How many of the rarest shingles of a text are looked up."""
    return np.ceil(_RAREST * sizes).astype(np.int64)


def _needed(sizes: Counts, least: float) -> Counts:
    """How many of these another text has at least, if it has this share of the whole."""
    missed = sizes - _prefix(sizes)
    return np.maximum(1, np.ceil(least * sizes).astype(np.int64) - missed)
