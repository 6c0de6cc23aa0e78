from __future__ import annotations

import threading

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from models_app.foundation import audit
from models_app.models import AuditEvent, PromptVersion
from tests import make

pytestmark = pytest.mark.django_db


def record(number: int = 1) -> AuditEvent:
    with transaction.atomic():
        event = audit.record(
            actor=None, action="test", subject=f"thing:{number}", data={"n": number, "x": 0.1}
        )
    with connection.cursor() as cursor:  # else the table counts as in use until the test's transaction ends
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return event


def test_each_event_carries_the_hash_of_the_one_before() -> None:
    first, second = record(1), record(2)
    assert second.previous_hash == first.hash
    assert audit.verify().whole


def test_the_database_computes_the_hash_that_is_checked() -> None:
    odd = 'quoted "words", a back\\slash, 100 %, a\ttab,\na line, Ärger, שלום and 🙂'
    with transaction.atomic():
        event = audit.record(
            actor=None, action="test.odd", subject="thing:1", reason=odd,
            data={"z": odd, "a": [1, 2.5, 1e-7, 10**15, None, True], "é": {}},
        )  # fmt: skip
    stored = AuditEvent.objects.get(pk=event.pk)
    assert (stored.reason, stored.data) == (odd, event.data)
    assert audit._digest(stored.previous_hash, audit._parts(stored)) == stored.hash == event.hash
    assert audit.verify().whole


def test_an_event_needs_the_transaction_of_its_change() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        _outside()


def _outside() -> None:
    before = connection.in_atomic_block
    connection.in_atomic_block = False
    try:
        audit.record(actor=None, action="test", subject="thing:1")
    finally:
        connection.in_atomic_block = before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models_app_auditevent SET reason = 'x'",
        "DELETE FROM models_app_auditevent",
        "TRUNCATE models_app_auditevent CASCADE",
    ],
)
def test_the_database_refuses_to_change_the_trail(statement: str) -> None:
    record()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEvent.objects.filter(action="test").count() == 1


def test_a_change_behind_the_database_s_back_is_found() -> None:
    events = [record(number) for number in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE models_app_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE models_app_auditevent SET reason = 'quietly' WHERE id = %s", [events[1].pk])
        cursor.execute("ALTER TABLE models_app_auditevent ENABLE TRIGGER USER")
    assert audit.verify().broken == events[1].pk


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_make_one_chain() -> None:
    def write() -> None:
        for number in range(10):
            record(number)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditEvent.objects.filter(action="test").count() == 40
    assert audit.verify().whole


def test_prompt_versions_never_change() -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        PromptVersion.objects.update(number=F("number") + 1)


def test_a_document_s_split_and_text_never_change() -> None:
    document = make.document(split="test")
    for changes in ({"split": "train"}, {"text": "other"}):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            type(document).objects.filter(pk=document.pk).update(**changes)
