"""What the supervisor needs of the job tables, asked in plain SQL so that it carries no Django.

- Which cluster has stopped taking work although it lives. django-q2 wedges when an idle worker is killed: the dead
  worker holds the lock that the others read under. Nothing in the cluster notices, and TERM does not end it.
- What a dead cluster had fetched and not begun. It would be delivered again only after days.
- Which jobs were ended by a stop. They go on at the next start, and it does not count as a failed attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_site.supervisor.database import connect

# A running job whose lease ran out belongs to a worker that vanished, and proves nothing about the cluster.
WAITING = """
    SELECT queue,
           extract(epoch FROM now() - min(greatest(created_at, not_before)) FILTER (WHERE state = 'queued'))::float,
           count(*) FILTER (WHERE state = 'running' AND lease_until > now())
      FROM models_app_job
     WHERE (state = 'queued' AND not_before <= now()) OR state = 'running'
     GROUP BY queue
"""
HAND_BACK = """
    UPDATE models_app_job SET lease_until = now(), attempts = greatest(attempts - 1, 0)
     WHERE id = ANY(%s) AND state = 'running'
"""
RELEASE = "UPDATE django_q_ormq SET lock = now() WHERE key = %s AND lock > now()"


@dataclass(frozen=True)
class Waiting:
    """Of one queue: how long its oldest due job has waited (None: there is none) and how many are at work."""

    queue: str
    oldest_seconds: float | None
    running: int


def look(database_url: str) -> list[Waiting]:
    """Raises psycopg.Error."""
    with connect(database_url) as connection:
        return [Waiting(*row) for row in connection.execute(WAITING).fetchall()]


def release_fetched(database_url: str, queue: str) -> int:
    """Frees what a cluster had fetched and not begun when it ended; else it would wait for days. Raises psycopg.Error.

    Where another machine works off the same queue, something may be delivered twice: jobs are claimed, so that is safe.
    """
    with connect(database_url) as connection:
        return connection.execute(RELEASE, (queue,)).rowcount


def hand_back(database_url: str, jobs: Sequence[int]) -> int:
    """For jobs whose processes we ended: their lease is over, for the reaper to see. Raises psycopg.Error."""
    with connect(database_url) as connection:
        return connection.execute(HAND_BACK, (list(jobs),)).rowcount


def is_wedged(waiting: Waiting, *, uptime: float, patience: float) -> bool:
    """The cluster must have had the time itself: after a night off, old work is no sign of a wedge."""
    if waiting.running or waiting.oldest_seconds is None:
        return False
    return min(waiting.oldest_seconds, uptime) > patience
