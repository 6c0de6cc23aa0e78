"""What an error of the database means for the caller, where trying again later helps."""

from __future__ import annotations

import psycopg
import structlog
from django.db import InterfaceError, OperationalError

from models_app.foundation.errors import Unavailable

log = structlog.get_logger(__name__)

#: Of SQLSTATE: no connection, ended by the people who run the server, no room for what was asked.
AWAY = ("08", "57P", "53")
TOO_LONG = ("57014",)
#: Deadlocks, transactions that cannot be put in an order, locks that were not waited for.
COLLIDED = ("40P01", "40001", "55P03")


def is_away(error: BaseException | None) -> bool:
    """Whether the server could not be reached, ended the session, or has no room: the caller did nothing wrong."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    cause = error.__cause__
    if isinstance(cause, psycopg.InterfaceError):
        # Most are mistakes of our own, such as a cursor that was closed.
        return "connection" in str(cause)
    state = _state_of(error)  # none: nobody answered, or the connection was found closed
    return state is None or state.startswith(AWAY)


def took_too_long(error: BaseException | None) -> bool:
    return _state_of(error) in TOO_LONG


def unavailable(error: BaseException | None) -> Unavailable | None:
    """Of a database that is away, or gave up what was asked of it; None for any other error, which is a bug."""
    if is_away(error):
        log.warning(
            "a request was not answered for want of the database", reason=" ".join(str(error).split())[:300]
        )
        return Unavailable(
            "The database does not answer at the moment. Nothing that was saved is lost. Try again in a moment.",
            retry_after=5,
        )
    state = _state_of(error)
    if state not in TOO_LONG + COLLIDED:
        return None
    # The server is there: what was asked of it is worth a look, so the line has a traceback.
    log.error("the database gave up what a request asked of it", sqlstate=state, exc_info=error)
    if took_too_long(error):
        return Unavailable(
            "This took too long and was given up. Try again when less is going on.", retry_after=15
        )
    return Unavailable(
        "This collided with something that was being changed at the same moment, and was undone. Try again.",
        retry_after=1,
    )


def _state_of(error: BaseException | None) -> str | None:
    cause = error.__cause__ if isinstance(error, OperationalError) else None
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None
