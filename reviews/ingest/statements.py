"""Statements that the ORM cannot write, or not fast enough for an import (`benchmarks/import_speed.py`)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt
from django.db import connection
from psycopg.types.json import Jsonb

from models_app.texts.near_duplicates import MOST_OF_A_HASH
from reviews.models import ReferenceHash, SketchHash, SourceDocument

# Test documents come first: a flood of copies that train must not hide the one that judges.
_OWNERS = f"""
SELECT wanted.hash, found.document_id
FROM unnest(%(hashes)s::bigint[]) AS wanted(hash)
CROSS JOIN LATERAL (
    SELECT learnt, document_id FROM {SketchHash._meta.db_table}
    WHERE hash = wanted.hash AND learnt = ANY(%(learnt)s)
    ORDER BY learnt, document_id LIMIT {MOST_OF_A_HASH}) found
"""  # nosec B608 (made of constants)
_REFERENCES = f"""
INSERT INTO {ReferenceHash._meta.db_table} (hash, document_id)
SELECT * FROM unnest(%s::bigint[], %s::bigint[]) ON CONFLICT DO NOTHING
"""  # nosec B608
# Binary COPY: (hash, learnt, document), each after its length, big-endian.
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_COPY_ROW = np.dtype([
    ("fields", ">i2"), ("n1", ">i4"), ("hash", ">i8"), ("n2", ">i4"), ("learnt", "u1"), ("n3", ">i4"),
    ("document", ">i8"),
])  # fmt: skip
_COPY_END = struct.pack("!h", -1)
_COLUMNS = [str(field.column) for field in SourceDocument._meta.concrete_fields]
_VALUES = attrgetter(*(field.attname for field in SourceDocument._meta.concrete_fields))
_FIELDS = _COLUMNS.index("fields")


def owners(hashes: Collection[int], *, learnt: Sequence[bool]) -> list[tuple[int, int]]:
    """(hash, document): who has these hashes among those documents are found by; of each hash the first
    MOST_OF_A_HASH. `learnt` False: test documents. `benchmarks/import_speed.py`: one statement for a block of rows,
    whose hashes are looked up one by one in the index."""
    if not hashes:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OWNERS, {"hashes": _array(hashes), "learnt": list(learnt)})
        return cursor.fetchall()


def copy_documents(documents: Sequence[SourceDocument]) -> None:
    """Insert them with their numbers (see `new_numbers`). COPY takes a third of the time of an INSERT
    (`benchmarks/import_speed.py`)."""
    columns = ", ".join(map(connection.ops.quote_name, _COLUMNS))
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {SourceDocument._meta.db_table} ({columns}) FROM STDIN") as copy,
    ):
        for document in documents:
            values = list(_VALUES(document))
            values[_FIELDS] = Jsonb(values[_FIELDS])
            copy.write_row(values)


def new_numbers(count: int) -> list[int]:
    """Numbers for new documents, ahead of saving them: those of one file name each other as twins.
    The ORM has no words for sequences."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [SourceDocument._meta.db_table, count],
        )
        return [number for (number,) in cursor.fetchall()]


def copy_sketch_hashes(
    hashes: npt.NDArray[np.int64], learnt: npt.NDArray[np.bool_], documents: npt.NDArray[np.int64]
) -> None:
    """A COPY in binary costs a tenth of rows (`benchmarks/import_speed.py`)."""
    rows = np.zeros(len(hashes), dtype=_COPY_ROW)
    rows["fields"], rows["n1"], rows["n2"], rows["n3"] = 3, 8, 1, 8
    rows["hash"], rows["learnt"], rows["document"] = hashes, learnt, documents
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(
            f"COPY {SketchHash._meta.db_table} (hash, learnt, document_id) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.write(_COPY_HEAD + rows.tobytes() + _COPY_END)


def add_reference_hashes(hashes: Sequence[int], documents: Sequence[int]) -> None:
    """Those that are there already stay. Two arrays cost a fraction of a parameter for each number
    (`benchmarks/import_speed.py`)."""
    if hashes:
        with connection.cursor() as cursor:
            cursor.execute(_REFERENCES, [_array(hashes), _array(documents)])


def _array(numbers: Collection[int]) -> str:
    """As PostgreSQL writes it, which takes a fifth of the time of a list as a parameter."""
    return f"{{{','.join(map(str, numbers))}}}"
