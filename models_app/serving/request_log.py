"""The log of requests: a row is in the database before its request is answered, or in a file where that is away.

Rows that come while others are being written go together in the next message: the first of them to come writes, the
others wait for it. So one row alone waits for nobody, and sixteen at a time cost hardly more than one.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from models_app.foundation import turns
from models_app.foundation.errors import Unavailable
from models_app.foundation.unavailability import is_away
from models_app.models import InferenceRequest
from models_app.serving import statements
from models_app.serving.outage import Outage, outage
from models_app.serving.spool import Spool, SpoolFull

log = structlog.get_logger(__name__)

MOST_TOGETHER = 64
_FIELDS = {
    field.attname: field for field in InferenceRequest._meta.concrete_fields if not field.has_db_default()
}
FULL = (
    "The database does not answer, and what waits to be written to it has reached its limit: requests that cannot be "
    "logged are not answered. Try again later."
)


@dataclass(eq=False)
class _Waiting:
    row: InferenceRequest
    called: threading.Event = field(default_factory=threading.Event)  # written, failed, or the next to write
    done: bool = False
    error: BaseException | None = None


class RequestLog:
    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._is_written = False

    # ---------------------------------------------------------------- writing

    def add(self, row: InferenceRequest) -> None:
        """Returns when the row is kept. Raises what the database says of it, and Unavailable where it is away and there
        is no room for the row."""
        mine = _Waiting(row)
        with self._lock:
            self._waiting.append(mine)
            writes, self._is_written = not self._is_written, True
        with turns.requests.aside():
            if not writes:
                mine.called.wait()
                writes = not mine.done
            if writes:
                self._write_next()
        if mine.error is not None:
            raise mine.error

    def _write_next(self) -> None:
        """By the one that has waited longest: what waits, its own row first; then the next one is called."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(MOST_TOGETHER, len(self._waiting)))]
        try:
            self._write(batch)
        except BaseException as error:
            for each in batch:
                each.error = error
            raise
        finally:
            with self._lock:
                self._is_written = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].called.set()
            for each in batch:
                each.done = True
                each.called.set()

    def _write(self, batch: Sequence[_Waiting]) -> None:
        rows = [each.row for each in batch]
        try:
            if self._outage.lasts:
                self._keep_aside(rows)
                return
            try:
                self._insert(rows)
            except (DatabaseError, InterfaceError) as error:
                if not is_away(error) or not self._outage.begin(error):
                    raise
                self._keep_aside(rows)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for each in batch:  # one may have spoilt it for the others
                self._write([each])

    def _insert(self, rows: Sequence[InferenceRequest]) -> None:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
            connection.health_check_done = True  # type: ignore[attr-defined]  # the insert is the check
        try:
            statements.insert_requests(rows)
        except (DatabaseError, InterfaceError) as error:
            # A connection that was open before the server was started again says so at its first use.
            if connection.in_atomic_block or not is_away(error):
                raise
            connection.close()
            statements.insert_requests(rows)

    # ---------------------------------------------------------------- while the database is away

    @property
    def spool(self) -> Spool:
        return spool()

    def make_sure_of_room(self) -> None:
        """Before a model is asked. Raises Unavailable: what cannot be logged is not answered."""
        if self._outage.lasts and self.spool.is_full:
            raise Unavailable(FULL, retry_after=30)

    def _keep_aside(self, rows: Sequence[InferenceRequest]) -> None:
        try:
            self.spool.append(_plain(row) for row in rows)
        except SpoolFull as full:
            log.error("requests cannot be logged and are refused", reason=str(full))
            raise Unavailable(FULL, retry_after=30) from full

    def write_kept(self) -> int:
        """What files hold, this process's and those of processes that have ended: each row once, however often it is
        tried. Raises what the database says. Returns how many rows there were."""
        return self.spool.replay(self._write_again)

    def _write_again(self, kept: Sequence[dict[str, Any]]) -> None:
        rows = [_row(values) for values in kept]
        try:
            statements.insert_requests(rows, durable=True)
        except (DatabaseError, InterfaceError) as error:
            if is_away(error):
                raise
            for values, row in zip(kept, rows, strict=True):
                self._write_alone(values, row)

    def _write_alone(self, values: dict[str, Any], row: InferenceRequest) -> None:
        """A row that the database does not take is kept beside, for a person to look at."""
        try:
            statements.insert_requests([row], durable=True)
        except (DatabaseError, InterfaceError) as error:
            if is_away(error):
                raise
            refused = Spool(self.spool.directory / "refused", most_bytes=self.spool.most_bytes)
            refused.append([values])
            log.exception(
                "a row of the request log is not taken by the database", kept_in=str(refused.directory)
            )


_made: dict[Path, Spool] = {}


def spool() -> Spool:
    """Of this process, in the data directory."""
    directory = Path(settings.GALLEY_HOME) / "request-log"
    with contextlib.suppress(KeyError):
        return _made[directory]
    return _made.setdefault(directory, Spool(directory, most_bytes=settings.GALLEY_OUTAGE_LOG_MB << 20))


def _plain(row: InferenceRequest) -> dict[str, Any]:
    return {name: _plain_value(getattr(row, name)) for name in _FIELDS}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _row(values: dict[str, Any]) -> InferenceRequest:
    return InferenceRequest(
        **{name: _FIELDS[name].to_python(value) for name, value in values.items() if name in _FIELDS}
    )


#: of this process
request_log = RequestLog(outage)
