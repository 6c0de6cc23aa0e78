"""What is made ahead comes in order, fails where it would have failed, and ends with whoever wanted it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from models_app.foundation.ahead import ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_the_same_items_come_in_the_same_order() -> None:
    with ahead(iter(range(100))) as items:
        assert list(items) == list(range(100))
    with ahead(iter([None, None])) as nothing:
        assert list(nothing) == [None, None]
    assert not threads()


def test_what_making_them_raises_is_raised_where_the_item_would_have_been() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("The line went dead.")

    with ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="dead"):
            next(items)
    assert not threads()


def test_whoever_stops_half_way_leaves_no_thread_and_no_more_than_was_allowed_is_made() -> None:
    made = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    with ahead(endless(), most=2) as items:
        assert next(items) == 0
    assert not threads()
    assert len(made) <= 5
