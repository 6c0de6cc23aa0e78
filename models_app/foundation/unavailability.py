"""What an error of the database means for the caller, where trying again later helps."""

from __future__ import annotations

import structlog
from django.db import InterfaceError, OperationalError
from psycopg import errors

from models_app.foundation.errors import Unavailable

log = structlog.get_logger(__name__)
RETRY_SECONDS = 5


def unavailable(error: BaseException | None) -> Unavailable | None:
    """Of a database that is away, full, or took too long; None for any other error, which is a bug."""
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    cause = error.__cause__
    if isinstance(cause, errors.QueryCanceled):
        said = "This took too long and was given up. Try again when less is going on."
    elif isinstance(error, OperationalError) or "clos" in str(error):
        said = "The database does not answer at the moment. Nothing that was saved is lost. Try again in a moment."
    else:
        return None
    log.warning(
        "a request was not answered for want of the database", reason=" ".join(str(error).split())[:300]
    )
    return Unavailable(said, retry_after=RETRY_SECONDS)
