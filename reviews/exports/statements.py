"""What PostgreSQL is told about a long reading; the ORM has no words for it."""

from __future__ import annotations

from django.db import connection


def plan_for_all_rows() -> None:
    """Until the transaction ends, plan cursors for all of their rows, not for the first tenth: otherwise the export of
    a small queue would walk through every review there is (`benchmarks/export_speed.py`)."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
