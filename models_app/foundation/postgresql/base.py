"""Django's PostgreSQL back end, for a server that may stop answering.

A server that ended says so at once: its sockets close. One that stands still (a frozen machine, a disk that hangs, a
line that was cut) says nothing, and its own time limits stand still with it. So a thread that waits for longer than
`PATIENCE_SECONDS` asks over another connection whether the server still answers. If it does, the statement is a long
one, and it is waited for; its limit is PostgreSQL's `statement_timeout`. If not, the wait ends with an
OperationalError. From then on one thread of the process at a time tries to connect, and all others fail at once, until
the server answers again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg import errors
from psycopg.abc import RV, PQGen

PATIENCE_SECONDS = 2.0
#: Between two questions of one process whether the server still answers.
BELIEVED_SECONDS = 1.0
#: Beyond the statement's own limit, in which PostgreSQL should have ended it.
MARGIN_SECONDS = 5.0
SILENT = "The database does not answer."


class Server:
    """What this process knows of the database's server."""

    def __init__(self) -> None:
        self.is_silent = False
        self._trying = threading.Lock()
        self._asking = threading.Lock()
        self._asked_at = self._silent_at = -BELIEVED_SECONDS

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around connecting. Raises OperationalError where it was silent a moment ago, or another thread just tries."""
        if not self.is_silent:
            with self._noting():
                yield
        elif time.monotonic() - self._silent_at >= BELIEVED_SECONDS and self._trying.acquire(blocking=False):
            try:
                with self._noting():
                    yield
            finally:
                self._trying.release()
        else:
            raise psycopg.OperationalError(SILENT)

    def answers(self, parameters: dict[str, Any]) -> bool:
        """Asked of the server now, or within the last second."""
        with self._asking:
            if time.monotonic() - self._asked_at >= BELIEVED_SECONDS:
                # Where it has ended, or lets nobody in, the statement will hear of that itself.
                with suppress(psycopg.Error), self._noting():
                    psycopg.connect(**parameters).close()
                self._asked_at = time.monotonic()
            return not self.is_silent

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except errors.ConnectionTimeout as error:
            self.is_silent = True
            self._silent_at = time.monotonic()
            raise psycopg.OperationalError(SILENT) from error
        self.is_silent = False


server = Server()
_this_thread = threading.local()
#: Seconds that a statement of this process may take; None: as long as it takes.
_longest_statement: float | None = None


def limit_statements(seconds: float) -> None:
    """Of this process, over the connections that it opens from now on."""
    global _longest_statement
    _longest_statement = seconds


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """No statement of this thread is waited for beyond so many seconds from now; for checks that must not hang."""
    _this_thread.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _this_thread.deadline = None


class PatientConnection(psycopg.Connection[Any]):
    #: To connect to the same server again.
    parameters: dict[str, Any]
    #: Of one statement; None: as long as it takes.
    longest: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        if timeout is not None:  # a caller that sets one knows what to do then
            return super().wait(gen, interval, timeout)
        deadline: float | None = getattr(_this_thread, "deadline", None)
        began = time.monotonic()
        while True:
            if server.is_silent:
                self._give_up()
            patience = PATIENCE_SECONDS
            if deadline is not None:
                patience = max(0.01, min(patience, deadline - time.monotonic()))
            try:
                return super().wait(gen, interval, patience)
            except errors._WaitTimeout:
                now = time.monotonic()
                too_long = self.longest is not None and now - began > self.longest
                if too_long or (deadline is not None and now >= deadline) or not self._server_answers():
                    self._give_up()

    def _server_answers(self) -> bool:
        return server.answers(self.parameters)

    def _give_up(self) -> None:
        """The socket is closed: what the server still does for it is undone when it notices."""
        self.pgconn.finish()
        raise psycopg.OperationalError(SILENT)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        if _longest_statement is not None:
            given = parameters.get("options", "")
            parameters["options"] = f"{given} -c statement_timeout={int(_longest_statement * 1000)}".strip()
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> PatientConnection:
        deadline: float | None = getattr(_this_thread, "deadline", None)
        if deadline is not None and deadline - time.monotonic() < 1:  # connecting may take two
            raise psycopg.OperationalError(SILENT)
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with server.attempt():
            connection = PatientConnection.connect(**conn_params)
        names = ("host", "port", "user", "password", "dbname", "connect_timeout")
        connection.parameters = {name: conn_params[name] for name in names if name in conn_params}
        if _longest_statement is not None:
            connection.longest = _longest_statement + MARGIN_SECONDS
        return connection
