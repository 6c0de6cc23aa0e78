"""What a web process knows without asking: which release is live, where its slot listens, which tokens may ask.

A thread reads it when the database notifies it of a change (migration `0006_notifications`), and once a second anyway.
While the database is away summaries go on by what was read last, for as long as the setting says; the thread looks for
its return, and then has written what waits in files (`request_log.py`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q
from django.utils import timezone

from models_app.foundation import turns
from models_app.foundation.postgresql.base import within
from models_app.foundation.unavailability import is_away
from models_app.models.access import ApiToken
from models_app.models.releases import PRODUCTION
from models_app.serving import statements
from models_app.serving.outage import Outage, outage
from models_app.serving.request_log import request_log
from models_app.serving.routing import Target, read_target, router

log = structlog.get_logger(__name__)

CHANNEL = "galley_known"
SCOPE = "summaries:write"
LOOK_SECONDS = 1.0
#: What was read longer ago is asked of the database, unless that is away.
FRESH_SECONDS = 2.0
#: Notifications that come thick and fast are answered with so many readings a second.
MOST_READINGS = 10
#: A database that does not answer for so long is away.
PATIENCE_SECONDS = 1.5
#: For files of processes that have ended.
FILES_SECONDS = 10.0


class KnownToken(NamedTuple):
    """One that may ask for summaries, by its person's roles too."""

    key: str
    user_id: int
    expiry: datetime | None
    used_at: datetime | None


@dataclass(frozen=True)
class Known:
    target: Target
    tokens: Mapping[str, KnownToken]  # by the token's hash
    read_at: float  # of time.monotonic(), when reading began
    as_of: datetime


def read(environment: str = PRODUCTION) -> Known:
    began, now = time.monotonic(), timezone.now()
    return Known(read_target(environment), _tokens(now), began, now)


def _tokens(now: datetime) -> dict[str, KnownToken]:
    people = User.objects.with_perm("models_app.own_tokens", backend="models_app.people.backend.RolesBackend")
    rows = (
        ApiToken.objects.filter(
            Q(expiry=None) | Q(expiry__gt=now),
            revoked_at=None,
            scopes__contains=[SCOPE],
            user__in=people.values("pk"),
        )
        .order_by()
        .values_list("digest", "token_key", "user_id", "expiry", "last_used_at")
    )
    return {digest: KnownToken(*values) for digest, *values in rows}


class Keeper:
    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._known: Known | None = None
        self._changed = threading.Condition()
        self._begun = self._ended = 0  # readings
        self._poke, self._poked = -1, -1
        self._thread: threading.Thread | None = None
        self._writer: threading.Thread | None = None
        self._stopping = False

    # ---------------------------------------------------------------- for those who ask

    def known(self) -> Known | None:
        """What may be gone by; None: ask the database."""
        known = self._known
        if known is None:
            return None
        if self._outage.lasts:
            return known if self._outage.seconds < settings.GALLEY_OUTAGE_MINUTES * 60 else None
        return known if time.monotonic() - known.read_at < FRESH_SECONDS else None

    def target(self) -> Target | None:
        known = self.known()
        return None if known is None else known.target

    def renewed_target(self) -> Target | None:
        """Read after this was asked; what is known, where the database is away."""
        with turns.requests.aside(), self._changed:
            wanted = self._begun + 1
            self._wake()
            self._changed.wait_for(lambda: self._ended >= wanted or self._outage.lasts, LOOK_SECONDS)
            read = self._ended >= wanted
        return self.target() if read or self._outage.lasts else None

    def degraded(self) -> str:
        """For the header of an answer; empty where nothing is missing."""
        known = self._known
        if known is None or not self._outage.lasts:
            return ""
        return f"database away; tokens and release as of {known.as_of:%Y-%m-%dT%H:%M:%SZ}; log waits"

    # ---------------------------------------------------------------- the thread

    def start(self) -> None:
        self._poked, self._poke = os.pipe()
        os.set_blocking(self._poke, False)
        self._outage.may_begin = True
        router.kept = self
        self._thread = threading.Thread(target=self._run, name="keeping", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it has been woken often enough
            os.write(self._poke, b".")

    def stop(self) -> None:
        """For a process that goes on; one that ends needs none."""
        self._stopping = True
        self._wake()
        for thread in (self._thread, self._writer):
            if thread is not None:
                thread.join()
        router.kept, self._outage.may_begin = None, False
        os.close(self._poke)
        os.close(self._poked)

    def _run(self) -> None:
        files_at = 0.0
        listening: Any = None
        while not self._stopping:
            began = time.monotonic()
            try:
                with within(PATIENCE_SECONDS):
                    listening = self._listen(listening)
                    self._read()
                if self._outage.lasts or began >= files_at:
                    files_at = began + FILES_SECONDS
                    self._write_kept()
                self._outage.end()
                self._wait(listening)
            except (DatabaseError, InterfaceError, psycopg.Error) as error:
                listening = None
                self._failed(error)
                self._wait(None)
            except Exception:
                log.exception("what the database knows could not be read")
                time.sleep(LOOK_SECONDS)
            _sync()
            time.sleep(max(0.0, 1 / MOST_READINGS - (time.monotonic() - began)))
        connection.close()

    def _listen(self, listening: Any) -> Any:
        connection.ensure_connection()
        if connection.connection is not listening:
            statements.listen(CHANNEL)
            connection.connection.add_notify_handler(lambda _: None)  # that one came is enough
        return connection.connection

    def _read(self) -> None:
        with self._changed:
            self._begun += 1
            number = self._begun
        known = read()
        with self._changed:
            self._known, self._ended = known, number
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if is_away(error) or isinstance(error, psycopg.OperationalError):
            self._outage.begin(error)
        else:
            log.error("what the database knows could not be read", exc_info=error)
        connection.close()
        with self._changed:
            self._changed.notify_all()

    def _wait(self, listening: Any) -> None:
        """For a notification, somebody who asks, or the time."""
        watched = (
            select.poll()
        )  # select() knows no numbers from 1024 on, which a process with many clients has
        for number in [self._poked] if listening is None else [self._poked, listening.fileno()]:
            watched.register(number, select.POLLIN)
        if self._poked in dict(watched.poll(LOOK_SECONDS * 1000)):
            os.read(self._poked, 4096)

    # ---------------------------------------------------------------- what waited

    def _write_kept(self) -> None:
        """In a thread of its own: it may be a lot, and what is known must stay fresh meanwhile."""
        if request_log.spool.has_rows() and (self._writer is None or not self._writer.is_alive()):
            self._writer = threading.Thread(target=_write_kept, name="request log", daemon=True)
            self._writer.start()


def _sync() -> None:
    try:
        request_log.spool.sync()
    except OSError as error:
        log.error("the rows that wait for the database are not on the disk yet", reason=error.strerror)


def _write_kept() -> None:
    try:
        rows = request_log.write_kept()
        log.warning("requests_logged_afterwards", rows=rows)
    except (DatabaseError, InterfaceError) as error:
        log.warning("requests_not_logged_yet", reason=" ".join(str(error).split())[:300])
    finally:
        connection.close()


#: of this process
keeper = Keeper(outage)
