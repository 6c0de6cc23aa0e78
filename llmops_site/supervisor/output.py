"""Where the processes' lines go: each to its own rotated file, all to the console with the process's name in front."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO

LOG_BYTES = 10 * 1024**2
KEPT_LOGS = 5
WAITING_LINES = 5000
LONGEST_LINE = 64 * 1024


class RotatedLog:
    """`NAME.log`; at 10 MB it becomes `NAME.log.1`, the older ones move on, and of those the last five are kept."""

    def __init__(self, path: Path, *, max_bytes: int = LOG_BYTES, kept: int = KEPT_LOGS) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.kept = kept
        self._lock = threading.Lock()
        self._file = self._open()

    def write(self, line: bytes) -> None:
        """Raises OSError, for example on a full disk; the next line is tried afresh."""
        with self._lock:
            if self._file.tell() + len(line) > self.max_bytes:
                self._rotate()
            self._file.write(line)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _open(self) -> IO[bytes]:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # Unbuffered: after a crash the last line is what one wants to see.
        file = os.fdopen(descriptor, "ab", buffering=0)
        file.seek(0, os.SEEK_END)
        return file

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self.kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Console:
    """Writes from a thread of its own: a terminal that was paused must not hold up the processes behind it."""

    def __init__(self, stream: IO[str] | None = None, *, width: int = 9) -> None:
        self._stream = stream or sys.stdout
        self._width = width
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def show(self, name: str, text: str) -> None:
        try:
            self._lines.put_nowait(f"{name:<{self._width}}| {text}\n")
        except queue.Full:
            self._dropped += 1

    def close(self, seconds: float = 1.0) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._dropped:
                line += f"{'':<{self._width}}| … {self._dropped} lines not shown here; the logs have them\n"
                self._dropped = 0
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                # The terminal is gone; the logs go on.
                return


class ProcessOutput:
    """Carries one process's lines to its log and the console until it closes its end."""

    def __init__(self, name: str, log: RotatedLog, console: Console) -> None:
        self._name = name
        self._log = log
        self._console = console
        self._log_fails = False

    def follow(self, pipe: IO[bytes]) -> None:
        threading.Thread(
            target=self._carry, args=(pipe,), name=f"output of {self._name}", daemon=True
        ).start()

    def _carry(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in _lines(pipe):
                self.line(line)

    def line(self, line: bytes) -> None:
        self._console.show(self._name, line.decode(errors="replace").rstrip())
        try:
            self._log.write(line if line.endswith(b"\n") else line + b"\n")
            self._log_fails = False
        except OSError as error:
            if not self._log_fails:
                self._console.show(self._name, f"cannot write {self._log.path}: {error.strerror}")
            self._log_fails = True


def _lines(pipe: IO[bytes]) -> Iterable[bytes]:
    """Lines, the very long ones in pieces."""
    while line := pipe.readline(LONGEST_LINE):
        yield line
