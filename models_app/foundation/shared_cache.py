"""The cache in the database that several web processes share (settings.CACHES)."""

from __future__ import annotations

from models_app.foundation.statements import delete_expired_cache_entries


def forget_expired() -> int:
    """Called every hour; returns how many. Django's cache does so only when it is full, and counts its rows at every
    write."""
    return delete_expired_cache_entries()
