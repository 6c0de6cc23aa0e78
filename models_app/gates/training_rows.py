"""The rows of a snapshot with what is known of them, for the gates that read them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models_app.datasets.provenance import KnownRow, known_of_rows
from models_app.models import DatasetSnapshot, SnapshotExample

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Row:
    """A training row as it is now, and what is known of it."""

    name: str  # for people, such as "row 17 of snapshot 3 (feedback:12)"
    source: str
    target: str
    known: KnownRow | None = None


def rows_of(snapshot: DatasetSnapshot) -> Iterator[Row]:
    """As the database has them; 1 query, and what `known_of_rows` asks for each thousand."""
    rows = SnapshotExample.objects.filter(snapshot=snapshot).order_by("position")
    block: list[tuple[int, str, str, str]] = []
    for row in rows.values_list("position", "origin", "source", "target").iterator(chunk_size=_ROWS_AT_ONCE):
        block.append(row)
        if len(block) == _ROWS_AT_ONCE:
            yield from _known(snapshot, block)
            block = []
    yield from _known(snapshot, block)


def _known(snapshot: DatasetSnapshot, block: Sequence[tuple[int, str, str, str]]) -> Iterator[Row]:
    known = known_of_rows({origin for _, origin, _, _ in block}) if block else {}
    for position, origin, source, target in block:
        name = f"row {position} of snapshot {snapshot.pk} ({origin})"
        yield Row(name, source, target, known.get(origin))


def many_rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
