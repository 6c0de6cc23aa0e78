"""Whether the database is away, as a web process knows it.

Only a process that keeps what it knows of tokens and routes (`keeping.py`) goes on without a database. In others
nothing is ever away: what they ask of the database fails by itself.
"""

from __future__ import annotations

import threading
import time

import structlog

log = structlog.get_logger(__name__)


class Outage:
    def __init__(self) -> None:
        self.may_begin = False
        self.since: float | None = None  # of time.monotonic()
        self._changed = threading.Lock()

    @property
    def lasts(self) -> bool:
        return self.since is not None

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since

    def begin(self, error: BaseException) -> bool:
        """Whoever finds the database away says so; false where this process cannot go on without it."""
        with self._changed:
            if self.may_begin and self.since is None:
                self.since = time.monotonic()
                log.warning("database_away", reason=" ".join(str(error).split())[:300])
        return self.may_begin

    def end(self) -> None:
        with self._changed:
            if self.since is not None:
                log.warning("database_back", seconds=round(time.monotonic() - self.since, 1))
            self.since = None


#: of this process
outage = Outage()
