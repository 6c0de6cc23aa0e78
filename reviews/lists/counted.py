"""Rows of a list whose number is known, or counted up to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from django.db import models
from django.db.models import QuerySet

from models_app.texts.normalise import row_number

_MOST_NUMBER = 2**63 - 1

Row = TypeVar("Row", bound=models.Model)


class Counted(Generic[Row]):
    """Rows of a list for a paginator, whose number is known already; `more` where it was not counted further.

    A slice first finds its ids alone: what is shown of a row is not computed for the thousands that are skipped.
    """

    def __init__(self, rows: QuerySet[Row], shown: QuerySet[Row], total: int, *, more: bool = False) -> None:
        self.rows, self.shown, self.total, self.more = rows, shown, total, more

    def count(self) -> int:
        return self.total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Row]:
        return iter(self.shown)

    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    def __getitem__(self, key: slice | int) -> list[Row] | Row:
        if isinstance(key, int):
            return self[key : key + 1][0]
        ids = list(self.rows.values_list("pk", flat=True)[key])
        found: Mapping[Any, Row] = {row.pk: row for row in self.shown.filter(pk__in=ids).order_by()}
        return [found[pk] for pk in ids if pk in found]


def number_of(raw: str) -> int | None:
    """A row's number as typed or from an address; None for anything else."""
    number = row_number(raw) or 0
    return number if 0 < number <= _MOST_NUMBER else None
