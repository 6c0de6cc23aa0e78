"""From a file or a Hugging Face data set to document rows, whatever the columns are called.

Knows JSON Lines, JSON lists, CSV, TSV and Parquet, reads them row by row, and says exactly what is wrong with a file
that is none of these. What becomes of the rows is decided in `reviews.intake`.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from django.conf import settings

from models_app.foundation.errors import InvalidInput, TooLarge, Unavailable
from reviews.intake import DocumentRow, ImportReport

Progress = Callable[[int, int], None]
"""(done, total) in bytes, or in rows where only these are known; total 0 where nobody knows."""

Record = tuple[int, dict[str, Any] | str]
"""Number of the row in its file from 1, and its values by column, or why there are none."""

# Names that columns usually have, the best first. The keys are DocumentRow's fields.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "text": ("article", "text", "document", "content", "body", "story", "dialogue", "source"),
    "reference": ("highlights", "summary", "reference", "abstract", "tldr", "target"),
    "title": ("title", "headline"),
    "external_id": ("id", "external_id", "guid", "doc_id"),
    "domain": ("domain", "category", "section"),
    "group_key": ("group", "group_key"),
    "licence": ("licence", "license"),
}
_SHORT_NAMES = {"id": "external_id", "group": "group_key", "license": "licence"}

FORMATS = {"jsonl": "JSON Lines", "json": "JSON list", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}
_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document; unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; save the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"{\\rtf", "a rich text document"),
    (b"SQLite format 3", "an SQLite database"),
)
_CONTROL_BYTES = bytes({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1b"})
_SAMPLE_ROWS = 100
_SAMPLE_BYTES = 64 * 1024
_CHUNK = 1 << 20
_PARQUET_ROWS = 64
_DELIMITERS = ",\t;|"
# Which configuration is meant where none is named.
_CONFIGS = {"abisee/cnn_dailymail": "3.0.0", "ccdv/cnn_dailymail": "3.0.0", "cnn_dailymail": "3.0.0"}
WHAT_IS_READ = "Galley reads JSON Lines, JSON lists, CSV, TSV and Parquet."


@dataclass(frozen=True)
class Source:
    """An opened file or data set: its columns, and its rows as often as they are asked for."""

    name: str
    format: str
    columns: tuple[str, ...]
    records: Callable[[Collection[str] | None], Iterator[Record]]
    """Asked with the columns that matter (None: all): others may be left out."""
    position: Callable[[], tuple[int, int]] = lambda: (0, 0)


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


def read_hub(
    name: str,
    *,
    config: str = "",
    split: str = "",
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> Iterator[DocumentRow]:
    """The rows of a Hugging Face data set, streamed; `split` "" is train. Raises InvalidInput, Unavailable."""
    source = open_hub(name, config=config, split=split)
    return read(source, mapping=mapping, limit=limit, report=report, progress=progress)


def first(source: Source, rows: int) -> list[Record]:
    """The first rows as they are, whatever is in them."""
    return list(itertools.islice(source.records(None), rows))


def read(
    source: Source,
    *,
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> Iterator[DocumentRow]:
    columns = choose_columns(source.columns, mapping)
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
    fields = {}
    for name, column in columns.items():
        text = as_text(values.get(column))
        if text is None:
            return None, name, f"{column} holds {_kind(values[column])}, not text."
        fields[name] = text
    return DocumentRow(number=number, **fields), "", ""


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


# ---------------------------------------------------------------- columns


def full_mapping(mapping: Mapping[str, str] | None) -> dict[str, str]:
    """With DocumentRow's names. Raises InvalidInput for fields that there are not."""
    named = {_SHORT_NAMES.get(name, name): column for name, column in (mapping or {}).items()}
    for name in named:
        if name not in USUAL_NAMES:
            known = "text, title, reference, id, domain, group, licence"
            raise InvalidInput(f"There is no field {name!r} to map a column to. There are {known}.",
                               fields={"mapping": f"unknown field {name}"})  # fmt: skip
    return named


def choose_columns(columns: Iterable[str], mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Field → column: those that `mapping` names, the rest by usual names. Raises InvalidInput for a column that is
    not there, and where nothing can be the text."""
    columns = tuple(columns)
    named = full_mapping(mapping)
    for name, column in named.items():
        if column and column not in columns:
            raise InvalidInput(
                f"There is no column {column!r} for {name}. The columns are {_listed(columns)}.",
                fields={name: f"There is no column {column!r}."},
            )
    chosen = guess_columns(columns, named)
    if "text" not in chosen:
        raise InvalidInput(
            f"No column is known to hold the article's text. The columns are {_listed(columns)}; "
            f"usual names are {', '.join(USUAL_NAMES['text'])}. Say which it is (text=COLUMN).",
            fields={"text": "Say which column holds the article's text."},
        )
    if chosen.get("reference") == chosen["text"]:
        raise InvalidInput(
            f"{chosen['text']!r} cannot be both the text and its reference summary.",
            fields={"reference": "This column is the text already."},
        )
    return chosen


def guess_columns(columns: tuple[str, ...], named: Mapping[str, str]) -> dict[str, str]:
    """What is named, and for the fields that are not, columns of usual names; perhaps without the text."""
    chosen = {name: column for name, column in named.items() if column}
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    for name, usual in USUAL_NAMES.items():
        if name in named:
            continue
        found = next((by_name[word] for word in usual if word in by_name), None)
        if found is not None and found not in chosen.values():
            chosen[name] = found
    return chosen


def _listed(columns: tuple[str, ...]) -> str:
    shown = [column if len(column) <= 40 else column[:39] + "…" for column in columns[:30]]
    more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
    return (", ".join(repr(column) for column in shown) or "none") + more


# ---------------------------------------------------------------- files


def open_file(path: Path, *, format: str | None = None) -> Source:  # noqa: A002
    """Look at the file and find its columns. Raises InvalidInput and TooLarge in words for whoever chose the file."""
    path = Path(path)
    if format and format not in FORMATS:
        raise InvalidInput(
            f"There is no format {format!r}; there are {', '.join(FORMATS)}.", fields={"format": format}
        )
    head = _head(path)
    actual = _format_of(path, head, format)
    openers = {"jsonl": _json_lines, "json": _json_list, "csv": _csv, "tsv": _csv, "parquet": _parquet}
    return openers[actual](path, actual)


def _head(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            _wrong(path, "is a directory. Name a file in it.")
        with path.open("rb") as file:
            head = file.read(_SAMPLE_BYTES)
    except FileNotFoundError:
        _wrong(path, "does not exist.")
    except OSError as error:
        _wrong(path, f"cannot be read: {error.strerror or error}.")
    most: int = settings.GALLEY_MAX_UPLOAD_MB
    if size > most << 20:
        raise TooLarge(
            f"{path.name} has {size / (1 << 20):,.0f} MB; at most {most} MB are taken (GALLEY_MAX_UPLOAD_MB). "
            "Split the file, or let an administrator raise the limit.",
            fields={"file": f"more than {most} MB"},
        )
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        _wrong(path, "is empty.")
    return head


def _format_of(path: Path, head: bytes, wanted: str | None) -> str:
    """The format to read it as; what the first bytes prove goes before suffix and wish."""
    by_suffix = _SUFFIXES.get(path.suffix.lower(), "")
    if head.startswith(b"PAR1"):
        if wanted and wanted != "parquet":
            _wrong(path, f"is a Parquet file, not {FORMATS[wanted]}. Choose Parquet.")
        return "parquet"
    if (wanted or by_suffix) == "parquet":
        _wrong(path, f"is not a Parquet file: it does not begin with PAR1. {WHAT_IS_READ}")
    _refuse_binary(path, head)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    chosen = wanted or by_suffix or _sniffed(start)
    if chosen == "json" and start.startswith(b"{"):
        return "jsonl"  # JSON Lines are often named .json
    if chosen == "jsonl" and start.startswith(b"["):
        return "json"
    return chosen


def _refuse_binary(path: Path, head: bytes) -> None:
    for magic, what in _MAGIC:
        if head.startswith(magic):
            _wrong(path, f"is {what}. {WHAT_IS_READ}")
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if utf16 or head.count(0) > len(head) // 4:
        _wrong(path, "looks like UTF-16. Save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    controls = len(head) - len(head.translate(None, _CONTROL_BYTES))
    if controls > max(8, len(head) // 50):  # a stray one is removed later
        _wrong(path, f"is not text: it holds binary data. {WHAT_IS_READ}")
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        _wrong(path, f"is a web page or XML. {WHAT_IS_READ}")


def _sniffed(start: bytes) -> str:
    if start[:1] in (b"{", b"["):
        return "jsonl" if start.startswith(b"{") else "json"
    return "csv"


def _wrong(path: Path, what: str) -> NoReturn:
    raise InvalidInput(f"{path.name} {what}", fields={"file": what[:1].upper() + what[1:]})


class _Lines:
    """Decoded lines of a file with their line breaks, and where in it we are. Raises InvalidInput at a byte that is
    not UTF-8."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.number = self.offset = 0
        self.size = path.stat().st_size

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.number += 1
            try:
                text = line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                _not_utf8(self.path, error, line_number=self.number, offset=self.offset)
            self.offset += len(line)
            yield text

    def position(self) -> tuple[int, int]:
        return self.offset, self.size


def _not_utf8(path: Path, error: UnicodeDecodeError, *, line_number: int, offset: int) -> NoReturn:
    _wrong(
        path,
        f"is not UTF-8: line {line_number:,}, byte {offset + error.start + 1:,} of the file is "
        f"0x{error.object[error.start]:02X}. Save it as UTF-8; a file of Windows-1252 or Latin-1 is converted by "
        "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
    )


class _Place:
    """Where a reading of a source is; there is one reading at a time."""

    def __init__(self) -> None:
        self.now: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def __call__(self) -> tuple[int, int]:
        return self.now()


# ---------------------------------------------------------------- JSON


def _json_lines(path: Path, format: str) -> Source:  # noqa: A002
    place = _Place()

    def records(_: Collection[str] | None) -> Iterator[Record]:
        with path.open("rb") as file:
            lines = _Lines(path, file)
            place.now = lines.position
            for line in lines:
                if line.strip():
                    yield lines.number, _object(line)

    columns: dict[str, None] = {}
    first_mistake = ""
    for number, values in itertools.islice(records(None), _SAMPLE_ROWS):
        if isinstance(values, str):
            first_mistake = first_mistake or f"Line {number}: {values}"
        else:
            columns.update(dict.fromkeys(values))
    if not columns:
        _wrong(path, f"is not JSON Lines, one object a line. {first_mistake or 'Its objects are empty.'}")
    return Source(path.name, format, tuple(columns), records, place)


def _object(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line, strict=False)  # control characters are removed later, not refused
    except json.JSONDecodeError as error:
        return f"This is not JSON: {error.msg} at character {error.pos + 1}."
    except RecursionError:
        return "This is not a row: it is nested too deeply."
    return value if isinstance(value, dict) else "This is JSON, but not an object with named values."


def _json_list(path: Path, format: str) -> Source:  # noqa: A002
    place = _Place()

    def records(_: Collection[str] | None) -> Iterator[Record]:
        with path.open("rb") as file:
            size = path.stat().st_size
            place.now = lambda: (file.tell(), size)
            for number, value in enumerate(_list_items(path, _texts(path, file)), 1):
                yield (
                    number,
                    value if isinstance(value, dict) else "This item is not an object with named values.",
                )

    columns: dict[str, None] = {}
    for _, values in itertools.islice(records(None), _SAMPLE_ROWS):
        if not isinstance(values, str):
            columns.update(dict.fromkeys(values))
    if not columns:
        _wrong(path, "is not a JSON list of objects: [{…}, {…}].")
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
            _not_utf8(path, error, line_number=lines + before, offset=offset - pending)
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
                _wrong(path, f"breaks off after item {count}: the list is not closed by ].")
        found = buffer[at]
        if found in characters:
            at += 1
        return found

    if skip("[") != "[":
        _wrong(path, "is not a JSON list: it does not begin with [.")
    while True:
        found = skip("],") if count else skip("]")
        if found == "]":
            return
        if count and found != ",":
            _wrong(path, f"is not a JSON list: after item {count} there is {found!r} where , or ] belongs.")
        skip("")
        while True:
            try:
                value, end = decoder.raw_decode(buffer, at)
                length = end - at
                if end < len(buffer) or ended or not more():
                    break
            except json.JSONDecodeError as error:
                if ended or not more():
                    _wrong(path, f"is not whole JSON: in item {count + 1}, {error.msg.lower()}.")
            except RecursionError:
                _wrong(path, f"is nested too deeply in item {count + 1}.")
        at += length
        count += 1
        yield value


def _space_end(text: str, at: int) -> int:
    match = _JSON_SPACE.match(text, at)
    return match.end() if match else at


# ---------------------------------------------------------------- CSV


def _csv(path: Path, format: str) -> Source:  # noqa: A002
    options = _csv_options(path, format)
    place = _Place()

    def values() -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(1 << 30)  # the module's own limit of 128 KiB is less than a long article
        with path.open("rb") as file:
            lines = _Lines(path, file)
            place.now = lines.position
            reader = csv.reader(lines, strict=True, **options)
            number = 0
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    _wrong(path, _csv_mistake(error, lines.number))
                if any(cell.strip() for cell in row):
                    yield number, row
                    number += 1

    header = next(values(), (0, []))[1]
    columns = tuple(name.strip() or f"column {i}" for i, name in enumerate(header, 1))
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        _wrong(path, f"has two columns of one name in its first line: {_listed(tuple(twice))}.")

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
        sample = file.read(_SAMPLE_BYTES).decode("utf-8-sig", errors="replace")
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
    if len(sample) >= _SAMPLE_BYTES // 2:
        lines = lines[:-1]  # cut off
    rows = [line.split("\t") for line in lines if line.strip()]
    quoted = any(len(cell) > 1 and cell[0] == cell[-1] == '"' for row in rows for cell in row)
    return not quoted and len({len(row) for row in rows}) == 1


# ---------------------------------------------------------------- Parquet


def _parquet(path: Path, format: str) -> Source:  # noqa: A002
    import pyarrow as pa  # heavy, and few files need it
    import pyarrow.parquet as pq

    broken = (pa.ArrowException, OSError, UnicodeDecodeError)

    try:
        with pq.ParquetFile(path) as file:
            columns, total = tuple(file.schema_arrow.names), file.metadata.num_rows
    except broken as error:
        _wrong(path, f"is a broken Parquet file: {_first_line(error)}.")
    if not total:
        _wrong(path, "has no rows.")
    place = _Place()

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        done = 0
        only = None if wanted is None else list(wanted)
        place.now = lambda: (done, total)
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=only):
                    for values in batch.to_pylist():
                        done += 1
                        yield done, values
        except broken as error:
            _wrong(path, f"is a broken Parquet file: after row {done:,}, {_first_line(error)}.")

    return Source(path.name, format, columns, records, place)


def _first_line(error: Exception) -> str:
    return (
        str(error).strip().splitlines()[0].rstrip(".")[:200] if str(error).strip() else type(error).__name__
    )


# ---------------------------------------------------------------- Hugging Face


def open_hub(name: str, *, config: str = "", split: str = "") -> Source:
    """Ask the hub for a data set. Raises InvalidInput for names that it does not know, Unavailable without it."""
    from models_app.ml import hub_data  # loads a large library

    name = name.strip()
    config = config.strip() or _CONFIGS.get(name, "")
    try:
        found = hub_data.open_data_set(
            name, config=config, split=split.strip() or "train", offline=_offline()
        )
    except hub_data.DataSetRefused as error:
        raise InvalidInput(error.message, fields={"hub": error.message}) from error
    except hub_data.HubUnreachable as error:
        raise Unavailable(error.message, retry_after=60, code="hub_unreachable") from error
    if not found.columns:
        raise InvalidInput(f"{found.name} has no rows.", fields={"hub": "It has no rows."})

    done = 0

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        nonlocal done
        done = 0
        try:
            for values in found.rows(None if wanted is None else list(wanted)):
                done += 1
                yield done, values
        except hub_data.HubUnreachable as error:
            raise Unavailable(error.message, retry_after=60, code="hub_unreachable") from error

    return Source(found.name, "hub", found.columns, records, lambda: (done, found.total))


def _offline() -> bool:
    return bool(settings.GALLEY_OFFLINE)
