"""Error spans and verdicts on sentences as a page sends them: read, held against the texts, brought to one form. Pure.

Offsets count code points (reviews/texts/spans.py). A mark carries what stands at its place, so that one made on another
version of a text is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, get_args

from models_app.texts.normalise import normalise, one_line
from reviews.texts.edits import ErrorType, Severity, Side
from reviews.texts.spans import quotes, sentences, snapped

MOST_MARKS = 200
LONGEST_NOTE_CHARACTERS = 300
SIDES = get_args(Side)
ERROR_TYPES = get_args(ErrorType)
SEVERITIES = get_args(Severity)


class UnreadableMarks(ValueError):
    """The words are for people. `number` and `field`: of which mark or sentence of the list, from 0, and what of it."""

    def __init__(self, words: str, number: int | None = None, field: str = "") -> None:
        super().__init__(words)
        self.number, self.field = number, field

    def at(self, name: str) -> str:
        """Where in the list of this name, as the API has it: `marks.2.quote`."""
        return ".".join(
            part for part in (name, "" if self.number is None else str(self.number), self.field) if part
        )


@dataclass(frozen=True, order=True)
class Mark:
    side: str
    start: int
    end: int
    error_type: str
    severity: str = "major"
    quote: str = ""
    note: str = ""
    suggested: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "side": self.side, "start": self.start, "end": self.end, "quote": self.quote,
            "error_type": self.error_type, "severity": self.severity, "note": self.note,
            "suggested": self.suggested,
        }  # fmt: skip


@dataclass(frozen=True, order=True)
class Support:
    """Whether the source supports this sentence of the summary."""

    start: int
    end: int
    supported: bool


def read_marks(raw: Any) -> tuple[Mark, ...]:
    """From JSON. Raises UnreadableMarks."""
    if not isinstance(raw, list):
        raise UnreadableMarks("Not a list of marks.")
    if len(raw) > MOST_MARKS:
        raise UnreadableMarks(f"At most {MOST_MARKS} marks.")
    return tuple(_read_mark(one, number) for number, one in enumerate(raw))


def _read_mark(raw: Any, number: int) -> Mark:
    if not isinstance(raw, Mapping):
        raise UnreadableMarks("A mark is an object with side, start, end, quote and error_type.", number)
    start, end = raw.get("start"), raw.get("end")
    if not _whole(start) or not _whole(end):
        raise UnreadableMarks("A mark's start and end are whole numbers.", number)
    for name, allowed in (("side", SIDES), ("error_type", ERROR_TYPES), ("severity", SEVERITIES)):
        if raw.get(name, "major" if name == "severity" else None) not in allowed:
            words = f"A mark's {name.replace('_', ' ')} is one of {', '.join(allowed)}."
            raise UnreadableMarks(words, number, name)
    quote, note = raw.get("quote", ""), raw.get("note", "")
    if not isinstance(quote, str) or not isinstance(note, str):
        raise UnreadableMarks("A mark's quote and note are text.", number)
    note = normalise(note)  # no table takes a NUL or half a character
    if len(note) > LONGEST_NOTE_CHARACTERS:
        words = f"A mark's note has at most {LONGEST_NOTE_CHARACTERS} characters."
        raise UnreadableMarks(words, number, "note")
    return Mark(
        side=raw["side"], start=start, end=end, error_type=raw["error_type"], severity=raw.get("severity", "major"),
        quote=quote, note=note, suggested=bool(raw.get("suggested")),
    )  # fmt: skip


def read_support(raw: Any) -> tuple[Support, ...]:
    """From JSON: [start, end, supported] of each sentence that was judged. Raises UnreadableMarks."""
    if not isinstance(raw, list):
        raise UnreadableMarks("Not a list of sentences.")
    read = []
    for number, one in enumerate(raw):
        if not (isinstance(one, list) and len(one) == 3 and _whole(one[0]) and _whole(one[1])):
            raise UnreadableMarks("A sentence is given as [start, end, supported].", number)
        if not isinstance(one[2], bool):
            raise UnreadableMarks("A sentence is supported or not: true or false.", number, "supported")
        read.append(Support(*one))
    return tuple(read)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def checked_marks(marks: Iterable[Mark], *, summary: str, source: str) -> list[Mark]:
    """The marks in order, each once, on whole characters. Raises UnreadableMarks where a quote is not what stands
    there."""
    texts = {"summary": summary, "source": source}
    kept: dict[tuple[str, int, int, str], Mark] = {}
    for number, mark in enumerate(marks):
        text = texts[mark.side]
        if not quotes(text, mark.start, mark.end, mark.quote):
            raise UnreadableMarks(
                f"“{one_line(mark.quote[:60])}” does not stand at {mark.start}–{mark.end} of the {mark.side}. Load the "
                "item again and mark it again.",
                number,
                "quote",
            )
        try:
            start, end = snapped(text, mark.start, mark.end)
        except ValueError as error:
            raise UnreadableMarks(
                f"Nothing but white space is marked at {mark.start}–{mark.end} of the {mark.side}.", number
            ) from error
        whole = Mark(
            mark.side, start, end, mark.error_type, mark.severity, text[start:end], mark.note, mark.suggested
        )
        kept.setdefault((whole.side, start, end, whole.error_type), whole)
    return sorted(kept.values())


def checked_support(judged: Sequence[Support], *, summary: str) -> list[Support]:
    """In order. Raises UnreadableMarks for what is no sentence of the summary, or judged twice."""
    known = set(sentences(summary)) if judged else set()
    seen = set()
    for number, one in enumerate(judged):
        if (one.start, one.end) not in known:
            raise UnreadableMarks(
                f"Not a sentence of the summary: {one.start}–{one.end}. Load the item again.", number
            )
        if one.start in seen:
            raise UnreadableMarks("A sentence was judged twice.", number)
        seen.add(one.start)
    return sorted(judged)
