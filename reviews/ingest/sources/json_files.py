"""JSON Lines, and JSON lists that are never held whole."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from reviews.ingest.sources.limits import LONGEST_ROW
from reviews.ingest.sources.source import (
    SAMPLE_ROWS,
    Lines,
    Place,
    Record,
    Source,
    not_too_wide,
    not_utf8,
    wrong,
)

_CHUNK = 1 << 20


def json_lines(path: Path, format: str) -> Source:  # noqa: A002
    place = Place()

    def records(_: Collection[str] | None) -> Iterator[Record]:
        with path.open("rb") as file:
            lines = Lines(path, file)
            place.now = lines.position
            for line in lines:
                lines.begin_row()
                if line.strip():
                    yield lines.number, _object(line)

    columns: dict[str, None] = {}
    first_mistake = ""
    for number, values in itertools.islice(records(None), SAMPLE_ROWS):
        if isinstance(values, str):
            first_mistake = first_mistake or f"Line {number}: {values}"
        else:
            columns.update(dict.fromkeys(values))
            not_too_wide(path, columns)
    if not columns:
        wrong(path, f"is not JSON Lines, one object a line. {first_mistake or 'Its objects are empty.'}")
    return Source(path.name, format, tuple(columns), records, place)


def _object(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line, strict=False)  # control characters are removed later, not refused
    except json.JSONDecodeError as error:
        return f"This is not JSON: {error.msg} at character {error.pos + 1}."
    except ValueError as error:  # a number that Python does not read: it would take it minutes
        return f"This is not a row: {error}."
    except RecursionError:
        return "This is not a row: it is nested too deeply."
    return value if isinstance(value, dict) else "This is JSON, but not an object with named values."


def json_list(path: Path, format: str) -> Source:  # noqa: A002
    place = Place()

    def records(_: Collection[str] | None) -> Iterator[Record]:
        with path.open("rb") as file:
            size = path.stat().st_size
            place.now = lambda: (size if file.closed else file.tell(), size)  # asked once more at the end
            for number, value in enumerate(_list_items(path, _texts(path, file)), 1):
                yield (
                    number,
                    value if isinstance(value, dict) else "This item is not an object with named values.",
                )

    columns: dict[str, None] = {}
    for _, values in itertools.islice(records(None), SAMPLE_ROWS):
        if not isinstance(values, str):
            columns.update(dict.fromkeys(values))
            not_too_wide(path, columns)
    if not columns:
        wrong(path, "is not a JSON list of objects: [{…}, {…}].")
    return Source(path.name, format, tuple(columns), records, place)


def _texts(path: Path, file: BinaryIO) -> Iterator[str]:
    """The file's text by chunks. Raises InvalidInput at a byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    offset, lines = 0, 1
    while True:
        data = file.read(_CHUNK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].count(b"\n")
            not_utf8(path, error, line_number=lines + before, offset=offset - pending)
        offset += len(data)
        lines += text.count("\n")
        if text:
            yield text
        if not data:
            return


_JSON_SPACE = re.compile(r"[ \t\r\n]*")


def _list_items(path: Path, chunks: Iterator[str]) -> Iterator[Any]:
    """The items of a JSON list, one after another, without ever holding the whole list."""
    decoder = json.JSONDecoder(strict=False)
    buffer, at, count, ended = "", 0, 0, False

    def more() -> bool:
        """Put at least as much again behind what is still unread; False at the end of the file."""
        nonlocal buffer, at, ended
        buffer, at = buffer[at:], 0
        wanted = max(2 * len(buffer), 1)
        parts = [buffer]
        length = len(buffer)
        while length < wanted and (part := next(chunks, "")):
            parts.append(part)
            length += len(part)
        ended = length < wanted
        grown = length > len(buffer)
        buffer = "".join(parts)
        return grown

    def skip(characters: str) -> str:
        """The next character that counts, passed over if it is one of these."""
        nonlocal at
        while True:
            at = _space_end(buffer, at)
            if at < len(buffer):
                break
            if not more():
                wrong(path, f"breaks off after item {count}: the list is not closed by ].")
        found = buffer[at]
        if found in characters:
            at += 1
        return found

    if skip("[") != "[":
        wrong(path, "is not a JSON list: it does not begin with [.")
    while True:
        found = skip("],") if count else skip("]")
        if found == "]":
            return
        if count and found != ",":
            wrong(path, f"is not a JSON list: after item {count} there is {found!r} where , or ] belongs.")
        skip("")
        while True:
            try:
                value, end = decoder.raw_decode(buffer, at)
                length = end - at
                if end < len(buffer) or ended or not more():
                    break
            except json.JSONDecodeError as error:
                if len(buffer) - at > LONGEST_ROW:
                    wrong(
                        path,
                        f"has an item of more than {LONGEST_ROW >> 20} MB, or one that is not whole JSON: "
                        f"in item {count + 1}, {error.msg.lower()}.",
                    )
                if ended or not more():
                    wrong(path, f"is not whole JSON: in item {count + 1}, {error.msg.lower()}.")
            except ValueError as error:
                wrong(path, f"holds a number that cannot be read in item {count + 1}: {error}.")
            except RecursionError:
                wrong(path, f"is nested too deeply in item {count + 1}.")
        at += length
        count += 1
        yield value


def _space_end(text: str, at: int) -> int:
    match = _JSON_SPACE.match(text, at)
    return match.end() if match else at
