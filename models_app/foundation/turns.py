"""How many requests of a process are worked on at a time.

Python computes one thing at a time. Sixteen threads that all want to compute take turns every few milliseconds and
make each other, and the database's locks that they hold, wait longer: twenty reviewers without a pause got 53 items a
second from sixteen threads, 68 from two. So two work, the others wait in line; a thread that waits for something else
than the processor steps aside meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class _Line:
    """A semaphore whose places go to the thread that has waited longest; `threading.Semaphore` gives them to the one
    that comes just then, so that some wait three times as long as others."""

    def __init__(self, places: int) -> None:
        self._free = places
        self.waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            called = threading.Event()
            self.waiting.append(called)
        if called.wait(timeout):
            return True
        with self._lock:
            if called.is_set():  # in this very moment
                return True
            self.waiting.remove(called)
            return False

    def release(self) -> None:
        with self._lock:
            if self.waiting:
                self.waiting.popleft().set()
            else:
                self._free += 1


class Turns:
    def __init__(self, most: int, patience: float) -> None:
        """`patience`: seconds after which a request goes on without a turn, so that those that hang (on a lock of the
        database, on a client that sends slowly) keep nobody waiting for long."""
        self._line = _Line(most)
        self.patience = patience
        self._mine = threading.local()

    @property
    def waiting(self) -> int:
        """How many wait in line just now."""
        return len(self._line.waiting)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The work of one request, by one thread."""
        self._mine.held = self._line.acquire(self.patience)
        try:
            yield
        finally:
            self._give_up()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within a turn: a wait that leaves it to others. Without one it changes nothing."""
        held = self._give_up()
        try:
            yield
        finally:
            if held:
                self._mine.held = self._line.acquire(self.patience)

    def _give_up(self) -> bool:
        held: bool = getattr(self._mine, "held", False)
        self._mine.held = False
        if held:
            self._line.release()
        return held


#: of this process
requests = Turns(most=2, patience=0.5)
