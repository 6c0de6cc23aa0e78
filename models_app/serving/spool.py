"""Rows of the request log that wait in files while the database is away. Knows no Django.

Each web process appends to a file of its own, which it has locked; a file whose lock is free belongs to a process that
has ended, and whoever finds it writes its rows. A row is a line: eight hex digits of a CRC, a space, JSON. It is with
the kernel before its request is answered, so that a killed process loses no row; `sync`, called every second, puts it
on the disk, so that a machine without power loses what came within the last second.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
Row = dict[str, Any]
MOST_TOGETHER = 200
LOOKED_SECONDS = 1.0
DAMAGED = ".damaged"


class SpoolFull(Exception):
    """There is no room for the row: the message says whose limit it is."""


class Spool:
    """Of one process, in a directory that all processes share."""

    def __init__(self, directory: Path, *, most_bytes: int) -> None:
        """`most_bytes`: of all files together, looked at once a second, so that several processes may exceed it by
        what they write within one."""
        self.directory = directory
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path = directory
        self._unsynced = False
        self._looked_at = -LOOKED_SECONDS
        self._bytes = 0

    # ---------------------------------------------------------------- while the database is away

    @property
    def held(self) -> int:
        """Bytes of all files together."""
        with self._lock:
            return self._held()

    @property
    def is_full(self) -> bool:
        return self.held >= self.most_bytes

    def append(self, rows: Iterable[Row]) -> None:
        """Raises SpoolFull; then none of them is kept."""
        data = b"".join(_line(row) for row in rows)
        with self._lock:
            if self._held() + len(data) > self.most_bytes:
                raise SpoolFull(
                    f"the files in {self.directory} have reached their limit of {self.most_bytes >> 20} MB"
                )
            try:
                self._write(data)
            except OSError as error:
                raise SpoolFull(f"{self.directory} cannot be written to: {error.strerror}") from error
            self._bytes += len(data)
            self._unsynced = True

    def sync(self) -> None:
        """Onto the disk, what is not there yet."""
        with self._lock:
            if self._unsynced and self._file is not None:
                os.fsync(self._file)
                self._unsynced = False

    def _held(self) -> int:
        now = time.monotonic()
        if now - self._looked_at >= LOOKED_SECONDS:
            self._looked_at, self._bytes = now, sum(size for _, size in self._files())
        return self._bytes

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None  # nosec B101
        before = os.fstat(self._file).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, before)  # a part of a line would hide the next one
            raise

    def _open(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = self.directory / f"requests-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _files(self) -> list[tuple[Path, int]]:
        found = []
        for path in sorted(self.directory.glob("requests-*.jsonl*")):
            with contextlib.suppress(FileNotFoundError):  # another process has just written it
                found.append((path, path.stat().st_size))
        return found

    # ---------------------------------------------------------------- when it is back

    def has_rows(self) -> bool:
        """Of any process."""
        return any(path.suffix == ".jsonl" for path, _ in self._files())

    def replay(self, write: Callable[[Sequence[Row]], None]) -> int:
        """Gives all rows that nobody appends to any more to `write`, some hundred at a time, and removes each file once
        its rows are written; what `write` raises leaves the file for the next time. So `write` may get rows twice.
        Returns how many rows there were."""
        written = 0
        with self._lock:
            own, self._file = self._file, None
            if own is not None:
                os.close(own)
            self._looked_at = -LOOKED_SECONDS
        for path, _ in self._files():
            if path.suffix == ".jsonl":
                written += self._replay_file(path, write)
        return written

    def _replay_file(self, path: Path, write: Callable[[Sequence[Row]], None]) -> int:
        with _alone(path) as file:
            if file is None:
                return 0
            written, damaged, torn = 0, 0, False
            together: list[Row] = []
            for line in file:
                row = _row(line)
                if row is None:
                    damaged, torn = damaged + 1, not line.endswith(b"\n")
                    continue
                together.append(row)
                if len(together) == MOST_TOGETHER:
                    write(together)
                    written += len(together)
                    together = []
            if together:
                write(together)
                written += len(together)
            if torn:  # its process was killed while it wrote it: the request was not answered
                damaged -= 1
                log.warning("the last row in %s was not whole; its request was never answered", path.name)
            if damaged:
                kept = path.with_name(path.name + DAMAGED)
                path.rename(kept)
                log.error("%s rows in %s cannot be read; the file is kept", damaged, kept)
            else:
                path.unlink()
            return written


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Any]:
    """The open file, or None where another process has it, or has just removed it."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            still_there = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            still_there = False
        yield file if still_there else None


def _line(row: Row) -> bytes:
    data = json.dumps(row, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(data), data)


def _row(line: bytes) -> Row | None:
    checksum, _, data = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(data):
        return None
    row: Row = json.loads(data)
    return row
