"""Which sentences of the source support each sentence of a summary, and what in it the source does not have. Pure.

No model is needed: a source sentence supports a summary sentence as far as it has its words. Words are compared by
their stems, numbers by their value; each weighs the more, the fewer sentences of the source have it, numbers and names
twice, function words next to nothing. The score of a link is the share of the sentence's weight that the source
sentence has (recall); further links are given for what the ones before leave uncovered.

It is a pointer to where to look, not a verdict: a negation, or a number that belongs to somebody else, scores high.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from models_app.texts.measures import find_names, find_numbers, missing_names, missing_numbers, words
from models_app.texts.stemming import stem
from reviews.texts.spans import Span, sentences

METHOD = "stem recall 1"
MOST_LINKS = 3
LEAST_SCORE = 0.25  # a first link below it would point at chance
LEAST_GAIN = 0.15  # what a further link must add

_FUNCTION_WORDS = (
    "a an the and or but nor so yet if than that this these those there here it its he him his she her hers they them "
    "their theirs we us our you your i me my who whom whose which what when where while as at by for from in into of "
    "off on onto out over to up upon with within without about after before during since until is are was were be "
    "been being am do does did has have had will would can could may might shall should must not no"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_ASCII = re.compile(r"[a-z0-9]+")
_DIGITS = re.compile(r"\d")


@dataclass(frozen=True)
class Link:
    """A source sentence; `score` is the share, 0–1, of the summary sentence's weight that it has by itself."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Unsupported:
    start: int
    end: int
    kind: str  # "number" or "name"


@dataclass(frozen=True)
class GroundedSentence:
    """Of the summary. `support` is the share of its weight that all its links have together."""

    start: int
    end: int
    links: tuple[Link, ...]
    support: float
    unsupported: tuple[Unsupported, ...]


class Source:
    """A source read once; several summaries of it can be held against it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[Span] = sentences(text)
        self.terms: list[frozenset[str]] = [frozenset(terms(text[start:end])) for start, end in self.spans]
        self._held_by = Counter(term for found in self.terms for term in found)

    def weights(self, found: Mapping[str, bool]) -> dict[str, float]:
        """The weight of each term; the mapping says which are numbers or names."""
        count = max(1, len(self.spans))
        return {
            term: (
                0.05
                if term in FUNCTION_WORDS
                else (2.0 if special else 1.0) * math.log(1 + count / (self._held_by[term] or 1))
            )
            for term, special in found.items()
        }

    def best(self, text: str) -> tuple[tuple[Link, ...], float]:
        """The source sentences that support this text best, best first, and what they cover together."""
        weights = self.weights(terms(text))
        whole = sum(weights.values())
        if not whole:
            return (), 0.0
        shared = [{term: weight for term, weight in weights.items() if term in found} for found in self.terms]
        links: list[Link] = []
        covered: set[str] = set()
        support = 0.0
        while len(links) < MOST_LINKS and shared:
            gains = [
                sum(weight for term, weight in part.items() if term not in covered) / whole for part in shared
            ]
            number = max(
                range(len(gains)), key=gains.__getitem__
            )  # of equals the earlier: news tells first what counts
            if gains[number] < (LEAST_GAIN if links else LEAST_SCORE):
                break
            start, end = self.spans[number]
            links.append(Link(start, end, round(sum(shared[number].values()) / whole, 3)))
            covered |= shared[number].keys()
            support += gains[number]
        return tuple(links), round(min(1.0, support), 3)


def terms(text: str) -> dict[str, bool]:
    """The terms of a text, each with whether it is part of a number or a name."""
    numbers = find_numbers(text)
    named = {stemmed(word) for name in find_names(text) for word in words(name.text)}
    plain = text
    for number in reversed(numbers):
        if _DIGITS.search(number.text) or number.values[0] > 12:  # "one", "two" stay words as well
            plain = f"{plain[: number.start]} {plain[number.end :]}"
    found = {stemmed(word): False for word in words(plain)}
    found |= {word: True for word in found if word in named}
    return found | {f"#{value.normalize():f}": True for number in numbers for value in number.values}


@lru_cache(maxsize=200_000)
def stemmed(word: str) -> str:
    """The stem of a word in small letters; possessives count as the word itself, other scripts as they are."""
    word = word.replace("’", "'").removesuffix("'s")
    return stem(word) if word not in FUNCTION_WORDS and _ASCII.fullmatch(word) else word


def ground(source: Source | str, summary: str) -> list[GroundedSentence]:
    if isinstance(source, str):
        source = Source(source)
    missing = [
        *(Unsupported(found.start, found.end, "number") for found in missing_numbers(source.text, summary)),
        *(Unsupported(found.start, found.end, "name") for found in missing_names(source.text, summary)),
    ]
    grounded = []
    for start, end in sentences(summary):
        links, support = source.best(summary[start:end])
        inside = sorted((place for place in missing if start <= place.start < end), key=lambda it: it.start)
        grounded.append(GroundedSentence(start, end, links, support, tuple(inside)))
    return grounded


def as_data(grounded: Sequence[GroundedSentence]) -> dict[str, Any]:
    """What `Grounding.data` holds; all offsets count code points."""
    return {
        "sentences": [
            {
                "start": sentence.start,
                "end": sentence.end,
                "support": sentence.support,
                "links": [
                    {"start": link.start, "end": link.end, "score": link.score} for link in sentence.links
                ],
                "unsupported": [
                    {"start": place.start, "end": place.end, "kind": place.kind}
                    for place in sentence.unsupported
                ],
            }
            for sentence in grounded
        ]
    }
