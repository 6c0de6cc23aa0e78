"""Each answered request is in the log once: written together with others, over a connection that died, from files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from models_app.foundation.errors import Unavailable
from models_app.foundation.fingerprints import fingerprint
from models_app.models import InferenceRequest
from models_app.serving import statements
from models_app.serving.outage import Outage
from models_app.serving.request_log import RequestLog
from models_app.serving.spool import Spool
from tests import make

AWAY = OperationalError("connection refused")


class Log(RequestLog):
    """With files of its own."""

    def __init__(self, directory: Path, *, goes_on: bool = True, most_bytes: int = 1 << 20) -> None:
        self.outage = Outage()
        self.outage.may_begin = goes_on
        super().__init__(self.outage)
        self._spool = Spool(directory, most_bytes=most_bytes)

    @property
    def spool(self) -> Spool:
        return self._spool


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "rows")


def a_row(number: int = 0, **values: Any) -> InferenceRequest:
    text = f"text {number} Ä👷🏽"
    return InferenceRequest(
        text=text, text_hash=fingerprint("request text", text), outcome="ok", flags=["truncated"],
        latency_ms=1.5, input_words=3, **values,
    )  # fmt: skip


def logged() -> int:
    return InferenceRequest.objects.count()


def in_threads(number: int, act: Any) -> None:
    def work(n: int) -> None:
        try:
            act(n)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each message to the database had."""
    sizes: list[int] = []
    insert = statements.insert_requests

    def count(rows: Any, **more: Any) -> None:
        sizes.append(len(rows))
        insert(rows, **more)

    monkeypatch.setattr(statements, "insert_requests", count)
    return sizes


@pytest.mark.django_db(transaction=True)
def test_rows_that_come_at_the_same_time_go_together(
    log: Log, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, go_on = threading.Event(), threading.Event()
    write = log._write

    def held(batch: Any) -> None:
        if not first.is_set():
            first.set()
            go_on.wait(30)
        write(batch)

    monkeypatch.setattr(log, "_write", held)

    def act(number: int) -> None:
        if number == 0:
            log.add(a_row(0))
            return
        first.wait(30)
        if number == 19:
            while len(log._waiting) < 18:
                pass
            go_on.set()
        else:
            log.add(a_row(number))

    in_threads(20, act)
    assert logged() == 19
    assert counted == [1, 18]


@pytest.mark.django_db(transaction=True)
def test_a_row_that_the_database_refuses_spoils_it_for_no_other(log: Log) -> None:
    errors: list[int] = []

    def act(number: int) -> None:
        try:
            log.add(a_row(number, domain="x" * 41 if number % 5 == 0 else "news"))
        except Exception:
            errors.append(number)

    in_threads(20, act)
    assert sorted(errors) == [0, 5, 10, 15]
    assert logged() == 16


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_has_closed_costs_nothing(log: Log) -> None:
    """As after a failover: the row is written over a new one, once."""
    log.add(a_row())
    end_session()
    log.add(a_row())
    assert logged() == 2
    assert not log.outage.lasts


def end_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()


@pytest.mark.django_db(transaction=True)
def test_a_row_whose_first_try_had_come_through_is_there_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of the database was lost, not the row."""
    insert, tries = statements.insert_requests, []

    def lost(rows: Any, **more: Any) -> None:
        insert(rows, **more)
        tries.append(1)
        if len(tries) == 1:
            raise AWAY

    monkeypatch.setattr(statements, "insert_requests", lost)
    log.add(a_row())
    assert (len(tries), logged()) == (2, 1)


# ---------------------------------------------------------------- without the database


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    def refuse(rows: Any, **more: Any) -> None:
        raise AWAY

    with monkeypatch.context() as patched:
        patched.setattr(statements, "insert_requests", refuse)
        yield patched


@pytest.mark.django_db(transaction=True)
def test_rows_wait_in_a_file_and_come_into_the_log_once(log: Log, away: pytest.MonkeyPatch) -> None:
    person = make.user("nora", "operator")
    release = make.release()
    rows = [a_row(number, client=person, token_key="gly_1", release=release) for number in range(5)]
    in_threads(5, lambda number: log.add(rows[number]))
    assert log.outage.lasts
    assert logged() == 0
    away.undo()
    statements.insert_requests([rows[3]])  # it had come through, but nobody heard of it
    assert log.write_kept() == 5
    assert log.write_kept() == 0
    assert logged() == 5
    for row in rows:
        kept = InferenceRequest.objects.get(pk=row.pk)
        for field in InferenceRequest._meta.concrete_fields:
            if field.has_db_default():  # when it was logged
                continue
            assert getattr(kept, field.attname) == getattr(row, field.attname), field.attname


@pytest.mark.django_db(transaction=True)
def test_what_fails_half_way_is_not_there_twice(log: Log, away: pytest.MonkeyPatch) -> None:
    for number in range(450):
        log.add(a_row(number))
    away.undo()
    insert, messages = statements.insert_requests, []

    def fail_later(rows: Any, **more: Any) -> None:
        messages.append(len(rows))
        if len(messages) == 3:
            raise AWAY
        insert(rows, **more)

    away.setattr(statements, "insert_requests", fail_later)
    with pytest.raises(OperationalError):
        log.write_kept()
    assert logged() == 400
    assert log.write_kept() == 450
    assert logged() == 450


@pytest.mark.django_db(transaction=True)
def test_a_row_that_the_database_does_not_take_afterwards_is_kept_for_a_person(
    log: Log, away: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        log.add(a_row(number, domain="x" * 41 if number == 1 else "news"))
    away.undo()
    log.write_kept()
    assert logged() == 2
    assert "not taken by the database" in caplog.text
    (kept,) = (log.spool.directory / "refused").glob("*.jsonl")
    assert "text 1" in kept.read_text()


def test_where_the_files_are_full_requests_are_refused_before_a_model_is_asked(
    tmp_path: Path, away: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "rows", most_bytes=2000)
    log.outage.begin(AWAY)
    log.add(a_row())
    log.make_sure_of_room()
    with pytest.raises(Unavailable, match="cannot be logged are not answered") as refused:
        log.add(a_row(error="x" * 2000))
    assert refused.value.retry_after == 30
    log.spool.append([{"fill": "x" * (2000 - log.spool.held - 21)}])
    with pytest.raises(Unavailable, match="cannot be logged are not answered"):
        log.make_sure_of_room()


@pytest.mark.django_db(transaction=True)
def test_a_process_that_keeps_nothing_says_that_the_database_is_away(
    tmp_path: Path, away: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "rows", goes_on=False)
    with pytest.raises(OperationalError):
        log.add(a_row())
    assert not log.spool.directory.exists()
