"""Rows of several tables as model instances, by a statement whose text is made once.

For the few statements that a person waits for with every item: what the ORM spends on making the same text again each
time is more than what PostgreSQL spends on carrying it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Field, Model

M = TypeVar("M", bound=Model)


class JoinedRows:
    """A statement that reads whole rows. `{columns}` in it stands for all columns of the tables, which it calls by
    the names given here."""

    def __init__(self, statement: str, **tables: type[Model]) -> None:
        self._tables = tables
        self._fields: dict[str, tuple[Field[Any, Any], ...]] = {
            name: tuple(model._meta.concrete_fields) for name, model in tables.items()
        }
        columns = [f'{name}."{field.column}"' for name, fields in self._fields.items() for field in fields]
        self.statement = statement.format(columns=", ".join(columns))

    def first(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """By table's name the instances of the first row, not linked to each other; None without a row."""
        with connection.cursor() as cursor:
            cursor.execute(self.statement, values)
            row = cursor.fetchone()
        return None if row is None else self.instances(row)

    def instances(self, row: Sequence[Any]) -> dict[str, Any]:
        """What a row of this statement says."""
        found, start = {}, 0
        for name, fields in self._fields.items():
            values = [_read(field, value) for field, value in zip(fields, row[start:], strict=False)]
            names = [field.attname for field in fields]
            found[name] = self._tables[name].from_db(connection.alias, names, values)
            start += len(fields)
        return found


def _read(field: Field[Any, Any], value: Any) -> Any:
    convert = getattr(field, "from_db_value", None)  # JSON comes as text
    return value if convert is None else convert(value, None, connection)


class Insertion(Generic[M]):
    """Inserts instances of one model, whose ids they then have. Neither signals nor the model's own save() are called;
    what the database refuses raises IntegrityError as always.

    `first`: a statement that goes in the same message and, where no transaction is open, in the same transaction.
    """

    def __init__(self, model: type[M], *, first: str = "") -> None:
        self._first = first
        self._fields = [field for field in model._meta.concrete_fields if not field.db_returning]
        columns = ", ".join(f'"{field.column}"' for field in self._fields)
        self._start = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES '  # nosec B608 (a table of ours)
        self._row = f"({', '.join(['%s'] * len(self._fields))})"

    def add(self, *instances: M) -> None:
        if not instances:
            return
        statement = f"{self._first}{self._start}{', '.join([self._row] * len(instances))} RETURNING id"
        values = [
            field.get_db_prep_save(getattr(instance, field.attname), connection)
            for instance in instances
            for field in self._fields
        ]
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            if self._first:
                cursor.nextset()
            # one statement gives them back in the order of its values
            for instance, (pk,) in zip(instances, cursor.fetchall(), strict=True):
                instance.pk = pk
                instance._state.adding = False
                instance._state.db = connection.alias
