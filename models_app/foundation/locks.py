"""PostgreSQL's advisory locks, for what has no row that could be locked. Numbers are chosen by who locks, once each."""

from __future__ import annotations

import hashlib

from django.db import connection


def number_of(name: str) -> int:
    """For locks that a text names: 64 bits, as PostgreSQL takes them."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def alone(*lock: int) -> None:
    """Waits until nobody else has the lock, and keeps it until the transaction ends. One number, or two small ones."""
    _call("pg_advisory_xact_lock", lock)


def shared(*lock: int) -> None:
    """The same, but with others who share it; who wants it `alone` waits for all of them."""
    _call("pg_advisory_xact_lock_shared", lock)


def try_for_session(lock: int) -> bool:
    """False where somebody else has it. It ends with `release`, or with the database session: with its process."""
    return bool(_call("pg_try_advisory_lock", (lock,)))


def release(lock: int) -> None:
    _call("pg_advisory_unlock", (lock,))


def _call(function: str, lock: tuple[int, ...]) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}({', '.join(['%s'] * len(lock))})", lock)  # nosec B608 names of ours
        return cursor.fetchone()[0]
