"""Parquet. What a file says of itself is checked first: a few kilobytes can say that they hold gigabytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from reviews.ingest.columns import listed
from reviews.ingest.sources.limits import LONGEST_FOOTER, LONGEST_ROW, MOST_ROWS, most_unpacked_mb
from reviews.ingest.sources.source import Place, Record, Source, not_too_wide, wrong

_ROWS = 64
_BATCH = 32 << 20  # bytes that are unpacked at a time
_MAGIC = b"PAR1"


def parquet(path: Path, format: str) -> Source:  # noqa: A002
    import pyarrow as pa  # heavy, and few files need it
    import pyarrow.parquet as pq

    # Arrow's own kin of MemoryError is no mistake of the file: the code that limits the memory says what it means.
    broken = (pa.ArrowException, OSError, UnicodeDecodeError, ValueError, OverflowError)

    _check_footer(path)
    try:
        with pq.ParquetFile(path) as file:
            columns, total = tuple(file.schema_arrow.names), file.metadata.num_rows
            row_size = _check_declared(path, file.metadata)
    except MemoryError:
        raise
    except broken as error:
        wrong(path, f"is a broken Parquet file: {_first_line(error)}.")
    if not total:
        wrong(path, "has no rows.")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        wrong(path, f"has two columns of one name: {listed(tuple(twice))}.")
    place = Place()
    at_a_time = min(_ROWS, max(1, _BATCH // max(1, row_size)))

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        done = 0
        only = None if wanted is None else list(wanted)
        place.now = lambda: (done, total)
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=at_a_time, columns=only, use_threads=False):
                    for values in batch.to_pylist():
                        done += 1
                        yield done, values
        except MemoryError:
            raise
        except broken as error:
            wrong(path, f"is a broken Parquet file: after row {done:,}, {_first_line(error)}.")

    return Source(path.name, format, columns, records, place)


def _check_footer(path: Path) -> None:
    """The last bytes say how long the description before them is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        end = file.read(8)
    if size < 12 or end[4:] != _MAGIC:
        wrong(path, "is a broken Parquet file: its end is missing. It may not have been sent whole.")
    length = int.from_bytes(end[:4], "little")
    if length > size - 12:
        wrong(path, f"is a broken Parquet file: its description has {length:,} bytes, the file {size:,}.")
    if length > LONGEST_FOOTER:
        wrong(
            path, f"describes itself in more than {LONGEST_FOOTER >> 20} MB. Write it with fewer row groups."
        )


def _check_declared(path: Path, metadata: Any) -> int:
    """Returns the bytes that a row has on average, as the file says."""
    not_too_wide(path, range(metadata.num_columns))
    if metadata.num_rows > MOST_ROWS:
        wrong(path, f"has {metadata.num_rows:,} rows; at most {MOST_ROWS:,} are read. Split it.")
    sizes = [metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups)]
    most = most_unpacked_mb()
    if sum(sizes) > most << 20:
        wrong(
            path,
            f"says that it unpacks to {sum(sizes) >> 20:,} MB; at most {most:,} MB are read "
            "(eight times GALLEY_MAX_UPLOAD_MB). Split it.",
        )
    row_size = sum(sizes) // max(1, metadata.num_rows)
    if row_size > LONGEST_ROW:
        wrong(
            path,
            f"says that its rows have {row_size >> 20:,} MB each; at most {LONGEST_ROW >> 20} MB are read.",
        )
    return int(row_size)


def _first_line(error: Exception) -> str:
    return (
        str(error).strip().splitlines()[0].rstrip(".")[:200] if str(error).strip() else type(error).__name__
    )
