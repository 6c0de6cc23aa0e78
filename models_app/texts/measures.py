"""What can be counted about one summary without judging its words: length, repetition, copying, new facts.

None of these says that a summary is good. `unsupported_numbers` and `unsupported_names` count what a reader would
have to look up because the source does not have it; `copied_share` and `copied_density` are the extractive fragment
coverage and density of Grusky, Naaman and Artzi (Newsroom, NAACL 2018, section 4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from models_app.texts.sentences import sentence_spans

# Raise it with every change that may measure any summary in another way; scores of two versions are not compared.
# A test pins what each version gives.
VERSION = 1


@dataclass(frozen=True)
class Measures:
    """Of one summary; shares between 0 and 1."""

    summary_words: int
    length_ratio: (
        float  # words of the summary / words of the reference; a reference without words counts as one
    )
    repetition: float  # 1 − distinct / all trigrams of words; 0 for fewer than three words
    copied_share: float  # coverage: share of words inside a fragment that also stands in the source
    copied_density: float  # mean, over the summary's words, of the length of the fragment a word is in
    unsupported_numbers: int
    unsupported_names: int


def measure(*, source: str, reference: str, summary: str) -> Measures:
    written = words(summary)
    fragments = copied_fragments(words(source), written)
    return Measures(
        summary_words=len(written),
        length_ratio=len(written) / max(1, len(words(reference))),
        repetition=repeated_trigrams(written),
        copied_share=sum(fragments) / max(1, len(written)),
        copied_density=sum(length * length for length in fragments) / max(1, len(written)),
        unsupported_numbers=len(unsupported_numbers(source, summary)),
        unsupported_names=len(unsupported_names(source, summary)),
    )


def closest_in_length(references: Sequence[str], summary: str) -> str:
    """The reference that a summary's length is measured against, of equals the first."""
    written = len(words(summary))
    return min(references, key=lambda reference: abs(len(words(reference)) - written))


# Letters, digits and their combining marks, with the apostrophes, hyphens, points and commas inside; in scripts that
# write no spaces, each character.
_LETTERS = r"(?:[^\W_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff])+"
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    rf"|{_LETTERS}(?:['’\-.,/]{_LETTERS})*"
)


def words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def repeated_trigrams(tokens: list[str]) -> float:
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def copied_fragments(source: list[str], summary: list[str]) -> list[int]:
    """Lengths of the fragments that Grusky's greedy search finds: at each word the longest match with the source."""
    codes = {word: chr(number) for number, word in enumerate(dict.fromkeys(source), start=1)}
    haystack = "".join([codes[word] for word in source])
    needle = "".join([codes.get(word, "\0") for word in summary])  # \0 stands nowhere in the source
    lengths: list[int] = []
    start = 0
    while start < len(needle):
        length = _longest_match(haystack, needle, start)
        if length:
            lengths.append(length)
        start += max(1, length)
    return lengths


def _longest_match(haystack: str, needle: str, start: int) -> int:
    length, found = 0, haystack.find(needle[start])
    while found >= 0:
        while (
            start + length < len(needle)
            and found + length < len(haystack)
            and haystack[found + length] == needle[start + length]
        ):
            length += 1
        if start + length == len(needle):
            break
        found = haystack.find(needle[start : start + length + 1], found + 1)
    return length


# Numbers

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_SMALL = {name: Decimal(value) for value, name in enumerate(_ONES.split())}
_TENS = {
    name: Decimal(value)
    for name, value in {
        "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90
    }.items()
}  # fmt: skip
_SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "mn": 6, "bn": 9, "tn": 12, "k": 3, "m": 6
}  # fmt: skip
# "5m" may be five million or five metres: such a number has both values.
_AMBIGUOUS = frozenset({"k", "m"})

_NUMBER = re.compile(
    rf"""
    (?: (?P<digits> (?<!\d) \d{{1,3}}(?:,\d{{3}})+(?!\d) (?:\.\d+)? | \d+(?:\.\d+)? )
      | (?<![^\W_]) (?:(?P<tens>{"|".join(_TENS)})(?:[-\s](?P<units>{"|".join(list(_SMALL)[1:10])}))?
      | (?P<small>{"|".join(sorted(_SMALL, key=len, reverse=True))})) (?![^\W_])
    )
    (?: [-\s]? (?P<scale>{"|".join(sorted(_SCALES, key=len, reverse=True))}) (?![^\W_]) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Number:
    """A number as written, where it stands (code points), and what it may be worth."""

    text: str
    values: tuple[Decimal, ...]
    start: int
    end: int


def find_numbers(text: str) -> list[Number]:
    """1,000, 1000, 1000.0, "one thousand" and "1k" have the same value, as have "twelve" and 12."""
    return [
        Number(match[0].rstrip(), _values(match), match.start(), match.start() + len(match[0].rstrip()))
        for match in _NUMBER.finditer(text)
    ]


def missing_numbers(source: str, summary: str) -> list[Number]:
    """Numbers of the summary, each place once, whose value does not occur in the source.

    £5m and 5 million are the same; signs, currencies, percent signs and ordinal endings don't count. "one" in a
    summary is taken for a pronoun.
    """
    missing = [number for number in find_numbers(summary) if number.text.lower() != "one"]
    for match in _NUMBER.finditer(source) if missing else ():
        values = _values(match)
        missing = [number for number in missing if set(values).isdisjoint(number.values)]
        if not missing:  # sources are long, and most numbers of a summary stand at their beginning
            break
    return missing


def unsupported_numbers(source: str, summary: str) -> list[str]:
    """`missing_numbers` as written, each value once."""
    missing: dict[tuple[Decimal, ...], str] = {}
    for number in missing_numbers(source, summary):
        missing.setdefault(number.values, number.text)
    return list(missing.values())


def _values(match: re.Match[str]) -> tuple[Decimal, ...]:
    if match["digits"]:
        base = Decimal(match["digits"].replace(",", ""))
    elif match["tens"]:
        base = _TENS[match["tens"].lower()] + (_SMALL[match["units"].lower()] if match["units"] else 0)
    else:
        base = _SMALL[match["small"].lower()]
    if not match["scale"]:
        return (base,)
    scaled = base.scaleb(_SCALES[match["scale"].lower()])
    return (base, scaled) if match["scale"].lower() in _AMBIGUOUS else (scaled,)


# Names

_TOKEN = re.compile(r"[^\W_]+(?:['’.\-][^\W_]+)*|[^\w\s]|_")
_JOINING = "of the de del della der den di da la le van von bin ibn al el y"
_TITLES = (
    "i i'm i've i'd i'll mr mrs ms miss dr prof sir lord lady dame rev st sen rep gov gen col capt sgt lt"
)
_CONNECTORS = frozenset(_JOINING.split())
_NO_NAMES = frozenset(_TITLES.split())
# After these a sentence may start inside a sentence: quotes, brackets, colons, dashes, stops within quotes.
_OPENING = frozenset("\"“”‘'’«»:;([{-–—•*.!?…")


@dataclass(frozen=True)
class Name:
    """Capitalised words one after another, small joining words such as "of" and "van" between them."""

    words: tuple[str, ...]
    start: int
    end: int

    @property
    def text(self) -> str:
        return " ".join(self.words)


def missing_names(source: str, summary: str) -> list[Name]:
    """Names of the summary, each place once, with a word that the source does not have.

    The first word of a sentence or quotation is left out: its capital says nothing. Case, possessives and titles
    don't count.
    """
    known = known_words(source)
    return [name for name in find_names(summary) if not is_known(name, known)]


def known_words(source: str) -> set[str]:
    known = set(map(_bare, _TOKEN.findall(source)))
    return known | {part for word in known if "-" in word for part in word.split("-")}


def is_known(name: Name, known: set[str]) -> bool:
    return all(word in known for word in map(_bare, name.words) if word not in _CONNECTORS)


def unsupported_names(source: str, summary: str) -> list[str]:
    """`missing_names` as written, each once."""
    missing: dict[str, str] = {}
    for name in missing_names(source, summary):
        missing.setdefault(name.text.casefold(), name.text)
    return list(missing.values())


def _bare(word: str) -> str:
    word = word.casefold().replace("’", "'").removesuffix("'s")
    return word.replace(".", "")


def find_names(text: str) -> list[Name]:
    names: list[Name] = []
    for start, end in sentence_spans(text):
        run: list[re.Match[str]] = []
        starts = True
        for token in _TOKEN.finditer(text, start, end):
            joins = bool(run) and token[0] in _CONNECTORS
            if joins or (not starts and _is_name(token[0])):
                run.append(token)
            else:
                names += _named(run)
                run = []
            starts = token[0] in _OPENING
        names += _named(run)
    return names


def _is_name(token: str) -> bool:
    return token[0].isupper() and _bare(token) not in _NO_NAMES


def _named(run: list[re.Match[str]]) -> list[Name]:
    while run and run[-1][0] in _CONNECTORS:
        run.pop()
    return [Name(tuple(token[0] for token in run), run[0].start(), run[-1].end())] if run else []
