"""The part of HTTP/1.1 that web processes and slots speak over Unix sockets: one message, its length known, kept alive.

`curl --unix-socket … http://slot/health` works. Python's own client and server would spend more time on parsing
headers than all else that happens between a web process and a slot.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_SOCKET_PATH = 107
LARGEST_BODY = 16 * 1024 * 1024
LONGEST_LINE = 8192
HEALTH_TIMEOUT_SECONDS = 1.0
MOST_HEADERS = 50
GONE_SECONDS = 0.25  # how often somebody who waits is looked for


class BadMessage(Exception):
    """What came over the socket is not a message of this protocol."""


@dataclass(frozen=True)
class Message:
    start: str  # the request line or the status line
    body: bytes
    keep_alive: bool

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


def read_message(stream: BinaryIO) -> Message | None:
    """The next message; None where the other side has closed before one began. Raises BadMessage, OSError."""
    start = stream.readline(LONGEST_LINE)
    if not start:
        return None
    if not start.endswith(b"\r\n"):
        raise BadMessage("cut off in its first line")
    length, keep_alive = 0, True
    for _ in range(MOST_HEADERS):
        line = stream.readline(LONGEST_LINE)
        if line == b"\r\n":
            break
        if not line.endswith(b"\r\n"):
            raise BadMessage("cut off in its headers")
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip().lower()
        if name == b"content-length":
            if not value.isdigit() or int(value) > LARGEST_BODY:
                raise BadMessage("has no length that is accepted")
            length = int(value)
        elif name == b"connection" and value == b"close":
            keep_alive = False
        elif name == b"transfer-encoding":
            raise BadMessage("comes in chunks")
    else:
        raise BadMessage("has too many headers")
    body = stream.read(length)
    if len(body) != length:
        raise BadMessage("cut off in its body")
    return Message(start.decode("latin-1").rstrip(), body, keep_alive)


def request(method: str, path: str, value: Any = None) -> bytes:
    return _message(f"{method} {path} HTTP/1.1\r\nHost: slot", value)


def answer(status: int, value: Any) -> bytes:
    return _message(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json", value)


def _message(start: str, value: Any) -> bytes:
    body = b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
    return f"{start}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class AskerGone(Exception):
    """Whoever the answer is for does not wait for it any more."""


class Connection:
    """A client's open connection to one slot, for one thread at a time."""

    def __init__(self, address: str, *, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._stream = self._socket.makefile("rb")

    def ask(self, message: bytes, *, timeout: float, gone: Callable[[], bool] | None = None) -> Message:
        """Send a request, wait for its answer; `gone` is asked a few times a second whether somebody still waits.

        Raises TimeoutError, OSError, BadMessage, AskerGone; then close it: the slot does not compute for nobody.
        """
        self._socket.settimeout(timeout)
        self._socket.sendall(message)
        if gone is not None:
            self._wait(timeout, gone)
        answered = read_message(self._stream)
        if answered is None:
            raise ConnectionResetError("the slot closed the connection")
        return answered

    def _wait(self, timeout: float, gone: Callable[[], bool]) -> None:
        poll = select.poll()  # as many files may be open as there are; select() knows a thousand
        poll.register(self._socket, select.POLLIN)
        until = time.monotonic() + timeout
        while not poll.poll(GONE_SECONDS * 1000):
            if gone():
                raise AskerGone
            if time.monotonic() >= until:
                raise TimeoutError

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def health(address: str) -> dict[str, Any] | None:
    """What the slot says of itself; None where it does not answer."""
    try:
        asked = Connection(address, timeout=HEALTH_TIMEOUT_SECONDS)
    except OSError:
        return None
    with closing(asked):
        try:
            return asked.ask(request("GET", "/health"), timeout=HEALTH_TIMEOUT_SECONDS).json()
        except (OSError, BadMessage):
            return None


def socket_directory(home: Path) -> Path:
    """`<home>/run`, or a directory with a short name where a socket's path in it would be too long."""
    directory = home / "run"
    if len(os.fsencode(directory / "slot-0000000000.sock")) <= LONGEST_SOCKET_PATH:
        return directory
    # /tmp and not tempfile.gettempdir(): every process must find it, whatever its TMPDIR.
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"galley-slots-{os.getuid()}-{name}"  # nosec B108
