"""An answer on its way to a client that may take it slowly, or not at all.

The thread that writes the answer never waits for the client: what the connection does not take at once is kept,
small parts in memory and large ones on the disk, and sent from the loop as the client takes it.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llmops_site.web_server import limits

PIECE = 1024 * 1024


@dataclass
class FilePart:
    """Bytes of an open file, whose descriptor is ours."""

    descriptor: int
    offset: int
    left: int
    #: Made by us, to be written at its end; else the application's.
    grows: bool = False


class Answer:
    """For gunicorn's Response this is the socket."""

    def __init__(self, sock: socket.socket, directory: Path) -> None:
        self.sent = 0
        self._socket = sock
        self._directory = directory
        self._parts: deque[bytearray | FilePart] = deque()

    def sendall(self, data: bytes) -> None:
        """Small pieces go out together with what follows. Raises ConnectionError when the client is gone."""
        if not data:
            return
        last = self._parts[-1] if self._parts else None
        if isinstance(last, FilePart) and last.grows:
            self._write(last, data)
        elif isinstance(last, bytearray) and len(last) + len(data) <= limits.IN_MEMORY:
            last += data
        else:
            self._parts.append(bytearray(data))
        if self._held() > limits.IN_MEMORY and not self.flush() and self._held() > limits.IN_MEMORY:
            self._to_disk()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        self._parts.append(FilePart(os.dup(file.fileno()), offset, left))
        return left

    def client_is_gone(self) -> bool:
        """Whether it has closed the connection, or its half of it: it sends no more and is taken to read no more."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:  # it waits
            return False
        except OSError:
            return True

    def flush(self) -> bool:
        """Sends what the connection takes; true when nothing is left. Raises ConnectionError, the client being gone."""
        while self._parts:
            part = self._parts[0]
            try:
                count = self._send(part)
            except (BlockingIOError, InterruptedError):
                return False
            self.sent += count
            if isinstance(part, FilePart):
                part.offset += count
                part.left -= count
                if part.left > 0:
                    continue
                os.close(part.descriptor)
            else:
                del part[:count]
                if part:
                    continue
            self._parts.popleft()
        return True

    def close(self) -> None:
        """Forgets what was not sent."""
        for part in self._parts:
            if isinstance(part, FilePart):
                os.close(part.descriptor)
        self._parts.clear()

    def _send(self, part: bytearray | FilePart) -> int:
        try:
            if isinstance(part, bytearray):
                with memoryview(part) as view, view[:PIECE] as piece:
                    return self._socket.send(piece)
            if not part.left:
                return 0
            count = os.sendfile(self._socket.fileno(), part.descriptor, part.offset, min(part.left, PIECE))
        except (BlockingIOError, InterruptedError, ConnectionError):
            raise
        except OSError as error:
            raise ConnectionAbortedError(str(error)) from error
        if not count:
            raise ConnectionAbortedError("the file became shorter while it was sent")
        return count

    def _held(self) -> int:
        return sum(len(part) for part in self._parts if isinstance(part, bytearray))

    def _to_disk(self) -> None:
        """The last part, in memory so far, goes on as a file without a name."""
        part = self._parts.pop()
        assert isinstance(part, bytearray)
        with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
            kept = FilePart(os.dup(file.fileno()), 0, 0, grows=True)
        self._parts.append(kept)
        self._write(kept, part)

    def _write(self, part: FilePart, data: bytes | bytearray) -> None:
        with memoryview(data) as view:
            written = 0
            while written < len(view):
                written += os.pwrite(part.descriptor, view[written:], part.offset + part.left + written)
        part.left += len(data)
