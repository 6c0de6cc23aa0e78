"""Making the next things while the last one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_LOOKS = 0.1  # seconds between two looks whether anybody still wants more


@contextmanager
def ahead(items: Iterator[T], *, most: int = 2) -> Iterator[Iterator[T]]:
    """The same items in the same order, made by a thread of their own, at most so many ahead: for work that mostly
    waits for the database. What making them raises is raised where the item would have been. The thread has ended when
    the block is left, and has no database connection: `items` asks nothing of one."""
    made: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(most)
    over = threading.Event()

    def put(item: list[T], error: BaseException | None = None) -> bool:
        while not over.is_set():
            try:
                made.put((item, error), timeout=_LOOKS)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put([item]):
                    return
        except BaseException as error:  # raised again by whoever waits for the item
            put([], error)
        else:
            put([])

    def take() -> Iterator[T]:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if not item:
                return
            yield item[0]

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        over.set()
        thread.join()
