"""Parquet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from reviews.sources.source import Place, Record, Source, wrong

_ROWS = 64


def parquet(path: Path, format: str) -> Source:  # noqa: A002
    import pyarrow as pa  # heavy, and few files need it
    import pyarrow.parquet as pq

    broken = (pa.ArrowException, OSError, UnicodeDecodeError)

    try:
        with pq.ParquetFile(path) as file:
            columns, total = tuple(file.schema_arrow.names), file.metadata.num_rows
    except broken as error:
        wrong(path, f"is a broken Parquet file: {_first_line(error)}.")
    if not total:
        wrong(path, "has no rows.")
    place = Place()

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        done = 0
        only = None if wanted is None else list(wanted)
        place.now = lambda: (done, total)
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=only):
                    for values in batch.to_pylist():
                        done += 1
                        yield done, values
        except broken as error:
            wrong(path, f"is a broken Parquet file: after row {done:,}, {_first_line(error)}.")

    return Source(path.name, format, columns, records, place)


def _first_line(error: Exception) -> str:
    return (
        str(error).strip().splitlines()[0].rstrip(".")[:200] if str(error).strip() else type(error).__name__
    )
