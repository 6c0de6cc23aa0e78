"""Where sentences begin and end, without models or downloads.

Written for news prose and for what models write: English with its abbreviations, initials and quotes,
cased or not, spaced stops ("the end . next"), one sentence a line, hard-wrapped paragraphs, and the stops of
Chinese, Japanese, Arabic, Urdu, the Indic scripts, Armenian, Ethiopic, Khmer and Burmese.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

# Raise it with every change that may split any text in another way: ROUGE-Lsum and the names and numbers that an
# evaluation counts depend on it, and scores of two versions are not compared. A test pins what each version gives.
VERSION = 1

_LINE = re.compile("[^\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]+")
_WORDLIKE = re.compile(r"[^\W_]")
_FIRST_WORD = re.compile(r"\S+")

_CLOSERS = "\"'”’»)\\]}›"
_OPENERS = "\"'“‘«([{‹¿¡*_-–—•· \t"
_SCRIPT_STOPS = "।॥؟۔။។።։"

# A candidate end: a run of stops, closing quotes and brackets, then white space, the end, or (for scripts that
# use none, and for a lost space before a capital) nothing.
_CANDIDATE = re.compile(
    rf"""
    (?P<wide>[。！？｡]+[」』）】〉》”’"')\]]*)
  | (?P<script>[{_SCRIPT_STOPS}]+[{_CLOSERS}]*)
  | (?P<stop>\.(?:[ ]\.)+|[.!?…]+)
    (?P<closers>[{_CLOSERS}]*(?:[ ](?:''|["”])(?=\s|$))?)
    (?:(?=\s|$)|(?P<glued>(?=[A-Z]))|(?<=[!?])(?=[\u3040-\u30ff\u4e00-\u9fff]))
    """,
    re.VERBOSE,
)


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


# Never the last word of a sentence.
_TITLES = _words(
    "mr mrs ms messrs mme mlle dr prof gen sen rep reps sens gov lt col sgt capt rev hon st mt ste pres supt det "
    "insp cpl pvt adm cmdr maj brig fr hr sra srta dra amb atty cllr comdr "
    "e.g i.e eg ie vs viz cf z.b d.h p.ex bzw"
)
# Abbreviations only in front of a number.
_NUMBERED = _words("no nos nr p pp fig figs vol vols art sec ch c ca approx para mar op eq")
# May end a sentence: they do when a typical first word of a sentence follows.
_MAYBE_LAST = _words(
    "inc ltd co corp bros jr sr llc plc assn dept univ est al ave blvd rd "
    "jan feb apr jun jul aug sept sep oct nov dec "
    "calif fla ariz colo conn ky md mich minn mont neb nev okla ore tenn tex va vt wis wyo mass ala ark "
    "ph.d m.d"
)
_FIRST_WORDS = _words(
    "the a an he she it they we i you this that these those there here in on at as but and or so if when while "
    "where what why how who after before since then now although though however meanwhile his her its their our "
    "my your for from with by to no not yes one some many most all both each every another other others also "
    "still yet even just only once until during despite because earlier later last next today yesterday "
    "according nobody everyone someone nothing it's he's she's they're we're i'm that's there's"
)
_SPEECH = re.compile(
    r"[A-Z][\w'’.-]*(?:\s[A-Z][\w'’.-]*){0,2}\s"
    r"(?:said|says|asked|asks|added|adds|told|tells|wrote|writes|replied|cried|shouted|joked|quipped|tweeted|exclaimed)\b"
)
_GERMAN_MONTH = re.compile(
    r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_LAST_TOKEN = re.compile(r"[^\s(\[{\"'“‘«—–/]+$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]$")
_ENUMERATOR = re.compile(r"\s*[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})[.)]+\s*$")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line (runs of white space become one space)."""
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Offsets of the sentences: ordered, disjoint, without white space at either end.

    Every letter and digit of the text lies in exactly one span; lines of mere punctuation lie in none.
    """
    uncased = text == text.lower()
    spans: list[tuple[int, int]] = []
    for start, end in _blocks(text):
        for piece_start, piece_end in _pieces(text, start, end, uncased):
            if _WORDLIKE.search(text, piece_start, piece_end):
                spans.append((piece_start, piece_end))
            elif spans and spans[-1][0] >= start:
                spans[-1] = (spans[-1][0], piece_end)
    return spans


def ends_sentence(text: str) -> bool:
    """Whether a text ends in a stop, closing quotes and brackets aside, and not in an abbreviation."""
    text = text.rstrip()
    last = None
    for match in _CANDIDATE.finditer(text, max(0, len(text) - 64)):
        last = match
    if last is None or last.end() != len(text):
        return False
    return last.lastgroup in ("wide", "script") or last["stop"] != "." or not _never_last(text, last.start())


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches between the line breaks that end a sentence; breaks inside running prose are no ends."""
    lines = [match.span() for match in _LINE.finditer(text)]
    if len(lines) < 2:
        yield from lines
        return
    paragraph: list[tuple[int, int]] = []
    for span in lines:
        blank = not text[span[0] : span[1]].strip()
        if paragraph and (blank or _paragraph_break(text, paragraph[-1][1], span[0])):
            yield from _unwrapped(text, paragraph)
            paragraph = []
        if not blank:
            paragraph.append(span)
    if paragraph:
        yield from _unwrapped(text, paragraph)


def _paragraph_break(text: str, end: int, start: int) -> bool:
    gap = text[end:start]
    return "\u2029" in gap or len(gap.replace("\r\n", "\n")) > 1


def _unwrapped(text: str, lines: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    wrapped = _is_hard_wrapped(text, lines)
    start, end = lines[0]
    for next_start, next_end in lines[1:]:
        ended = ends_sentence(text[max(start, end - 64) : end])
        first = text[next_start:next_end].lstrip(_OPENERS)[:1]
        if wrapped or (not ended and first.islower()):
            end = next_end
            continue
        yield start, end
        start, end = next_start, next_end
    yield start, end


def _is_hard_wrapped(text: str, lines: list[tuple[int, int]]) -> bool:
    """Three lines or more, none long, each too full for the next line's first word."""
    width = max(end - start for start, end in lines)
    if len(lines) < 3 or not 40 <= width <= 100:
        return False
    for (start, end), (next_start, next_end) in itertools.pairwise(lines):
        word = _FIRST_WORD.search(text, next_start, next_end)
        if word is None or (end - start) + 1 + len(word[0]) <= width:
            return False
    return True


def _pieces(text: str, start: int, end: int, uncased: bool) -> Iterator[tuple[int, int]]:
    for match in _CANDIDATE.finditer(text, start, end):
        if match.end() < end and _is_end(text, match, start, end, uncased):
            yield from _trimmed(text, start, match.end())
            start = match.end()
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(stripped)


def _is_end(text: str, match: re.Match[str], start: int, end: int, uncased: bool) -> bool:
    if match["stop"] is None:
        return True
    rest = text[match.end() : min(end, match.end() + 80)].lstrip().lstrip(_OPENERS)
    word = _FIRST_WORD.match(rest)
    if word is None:  # nothing but closing punctuation follows
        return False
    first = word[0].rstrip(".,;:!?…\"'”’)")
    if match["glued"] is not None:
        return _is_lost_space(text, match, first)
    spaced = match.start() > start and text[match.start() - 1] == " "
    if rest[0].islower() and not (uncased or spaced or rest[1:2].isupper()):
        return False
    stop = match["stop"]
    if stop == ".":
        return spaced or not _continues(text, match, start, first, rest)
    if "!" in stop or "?" in stop:
        return not (match["closers"] and _SPEECH.match(rest))
    return first != "I"  # an ellipsis: "Well... I think" goes on


def _is_lost_space(text: str, match: re.Match[str], first: str) -> bool:
    """ "…he said.The next": two small letters, a stop, a typical first word with nothing else glued to it."""
    before = text[max(0, match.start() - 2) : match.start()]
    return len(before) == 2 and before.isalpha() and before.islower() and first.lower() in _FIRST_WORDS


def _continues(text: str, match: re.Match[str], start: int, first: str, rest: str) -> bool:
    """Whether a single full stop belongs to an abbreviation, an initial or a numeral, and the sentence goes on."""
    stop = match.start()
    if _never_last(text, stop) or _ENUMERATOR.match(text[start : match.end()]):
        return True
    token = _last_token(text, start, stop)
    lowered = token.lower()
    if lowered in _NUMBERED and not (len(token) == 1 and token.isupper()):
        return rest[:1].isdigit()
    if token.isdigit():
        return len(token) <= 2 and _GERMAN_MONTH.match(rest) is not None
    if lowered in _MAYBE_LAST or _INITIALS.match(token):
        # "W. A. Mozart": a lone letter with its own stop is an initial, not the article.
        is_initial = len(first) == 1 and rest[1:2] == "."
        return is_initial or first.lower().replace("’", "'") not in _FIRST_WORDS
    return False


def _never_last(text: str, stop: int) -> bool:
    return _last_token(text, max(0, stop - 16), stop).lower() in _TITLES


def _last_token(text: str, start: int, stop: int) -> str:
    token = _LAST_TOKEN.search(text[max(start, stop - 24) : stop])
    return token[0] if token else ""
