"""From a file or a Hugging Face data set to document rows, whatever the columns are called.

`reviews.ingest.documents` decides what to do with the rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reviews.ingest.columns import OTHER, choose_columns
from reviews.ingest.documents import DocumentRow, ImportReport
from reviews.ingest.sources.files import open_file
from reviews.ingest.sources.source import Progress, Record, Source


def read_file(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002 (the word everybody uses)
    limit: int | None = None,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> Iterator[DocumentRow]:
    """The file's rows. `format` None goes by suffix and content, `mapping` names columns for fields (text, title,
    reference, id, domain, group, licence; "" for none), the others are found by their usual names.

    Rows that cannot be read at all are refused in `report`. Raises InvalidInput or TooLarge: for what can be seen at
    once, when called; for bytes or quotes that are wrong further down, when they are reached.
    """
    source = open_file(path, format=format)
    return read(source, mapping=mapping, limit=limit, report=report, progress=progress)


def first(source: Source, rows: int) -> list[Record]:
    """The first rows as they are, whatever is in them."""
    return list(itertools.islice(source.records(None), rows))


def read(
    source: Source,
    *,
    mapping: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    limit: int | None = None,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> Iterator[DocumentRow]:
    """`keep`: columns that are kept as fields of their own."""
    columns = choose_columns(source.columns, mapping, keep)
    return _rows(source, columns, limit, report or ImportReport(), progress)


def _rows(
    source: Source,
    columns: dict[str, str],
    limit: int | None,
    report: ImportReport,
    progress: Progress | None,
) -> Iterator[DocumentRow]:
    for count, (number, values) in enumerate(itertools.islice(source.records(columns.values()), limit)):
        if progress is not None and count % 50 == 0:
            progress(*source.position())
        if isinstance(values, str):
            report.read += 1
            report.refuse(number, "row", values)
            continue
        row, name, reason = document_row(number, values, columns)
        if row is None:
            report.read += 1
            report.refuse(number, name, reason)
        else:
            yield row


def document_row(
    number: int, values: Mapping[str, Any], columns: Mapping[str, str]
) -> tuple[DocumentRow | None, str, str]:
    """(row, "", ""), or (None, field, reason) where a cell is not text."""
    fields: dict[str, str] = {}
    for name, column in columns.items():
        text = as_text(values.get(column))
        if text is None:
            return None, name, f"{column} holds {_kind(values[column])}, not text."
        fields[name] = text
    others = {name.removeprefix(OTHER): fields.pop(name) for name in list(fields) if name.startswith(OTHER)}
    return DocumentRow(number=number, fields=others, **fields), "", ""


def as_text(value: Any) -> str | None:
    """A cell as text: lists of sentences become lines. None where it cannot be."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return None if isinstance(value, dict | list | tuple) else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, bytes):
        return "bytes that are not UTF-8"
    return "an object" if isinstance(value, dict) else "a list of other things"
