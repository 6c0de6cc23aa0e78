"""Every event says by which door it came, and nobody who acts can say another one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from models_app import doors
from models_app.foundation import audit, jobs
from models_app.foundation.tokens import create_service_account, create_token
from models_app.models import AuditEvent
from tests import make
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def door_of(action: str) -> tuple[str, str]:
    event = AuditEvent.objects.filter(action=action).latest("id")
    return event.door, event.door_which


def act() -> None:
    with transaction.atomic():
        audit.record(actor=None, action="test.act", subject="thing:1")


def open_thread(api: Api) -> None:
    item = make.queue_item()
    answer = api.post(f"items/{item.pk}/threads/", {"text": "Is this so?"})
    assert answer.status_code == 201, answer.content


def test_a_page_is_named_and_its_address_is_not(cast: make.Cast) -> None:
    signed_in(cast.reviewer).post("/tokens/accounts/new/", {"account": "nightly"})
    assert door_of("service_account.create") == ("page", "service_account_new")


@pytest.mark.parametrize("account", [False, True])
def test_a_token_is_named_by_its_key(cast: make.Cast, account: bool) -> None:
    api = Api(cast.ml_engineer, "comments:write")
    if account:
        api.row, api.token = create_token(
            user=cast.ml_engineer, name="x", scopes=["comments:write"], days=9, actor=cast.ml_engineer,
            service_account=create_service_account(name="nightly", actor=cast.ml_engineer),
        )  # fmt: skip
    open_thread(api)
    assert door_of("thread.open") == ("token", api.row.token_key)
    assert AuditEvent.objects.get(action="thread.open").actor == cast.ml_engineer


@pytest.mark.django_db(transaction=True)
def test_a_command_is_named(cast: make.Cast, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "create_token", "--user", "mila", "--scope", "summaries:write"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "GALLEY_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "llmops_site.settings"},
        check=True,
    )
    assert door_of("token.create") == ("command", "create_token")


def test_a_job_is_named_by_kind_and_number(cast: make.Cast) -> None:
    job = jobs.enqueue(kind="verify_audit", actor=cast.operator, max_attempts=1)
    make.carried_out(job)
    assert door_of("audit.verify") == ("job", f"verify_audit {job.pk}")


@pytest.mark.parametrize(("command", "which"), [("qcluster", "queue"), ("serve_slots", "serving")])
def test_what_no_person_starts_is_galley_itself(
    monkeypatch: pytest.MonkeyPatch, command: str, which: str
) -> None:
    monkeypatch.setattr(doors, "_of_process", None)
    doors.of_command(command)
    act()
    assert door_of("test.act") == ("galley", which)


def test_a_program_that_calls_galley_s_code_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's owner may act as anybody; the trail says that it was no page."""
    monkeypatch.setattr(doors, "_of_process", None)
    monkeypatch.setattr(sys, "argv", ["/tmp/mischief.py"])
    act()
    assert door_of("test.act") == ("program", "mischief.py")


def test_a_request_leaves_its_door_to_nobody(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_of_process", None)
    signed_in(cast.reviewer).get("/tokens/")
    Api(cast.ml_engineer, "comments:write").get("items/1/threads/")
    act()
    assert door_of("test.act")[0] == "program"


def test_no_event_is_without_a_door() -> None:
    act()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO models_app_auditevent (at, actor_name, action, subject, from_state, to_state, reason, data, "
            "previous_hash, hash) SELECT at, actor_name, action, subject, '', '', '', '{}', hash, 'x' "
            "FROM models_app_auditevent LIMIT 1"
        )
    with pytest.raises(IntegrityError, match="audit_door_known"), transaction.atomic():
        AuditEvent.objects.bulk_create([_unsaved(door="window")])


def _unsaved(**values: Any) -> AuditEvent:
    event = AuditEvent.objects.latest("id")
    event.pk, event.hash = None, "x"
    for name, value in values.items():
        setattr(event, name, value)
    return event


@pytest.mark.parametrize("column", ["door = 'page'", "door_which = 'release_decide'", "door = 'unrecorded'"])
def test_a_changed_door_breaks_the_chain(column: str) -> None:
    act()
    event = AuditEvent.objects.latest("id")
    assert audit.verify().whole
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE models_app_auditevent DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE models_app_auditevent SET {column} WHERE id = %s", [event.pk])
        cursor.execute("ALTER TABLE models_app_auditevent ENABLE TRIGGER USER")
    assert audit.verify().broken == event.pk


def test_the_trail_tells_doors_and_is_found_by_them(cast: make.Cast) -> None:
    api = Api(cast.ml_engineer, "comments:write")
    open_thread(api)
    signed_in(cast.reviewer).post("/tokens/accounts/new/", {"account": "nightly"})
    auditor = signed_in(cast.operator)

    def found(query: str) -> list[str]:
        return [row.event.action for row in auditor.get(f"/audit/?{query}").context["told"]]

    assert found("door=token") == ["thread.open"]
    assert found("door=page") == ["service_account.create"]
    assert found(f"which={api.row.token_key[:8]}") == ["thread.open"]
    assert found("door=token&which=release") == []
    assert auditor.get("/audit/?door=window").status_code == 422
    text = auditor.get("/audit/").content.decode()
    assert f"by token: {api.row.token_key[:10]}… (a program)" in text
    assert "by page: service_account_new" in text
    answer: Any = auditor.get("/audit/audit.csv?door=token")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["door"], row["door_which"]) for row in rows] == [("token", api.row.token_key)]
    answer = auditor.get("/audit/audit.jsonl?door=token")
    assert json.loads(b"".join(answer.streaming_content))["door_which"] == api.row.token_key
