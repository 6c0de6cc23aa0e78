"""What rules can fill a queue, and what can be set on each. Pure: no database.

few stars        at_most                      clients' feedback with so many stars or fewer
complaint        classes                      clients' comments of these classes
wants            retrain, refine              clients' wishes
check            of, numbers, names, repetition, shortest, longest     what can be counted about a summary
share            of, percent                  so many of a hundred, by hash
drift            by, days, reference_days, least, most, certainty      what a recent window has more of than before
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from models_app.foundation.errors import InvalidInput
from models_app.texts.comment_classes import COMPLAINTS
from models_app.texts.measures import repeated_trigrams, unsupported_names, unsupported_numbers, words
from models_app.texts.needs import Between, Need, OneOf, mistakes, needs_of

Source = Literal["drafts", "requests", "both"]
_REPEATED = Between(0, 1, above=True, said="A share of repeated trigrams above 0 and up to 1.")
_WORDS = Between(1, 5000, said="From 1 to 5,000 words.")
LENGTHS = ((0, 200), (200, 600), (600, 1200), (1200, None))  # words of an input


class _Params:
    def mistakes(self) -> dict[str, str]:
        """By field, what is wrong with it."""
        return {**self.contradictions(), **mistakes(self)}  # type: ignore[arg-type]

    def contradictions(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class FewStars(_Params):
    kind: ClassVar[str] = "few stars"
    at_most: Annotated[int, Between(1, 4, said="From 1 to 4 stars.")] = 2

    def words(self) -> str:
        return f"clients gave {self.at_most} star{'s' if self.at_most > 1 else ''} or fewer"


@dataclass(frozen=True)
class Complaint(_Params):
    kind: ClassVar[str] = "complaint"
    classes: tuple[str, ...] = tuple(str(known) for known in COMPLAINTS)

    def contradictions(self) -> dict[str, str]:
        unknown = [name for name in self.classes if name not in set(map(str, COMPLAINTS))]
        if unknown or not self.classes:
            return {"classes": f"At least one of {', '.join(map(str, COMPLAINTS))}."}
        return {}

    def words(self) -> str:
        every = set(self.classes) == set(map(str, COMPLAINTS))
        return "clients complained" + ("" if every else f" about: {', '.join(self.classes)}")


@dataclass(frozen=True)
class Wants(_Params):
    kind: ClassVar[str] = "retraining or a better prompt wanted"
    retrain: bool = True
    refine: bool = True

    def contradictions(self) -> dict[str, str]:
        return {} if self.retrain or self.refine else {"retrain": "Choose at least one wish."}

    def words(self) -> str:
        wishes = [name for name, on in (("retraining", self.retrain), ("a better prompt", self.refine)) if on]
        return f"clients asked for {' or '.join(wishes)}"


@dataclass(frozen=True)
class Check(_Params):
    """A summary is flagged by the first of these that applies. None and False switch one off."""

    kind: ClassVar[str] = "flagged by a check"
    of: Source = "both"
    numbers: bool = True
    names: bool = False  # names in other spellings are flagged wrongly more often than numbers
    repetition: Annotated[float | None, _REPEATED] = 0.2
    shortest: Annotated[int | None, _WORDS] = 8
    longest: Annotated[int | None, _WORDS] = None

    def contradictions(self) -> dict[str, str]:
        wrong = {}
        if self.shortest is not None and self.longest is not None and self.shortest >= self.longest:
            wrong["longest"] = "More words than the shortest."
        if not any(
            (self.numbers, self.names, self.repetition is not None, self.shortest is not None, self.longest is not None)
        ):  # fmt: skip
            wrong["numbers"] = "Choose at least one check."
        return wrong

    def words(self) -> str:
        on = [
            ("numbers the article does not have", self.numbers),
            ("names the article does not have", self.names),
            (f"more than {_percent(self.repetition)} repeated", self.repetition is not None),
            (f"fewer than {self.shortest} words", self.shortest is not None),
            (f"more than {self.longest} words", self.longest is not None),
        ]
        return f"{_source_words(self.of)}: {', '.join(text for text, there in on if there)}"

    def flags(self, *, source: str, summary: str) -> list[str]:
        """Everything that these checks find, worded."""
        written = words(summary)
        found = []
        if self.shortest is not None and len(written) < self.shortest:
            found.append(f"only {len(written)} words")
        if self.longest is not None and len(written) > self.longest:
            found.append(f"{len(written)} words")
        if self.repetition is not None and (share := repeated_trigrams(written)) > self.repetition:
            found.append(f"{_percent(share)} of it is repeated")
        if self.numbers and (missing := unsupported_numbers(source, summary)):
            found.append(f"numbers that the article does not have: {', '.join(missing)}")
        if self.names and (missing := unsupported_names(source, summary)):
            found.append(f"names that the article does not have: {', '.join(missing)}")
        return found


@dataclass(frozen=True)
class Share(_Params):
    kind: ClassVar[str] = "random share"
    of: Source = "requests"
    percent: Annotated[float, Between(0, 100, above=True)] = 2.0

    def words(self) -> str:
        return f"{self.percent:g} % of {_source_words(self.of)}, by chance"

    def takes(self, key: str) -> bool:
        """The same answer for the same key for ever, so that filling twice adds nothing."""
        drawn = int.from_bytes(hashlib.sha256(f"share:{key}".encode()).digest()[:8])
        return drawn < self.percent / 100 * 2**64


@dataclass(frozen=True)
class Drift(_Params):
    """Requests of kinds of input that the last `days` have a larger share of than the `reference_days` before."""

    kind: ClassVar[str] = "drift"
    by: Annotated[str, OneOf(("domain", "length"), said="domain or length")] = "domain"
    days: Annotated[int, Between(1, 90)] = 7
    reference_days: Annotated[int, Between(1, 365)] = 28
    least: Annotated[int, Between(20, 100_000)] = 50  # requests in either window, below which nothing is said
    most: Annotated[int, Between(1, 1000)] = 20  # items for each kind of input in each window
    certainty: Annotated[float, Between(0.9, 1, below=True)] = 0.99

    def words(self) -> str:
        return (
            f"requests whose {'domain' if self.by == 'domain' else 'length'} is more frequent in the last "
            f"{self.days} days than in the {self.reference_days} before"
        )


Params = FewStars | Complaint | Wants | Check | Share | Drift
KINDS: dict[str, type[Params]] = {
    kind.kind: kind for kind in (FewStars, Complaint, Wants, Check, Share, Drift)
}


def params_of(kind: str, values: Mapping[str, Any]) -> Params:
    """Checked parameters; what is not given has its default. Raises InvalidInput naming each field that is wrong."""
    known = KINDS.get(kind)
    if known is None:
        raise InvalidInput("There is no such rule.", fields={"kind": f"One of {', '.join(KINDS)}."})
    needs = needs_of(known)
    unknown = [name for name in values if name not in needs]
    if unknown:
        raise InvalidInput(
            "This rule has no such setting.",
            fields={name: f"There are {', '.join(needs)}." for name in unknown},
        )
    wrong, read = {}, {}
    for name, value in values.items():
        try:
            read[name] = _read(needs[name], value)
        except (TypeError, ValueError):
            wrong[name] = "Not of the kind that is needed here."
    params = known(**read)
    if wrong := {**wrong, **({} if wrong else params.mistakes())}:
        raise InvalidInput("The rule cannot be set like this.", fields=wrong)
    return params


def to_json(params: Params) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(params).items()
    }


def _read(need: Need, value: Any) -> Any:
    """As the setting's kind, where nothing is lost by that."""
    if value is None and need.optional:
        return None
    if need.kind is None:  # the one list
        if isinstance(value, str):
            raise TypeError("a list is needed")
        return tuple(str(part) for part in value)
    if need.kind is bool or isinstance(value, bool):
        if need.kind is not bool or not isinstance(value, bool):
            raise TypeError("true or false is needed")
        return value
    read = need.kind(value)
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError("not a number")
    if isinstance(read, int) and float(value) != read:
        raise ValueError("not a whole number")
    return read


def _source_words(of: str) -> str:
    return {"drafts": "new drafts", "requests": "live requests", "both": "new drafts and live requests"}[of]


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"


# ---------------------------------------------------------------- drift


@dataclass(frozen=True)
class Shift:
    """A kind of input whose share of the requests has grown, with what it rests on."""

    name: str
    now: int
    of_now: int
    before: int
    of_before: int
    p: float

    def words(self) -> str:
        return (
            f"{self.name}: {_percent(self.now / self.of_now)} of {self.of_now:,} requests, before "
            f"{_percent(self.before / self.of_before)} of {self.of_before:,}"
        )


def grown_shares(
    now: Mapping[str, int], before: Mapping[str, int], *, least: int, certainty: float
) -> list[Shift]:
    """Kinds of input with a larger share of `now` than of `before`, most certain first.

    One-sided two-proportion z-test with pooled variance (Fleiss, Levin and Paik, Statistical Methods for Rates and
    Proportions, 2003, section 3.1), corrected for the number of kinds after Holm (1979). Nothing is said where either
    window has fewer than `least` requests, nor of a kind with an expected count below 5, where the normal
    approximation does not hold.
    """
    of_now, of_before = sum(now.values()), sum(before.values())
    if of_now < least or of_before < least:
        return []
    kinds = sorted(set(now) | set(before))
    tested = []
    for name in kinds:
        pooled = (now.get(name, 0) + before.get(name, 0)) / (of_now + of_before)
        if min(of_now, of_before) * min(pooled, 1 - pooled) < 5:
            continue
        deviation = math.sqrt(pooled * (1 - pooled) * (1 / of_now + 1 / of_before))
        z = (now.get(name, 0) / of_now - before.get(name, 0) / of_before) / deviation
        p = math.erfc(z / math.sqrt(2)) / 2
        tested.append(Shift(name, now.get(name, 0), of_now, before.get(name, 0), of_before, p))
    tested.sort(key=lambda shift: shift.p)
    grown = []
    for place, shift in enumerate(tested):
        if shift.p > (1 - certainty) / (len(tested) - place):
            break
        grown.append(shift)
    return grown


def length_of(number_of_words: int) -> str:
    """The name of the bucket that an input of so many words is in."""
    for least, most in LENGTHS:
        if most is None or number_of_words < most:
            return f"{least:,} words and more" if most is None else f"{least:,} to {most - 1:,} words"
    raise AssertionError("the last bucket is open")
