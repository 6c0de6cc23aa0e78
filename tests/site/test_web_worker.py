from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_site.web_server import limits
from llmops_site.web_server.connection import State
from llmops_site.web_server.crowd import Crowd, counted_as
from tests.site.hello import LARGE

ROOT = Path(__file__).resolve().parents[2]
IDLE = 60
HEAD = b"Host: here\r\n"


@dataclass
class Web:
    address: tuple[str, int]
    program: subprocess.Popen[bytes]


@pytest.fixture
def web() -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, served(listener) as made:
        yield made


@contextmanager
def served(listener: socket.socket, **settings: str) -> Iterator[Web]:
    """One thread; idle connections are kept for two minutes, and as long is the grace at its end."""
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--threads", "1",
        "--worker-class", "llmops_site.web_server.worker.WholeRequestWorker", "--keep-alive", "120",
        "--graceful-timeout", "120", "--no-control-socket", "--log-level", "warning",
        "tests.site.hello:application",
    ]  # fmt: skip
    program = subprocess.Popen(
        command, cwd=ROOT, pass_fds=[listener.fileno()], env={**os.environ, **settings}
    )
    try:
        yield Web(("127.0.0.1", listener.getsockname()[1]), program)
    finally:
        program.kill()
        program.wait(60)


def hello(web: Web) -> bytes:
    connection = http.client.HTTPConnection(*web.address, timeout=60)
    connection.request("GET", "/")
    return connection.getresponse().read()


def test_connections_over_which_nothing_comes_keep_nobody_waiting(web: Web) -> None:
    with ExitStack() as idle:
        waiting = [idle.enter_context(socket.create_connection(web.address)) for _ in range(IDLE)]
        # with a thread's five seconds for each of them it would take five minutes
        assert hello(web) == b"hello"
        waiting[0].settimeout(60)
        waiting[0].sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert waiting[0].recv(100).startswith(b"HTTP/1.1 200 OK")


def test_they_do_not_hold_up_an_orderly_end(web: Web) -> None:
    with socket.create_connection(web.address):
        assert hello(web) == b"hello"
        web.program.send_signal(signal.SIGTERM)
        assert web.program.wait(60) == 0


def test_an_application_that_takes_long_hears_that_its_client_has_gone(web: Web, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with socket.create_connection(web.address) as client:
        client.sendall(f"GET /patient?{said} HTTP/1.1\r\n".encode() + HEAD + b"\r\n")
        time.sleep(0.3)
        assert not said.exists(), "it waits"
    until = time.monotonic() + 30
    while not said.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert hello(web) == b"hello", "the one thread is free again"


def test_two_requests_at_once_are_answered_one_after_the_other(web: Web) -> None:
    with socket.create_connection(web.address, timeout=60) as client:
        client.sendall((b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n") * 2)
        assert read_until(client, 2).count(b"hello") == 2


def read_until(client: socket.socket, answers: int) -> bytes:
    said = b""
    while said.count(b"HTTP/1.1 ") < answers or not said.endswith(b"hello"):
        piece = client.recv(4096)
        assert piece, said
        said += piece
    return said


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["at once", "asked first"])
def test_a_body_arrives_as_it_was_sent(web: Web, size: int, expect: dict[str, str]) -> None:
    body = bytes(number % 251 for number in range(size))
    connection = http.client.HTTPConnection(*web.address, timeout=60)
    connection.request("POST", "/", body=body, headers=expect)
    assert connection.getresponse().read().decode() == hashlib.sha256(body).hexdigest()
    assert hello(web) == b"hello"


@pytest.mark.parametrize("path", ["/streamed", "/file"])
def test_who_does_not_read_a_large_answer_keeps_nobody_waiting_and_may_have_it_later(
    web: Web, path: str
) -> None:
    with socket.create_connection(web.address, timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        # the only thread is free again although the client has taken nothing
        assert hello(web) == b"hello"
        head, _, got = client.recv(4096).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        size, digest = len(got), hashlib.sha256(got)
        while piece := client.recv(1 << 20):
            size += len(piece)
            digest.update(piece)
    assert size == LARGE
    assert digest.hexdigest() == hashlib.sha256((b"f" if path == "/file" else b"\0") * LARGE).hexdigest()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70_000, b"431"),
        (
            b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"411",
        ),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"400"),
        (b"\x00\x01\x02 nonsense\r\n\r\n", b"400"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_the_next_request_is_answered(
    web: Web, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(web.address, timeout=60) as client:
        client.sendall(sent)
        assert client.recv(4096).startswith(b"HTTP/1.1 " + status)
    assert hello(web) == b"hello"


def test_a_request_that_does_not_come_to_its_end_is_given_up_after_ten_seconds(web: Web) -> None:
    with ExitStack() as open_ones:
        connect = partial(socket.create_connection, web.address, timeout=60)
        head, body = (open_ones.enter_context(connect()) for _ in range(2))
        head.sendall(b"GET / HTTP/1.1\r\nHost: he")
        body.sendall(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\na")
        began = time.monotonic()
        for number in range(6):  # a byte every two seconds does not help
            time.sleep(1.5)
            for client in (head, body):
                client.sendall(b"e" if number else b"r")
        for client in (head, body):
            assert client.recv(4096).startswith(b"HTTP/1.1 408")
        assert 9 < time.monotonic() - began < 20


def test_a_slow_but_steady_line_gets_its_file_through(web: Web) -> None:
    """50 kB a second, for longer than a request that stands still would be waited for."""
    piece = bytes(5_000)
    with socket.create_connection(web.address, timeout=60) as client:
        client.sendall(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 700000\r\n\r\n")
        for _ in range(140):
            client.sendall(piece)
            time.sleep(0.1)
        assert hashlib.sha256(piece * 140).hexdigest().encode() in client.recv(4096)


def with_half_a_request(web: Web, number: int, open_ones: ExitStack) -> list[socket.socket]:
    clients = []
    for _ in range(number):
        client = open_ones.enter_context(socket.create_connection(web.address, timeout=60))
        client.sendall(b"GET / HTTP/1.1\r\n")
        clients.append(client)
    return clients


def test_an_address_with_too_many_connections_loses_those_that_say_nothing(web: Web) -> None:
    with ExitStack() as open_ones:
        clients = with_half_a_request(web, limits.MOST_OF_ONE_ADDRESS + 40, open_ones)
        assert hello(web) == b"hello"
        with suppress(ConnectionResetError):
            assert clients[0].recv(100) == b"", "who came first has gone"
        clients[-1].sendall(HEAD + b"\r\n")
        assert read_until(clients[-1], 1).endswith(b"hello")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_proxy_is_recognised_where_ipv4_comes_in_ipv6_dress() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256) as listener,
        served(listener, GALLEY_TRUSTED_PROXIES="127.0.0.0/8") as web,
        ExitStack() as open_ones,
    ):
        clients = with_half_a_request(web, limits.MOST_OF_ONE_ADDRESS + 40, open_ones)
        assert hello(web) == b"hello"
        clients[0].sendall(HEAD + b"\r\n")
        assert read_until(clients[0], 1).endswith(b"hello"), "its clients are many"


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::7", "2001:db8:1:3::7", False),
        ("::ffff:198.51.100.1", "198.51.100.1", True),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.2", False),
    ],
)
def test_a_household_is_one_address_of_the_bound(first: str, second: str, is_one: bool) -> None:
    proxies = [ip_network("10.0.0.0/8")]
    counted = [counted_as(address, proxies) for address in (first, second)]
    assert (counted[0] == counted[1]) is is_one
    assert "" not in counted
    assert counted_as("::ffff:10.0.0.1", proxies) == ""


@pytest.mark.parametrize(
    ("states", "goes"),
    [
        ([State.HEAD, State.IDLE, State.BODY], 1),
        ([State.HEAD, State.HEAD, State.WORKING], 0),
        ([State.WORKING, State.BODY, State.SENDING], 2),
        ([State.WORKING, State.WORKING], None),
    ],
)
def test_who_goes_is_who_uses_its_place_least(states: list[State], goes: int | None) -> None:
    some: list[Any] = [SimpleNamespace(state=state, since=float(since)) for since, state in enumerate(states)]
    assert Crowd.who_goes(some) is (None if goes is None else some[goes])


def test_a_transfer_has_ten_seconds_and_then_to_move() -> None:
    assert limits.deadline(100.0, 0) == 110.0
    assert limits.deadline(100.0, limits.LEAST_BYTES_PER_SECOND * 60) == 170.0
