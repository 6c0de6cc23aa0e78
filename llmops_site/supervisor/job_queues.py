"""What the supervisor needs of the job tables, asked in plain SQL so that it carries no Django.

- Which cluster has stopped taking work although it lives. django-q2 wedges when an idle worker is killed: the dead
  worker holds the lock that the others read under. Nothing in the cluster notices, and TERM does not end it.
- What a dead cluster had fetched and not begun. It would be delivered again only after days.
- Which jobs were ended by a stop. They go on at the next start, and it does not count as a failed attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmops_site.supervisor import statements
from llmops_site.supervisor.database import connect
from llmops_site.supervisor.statements import Waiting


def look(database_url: str) -> list[Waiting]:
    """Raises psycopg.Error."""
    with connect(database_url) as connection:
        return statements.waiting_jobs(connection)


def unlock_fetched(database_url: str, queue: str) -> int:
    """Frees what a cluster had fetched and not begun when it ended; else it would wait for days. Raises psycopg.Error.

    Where another machine works off the same queue, something may be delivered twice: jobs are claimed, so that is safe.
    """
    with connect(database_url) as connection:
        return statements.unlock_deliveries(connection, queue)


def hand_back(database_url: str, jobs: Sequence[int]) -> int:
    """For jobs whose processes we ended: their lease is over, for the reaper to see. Raises psycopg.Error."""
    with connect(database_url) as connection:
        return statements.end_leases(connection, jobs)


def is_wedged(waiting: Waiting, *, uptime: float, patience: float) -> bool:
    """The cluster must have had the time itself: after a night off, old work is no sign of a wedge."""
    if waiting.running or waiting.oldest_seconds is None:
        return False
    return min(waiting.oldest_seconds, uptime) > patience
