"""What the ORM asks, its text made once: as a part of a statement by hand, so that a rule that stands in a QuerySet
stands nowhere else, or as it is, for what somebody waits for with every item."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.query import get_related_populators
from django.db.models.sql.compiler import SQLCompiler

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Statement:
    """SQL with named parameters, and their values."""

    text: str
    values: dict[str, Any] = field(default_factory=dict)


def compiled(rows: QuerySet[Any, Any], name: str) -> Statement:
    """What the ORM asks, its parameters named after `name`, which is another for each part of a statement."""
    return _named(rows.query.get_compiler(connection=connection, elide_empty=False), name)


def _named(compiler: SQLCompiler, name: str) -> Statement:
    text, values = compiler.as_sql()
    named = {f"{name}_{place}": value for place, value in enumerate(values)}
    return Statement(text % tuple(f"%({key})s" for key in named), named)


def given(name: str) -> RawSQL:
    """Stands in a question for a value that comes with each asking."""
    return RawSQL(f"%%({name})s", [])  # nosec B611 (names that this code gives)


class Prepared(Generic[M]):
    """Whole rows, with those that `select_related` names."""

    def __init__(self, rows: QuerySet[M, M]) -> None:
        compiler = rows.query.get_compiler(connection=connection, elide_empty=False)
        self._statement = _named(compiler, "value")
        select, info = compiler.select, compiler.klass_info
        first, last = info["select_fields"][0], info["select_fields"][-1]
        self._model, self._columns = info["model"], slice(first, last + 1)
        self._names = [column.target.attname for column, *_ in select[self._columns]]
        # the types are those of a later Django
        self._related = get_related_populators(info, select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]
        self._converters = compiler.get_converters([column for column, *_ in select])

    def first(self, **values: Any) -> M | None:
        with connection.cursor() as cursor:
            cursor.execute(self._statement.text, {**self._statement.values, **values})
            found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for place, (converters, column) in self._converters.items():
            for convert in converters:
                row[place] = convert(row[place], column, connection)
        instance: M = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._columns])
        for related in self._related:
            related.populate(row, instance)
        return instance
