"""Writes down whether summaries could be had, so that the time nobody could ask counts as well.

A thread asks `/readyz` and keeps one row for as long as the answer stays the same. It speaks plain SQL, since the
supervisor carries no Django. Nothing is written while the database is away, the machine off or everything killed: what
no row covers counts as an outage. A stop that somebody asked for is written as such. `models_app/monitoring/
availability.py` reads it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg

from llmops_site.supervisor import readyz, statements
from llmops_site.supervisor.database import BoundedConnection, connect
from llmops_site.supervisor.readyz import Answer

PAUSE_SECONDS = 10.0
LOOK_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
# After a longer silence the time between was not seen: the machine slept, or the supervisor was frozen.
GAP_SECONDS = 30
KEEP_DAYS = 400
FORGET_SECONDS = 24 * 3600.0
REASON_LENGTH = 300


class AvailabilityProbe:
    """Runs beside the supervisor from its start to its stop. `stopping` says whether somebody asked for a stop."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        database_url: str,
        stopping: Callable[[], bool],
        log: Callable[[str], None],
        pause_seconds: float = PAUSE_SECONDS,
        gap_seconds: float = GAP_SECONDS,
        forget_seconds: float = FORGET_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._database_url = database_url
        self._stopping = stopping
        self._log = log
        self._pause_seconds = pause_seconds
        self._gap_seconds = gap_seconds
        self._forget_seconds = forget_seconds
        self._ended = threading.Event()
        self._row: int | None = None
        self._said: Answer | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="availability", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A stop that somebody asked for is written down first."""
        self._ended.set()
        self._thread.join(2 * TIMEOUT_SECONDS)

    def _run(self) -> None:
        due = forget_due = time.monotonic()
        while not self._stopping() and not self._ended.wait(LOOK_SECONDS):
            now = time.monotonic()
            if now >= forget_due:
                forget_due = now + self._forget_seconds
                self._write(lambda connection: statements.forget_intervals(connection, KEEP_DAYS))
            if now >= due:
                due = now + self._pause_seconds
                self.note(self._ask())
        if self._stopping():
            self._write(lambda connection: statements.begin_interval(connection, "stopped", ""))

    def note(self, answer: Answer) -> None:
        """Move the row on, or begin another where the answer or the time between is another."""
        if self._stopping():
            return  # what is not ready now is so because it was asked to stop
        self._write(lambda connection: self._note(connection, answer))

    def _note(self, connection: BoundedConnection, answer: Answer) -> None:
        if answer == self._said and statements.move_interval_on(connection, self._row, self._gap_seconds):
            return
        state = "ready" if answer.ready else "not ready"
        self._row, self._said = statements.begin_interval(connection, state, answer.detail), answer

    def _write(self, write: Callable[[BoundedConnection], object]) -> None:
        """Trouble is logged once; the time that could not be written counts as an outage."""
        try:
            with connect(self._database_url) as connection:
                write(connection)
        except psycopg.Error as error:
            words = " ".join(str(error).split())
            if words != self._trouble:
                self._log(f"cannot write down whether summaries are served: {words}")
            self._trouble = words
        else:
            self._trouble = ""

    def _ask(self) -> Answer:
        """Being ready is one answer, whatever else is said with it."""
        try:
            answer = readyz.ask(self._host, self._port, seconds=TIMEOUT_SECONDS)
        except readyz.NoAnswer as error:
            return Answer(False, str(error))
        return Answer(True) if answer.ready else Answer(False, answer.detail[:REASON_LENGTH])
