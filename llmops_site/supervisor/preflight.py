"""What must hold before anything is started, beside what `startable` asks of the machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from llmops_site import private
from llmops_site.startable import CannotStart, unwritable


def prepare_home(home: Path) -> None:
    """Closes the data directory to others. Raises CannotStart where it cannot be written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name in ("run", "logs"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        probe = home / "run" / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(home, error.strerror or str(error)) from error
    try:
        private.tighten(home)
    except OSError as error:
        raise CannotStart(
            f"{error.filename} cannot be closed to other users: {error.strerror}. Everything in {home} has to belong "
            "to the user who starts Galley."
        ) from error


@contextlib.contextmanager
def only_one(home: Path, url: str) -> Iterator[None]:
    """Holds the data directory's lock. Raises CannotStart where another supervisor has it."""
    path = home / "run" / "supervisor.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Galley already runs on {home}{_holder(file.read())}. Stop it first."
            ) from None
        file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, file)
        file.flush()
        yield


def refuse_silent_database(url: str) -> None:
    """For a server named in DATABASE_URL."""
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise CannotStart(f"The database named in DATABASE_URL does not answer: {reason}") from error


def _holder(text: str) -> str:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        holder = json.loads(text)
        return f" (pid {holder['pid']}, {holder['url']})"
    return ""


def listener(port: int) -> str:
    """By whom a port is taken, as far as this user may see it; for `startable.refuse_taken_port`."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
