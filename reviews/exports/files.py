"""Rows into files: JSON Lines, CSV, or a folder that `datasets.load_dataset` reads. Knows no Django and no database.

Everything is written as it comes, a few hundred rows in memory at a time.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

Row = dict[str, Any]
ColumnType = Literal["text", "integer", "boolean", "time", "scores", "marks", "support", "messages"]
COMPRESSION_LEVEL = 5
ROWS_IN_MEMORY = 1000
# What spreadsheets take for a formula, also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True)
class Column:
    """`keys`: for scores, what there is to score. A time is text in ISO 8601."""

    name: str
    type: ColumnType
    about: str
    keys: tuple[str, ...] = ()
    repeated: bool = False  #: a column of `Rows.endings`, at the end of the row


class Rows(NamedTuple):
    """One row, or one for each ending: what they share, an article above all, is brought into its format once."""

    shared: Row
    endings: Sequence[Row] | None = None

    def each(self) -> Iterator[Row]:
        if self.endings is None:
            yield self.shared
        else:
            yield from ({**self.shared, **ending} for ending in self.endings)


@dataclass(frozen=True)
class Card:
    """What the README of a folder says: a title, and paragraphs of plain Markdown."""

    title: str
    paragraphs: Sequence[str]
    licences: Sequence[str] = ()


def file_name(stem: str, *, format: str, compressed: bool) -> str:  # noqa: A002
    if format == "datasets":
        return f"{stem}.zip"
    return f"{stem}.{format}{'.gz' if compressed else ''}"


def write_file(
    rows: Iterable[Rows],
    path: Path,
    *,
    format: str,  # noqa: A002
    columns: Sequence[Column],
    card: Card,
    compressed: bool = False,
) -> int:
    """Returns how many rows. A folder becomes one ZIP file; on the way it lies in `<path>.d`."""
    if format != "datasets":
        with path.open("wb") as file:
            return write_lines(rows, file, format=format, columns=columns, compressed=compressed)
    folder = path.with_name(f"{path.name}.d")
    try:
        count = write_folder(rows, folder, columns=columns, card=card)
        _zip(folder, path, name=path.name.lstrip(".").partition(".")[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def write_lines(
    rows: Iterable[Rows],
    file: IO[bytes],
    *,
    format: str,  # noqa: A002
    columns: Sequence[Column],
    compressed: bool = False,
) -> int:
    """JSON Lines or CSV into an open file, which stays open."""
    count = 0
    with _text(file, compressed) as text:
        for count, line in enumerate(_lines(rows, format, columns), 1 if format == "jsonl" else 0):  # noqa: B007
            text.write(line)
    return count


@contextmanager
def _text(file: IO[bytes], compressed: bool) -> Iterator[IO[str]]:
    with ExitStack() as stack:
        # no name and no time in it: the same rows give the same bytes
        raw: Any = file
        if compressed:
            raw = stack.enter_context(
                gzip.GzipFile("", "wb", fileobj=file, mtime=0, compresslevel=COMPRESSION_LEVEL)
            )
        text = io.TextIOWrapper(io.BufferedWriter(raw, 1 << 18) if compressed else raw, "utf-8", newline="")
        yield text
        text.flush()
        text.detach().flush()


def _lines(rows: Iterable[Rows], format: str, columns: Sequence[Column]) -> Iterator[str]:  # noqa: A002
    return _csv_lines(rows, columns) if format == "csv" else _json_lines(rows)


def _json_lines(rows: Iterable[Rows]) -> Iterator[str]:
    encode = _JSON.encode
    for shared, endings in rows:
        line = encode(shared)
        if endings is None:
            yield f"{line}\n"
        else:
            begun = line[:-1]
            for ending in endings:
                yield f"{begun}, {encode(ending)[1:]}\n"


# ---------------------------------------------------------------- CSV


_QUOTE, _TWO_QUOTES = '"', '""'


def _csv_lines(rows: Iterable[Rows], columns: Sequence[Column]) -> Iterator[str]:
    """RFC 4180. Scores get a column for each of their keys, other lists are JSON.

    Not by Python's csv module, which goes through texts character by character: a third of the whole time.
    """
    shared = [cell for column in columns if not column.repeated for cell in _csv_cells(column)]
    repeated = [cell for column in columns if column.repeated for cell in _csv_cells(column)]
    yield ",".join([_quoted(name) for name, _ in (*shared, *repeated)]) + "\r\n"
    of_shared, of_ending = [cell for _, cell in shared], [cell for _, cell in repeated]
    for row, endings in rows:
        record = ",".join([cell(row) for cell in of_shared])
        if endings is None:
            yield f"{record}\r\n"
        else:
            for ending in endings:
                yield f"{record},{','.join([cell(ending) for cell in of_ending])}\r\n"


Cell = Callable[[Row], str]
"""What stands in the record; nothing for None."""


def _quoted(text: str) -> str:
    # `in` searches a text many times faster than a regular expression does
    if _QUOTE in text:
        return f'"{text.replace(_QUOTE, _TWO_QUOTES)}"'
    return f'"{text}"' if "," in text or "\n" in text or "\r" in text else text


def _csv_cells(column: Column) -> list[tuple[str, Cell]]:
    name = column.name
    if column.type == "scores":
        stem = name.removesuffix("s")
        return [(f"{stem}_{key}", _score(name, key)) for key in column.keys]
    kinds: dict[str, Cell] = {
        "text": lambda row: _quoted(guarded(text)) if (text := row[name]) else "",
        "time": lambda row: row[name] or "",
        "integer": lambda row: "" if (value := row[name]) is None else str(value),
        "boolean": lambda row: "" if (value := row[name]) is None else "true" if value else "false",
    }
    return [(name, kinds.get(column.type, lambda row: _quoted(_JSON.encode(row[name]))))]


def _score(name: str, key: str) -> Cell:
    return lambda row: str(scores[key]) if key in (scores := row[name]) else ""


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: with an apostrophe before what would begin one."""
    return f"'{text}" if text.startswith(_FORMULA) else text


# ---------------------------------------------------------------- a folder for `datasets`


def write_folder(rows: Iterable[Rows], folder: Path, *, columns: Sequence[Column], card: Card) -> int:
    """Parquet files by split and a README.md that says which is which."""
    import pyarrow as pa  # heavy, and few exports need it
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in columns])
    (folder / "data").mkdir(parents=True)
    counts: dict[str, int] = {}
    times = [column.name for column in columns if column.type == "time"]
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        waiting: dict[str, list[Row]] = {}

        def flush(split: str) -> None:
            if split not in writers:
                path = folder / "data" / f"{split}.parquet"
                writers[split] = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
            for name in times:
                for row in waiting[split]:
                    row[name] = datetime.fromisoformat(row[name]) if row[name] else None
            writers[split].write_table(pa.Table.from_pylist(waiting[split], schema=schema))
            counts[split] = counts.get(split, 0) + len(waiting[split])
            waiting[split] = []

        for row in (row for several in rows for row in several.each()):
            split = row["split"]
            waiting.setdefault(split, []).append(row)
            if len(waiting[split]) >= ROWS_IN_MEMORY:
                flush(split)
        for split in [split for split, kept in waiting.items() if kept]:
            flush(split)
    if counts:
        (folder / "README.md").write_text(_readme(card, columns, counts), encoding="utf-8")
    return sum(counts.values())


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    span = [("start", pa.int64()), ("end", pa.int64())]
    simple: dict[str, Callable[[], Any]] = {
        "text": pa.string,
        "integer": pa.int64,
        "boolean": pa.bool_,
        "time": lambda: pa.timestamp("us", tz="UTC"),
        "scores": lambda: pa.struct([(key, pa.int64()) for key in column.keys]),
        "marks": lambda: pa.list_(
            pa.struct(
                [
                    ("side", pa.string()), *span, ("quote", pa.string()), ("error_type", pa.string()),
                    ("severity", pa.string()), ("note", pa.string()), ("suggested", pa.bool_()),
                ]
            )
        ),
        "support": lambda: pa.list_(pa.struct([*span, ("supported", pa.bool_())])),
        "messages": lambda: pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
    }  # fmt: skip
    return simple[column.type]()


_SPLITS = ("train", "validation", "test")


def _readme(card: Card, columns: Sequence[Column], counts: Mapping[str, int]) -> str:
    splits = sorted(counts, key=_SPLITS.index)
    files = "\n".join(f"  - split: {split}\n    path: data/{split}.parquet" for split in splits)
    front = (
        "---\n"
        f"pretty_name: {json.dumps(card.title, ensure_ascii=False)}\n"
        "task_categories:\n- summarization\n"
        f"configs:\n- config_name: default\n  data_files:\n{files}\n"
        "---\n"
    )
    rows = "\n".join(f"| {split} | {counts[split]:,} |" for split in splits)
    fields = "\n".join(f"| `{column.name}` | {column.about} |" for column in columns)
    licences = "; ".join(card.licences) or "not stated where the articles came in"
    parts = [
        front,
        f"# {card.title}\n",
        *(f"{paragraph}\n" for paragraph in card.paragraphs),
        f"## Rows\n\n| split | rows |\n|---|---|\n{rows}\n",
        f"## Fields\n\n| field | meaning |\n|---|---|\n{fields}\n",
        f"## Licence of the articles\n\n{licences}\n",
        "## To read it\n\n```python\nfrom datasets import load_dataset\n\n"
        'rows = load_dataset("path/to/this/folder")\n```\n',
    ]
    return "\n".join(parts)


def _zip(folder: Path, path: Path, *, name: str) -> None:
    """Stored, not packed again: Parquet is packed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{name}/{file.relative_to(folder)}")


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
