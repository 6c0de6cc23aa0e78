"""The supervisor's sessions of the database: short, never waited for: a supervisor that waits supervises nothing."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen

CONNECT_SECONDS = 3
#: PostgreSQL's own limit. A server that stands still keeps none, so that we stop waiting by ourselves a little later.
STATEMENT_SECONDS = 3
PATIENCE_SECONDS = 5.0


class BoundedConnection(psycopg.Connection[Any]):
    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, PATIENCE_SECONDS if timeout is None else timeout)
        except errors._WaitTimeout:
            if timeout is not None:  # a caller that sets one knows what to do then
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("The database does not answer.") from None


def connect(url: str) -> BoundedConnection:
    """Whatever is done over it ends within seconds. It and its statements raise psycopg.Error."""
    return BoundedConnection.connect(
        url, connect_timeout=CONNECT_SECONDS, options=f"-c statement_timeout={STATEMENT_SECONDS * 1000}"
    )
