"""Limits hold for all processes together, without the database."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from models_app.foundation import rates
from models_app.foundation.rates import Counts


@pytest.fixture
def counts(tmp_path: Path) -> Counts:
    return Counts(tmp_path / "run" / "rates")


def test_each_key_is_counted_by_itself_and_anew_in_each_window(counts: Counts) -> None:
    assert [counts.add("a", 7), counts.add("a", 7), counts.add("b", 7), counts.add("a", 8)] == [1, 2, 1, 1]


def test_a_count_outlives_the_process(counts: Counts, tmp_path: Path) -> None:
    counts.add("a", 7)
    counts.close()
    assert Counts(tmp_path / "run" / "rates").add("a", 7) == 2


def _add(path: Path, times: int) -> None:
    counts = Counts(path)
    for _ in range(times):
        counts.add("a", 7)


def test_several_processes_lose_none(counts: Counts, tmp_path: Path) -> None:
    """So no token gets more by asking several at the same instant."""
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=_add, args=(tmp_path / "run" / "rates", 3000)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counts.add("a", 7) == 9001


def test_where_there_is_no_room_the_one_that_was_counted_least_goes(
    counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_SETS", 1)
    counts.add("busy", 7)
    assert counts.add("busy", 7) == 2
    for number in range(20):
        counts.add(f"another {number}", 7)
    assert counts.add("busy", 7) == 3
    for number in range(20):
        counts.add(f"another {number}", 8)
    assert counts.add("busy", 8) == 1


def test_a_place_of_an_earlier_window_is_taken_first(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_SETS", 1)
    for number in range(7):
        counts.add(f"now {number}", 8)
    for _ in range(5):
        counts.add("earlier", 7)
    counts.add("new", 8)
    assert [counts.add(f"now {number}", 8) for number in range(7)] == [2] * 7
