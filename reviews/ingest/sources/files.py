"""Files: which format one has, told by its content first, and what is wrong with one that has none of these."""

from __future__ import annotations

import codecs
from pathlib import Path

from django.conf import settings

from models_app.foundation.errors import InvalidInput, TooLarge
from reviews.ingest.sources.csv_files import comma_separated
from reviews.ingest.sources.json_files import json_lines, json_list
from reviews.ingest.sources.parquet_files import parquet
from reviews.ingest.sources.source import SAMPLE_BYTES, Source, wrong
from reviews.ingest.sources.storable import storable

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
WHAT_IS_READ = "Galley reads JSON Lines, JSON lists, CSV, TSV and Parquet."


def open_file(path: Path, *, format: str | None = None) -> Source:  # noqa: A002
    """Look at the file and find its columns. Raises InvalidInput and TooLarge in words for the person who chose it."""
    path = Path(path)
    actual = recognised(path, format=format)
    openers = {
        "jsonl": json_lines,
        "json": json_list,
        "csv": comma_separated,
        "tsv": comma_separated,
        "parquet": parquet,
    }
    return storable(openers[actual](path, actual))


def recognised(path: Path, *, format: str | None = None) -> str:  # noqa: A002
    """The format, by the file's first bytes and its name: they are looked at, not read as what they say they are.
    Raises InvalidInput and TooLarge."""
    if format and format not in FORMATS:
        raise InvalidInput(
            f"There is no format {format!r}; there are {', '.join(FORMATS)}.", fields={"format": format}
        )
    return _format_of(path, _head(path), format)


def _head(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            wrong(path, "is a directory. Name a file in it.")
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
    except FileNotFoundError:
        wrong(path, "does not exist.")
    except OSError as error:
        wrong(path, f"cannot be read: {error.strerror or error}.")
    most: int = settings.GALLEY_MAX_UPLOAD_MB
    if size > most << 20:
        raise TooLarge(
            f"{path.name} has {size / (1 << 20):,.0f} MB; at most {most} MB are taken (GALLEY_MAX_UPLOAD_MB). "
            "Split the file, or let an administrator raise the limit.",
            fields={"file": f"more than {most} MB"},
        )
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        wrong(path, "is empty.")
    return head


def _format_of(path: Path, head: bytes, wanted: str | None) -> str:
    """The format to read it as; what the first bytes prove goes before suffix and wish."""
    by_suffix = _SUFFIXES.get(path.suffix.lower(), "")
    if head.startswith(b"PAR1"):
        if wanted and wanted != "parquet":
            wrong(path, f"is a Parquet file, not {FORMATS[wanted]}. Choose Parquet.")
        return "parquet"
    if (wanted or by_suffix) == "parquet":
        wrong(path, f"is not a Parquet file: it does not begin with PAR1. {WHAT_IS_READ}")
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
            wrong(path, f"is {what}. {WHAT_IS_READ}")
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if utf16 or head.count(0) > len(head) // 4:
        wrong(path, "looks like UTF-16. Save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    controls = len(head) - len(head.translate(None, _CONTROL_BYTES))
    if controls > max(8, len(head) // 50):  # a stray one is removed later
        wrong(path, f"is not text: it holds binary data. {WHAT_IS_READ}")
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        wrong(path, f"is a web page or XML. {WHAT_IS_READ}")


def _sniffed(start: bytes) -> str:
    if start[:1] in (b"{", b"["):
        return "jsonl" if start.startswith(b"{") else "json"
    return "csv"
