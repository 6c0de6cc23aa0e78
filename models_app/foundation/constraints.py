"""Which rule of the database a write broke."""

from __future__ import annotations

import psycopg
from django.db import IntegrityError


def broke(error: IntegrityError, constraint: str) -> bool:
    """Whether this constraint, by its name in the database, refused the write."""
    cause = error.__cause__
    return isinstance(cause, psycopg.Error) and cause.diag.constraint_name == constraint
