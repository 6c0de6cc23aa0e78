"""Changed articles for tests of invariance and direction. Pure: the same article and settings give the same.

A change knows its key (under which what was written for it is kept), what it needs of an article, and what it makes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from models_app.cases.matching import joined


@dataclass(frozen=True)
class Article:
    text: str
    title: str = ""
    domain: str = ""


class Change(Protocol):
    @property
    def key(self) -> str:
        """Two changes with the same key make the same of an article."""

    @property
    def words(self) -> str:
        """As in "the article with …"."""

    def obstacle(self, article: Article) -> str:
        """Why it cannot be made of this article, as a sentence; or nothing."""

    def make(self, article: Article) -> Article: ...


# Letters alone: what has digits in it is no word that somebody mistypes and everybody still reads.
_WORD = re.compile(r"(?<![\w'’-])[^\W\d_]{4,}(?![\w'’-])")


@dataclass(frozen=True)
class Typos:
    """Two neighbouring letters are swapped inside a share of the words with at least four letters, at least in one."""

    share: float
    seed: int

    @property
    def key(self) -> str:
        return f"typos {self.share:g} {self.seed}"

    @property
    def words(self) -> str:
        return f"typos in {100 * self.share:g} % of its longer words"

    def obstacle(self, article: Article) -> str:
        return "" if self._places(article.text) else "The article has no word of four letters to misspell."

    def make(self, article: Article) -> Article:
        places = self._places(article.text)
        draw = random.Random(self.seed)  # nosec B311 (a test's noise)
        chosen = _order(len(places), draw)[: max(1, round(self.share * len(places)))]
        text = list(article.text)
        for number in sorted(chosen):
            swaps = places[number]
            place = swaps[int(draw.random() * len(swaps))]
            text[place], text[place + 1] = text[place + 1], text[place]
        return replace(article, text="".join(text))

    @staticmethod
    def _places(text: str) -> list[list[int]]:
        """Of each word where a swap changes it; first and last letters stay, by which people read on."""
        found = []
        for match in _WORD.finditer(text):
            inner = range(match.start() + 1, match.end() - 2)
            swaps = [place for place in inner if text[place] != text[place + 1]]
            if swaps:
                found.append(swaps)
        return found


@dataclass(frozen=True)
class UpperCase:
    @property
    def key(self) -> str:
        return "upper case"

    @property
    def words(self) -> str:
        return "all its letters in upper case"

    def obstacle(self, article: Article) -> str:
        if self.make(article).text == article.text:
            return "The article has no lower-case letters."
        return ""

    def make(self, article: Article) -> Article:
        return replace(article, text=article.text.upper(), title=article.title.upper())


@dataclass(frozen=True)
class ShuffledParagraphs:
    seed: int

    @property
    def key(self) -> str:
        return f"shuffled paragraphs {self.seed}"

    @property
    def words(self) -> str:
        return "its paragraphs in another order"

    def obstacle(self, article: Article) -> str:
        found, _ = paragraphs(article.text)
        if len(set(found)) > 1:
            return ""
        return (
            "The article has one paragraph; there is nothing to shuffle. Put blank lines between its parts."
        )

    def make(self, article: Article) -> Article:
        found, between = paragraphs(article.text)
        order = _order(len(found), random.Random(self.seed))  # nosec B311 (a test's noise)
        shuffled = [found[place] for place in order]
        if shuffled == found:
            shuffled = [*found[1:], found[0]]
        return replace(article, text=between.join(shuffled))


def paragraphs(text: str) -> tuple[list[str], str]:
    """(what blank lines part; where there are none, its lines; what stands between them)"""
    for between in ("\n\n", "\n"):
        parts = [part for part in text.split(between) if part.strip()]
        if len(parts) > 1:
            return parts, between
    return [text], "\n\n"


@dataclass(frozen=True)
class RenamedPerson:
    """Everywhere in article and title, the first name by the first name and the surname by the surname too."""

    name: str
    to: str

    @property
    def key(self) -> str:
        return f"renamed {self.name} → {self.to}"

    @property
    def words(self) -> str:
        return f"{self.name} renamed to {self.to}"

    def obstacle(self, article: Article) -> str:
        whole = f"{article.title}\n{article.text}"
        if not has_words(whole, self.name):
            return f"The article does not name {self.name}, written exactly so."
        there = [part for part in self.new_parts() if has_words(whole, part)]
        if there:
            return f"The article has “{there[0]}” already; take a name that it does not have."
        if not self.new_parts() or not self.old_parts():
            return "The new name has to be another than the old one."
        return ""

    def make(self, article: Article) -> Article:
        return replace(article, text=self.applied(article.text), title=self.applied(article.title))

    def applied(self, text: str) -> str:
        """This text with the person renamed; all at once, so that no name is renamed twice."""
        pairs = self._pairs()
        sought = re.compile("|".join(re.escape(old) for old in sorted(pairs, key=len, reverse=True)))
        return _replaced(text, sought, lambda old: pairs[old])

    def old_parts(self) -> list[str]:
        """The names that no longer stand there after the change."""
        new = set(self.to.split())
        return [part for part in _names(self.name) if part not in new]

    def new_parts(self) -> list[str]:
        old = set(self.name.split())
        return [part for part in _names(self.to) if part not in old]

    def _pairs(self) -> dict[str, str]:
        old, new = _names(self.name), _names(self.to)
        pairs = {part: new[min(place, len(new) - 1)] for place, part in enumerate(old)}
        if old and new:
            pairs[old[-1]] = new[-1]
        pairs[self.name] = self.to
        return {**pairs, **{one.upper(): other.upper() for one, other in pairs.items()}}


def _names(name: str) -> list[str]:
    """The parts by which a person is called: not "van", "de" or "bin". Of a name without capitals, all."""
    parts = name.split()
    return [part for part in parts if part[0].isupper()] or parts


def has_words(text: str, sought: str) -> bool:
    """Whether these words stand there, written exactly so."""
    place = text.find(sought)
    while place >= 0:
        if not (joined(text, place) or joined(text, place + len(sought))):
            return True
        place = text.find(sought, place + 1)
    return False


def _replaced(text: str, sought: re.Pattern[str], by: Callable[[str], str]) -> str:
    def one(found: re.Match[str]) -> str:
        inside = joined(text, found.start()) or joined(text, found.end())
        return found[0] if inside else by(found[0])

    return sought.sub(one, text)


def _order(count: int, draw: random.Random) -> list[int]:
    """The numbers below `count` in an order by chance. By `random()` alone, whose values for a seed Python promises to
    keep; `shuffle` may change."""
    keys = [(draw.random(), number) for number in range(count)]
    return [number for _, number in sorted(keys)]
