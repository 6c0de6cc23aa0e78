"""What must hold before anything is started; each refusal is one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from llmops_site import private

NEEDED_BYTES = 1024**3


class CannotStart(RuntimeError):
    """The message is for the person at the console."""


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
        raise CannotStart(
            f"Cannot write to the data directory {home}: {error.strerror}. GALLEY_HOME names it."
        ) from error
    try:
        private.tighten(home)
    except OSError as error:
        raise CannotStart(
            f"{error.filename} cannot be closed to other users: {error.strerror}. Everything in {home} has to belong "
            "to the user who starts Galley."
        ) from error


def refuse_full_disk(home: Path, needed: int = NEEDED_BYTES) -> None:
    free = shutil.disk_usage(home).free
    if free < needed:
        raise CannotStart(
            f"Only {free / 1024**3:.1f} GB are free on the disk of {home}; Galley needs {needed / 1024**3:.0f} GB "
            "to start. Free some space, or let GALLEY_HOME name another disk."
        )


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


def refuse_taken_port(host: str, port: int) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotStart(f"GALLEY_HOST={host!r} is no address of this machine: {error.strerror}.") from error
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CannotStart(_why_not_bound(error, host, port)) from error


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


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is taken{_listener(port)}. Stop that, or set GALLEY_PORT to another port."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} may be opened by root only. Set GALLEY_PORT to a port above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"GALLEY_HOST={host!r} is no address of this machine."
    return f"Cannot listen on {host}:{port}: {error.strerror}."


def _listener(port: int) -> str:
    """By whom, as far as this user may see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
