"""A client's connection: collects a request until it is whole, knows by when more has to come.

The worker's loop alone calls this; a thread has a connection only from the whole request to the end of its answer.
"""

from __future__ import annotations

import contextlib
import enum
import io
import json
import math
import socket
import tempfile
from pathlib import Path
from typing import IO, Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from llmops_site.web_server import limits
from llmops_site.web_server.answer import Answer

#: Of a body, in one go; then other connections are looked after.
PIECES = 8
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(enum.IntEnum):
    """In the order in which they have to go where there are too many."""

    IDLE = 0
    LINGERING = 1
    HEAD = 2
    SENDING = 3
    BODY = 4
    WORKING = 5


class Refused(Exception):
    """What came is answered here; the application never sees it."""

    def __init__(self, status: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    def answer(self, request: Request | None) -> bytes:
        api = request is not None and (request.path or "").startswith("/api/")
        if api:
            code = self.status.split(" ", 1)[1].lower().replace(" ", "_")
            body = json.dumps({"error": {"code": code, "message": str(self)}}).encode()
        else:
            body = str(self).encode()
        lines = [
            f"HTTP/1.1 {self.status}",
            "Connection: close",
            f"Content-Type: {'application/json' if api else 'text/plain; charset=utf-8'}",
            f"Content-Length: {len(body)}",
        ]
        if self.retry_after is not None:
            lines.append(f"Retry-After: {self.retry_after}")
        return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    def __init__(
        self, cfg: Any, sock: socket.socket, peer: Any, now: float, *, directory: Path, most_kept: int
    ) -> None:
        """`most_kept`: bytes of a body beyond which the rest is read away, for the application to refuse."""
        sock.setblocking(False)
        self.socket = sock
        self.peer = peer
        self.server = sock.getsockname()
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.request: Request | None = None
        self.answer: Answer | None = None
        self.keep = False
        self.length = 0
        self._cfg = cfg
        self._directory = directory
        self._most_kept = most_kept
        self._buffer = bytearray()
        self._body: IO[bytes] = io.BytesIO()
        self._received = 0
        self._requests = 0
        self.wait_for_request(now)

    def wait_for_request(self, now: float) -> None:
        """For the first one, or the next."""
        self.state = State.IDLE
        self.since = now
        self.deadline = now + self._cfg.keepalive
        self.request = None
        self.length = self._received = 0

    def receive(self, now: float) -> bool:
        """Takes what has come; true when a request is whole.

        Raises EOFError when the client has closed its side, Refused, OSError, and gunicorn's errors of parsing.
        """
        for _ in range(PIECES):
            wanted = self.length - self._received if self.state is State.BODY else 0
            try:
                data = self.socket.recv(min(max(wanted, 16 * 1024), 256 * 1024))
            except (BlockingIOError, InterruptedError):
                return False
            if not data:
                raise EOFError
            self._buffer += data
            if self.advance(now):
                return True
            if self.state is not State.BODY:
                return False
        return False

    def advance(self, now: float) -> bool:
        """With what is in the buffer: clients may send the next request before they are answered."""
        if self.state is State.IDLE and self._buffer:
            self.state, self.since = State.HEAD, now
            self.deadline = now + limits.HEAD_SECONDS
        if self.state is State.HEAD and not self._read_head(now):
            return False
        return self.state is State.BODY and self._read_body()

    def take_away(self) -> bool:
        """After a refusal: what the client still sends. False when it has closed its side. Raises OSError."""
        try:
            return bool(self.socket.recv(256 * 1024))
        except (BlockingIOError, InterruptedError):
            return True

    def work(self) -> Request:
        """Hands the request to a thread."""
        request = self.request
        assert request is not None
        self._body.seek(0)
        request.body = self._body
        self.state, self.deadline = State.WORKING, math.inf
        self.answer = Answer(self.socket, self._directory)
        return request

    def send(self, now: float) -> None:
        """The rest of the answer goes out as the client takes it."""
        assert self.answer is not None
        if self.state is not State.SENDING:
            self.state, self.since, self._already = State.SENDING, now, self.answer.sent
        self.deadline = limits.deadline(self.since, self.answer.sent - self._already)

    def linger(self, now: float) -> None:
        """Nothing more is sent. A connection closed over unread bytes would take the answer away from the client."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.state, self.since, self.deadline = State.LINGERING, now, now + limits.LINGER_SECONDS

    def close(self) -> None:
        self._body.close()
        if self.answer is not None:
            self.answer.close()
        self.socket.close()

    def done_with(self) -> None:
        """The answer is out: what it took goes."""
        self._body.close()
        self._body = io.BytesIO()
        if self.answer is not None:
            self.answer.close()
            self.answer = None

    def _read_head(self, now: float) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > limits.LONGEST_HEAD:
            if len(self._buffer) > limits.LONGEST_HEAD:
                raise Refused("431 Request Header Fields Too Large", "The headers have more than 64 kB.")
            return False
        head = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        self._requests += 1
        self.request = Request(self._cfg, IterUnreader([head]), self.peer, self._requests)
        reader = self.request.body.reader
        if isinstance(reader, ChunkedReader):
            raise Refused("411 Length Required", "A request has to say its Content-Length.")
        self.length = reader.length if isinstance(reader, LengthReader) else 0
        if self.length > 2 * self._most_kept:
            raise Refused("413 Content Too Large", f"More than {self._most_kept >> 20} MB are not taken.")
        self.state, self.since = State.BODY, now
        self.deadline = limits.deadline(now, 0)
        if self.length > limits.IN_MEMORY:
            self._body = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 done_with and close close it
        expected, self.request._expected_100_continue = self.request._expected_100_continue, False
        if expected and len(self._buffer) < self.length:
            with contextlib.suppress(OSError):
                self.socket.send(CONTINUE)
        return True

    def _read_body(self) -> bool:
        count = min(len(self._buffer), self.length - self._received)
        if count:
            room = max(0, self._most_kept - self._received)
            with memoryview(self._buffer) as view, view[: min(count, room)] as kept:
                self._body.write(kept)
            del self._buffer[:count]
            self._received += count
            self.deadline = limits.deadline(self.since, self._received)
        return self._received == self.length
