"""Sees when a queue's cluster has stopped taking work although it lives.

django-q2 wedges when an idle worker is killed: the dead worker holds the lock that the others read under. Nothing in
the cluster notices, and TERM does not end it.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

# A running job whose lease ran out belongs to a worker that vanished, and proves nothing about the cluster.
WAITING = """
    SELECT queue,
           extract(epoch FROM now() - min(greatest(created_at, not_before)) FILTER (WHERE state = 'queued'))::float,
           count(*) FILTER (WHERE state = 'running' AND lease_until > now())
      FROM models_app_job
     WHERE (state = 'queued' AND not_before <= now()) OR state = 'running'
     GROUP BY queue
"""


@dataclass(frozen=True)
class Waiting:
    """Of one queue: how long its oldest due job has waited (None: there is none) and how many are at work."""

    queue: str
    oldest_seconds: float | None
    running: int


def look(database_url: str) -> list[Waiting]:
    """Raises psycopg.Error."""
    with psycopg.connect(database_url, connect_timeout=3, options="-c statement_timeout=3000") as connection:
        return [Waiting(*row) for row in connection.execute(WAITING).fetchall()]


def is_wedged(waiting: Waiting, *, uptime: float, patience: float) -> bool:
    """The cluster must have had the time itself: after a night off, old work is no sign of a wedge."""
    if waiting.running or waiting.oldest_seconds is None:
        return False
    return min(waiting.oldest_seconds, uptime) > patience
