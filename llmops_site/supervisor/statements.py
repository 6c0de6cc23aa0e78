"""What the supervisor asks and tells the database: plain SQL, since it carries no Django and so no ORM.

Each raises psycopg.Error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmops_site.supervisor.database import BoundedConnection


class Waiting(NamedTuple):
    """Of one queue: how long its oldest due job has waited (None: there is none) and how many are at work."""

    queue: str
    oldest_seconds: float | None
    running: int


def waiting_jobs(connection: BoundedConnection) -> list[Waiting]:
    """By queue. A running job whose lease ran out belongs to a worker that vanished, and proves nothing about the
    cluster. The ORM is not there."""
    rows = connection.execute(
        """
        SELECT queue,
               extract(epoch FROM now() - min(greatest(created_at, not_before)) FILTER (WHERE state = 'queued'))::float,
               count(*) FILTER (WHERE state = 'running' AND lease_until > now())
          FROM models_app_job
         WHERE (state = 'queued' AND not_before <= now()) OR state = 'running'
         GROUP BY queue
        """
    )
    return [Waiting(*row) for row in rows.fetchall()]


def end_leases(connection: BoundedConnection, jobs: Sequence[int]) -> int:
    """Of running jobs, for the reaper to see; it does not count as an attempt. How many. The ORM is not there."""
    ended = connection.execute(
        """
        UPDATE models_app_job SET lease_until = now(), attempts = greatest(attempts - 1, 0)
         WHERE id = ANY(%s) AND state = 'running'
        """,
        (list(jobs),),
    )
    return ended.rowcount


def unlock_deliveries(connection: BoundedConnection, queue: str) -> int:
    """Of what a cluster of django-q2 had fetched; how many. The ORM is not there."""
    return connection.execute(
        "UPDATE django_q_ormq SET lock = now() WHERE key = %s AND lock > now()", (queue,)
    ).rowcount


def begin_interval(connection: BoundedConnection, state: str, reason: str) -> int | None:
    """Availability is in this state from now on; the row's number. The ORM is not there."""
    row = connection.execute(
        """
        INSERT INTO models_app_serviceinterval (state, reason, began_at, seen_at)
        VALUES (%s, %s, now(), now()) RETURNING id
        """,
        (state, reason),
    ).fetchone()
    return row[0] if row else None


def move_interval_on(connection: BoundedConnection, interval: int | None, gap_seconds: float) -> bool:
    """False where it was last seen longer ago than the gap, or is gone. The ORM is not there."""
    moved = connection.execute(
        """
        UPDATE models_app_serviceinterval SET seen_at = now()
         WHERE id = %s AND now() - seen_at < make_interval(secs => %s)
        """,
        (interval, gap_seconds),
    )
    return bool(moved.rowcount)


def forget_intervals(connection: BoundedConnection, days: int) -> int:
    """Older ones; how many. The ORM is not there."""
    return connection.execute(
        "DELETE FROM models_app_serviceinterval WHERE seen_at < now() - make_interval(days => %s)", (days,)
    ).rowcount
