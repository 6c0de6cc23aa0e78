"""Whether texts occur in a set that is known by fingerprints alone: of each of its texts the lowest hashes. Pure.

A fingerprint is the sketch of a text (`near_duplicates`) with how many shingles it has. Nobody reads a text out of it,
and of a text of up to 66 words it has all. Below its highest hash it is a fair sample of the text, so the share of its
hashes that another text has says how much of the one is in the other: with 64 of them give or take 5 points (one
standard error) where 80 % is in common. A text that is there unchanged is always found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models_app.texts.near_duplicates import (
    LEAST_OF_LONGER,
    SKETCH,
    Hashes,
    likeness,
    meetings,
    shingles,
    sketch,
)
from models_app.texts.overlaps import LEAST_SHINGLES

METHOD = "bottom-64 of 3-word shingles, 1"
#: From this share of a sketch on a text is said to occur: 80 % of the texts, less two standard errors.
OCCURS = 0.7


@dataclass(frozen=True)
class Fingerprint:
    sketch: bytes  # 64-bit numbers, little-endian, ascending
    shingles: int

    @property
    def hashes(self) -> Hashes:
        return np.frombuffer(self.sketch, dtype="<u8").astype(np.uint64)

    def mistakes(self) -> str:
        """Why it is none, or nothing."""
        if len(self.sketch) % 8 or not self.sketch:
            return "A sketch is 64-bit numbers in base64, one at least."
        hashes = self.hashes
        if len(hashes) > SKETCH or (hashes[1:] <= hashes[:-1]).any():
            return f"A sketch has at most {SKETCH} different numbers, the lowest first."
        if self.shingles < len(hashes) or (len(hashes) < SKETCH and self.shingles != len(hashes)):
            return f"A sketch of fewer than {SKETCH} numbers is of a text that has no more."
        return ""


def fingerprints(texts: Sequence[str]) -> list[Fingerprint]:
    """A text without a word has an empty one."""
    return [Fingerprint(sketch(one).astype("<u8").tobytes(), len(one)) for one in shingles(texts)]


def occurring(texts: Sequence[Hashes], known: Sequence[Fingerprint]) -> Iterator[tuple[int, int, float]]:
    """(place of the text, place among the known, share) of those that occur there, whichever of both is the part."""
    sketches = [one.hashes for one in known]
    if not sketches or not texts:
        return
    hashes = np.concatenate(sketches)
    owners = np.repeat(np.arange(len(sketches)), [len(one) for one in sketches])
    order = np.argsort(hashes, kind="stable")
    met = meetings(texts, hashes[order], owners[order])
    for text, place in zip(met.texts.tolist(), met.owners.tolist(), strict=True):
        found = _share(texts[text], sketches[place], known[place].shingles)
        if found >= OCCURS:
            yield text, place, found


def _share(text: Hashes, known: Hashes, shingles: int) -> float:
    if shingles > len(known):  # a sample: of the other text what lies in the same range
        text = text[: int(np.searchsorted(text, known[-1], side="right"))]
    like = likeness(text, known)
    shorter, longer = sorted((like.one, like.other))
    if shorter < LEAST_SHINGLES:
        return 1.0 if like.common == shorter == longer and shorter else 0.0
    return like.share if like.common >= LEAST_OF_LONGER * longer else 0.0
