from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IDLE = 60


@dataclass
class Web:
    address: tuple[str, int]
    program: subprocess.Popen[bytes]


@pytest.fixture
def web() -> Iterator[Web]:
    """One thread; idle connections are kept for two minutes, and as long is the grace at its end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        command = [
            sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--threads", "1",
            "--worker-class", "llmops_site.web_server.worker.WholeRequestWorker", "--keep-alive", "120",
            "--graceful-timeout", "120", "--no-control-socket", "--log-level", "warning",
            "tests.site.hello:application",
        ]  # fmt: skip
        program = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])
        try:
            yield Web(listener.getsockname(), program)
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
