"""What can keep a rollback waiting, and how an operator ends it.

Nothing in Galley's own rules does: see `deploying.roll_back`. What is left is another session of the database that
holds a lock and does not go on, such as a forgotten transaction in psql or a process that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import OperationalError, ProgrammingError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState, Unavailable
from models_app.foundation.roles import require
from models_app.releases import statements

# A switch takes two seconds at most; who holds the locks longer is stuck.
STUCK_SECONDS = 3.0


@dataclass(frozen=True)
class Holder:
    """A session that holds what a rollback locks. `started` tells it from a later one with the same number."""

    pid: int
    started: datetime
    name: str
    state: str
    since: datetime | None

    @property
    def number(self) -> str:
        return str(self.pid)

    @property
    def words(self) -> str:
        name = f" ({self.name})" if self.name else ""
        since = f" since {self.since:%H:%M:%S} UTC" if self.since else ""
        return (
            f"Session {self.pid}{name} of the database, {self.state or 'of unknown state'}{since}, holds a lock that "
            "a switch needs."
        )


def holders(*, seconds: float | None = None) -> list[Holder]:
    """Sessions that hold a lock that a switch needs and began longer ago than `seconds` (STUCK_SECONDS)."""
    seconds = STUCK_SECONDS if seconds is None else seconds
    return [Holder(*row) for row in statements.sessions_that_hold_what_a_switch_locks(seconds=seconds)]


def wait_at_most(seconds: float) -> None:
    statements.wait_for_locks_at_most(seconds)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Around a transaction that calls `wait_at_most`: Unavailable, which names who holds the lock, where it waited."""
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        words = [
            f"Nothing was changed: it waited {seconds:g} seconds for a lock.",
            *(holder.words for holder in holders(seconds=0)),
            "An operator can end such a session on the page Deployments.",
        ]
        raise Unavailable(" ".join(words), code="locked") from error


def end_holder(*, pid: int, actor: Any | None, reason: str) -> None:
    """End a session that keeps switches waiting; what it had not committed is undone by the database.

    Raises StaleState where it holds nothing any more, Refused where the database does not allow it.
    """
    require(actor, "deploy")
    if not reason.strip():
        raise InvalidInput("Give a reason.", fields={"reason": "Write why; the record keeps it."})
    for holder in holders():
        if holder.pid == pid:
            break
    else:
        raise StaleState(f"Session {pid} holds nothing any more that a switch needs.")
    try:
        with transaction.atomic():
            if not statements.end_session(pid=pid, started=holder.started):
                raise StaleState(f"Session {pid} has ended by itself.")
            audit.record(
                actor=actor, action="deployment.end_session", subject="database", reason=reason.strip(),
                data={"session": pid, "name": holder.name, "since": holder.since},
            )  # fmt: skip
    except ProgrammingError as error:
        raise Refused(
            f"Galley's database user may not end session {pid}. The database's administrator can: "
            f"SELECT pg_terminate_backend({pid});"
        ) from error
