"""What the ORM asks as a part of a statement by hand: a rule that stands in a QuerySet stands nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet


@dataclass(frozen=True)
class Statement:
    """SQL with named parameters, and their values."""

    text: str
    values: dict[str, Any] = field(default_factory=dict)


def compiled(rows: QuerySet[Any, Any], name: str) -> Statement:
    """What the ORM asks, its parameters named after `name`, which is another for each part of a statement."""
    compiler = rows.query.get_compiler(connection=connection, elide_empty=False)
    text, values = compiler.as_sql()
    named = {f"{name}_{place}": value for place, value in enumerate(values)}
    return Statement(text % tuple(f"%({key})s" for key in named), named)
