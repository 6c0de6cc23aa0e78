"""What can be asserted about the summary of an article, and whether it holds. Pure.

contains, lacks               text, match_case             words that the summary has to have, or must not have
number                        number                       a number kept, however it is written
length                        most                         at most so many words
language                      language                     the article's language, or the named one
answer                                                     neither empty nor a refusal
golden answer                 answer, distance             close to this text
typos, upper case, shuffled paragraphs, renamed person     …, distance: close to the summary of the changed article
follows a renamed person      name, to                     the changed article's summary has the new name
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from models_app.cases.changes import (
    Article,
    Change,
    RenamedPerson,
    ShuffledParagraphs,
    Typos,
    UpperCase,
    has_words,
)
from models_app.cases.distances import word_edit_share
from models_app.cases.matching import stands_in
from models_app.cases.refusals import is_empty, refusal
from models_app.texts.language import language_of
from models_app.texts.measures import find_numbers, words
from models_app.texts.needs import Between, mistakes, needs_of
from models_app.texts.normalise import normalise, one_line

# Raise it with every change after which an assertion may hold of other summaries, or an article be changed in another
# way: results of two versions are not compared. A test pins what each version gives.
VERSION = 1

MOST_ASSERTIONS = 20
LONGEST_ANSWER = 20_000  # characters of a golden answer
_TEXT = Between(1, 500)
_NAME = Between(1, 120)
_DISTANCE = Between(0, 1, below=True, said="A share from 0 (the same words) to below 1.")
_SEED = Between(0, 1_000_000)
# Others are called by their codes.
_LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip


class Test(StrEnum):
    """The three kinds of CheckList (Ribeiro and others, 2020), there MFT, INV and DIR."""

    FUNCTIONALITY = "functionality"
    INVARIANCE = "invariance"
    DIRECTION = "direction"

    __test__ = False  # not one of pytest's


class Outcome(StrEnum):
    PASS = "pass"  # nosec B105 (an outcome)
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Written:
    """What a release wrote for an article and, by the key of each change, for the changed articles."""

    article: Article
    output: str
    changed: Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    outcome: Outcome
    words: str


class _Assertion(ABC):
    kind: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    test: ClassVar[Test] = Test.FUNCTIONALITY

    def change(self) -> Change | None:
        """How the article is changed, where it is."""
        return None

    def mistakes(self, article: Article) -> dict[str, str]:
        """By field, what is wrong with it for this article; under "" what concerns none of its fields."""
        wrong = mistakes(self)  # type: ignore[arg-type]
        if wrong:
            return wrong
        change = self.change()
        if change is not None and (obstacle := change.obstacle(article)):
            return {next((field for field in ("name",) if hasattr(self, field)), ""): obstacle}
        return self._contradictions(article)

    def _contradictions(self, article: Article) -> dict[str, str]:
        return {}

    @abstractmethod
    def words(self) -> str:
        """As in "The summary …"."""

    @abstractmethod
    def judge(self, written: Written) -> Finding: ...


def _finding(holds: bool, passed: str, failed: str) -> Finding:
    return Finding(Outcome.PASS, passed) if holds else Finding(Outcome.FAIL, failed)


# ---------------------------------------------------------------- minimum functionality


@dataclass(frozen=True)
class _Words(_Assertion):
    """Whether certain words are in the summary; `wanted` says which of the two is asserted."""

    wanted: ClassVar[bool]
    about = "Whole words, one after another."
    text: Annotated[str, _TEXT] = ""
    match_case: bool = False

    def words(self) -> str:
        exactly = ", written exactly so" if self.match_case else ""
        return f"{'contains' if self.wanted else 'does not contain'} “{self.text}”{exactly}"

    def judge(self, written: Written) -> Finding:
        if stands_in(self.text, written.output, match_case=self.match_case):
            return _finding(self.wanted, f"“{self.text}” is there.", f"It says “{self.text}”.")
        return _finding(not self.wanted, f"“{self.text}” is not there.", f"“{self.text}” is missing.")


class Contains(_Words):
    kind = "contains"
    label = "contains"
    wanted = True


class Lacks(_Words):
    kind = "lacks"
    label = "must not contain"
    wanted = False


@dataclass(frozen=True)
class KeepsNumber(_Assertion):
    kind = "number"
    label = "keeps a number"
    about = "However it is written: 3.2 million, 3,200,000 and 3.2m are the same."
    number: Annotated[str, Between(1, 60)] = ""

    def _contradictions(self, article: Article) -> dict[str, str]:
        found = find_numbers(self.number)
        if len(found) != 1:
            return {"number": "One number, such as 140 or 3.2 million."}
        if not _has_number(f"{article.title}\n{article.text}", self.number):
            return {"number": f"The article does not have the number {self.number}."}
        return {}

    def words(self) -> str:
        return f"keeps the number {self.number}"

    def judge(self, written: Written) -> Finding:
        there = _has_number(written.output, self.number)
        said = ", ".join(dict.fromkeys(number.text for number in find_numbers(written.output)))
        missing = f"{self.number} is missing; " + (
            f"its numbers are {said}." if said else "it has no number at all."
        )
        return _finding(there, f"{self.number} is there.", missing)


def _has_number(text: str, number: str) -> bool:
    wanted = {value for found in find_numbers(number) for value in found.values}
    return any(not wanted.isdisjoint(found.values) for found in find_numbers(text))


@dataclass(frozen=True)
class AtMostWords(_Assertion):
    kind = "length"
    label = "at most so many words"
    about = "Counted as in evaluations."
    most: Annotated[int, Between(1, 10_000)] = 60

    def words(self) -> str:
        return f"has at most {self.most:,} words"

    def judge(self, written: Written) -> Finding:
        count = len(words(written.output))
        said = f"It has {count:,} word{'s' if count != 1 else ''}."
        return _finding(count <= self.most, said, said)


@dataclass(frozen=True)
class KeepsLanguage(_Assertion):
    kind = "language"
    label = "keeps the language"
    about = "The article's, unless another is named by its code, such as de."
    language: Annotated[str, Between(0, 3)] = ""

    def _contradictions(self, article: Article) -> dict[str, str]:
        if self.language:
            if not (self.language.isascii() and self.language.isalpha() and self.language.islower()):
                return {"language": "A code of two or three small letters, such as de; or nothing."}
            return {}
        if not language_of(article.text):
            return {"language": "The article's language cannot be told. Name it by its code, such as de."}
        return {}

    def words(self) -> str:
        return f"is in {_language(self.language)}" if self.language else "is in the language of the article"

    def judge(self, written: Written) -> Finding:
        wanted = self.language or language_of(written.article.text)
        found = language_of(written.output)
        if not wanted or not found:
            whose = "summary" if wanted else "article"
            return Finding(Outcome.UNDECIDED, f"The language of the {whose} cannot be told.")
        said = f"It is in {_language(found)}."
        return _finding(found == wanted, said, f"{said} {_language(wanted)} was expected.")


@dataclass(frozen=True)
class Answers(_Assertion):
    kind = "answer"
    label = "is an answer"
    about = "Neither empty nor a refusal, an apology or a request for the text."

    def words(self) -> str:
        return "is neither empty nor a refusal"

    def judge(self, written: Written) -> Finding:
        declined = refusal(written.output, written.article.text)
        return _finding(not declined, "It is an answer.", f"It begins like a refusal: “{declined}”.")


@dataclass(frozen=True)
class GoldenAnswer(_Assertion):
    kind = "golden answer"
    label = "is close to a golden answer"
    about = "By word edit distance: words to add, remove or replace, as a share of the longer text."
    answer: Annotated[str, Between(1, LONGEST_ANSWER)] = ""
    distance: Annotated[float, _DISTANCE] = 0.3

    def _contradictions(self, article: Article) -> dict[str, str]:
        return {"answer": "An answer has words."} if is_empty(self.answer) else {}

    def words(self) -> str:
        return f"is within {_share(self.distance)} word edit distance of “{_cut(self.answer)}”"

    def judge(self, written: Written) -> Finding:
        return _within(word_edit_share(written.output, self.answer), self.distance, "the golden answer")


def _language(code: str) -> str:
    return _LANGUAGES.get(code, f"the language “{code}”")


def _within(found: float, most: float, what: str) -> Finding:
    said = f"{_share(found)} word edit distance to {what}; {_share(most)} is allowed."
    return _finding(found <= most, said, said)


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


def _cut(text: str, longest: int = 80) -> str:
    line = one_line(text)
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


# ---------------------------------------------------------------- invariance


class _Unchanged(_Assertion):
    """The summary of the changed article is close to that of the article."""

    test = Test.INVARIANCE
    distance: float

    @abstractmethod
    def change(self) -> Change: ...

    def words(self) -> str:
        change = self.change()
        return f"stays within {_share(self.distance)} word edit distance for the article with {change.words}"

    def judge(self, written: Written) -> Finding:
        change = self.change()
        other = written.changed[change.key]
        if is_empty(other):
            return Finding(Outcome.FAIL, "For the changed article it wrote nothing.")
        share = word_edit_share(self._expected(written.output), other)
        return _within(share, self.distance, "the summary of the changed article")

    def _expected(self, output: str) -> str:
        return output


@dataclass(frozen=True)
class UnchangedByTypos(_Unchanged):
    kind = "typos"
    label = "stays as it is with typos"
    about = "Neighbouring letters are swapped inside a share of the longer words."
    share: Annotated[float, Between(0, 0.5, above=True, said="A share above 0 and up to 0.5.")] = 0.02
    seed: Annotated[int, _SEED] = 1
    distance: Annotated[float, _DISTANCE] = 0.5

    def change(self) -> Change:
        return Typos(self.share, self.seed)


@dataclass(frozen=True)
class UnchangedByUpperCase(_Unchanged):
    kind = "upper case"
    label = "stays as it is in upper case"
    about = "Case does not count when the summaries are compared."
    distance: Annotated[float, _DISTANCE] = 0.5

    def change(self) -> Change:
        return UpperCase()


@dataclass(frozen=True)
class UnchangedByShuffling(_Unchanged):
    kind = "shuffled paragraphs"
    label = "stays as it is with shuffled paragraphs"
    about = "Parted by blank lines, or by lines where there are no blank ones."
    seed: Annotated[int, _SEED] = 1
    distance: Annotated[float, _DISTANCE] = 0.7

    def change(self) -> Change:
        return ShuffledParagraphs(self.seed)


@dataclass(frozen=True)
class UnchangedByRenaming(_Unchanged):
    kind = "renamed person"
    label = "stays as it is with a renamed person"
    about = "Nothing but the name may change: it is renamed in the first summary before the two are compared."
    name: Annotated[str, _NAME] = ""
    to: Annotated[str, _NAME] = ""
    distance: Annotated[float, _DISTANCE] = 0.3

    def change(self) -> RenamedPerson:
        return RenamedPerson(self.name, self.to)

    def _expected(self, output: str) -> str:
        return self.change().applied(output)


# ---------------------------------------------------------------- direction


@dataclass(frozen=True)
class FollowsRenaming(_Assertion):
    """What a model knows of a person by heart must not come through."""

    kind = "follows a renamed person"
    label = "follows a renamed person"
    about = "The changed article's summary lacks the old name, and has the new one where the first summary had the old."
    test = Test.DIRECTION
    name: Annotated[str, _NAME] = ""
    to: Annotated[str, _NAME] = ""

    def change(self) -> RenamedPerson:
        return RenamedPerson(self.name, self.to)

    def words(self) -> str:
        return f"follows when {self.name} is renamed to {self.to}"

    def judge(self, written: Written) -> Finding:
        change = self.change()
        other = written.changed[change.key]
        if is_empty(other):
            return Finding(Outcome.FAIL, "For the changed article it wrote nothing.")
        old, new = change.old_parts(), change.new_parts()
        if kept := [part for part in old if has_words(other, part)]:
            return Finding(Outcome.FAIL, f"For the changed article it still says “{kept[0]}”.")
        named = any(has_words(written.output, part) for part in old)
        if named and not any(has_words(other, part) for part in new):
            return Finding(Outcome.FAIL, f"For the changed article it does not name {self.to}.")
        said = f"It names {self.to} instead." if named else "It names neither."
        return Finding(Outcome.PASS, said)


# ---------------------------------------------------------------- all of them

Assertion = (
    Contains
    | Lacks
    | KeepsNumber
    | AtMostWords
    | KeepsLanguage
    | Answers
    | GoldenAnswer
    | UnchangedByTypos
    | UnchangedByUpperCase
    | UnchangedByShuffling
    | UnchangedByRenaming
    | FollowsRenaming
)
KINDS: dict[str, type[Assertion]] = {
    kind.kind: kind
    for kind in (
        Contains, Lacks, KeepsNumber, AtMostWords, KeepsLanguage, Answers, GoldenAnswer, UnchangedByTypos,
        UnchangedByUpperCase, UnchangedByShuffling, UnchangedByRenaming, FollowsRenaming,
    )
}  # fmt: skip
_OF_SEVERAL_LINES = ("answer",)


class WrongAssertion(ValueError):
    """`fields` says by field what is wrong; under "" what concerns none."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


def assertion_of(values: Any) -> Assertion:
    """As `to_json` wrote it, or somebody by hand. Raises WrongAssertion for what is none in any article."""
    if not isinstance(values, Mapping):
        raise WrongAssertion({"": "An assertion is an object with a kind."})
    kind = values.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise WrongAssertion({"kind": f"One of {', '.join(KINDS)}."})
    names = [field.name for field in fields(known)]
    unknown = [name for name in values if name not in (*names, "kind")]
    if unknown:
        has = f"it has {', '.join(names)}" if names else "it has no settings"
        raise WrongAssertion({"": f"“{known.kind}” has no setting {str(unknown[0])[:60]!r}; {has}."})
    made = known(**{name: _clean(name, values[name]) for name in names if name in values})
    if wrong := mistakes(made):
        raise WrongAssertion(wrong)
    # 0, 0.0 and -0.0 are one number, and the database gives back one of them
    shares: dict[str, Any] = {
        name: float(getattr(made, name)) + 0.0 for name, need in needs_of(known).items() if need.kind is float
    }
    return replace(made, **shares)


def _clean(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return normalise(value) if name in _OF_SEVERAL_LINES else one_line(value)


def to_json(assertion: Assertion) -> dict[str, Any]:
    return {"kind": assertion.kind, **asdict(assertion)}


def contradictions(assertions: Sequence[Assertion]) -> dict[int, str]:
    """By place, what cannot be asserted together with what stands before it."""
    wrong: dict[int, str] = {}
    for place, one in enumerate(assertions):
        for other in assertions[:place]:
            if one == other:
                wrong[place] = "This is asserted already."
            elif _exclude(one, other) or _exclude(other, one):
                wrong[place] = f"No summary that {other.words()} can meet this."
    return wrong


def _exclude(one: Assertion, other: Assertion) -> bool:
    """Whether a text that has what `one` asks for has what `other` forbids. Where only one of the two looks at the
    case of letters both may be met."""
    if not isinstance(other, Lacks) or not isinstance(one, Contains):
        return False
    return (one.match_case or not other.match_case) and stands_in(
        other.text, one.text, match_case=other.match_case
    )


def changes_of(assertions: Iterable[Assertion]) -> dict[str, Change]:
    """By key, each once, in the order of the assertions."""
    found: dict[str, Change] = {}
    for assertion in assertions:
        change = assertion.change()
        if change is not None:
            found.setdefault(change.key, change)
    return found


def judge(assertions: Sequence[Assertion], written: Written) -> tuple[Outcome, list[Finding]]:
    """The verdict of a case, and what was found for each of its assertions."""
    if is_empty(written.output):
        nothing = Finding(Outcome.FAIL, "It wrote nothing.")
        return Outcome.FAIL, [nothing] * len(assertions)
    found = [assertion.judge(written) for assertion in assertions]
    outcomes = {finding.outcome for finding in found}
    for outcome in (Outcome.FAIL, Outcome.UNDECIDED):
        if outcome in outcomes:
            return outcome, found
    return Outcome.PASS, found
