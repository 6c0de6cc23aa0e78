"""CSV and TSV, with the delimiters and ways of quoting that are found in the wild."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from reviews.ingest.columns import USUAL_NAMES, listed
from reviews.ingest.sources.limits import LONGEST_ROW
from reviews.ingest.sources.source import SAMPLE_BYTES, Lines, Place, Record, Source, not_too_wide, wrong

_DELIMITERS = ",\t;|"


def comma_separated(path: Path, format: str) -> Source:  # noqa: A002
    options = _csv_options(path, format)
    place = Place()

    def values() -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(LONGEST_ROW)  # the module's own limit of 128 KiB is less than a long article
        with path.open("rb") as file:
            lines = Lines(path, file)
            place.now = lines.position
            reader = csv.reader(lines, strict=True, **options)
            number = 0
            while True:
                lines.begin_row()
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    wrong(path, _csv_mistake(error, lines.number))
                if any(cell.strip() for cell in row):
                    yield number, row
                    number += 1

    header = next(values(), (0, []))[1]
    not_too_wide(path, header)
    columns = tuple(name.strip() or f"column {i}" for i, name in enumerate(header, 1))
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        wrong(path, f"has two columns of one name in its first line: {listed(tuple(twice))}.")

    def records(_: Collection[str] | None) -> Iterator[Record]:
        for number, row in itertools.islice(values(), 1, None):
            if len(row) > len(columns):
                yield number, f"It has {len(row)} values, but there are {len(columns)} columns."
            else:
                yield number, dict(zip(columns, row, strict=False))

    return Source(path.name, format, columns, records, place)


def _csv_mistake(error: csv.Error, line: int) -> str:
    said = str(error)
    if "unexpected end of data" in said:
        return f"ends inside a quoted value (line {line:,}): a closing quote is missing somewhere before."
    if "expected after" in said:
        return f"has a stray quote in line {line:,}. Quotes inside a quoted value have to be doubled."
    if "new-line character" in said:
        return f"has line breaks that cannot be told apart in line {line:,}. Save it with Unix or Windows line ends."
    return f"cannot be read as CSV in line {line:,}: {said}."


def _csv_options(path: Path, format: str) -> dict[str, Any]:  # noqa: A002
    """Delimiter and quoting, from the first lines: Python's own sniffer is easily misled by prose."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES).decode("utf-8-sig", errors="replace")
    header = re.split(r"[\r\n]", sample, maxsplit=1)[0]
    delimiter = "\t" if format == "tsv" else _delimiter(header)
    options: dict[str, Any] = {"delimiter": delimiter}
    if delimiter == "\t" and _plain_tabs(sample):
        return {**options, "quoting": csv.QUOTE_NONE}
    if re.search(r'[^\\"]\\"(?![,;\t|\r\n]|$)', sample) and not re.search(r'[^,;\t|\r\n]""', sample):
        return {**options, "escapechar": "\\", "doublequote": False}
    return options


def _delimiter(header: str) -> str:
    usual = {word for words in USUAL_NAMES.values() for word in words}

    def rank(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return sum(name.strip().lower() in usual for name in names), len(names)

    return max(_DELIMITERS, key=rank)


def _plain_tabs(sample: str) -> bool:
    """True where quotes are ordinary characters: each line has all columns by itself, and no value is in quotes."""
    lines = sample.splitlines()
    if len(sample) >= SAMPLE_BYTES // 2:
        lines = lines[:-1]  # cut off
    rows = [line.split("\t") for line in lines if line.strip()]
    quoted = any(len(cell) > 1 and cell[0] == cell[-1] == '"' for row in rows for cell in row)
    return not quoted and len({len(row) for row in rows}) == 1
