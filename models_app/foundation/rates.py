"""How often something was done in a window of the clock, counted by all processes of this machine together.

The counts lie in a file that each process maps into its memory: a count costs microseconds, holds while the database is
away, and outlives the process. Exact, since a lock of the file is held for each.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from functools import cache
from pathlib import Path

from django.conf import settings

_PLACE = struct.Struct("=16sQQ")  # whose, in which window, how often
_WAYS = (
    8  # places that one key may have; where all are taken by this window's, the one with the least count goes
)
_SETS = 8192
SIZE = _SETS * _WAYS * _PLACE.size


class Counts:
    def __init__(self, path: Path) -> None:
        """Raises OSError where there is no room for the file."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # All of it now: a page without room on the disk would end the process that writes it.
        os.posix_fallocate(self._file, 0, SIZE)
        self._memory = mmap.mmap(self._file, SIZE)
        self._lock = threading.Lock()

    def add(self, key: str, window: int) -> int:
        """How often `key` has been counted in `window`, this time included."""
        whose = hashlib.blake2b(key.encode(), digest_size=16).digest()
        first = int.from_bytes(whose[:4], "big") % _SETS * _WAYS * _PLACE.size
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                at, count = self._find(first, whose, window)
                _PLACE.pack_into(self._memory, at, whose, window, count + 1)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        return count + 1

    def _find(self, first: int, whose: bytes, window: int) -> tuple[int, int]:
        """Its place and its count, or a place for it: one of an earlier window, else the one with the least count."""
        places = [
            (at, _PLACE.unpack_from(self._memory, at))
            for at in range(first, first + _WAYS * _PLACE.size, _PLACE.size)
        ]
        for at, (owner, when, count) in places:
            if owner == whose:
                return at, count if when == window else 0
        return min(places, key=lambda place: (place[1][1] >= window, place[1][2]))[0], 0

    def close(self) -> None:
        self._memory.close()
        os.close(self._file)


@cache
def of_this_installation() -> Counts:
    return Counts(Path(settings.GALLEY_HOME) / "run" / "rates")


def used(key: str, *, seconds: int) -> tuple[int, float]:
    """(how often in this window of the clock, this time included; seconds until the next window)"""
    now = time.time()
    window = int(now // seconds)
    return of_this_installation().add(f"{seconds} {key}", window), (window + 1) * seconds - now
