"""A running Galley, started once for all of these: slow and greedy clients make nobody else wait, a database that ended
or stands still is said and made up for, another account of the machine reads nothing. The web worker by itself:
tests/site."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psutil
import pytest

from llmops_site import embedded
from llmops_site.postgres_server import PostgresServer
from tests.doors.test_on_the_disk import open_to_others, what_somebody_else_gets
from tests.process.programs import wait_for
from tests.process.running import Run

pytestmark = pytest.mark.slow
HEAD = b"Host: localhost\r\n"
HALF_A_HEAD = b"GET / HTTP/1.1\r\n" + HEAD
SLOW_BODY = b"POST /accounts/login/ HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\na"
SIGN_IN = b"GET /accounts/login/ HTTP/1.1\r\n" + HEAD + b"\r\n"
#: Before, requests hung for as long as the clients did.
HANGS_SECONDS = 60
TRIES = 3


@contextmanager
def connections(
    run: Run, number: int, sends: bytes, *, source: str, reads: bool = True
) -> Iterator[list[socket.socket]]:
    clients = []
    try:
        for _ in range(number):
            client = socket.socket()
            if not reads:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.bind((source, 0))
            client.connect(("127.0.0.1", run.port))
            clients.append(client)
            # The server takes no more of it while it cannot send what it has, or has closed the connection.
            client.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                client.send(sends)
        yield clients
    finally:
        for client in clients:
            client.close()


def others_are_answered(run: Run) -> None:
    for path in ("/healthz", "/accounts/login/"):
        assert run.get(path, timeout=HANGS_SECONDS) == 200, path


def held(run: Run, clients: Sequence[socket.socket]) -> bool:
    """Whether the web process has a connection of one of these clients still."""
    ours = {client.getsockname() for client in clients}
    return any(
        tuple(connection.raddr) in ours
        for process in psutil.Process(run.process.pid).children(recursive=True)
        for connection in process.net_connections("tcp")
        if connection.raddr
    )


def keep_nobody_waiting(run: Run, clients: Callable[[], AbstractContextManager[list[socket.socket]]]) -> None:
    """Others are answered while these are still there, and not only once their time is over. On a busy machine it may
    be over before others were asked: then once more."""
    others_are_answered(run)
    for _ in range(TRIES):
        with clients() as there:
            others_are_answered(run)
            if held(run, there):
                return
    raise AssertionError("others were answered only once the slow clients were gone")


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same address", "another address"])
def test_two_hundred_half_sent_headers_and_fifty_slow_bodies_keep_nobody_waiting(
    installation: Run, source: str
) -> None:
    @contextmanager
    def slow() -> Iterator[list[socket.socket]]:
        with (
            connections(installation, 200, HALF_A_HEAD, source=source) as heads,
            connections(installation, 50, SLOW_BODY, source=source) as bodies,
        ):
            yield [*heads, *bodies]

    keep_nobody_waiting(installation, slow)


def test_clients_that_never_read_keep_nobody_waiting(installation: Run) -> None:
    def deaf() -> AbstractContextManager[list[socket.socket]]:
        return connections(installation, 50, SIGN_IN * 400, source="127.0.0.3", reads=False)

    keep_nobody_waiting(installation, deaf)


def test_a_thousand_idle_connections_keep_nobody_out(installation: Run) -> None:
    def idle() -> AbstractContextManager[list[socket.socket]]:
        request = b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n"
        return connections(installation, 1000, request, source="127.0.0.4")

    keep_nobody_waiting(installation, idle)


def test_half_closed_connections_keep_nobody_waiting(installation: Run) -> None:
    with connections(installation, 100, HALF_A_HEAD, source="127.0.0.5") as clients:
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        others_are_answered(installation)


def test_a_supervisor_that_stands_still_keeps_no_process_from_answering(installation: Run) -> None:
    """Nor does its terminal: what the processes write goes to files, not through a pipe that somebody has to read."""
    logs = installation.home / "logs"
    before = sum(path.stat().st_size for path in logs.glob("web.log*"))
    long = "a" * 3500
    installation.process.send_signal(signal.SIGSTOP)
    try:

        def written() -> int:
            # each leaves lines with its address
            assert installation.get(f"/{long}", timeout=40) in (0, 404)
            return sum(path.stat().st_size for path in logs.glob("web.log*")) - before > 1_200_000

        wait_for(written, seconds=150)
        others_are_answered(installation)
    finally:
        installation.process.send_signal(signal.SIGCONT)


# ---------------------------------------------------------------- the database

PAGE = ("/documents/", {"Cookie": "galley_session=" + "a" * 32})
#: A token that nobody has: to know that, the database has to be asked.
API = ("/api/v1/releases/live/", {"Authorization": "Token gly_" + "a" * 60})
#: Without limits of Galley's own a request hangs for as long as the database stands still.
DATABASE_HANGS_SECONDS = 25


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def ask(run: Run, path: str, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=DATABASE_HANGS_SECONDS)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        return Answer(answer.status, dict(answer.getheaders()), body)
    finally:
        connection.close()


@contextmanager
def frozen(run: Run) -> Iterator[None]:
    processes = PostgresServer(run.home).processes()
    assert processes
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def stopped(run: Run) -> Iterator[None]:
    """The supervisor would start it again within a second, so that it stands still meanwhile."""
    run.process.send_signal(signal.SIGSTOP)
    try:
        embedded.stop(run.home)
        yield
    finally:
        run.process.send_signal(signal.SIGCONT)


def kept_up(run: Run) -> set[int]:
    """Web, serving and the two queues."""
    children = psutil.Process(run.process.pid).children()
    return {child.pid for child in children if child.name() != "postgres"}


def is_well(run: Run) -> bool:
    return ask(run, *PAGE).status == 302 and ask(run, *API).status == 401


def check_what_is_said(run: Run) -> None:
    """By pages and API, to twelve clients each at the same time."""
    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(lambda what: ask(run, *what), [PAGE, API] * 12))
    for page in answers[::2]:
        assert page.status == 503
        assert page.headers["Retry-After"] == "5"
        assert "<h1>" in page.body
        assert "database" in page.body
        assert "Traceback" not in page.body
    for call in answers[1::2]:
        assert call.status == 503
        assert call.headers["Retry-After"] == "5"
        assert json.loads(call.body)["error"]["code"] == "unavailable"


@pytest.mark.parametrize("away", [stopped, frozen])
def test_without_the_database_clients_are_told_when_to_try_again_and_all_goes_on_afterwards(
    installation: Run, away: object
) -> None:
    wait_for(lambda: is_well(installation), seconds=60)
    before = kept_up(installation)
    with away(installation):  # type: ignore[operator]
        check_what_is_said(installation)
        assert ask(installation, "/healthz").status == 200
        ready = ask(installation, "/readyz")
        assert ready.status == 503
        assert json.loads(ready.body) == {"status": "unavailable", "detail": "The database does not answer."}
        check_what_is_said(installation)
    wait_for(lambda: is_well(installation), seconds=60)
    with ThreadPoolExecutor(24) as clients:
        calls = list(clients.map(lambda what: ask(installation, *what).status, [PAGE, API] * 12))
    assert set(calls) == {302, 401}, "a thread kept a connection that is of no use"
    assert kept_up(installation) == before, "a process ended over it"


# ---------------------------------------------------------------- the disk


def test_a_running_galley_keeps_nothing_that_another_account_could_read(installation: Run) -> None:
    assert open_to_others(installation.home) == []
    if os.geteuid() == 0:
        assert what_somebody_else_gets(installation.home) == []
