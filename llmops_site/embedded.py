"""The PostgreSQL server that Galley brings along, for installations that name none in `DATABASE_URL`.

It lives in `<home>/postgres` and listens on a Unix socket only, in a directory that its owner alone can enter; that is
why it asks for no password. Many processes may use it at once: `held` keeps it up as long as anybody needs it.

Knows no Django. `python -m llmops_site.embedded --help` starts, stops and asks.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from llmops_site import private
from llmops_site.postgres_account import EmbeddedDatabaseError
from llmops_site.postgres_server import DATABASE, PORT, ROLE, PostgresServer

DEFAULT_HOME = Path(__file__).resolve().parent.parent / "var"


def database_url(home: Path, database: str = DATABASE) -> str:
    """Where the server of this home is reached; starts nothing."""
    return f"postgres://{ROLE}@/{database}?host={quote(str(PostgresServer(home).socket_directory), safe='')}"


def connection_settings(home: Path, database: str = DATABASE) -> dict[str, Any]:
    """An entry for Django's DATABASES; starts nothing."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database,
        "USER": ROLE,
        "PASSWORD": "",
        "HOST": str(PostgresServer(home).socket_directory),
        "PORT": str(PORT),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def start(home: Path, *, durable: bool = True) -> str:
    """Starts the server or joins the one that runs, makes the database if it is missing, returns its URL.

    `durable=False` trades safety against power loss for speed: for tests. It counts only for the one who starts.
    Raises EmbeddedDatabaseError.
    """
    server = PostgresServer(home)
    with _mutex(server):
        server.bring_up(durable=durable)
    return database_url(home)


def stop(home: Path) -> bool:
    """Stops the server, even while others use it; false if it did not run. Raises EmbeddedDatabaseError."""
    server = PostgresServer(home)
    if not server.data.exists():
        return False
    with _mutex(server):
        return server.shut_down()


@contextlib.contextmanager
def held(home: Path, *, durable: bool = True) -> Iterator[str]:
    """The database's URL while the block runs. The last user stops the server, also after a crash of others."""
    server = PostgresServer(home)
    with _mutex(server):
        users = _open_private(server.run / "postgres.users")
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            server.bring_up(durable=durable)
        except BaseException:
            users.close()
            raise
    try:
        yield database_url(home)
    finally:
        with _mutex(server), users:
            if _lock_now(users):
                server.shut_down()


def revive(home: Path) -> bool:
    """Starts the server again if it ended; true if that was so. The caller holds it. Raises EmbeddedDatabaseError."""
    server = PostgresServer(home)
    if server.postmaster() is not None:
        return False
    with _mutex(server):
        server.bring_up(durable=True)
    return True


@contextlib.contextmanager
def _mutex(server: PostgresServer) -> Iterator[None]:
    """One start or stop at a time, over all processes."""
    try:
        # Passable for the server's user, readable for nobody else.
        server.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        server.run.mkdir(mode=0o700, exist_ok=True)
        file = _open_private(server.run / "postgres.lock")
    except OSError as error:
        raise EmbeddedDatabaseError(
            f"Cannot write to {error.filename or server.home}: {error.strerror}."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open_private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")


def _lock_now(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run_with_database(home: Path, command: Sequence[str]) -> int:
    if os.environ.get("DATABASE_URL"):
        return _run(command)
    if not PostgresServer(home).data.exists():
        print(f"An embedded PostgreSQL is made in {home}.", file=sys.stderr, flush=True)
    with held(home):
        return _run(command)


def _run(command: Sequence[str]) -> int:
    process = subprocess.Popen(command)
    # Ctrl-C reaches the command by itself, through the terminal; a TERM is meant for it as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(arguments: Sequence[str] | None = None) -> int:
    private.keep_new_files_private()
    parser = argparse.ArgumentParser(
        prog="python -m llmops_site.embedded", description="The embedded PostgreSQL."
    )
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("GALLEY_HOME") or DEFAULT_HOME))
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("start", help="start it, leave it running, print its URL")
    actions.add_parser("stop", help="stop it")
    actions.add_parser("status", help="print its pid; exit 3 if it does not run")
    run = actions.add_parser(
        "with", help="run a command with the database up; the last one to leave stops it"
    )
    run.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        return _act(options)
    except EmbeddedDatabaseError as error:
        print(error, file=sys.stderr)
        return 1


def _act(options: argparse.Namespace) -> int:
    if options.action == "start":
        print(start(options.home))
    elif options.action == "stop":
        print("stopped" if stop(options.home) else "was not running")
    elif options.action == "with":
        return _run_with_database(options.home, options.command[options.command[:1] == ["--"] :])
    else:
        process = PostgresServer(options.home).postmaster()
        print(f"running, pid {process.pid}" if process else "not running")
        return 0 if process else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
