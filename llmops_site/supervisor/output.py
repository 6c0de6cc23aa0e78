"""Where the processes' lines go: each process writes its own file; warnings and worse are repeated on the console.

No process writes into a pipe that somebody has to read: a stopped supervisor or a paused terminal holds up nobody.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import IO

LOG_BYTES = 10 * 1024**2
KEPT_LOGS = 5
WAITING_LINES = 5000
# Read at one look; a process that writes faster is followed a little later.
READ_BYTES = 1024**2
LONGEST_LINE = 64 * 1024
SHOWN_BEFORE_THE_END = 5

# How our processes write their lines: logfmt, gunicorn's brackets, the slots' plain words.
_LEVEL = re.compile(
    r"^timestamp=\S+ level=(\w+)|^\[[^\]]+\] \[\d+\] \[([A-Z]+)\]|^\d{4}-\d\d-\d\d[ T][\d:,.]+Z? ([A-Z]+) "
)
_NOTABLE = {"warning", "error", "critical", "exception", "fatal"}
_UNHANDLED = ("Traceback (most recent call last):", "Fatal Python error:")


class LogFile:
    """`NAME.log`, to which several processes append by themselves; `look` reads what came since the last look.

    At 10 MB its content is copied to `NAME.log.1` and the file is emptied, since its writers keep it open; the older
    copies move on, and the last five are kept.
    """

    def __init__(self, path: Path, *, max_bytes: int = LOG_BYTES, kept: int = KEPT_LOGS) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.kept = kept
        self._reader = self._open("rb")
        self._reader.seek(0, os.SEEK_END)
        self._begun = b""

    def open_for_writing(self) -> IO[bytes]:
        """Unbuffered and appending: after a crash the last line is what one wants to see."""
        return self._open("ab")

    def write(self, line: bytes) -> None:
        """Raises OSError, for example on a full disk."""
        with self.open_for_writing() as file:
            file.write(line)

    def look(self) -> list[bytes]:
        """The whole lines that were written since the last look; then the file is rotated if it is long."""
        data = self._reader.read(READ_BYTES)
        lines = (self._begun + data).splitlines(keepends=True)
        self._begun = b""
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < LONGEST_LINE:
            self._begun = lines.pop()
        if len(data) < READ_BYTES and os.fstat(self._reader.fileno()).st_size > self.max_bytes:
            lines += self._rotate()
        return lines

    def close(self) -> None:
        self._reader.close()

    def _open(self, mode: str) -> IO[bytes]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(self.path, flags, 0o600), mode, buffering=0)

    def _rotate(self) -> list[bytes]:
        for number in range(self.kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        beside = self._numbered(0)
        with self.path.open("rb") as source, beside.open("wb") as copy:
            beside.chmod(0o600)
            shutil.copyfileobj(source, copy)
            # What was written while the rest was copied; hardly anything can come before the next line of ours.
            shutil.copyfileobj(source, copy)
            os.truncate(self.path, 0)
        beside.replace(self._numbered(1))
        rest = self._begun + self._numbered(1).read_bytes()[self._reader.tell() :]
        self._begun = b""
        self._reader.seek(0)
        return rest.splitlines(keepends=True)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Console:
    """Writes from a thread of its own: a terminal that was paused must not hold up the supervisor behind it."""

    def __init__(self, stream: IO[str] | None = None, *, width: int = 9) -> None:
        self._stream = stream or sys.stdout
        self._width = width
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Lines of Galley's own to the person who started it."""
        self._put(text + "\n")

    def show(self, name: str, text: str) -> None:
        """A line of the process `name`."""
        self._put(f"{name:<{self._width}}| {text}\n")

    def close(self, seconds: float = 1.0) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(seconds)

    def _put(self, text: str) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

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
    """One process's log, and on the console what of it a person should see at once."""

    def __init__(self, name: str, log: LogFile, console: Console) -> None:
        self._name = name
        self._log = log
        self._console = console
        self._notable = False
        self._last: list[str] = []
        self._log_fails = False

    def open_for_writing(self) -> IO[bytes]:
        return self._log.open_for_writing()

    def follow(self) -> None:
        """Shows what became known since the last call."""
        try:
            lines = self._log.look()
        except OSError as error:
            self._complain(error)
            return
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            self._notable = is_notable(text, before=self._notable)
            self._last = [] if self._notable else [*self._last[1 - SHOWN_BEFORE_THE_END :], text]
            if self._notable:
                self._console.show(self._name, text)

    def show_last_lines(self) -> None:
        """For a process that ended by itself: the last that it wrote and that was not shown yet."""
        self.follow()
        for text in self._last:
            self._console.show(self._name, text)
        self._last = []

    def line(self, line: bytes) -> None:
        try:
            self._log.write(line + b"\n")
            self._log_fails = False
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._log_fails:
            self._console.show(self._name, f"cannot write {self._log.path}: {error.strerror}")
        self._log_fails = True


def is_notable(line: str, *, before: bool) -> bool:
    """Whether a log line is a warning or worse; one without a level belongs to the line `before` it."""
    if found := _LEVEL.match(line):
        return next(level for level in found.groups() if level).lower() in _NOTABLE
    return before or line.startswith(_UNHANDLED)
