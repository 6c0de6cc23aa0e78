"""The cache in the database that several web processes share (settings.CACHES)."""

from __future__ import annotations

from django.db import connection


def forget_expired() -> int:
    """Called every hour; returns how many. Django's cache does so only when it is full, and counts its rows at every
    write."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM galley_cache WHERE expires < now()")
        return cursor.rowcount
