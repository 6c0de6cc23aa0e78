"""How far the reviews of one item lie apart, as a number and in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rapidfuzz.distance import Indel

from reviews.models import Review

_WORD = re.compile(r"\w+(?:[.,'’]\w+)*")


@dataclass(frozen=True)
class Given:
    """What one reviewer answered: points from 1 to 5, a verdict, and the text as it should be."""

    stars: int
    verdict: str
    ratings: Mapping[str, int]
    text: str


def disagreement(given: Sequence[Given], draft: str) -> float | None:
    """From 0 (all alike) to 1, the mean over each two; None for fewer than two.

    Of two reviews it is the mean over stars, verdict, each question that both answered and the words of the text, each
    as a share of how far apart they could be. Texts are compared by words, as a share of both texts' length.
    """
    if len(given) < 2:
        return None
    words = {text: _WORD.findall(text) for text in {draft, *(one.text for one in given)}}
    apart = [_apart(one, other, words) for one, other in combinations(given, 2)]
    return sum(apart) / len(apart)


def _apart(one: Given, other: Given, words: Mapping[str, list[str]]) -> float:
    parts = [
        abs(one.stars - other.stars) / 4,
        abs(Review.VERDICTS.index(one.verdict) - Review.VERDICTS.index(other.verdict)) / 2,
        *(abs(value - other.ratings[key]) / 4 for key, value in one.ratings.items() if key in other.ratings),
        0.0 if one.text == other.text else Indel.normalized_distance(words[one.text], words[other.text]),
    ]
    return sum(parts) / len(parts)


def differences(given: Sequence[Given], draft: str, *, points: int) -> list[str]:
    """Why somebody else has to decide, in words; empty where the reviews can stand beside each other.

    They cannot where stars or a question are `points` or more apart, where one says good and another poor, or where one
    changed the words and another found it good as it was: two such texts would teach the opposite. With `points` 0
    nothing is ever a dispute.
    """
    if not points or len(given) < 2:
        return []
    found = []
    questions: dict[str, list[int]] = {"stars": [one.stars for one in given]}
    for one in given:
        for key, value in one.ratings.items():
            questions.setdefault(key, []).append(value)
    for key, values in questions.items():
        if len(values) > 1 and max(values) - min(values) >= points:
            found.append(
                f"{key.replace('-', ' ').capitalize()} from {min(values)} to {max(values)}"
            )  # fmt: skip
    verdicts = {one.verdict for one in given}
    if {"good", "poor"} <= verdicts:
        found.append("Good for one, poor for another")
    untouched = _WORD.findall(draft)
    changed = [_WORD.findall(one.text) != untouched for one in given]
    if any(changed) and any(
        one.verdict == "good" and not edited for one, edited in zip(given, changed, strict=True)
    ):
        found.append("One corrected it, another found it good as it was")
    return found
