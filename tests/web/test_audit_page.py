from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from models_app.foundation import audit
from models_app.models import AuditEvent, Job
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def happened(
    actor: Any, action: str = "release.submit", subject: str = "release:14", **fields: Any
) -> AuditEvent:
    with transaction.atomic():
        return audit.record(actor=actor, action=action, subject=subject, **fields)


def tamper(event: AuditEvent, sql: str) -> None:
    """As somebody with the database's own powers could."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE models_app_auditevent DISABLE TRIGGER USER")
        cursor.execute(sql, [event.pk])
        cursor.execute("ALTER TABLE models_app_auditevent ENABLE TRIGGER USER")


def downloaded(user: Any, path: str) -> str:
    answer: Any = signed_in(user).get(path)
    assert answer.streaming
    return b"".join(answer.streaming_content).decode()


def shown(user: Any, query: str = "") -> list[int]:
    return [row.event.pk for row in signed_in(user).get(f"/audit/{query}").context["told"]]


@pytest.mark.parametrize(
    ("who", "status"),
    [("approver", 200), ("operator", 200), ("administrator", 200), ("ml_engineer", 403), ("reviewer", 403),
     ("stranger", 403)],
)  # fmt: skip
def test_the_trail_is_for_those_who_read_it(cast: make.Cast, who: str, status: int) -> None:
    client = signed_in(getattr(cast, who))
    assert client.get("/audit/").status_code == status
    assert client.get("/audit/audit.csv").status_code == status
    assert client.get("/audit/audit.jsonl").status_code == status
    assert client.post("/audit/verify/").status_code == (302 if status == 200 else 403)


def test_it_is_found_by_who_what_about_what_and_when(cast: make.Cast) -> None:
    first = happened(cast.ml_engineer, reason="Numbers are right now.")
    second = happened(cast.approver, "release.approve", data={"approvals": 1, "needed": 2})
    third = happened(None, "deployment.live", "release:15", to_state="live")
    auditor = cast.operator
    assert shown(auditor) == [third.pk, second.pk, first.pk]
    assert shown(auditor, "?who=mila") == [first.pk]
    assert shown(auditor, "?who=MILA") == [first.pk]
    assert shown(auditor, "?who=galley") == [third.pk]
    assert shown(auditor, "?who=nobody") == []
    assert shown(auditor, "?action=release.approve") == [second.pk]
    assert shown(auditor, "?action=release.") == [second.pk, first.pk]
    for words in ("release:14", "release 14", "Release+14"):
        assert shown(auditor, f"?subject={words}") == [second.pk, first.pk]
    assert shown(auditor, "?subject=release") == [third.pk, second.pk, first.pk]
    today, tomorrow = timezone.localdate(), timezone.localdate() + timedelta(days=1)
    assert shown(auditor, f"?since={today}&until={today}") == [third.pk, second.pk, first.pk]
    assert shown(auditor, f"?since={tomorrow}") == []
    assert shown(auditor, f"?until={today - timedelta(days=1)}") == []
    text = markup(signed_in(auditor).get("/audit/"))
    assert "ada approved, 1 of 2" in text
    assert "Numbers are right now." in text
    assert 'href="/releases/14/"' in text


@pytest.mark.parametrize(
    "query", ["?since=yesterday", "?since=2026-02-02&until=2026-02-01", "?action=no.such"]
)
def test_filters_that_make_no_sense_are_said(cast: make.Cast, query: str) -> None:
    happened(cast.ml_engineer)
    answer = signed_in(cast.operator).get(f"/audit/{query}")
    assert answer.status_code == 422
    assert answer.context["told"] == []


def test_pages_follow_each_other_and_nothing_is_counted(
    cast: make.Cast, django_assert_max_num_queries: Any
) -> None:
    events = [happened(cast.ml_engineer).pk for _ in range(120)]
    client = signed_in(cast.operator)
    seen: list[int] = []
    query: str | None = ""
    while query is not None:
        with django_assert_max_num_queries(11) as asked:
            answer = client.get(f"/audit/{query}")
        assert not [
            q for q in asked.captured_queries if "count(" in q["sql"].lower() and "auditevent" in q["sql"]
        ]
        seen += [row.event.pk for row in answer.context["told"]]
        older = answer.context["older"]
        query = f"?before={older}" if older else None
    assert seen == events[::-1]
    assert shown(cast.operator, "?before=nonsense")[0] == events[-1]


def test_what_people_wrote_is_never_markup(cast: make.Cast) -> None:
    happened(
        cast.ml_engineer, reason="<script>alert(1)</script>", data={"note": "</pre><script>alert(2)</script>"}
    )
    assert "<script>alert" not in markup(signed_in(cast.operator).get("/audit/"))


# ---------------------------------------------------------------- download


def test_the_download_streams_what_the_filters_find(cast: make.Cast) -> None:
    happened(cast.approver, "release.approve")
    mine = [happened(cast.ml_engineer, reason=f"Reason, {n}").pk for n in range(3)]
    rows = list(csv.DictReader(io.StringIO(downloaded(cast.operator, "/audit/audit.csv?who=mila"))))
    assert [int(row["id"]) for row in rows] == mine
    assert rows[0]["reason"] == "Reason, 0"
    lines = downloaded(cast.operator, "/audit/audit.jsonl?who=mila").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == mine
    assert events[0]["hash"] == AuditEvent.objects.get(pk=mine[0]).hash
    assert signed_in(cast.operator).get("/audit/audit.xlsx").status_code == 404


def test_a_spreadsheet_runs_nothing_that_is_in_it(cast: make.Cast) -> None:
    happened(cast.ml_engineer, reason='=HYPERLINK("http://example.org")')
    assert "'=HYPERLINK" in downloaded(cast.operator, "/audit/audit.csv")


def test_a_long_download_asks_in_short_queries(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from models_app.web import audit as page

    monkeypatch.setattr(page, "CHUNK", 7)
    events = [happened(cast.ml_engineer).pk for _ in range(30)]
    lines = downloaded(cast.operator, "/audit/audit.jsonl").splitlines()
    assert [json.loads(line)["id"] for line in lines] == events


# ---------------------------------------------------------------- the chain


def test_the_chain_is_verified_from_the_page_by_a_job(cast: make.Cast) -> None:
    last = happened(cast.ml_engineer)
    client = signed_in(cast.approver)
    assert "Not verified yet." in markup(client.get("/audit/"))
    client.post("/audit/verify/")
    client.post("/audit/verify/")
    job = Job.objects.get(kind="verify_audit")
    assert "Being verified" in markup(client.get("/audit/"))
    done = make.carried_out(job)
    assert (done.state, done.result["up_to"], done.result["broken"]) == ("succeeded", last.pk, None)
    text = markup(client.get("/audit/"))
    assert f"Verified up to event {last.pk:,}" in text
    assert "by ada" in text
    assert audit.verify().whole, "the finding itself is part of the chain"


def test_a_changed_event_is_found(cast: make.Cast) -> None:
    first, second, third = (happened(cast.ml_engineer, reason=str(n)) for n in range(3))
    tamper(second, "UPDATE models_app_auditevent SET reason = 'nicer' WHERE id = %s")
    found = audit.verify()
    assert (found.whole, found.broken, found.up_to) == (False, second.pk, first.pk)
    signed_in(cast.approver).post("/audit/verify/")
    make.carried_out(Job.objects.get(kind="verify_audit"))
    assert f"The chain is broken at event {second.pk:,}" in markup(signed_in(cast.approver).get("/audit/"))
    assert third.pk > second.pk


def test_a_missing_event_is_found(cast: make.Cast) -> None:
    _first, second, third = (happened(cast.ml_engineer) for _ in range(3))
    tamper(second, "DELETE FROM models_app_auditevent WHERE id = %s")
    assert audit.verify().broken == third.pk


def test_the_command_says_how_far_the_chain_holds(
    cast: make.Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    last = happened(cast.ml_engineer)
    call_command("verify_audit")
    said = capsys.readouterr().out
    assert f"Verified up to event {last.pk:,}" in said
    assert last.hash in said
    assert AuditEvent.objects.filter(action="audit.verify").count() == 1
    call_command("verify_audit", "--read-only", "--contains", last.hash)
    assert AuditEvent.objects.filter(action="audit.verify").count() == 1


def test_the_command_fails_where_the_chain_is_broken_or_its_end_was_cut_off(cast: make.Cast) -> None:
    happened(cast.ml_engineer)
    last = happened(cast.ml_engineer)
    tamper(last, "DELETE FROM models_app_auditevent WHERE id = %s")
    call_command("verify_audit", "--read-only")
    with pytest.raises(CommandError, match="cut off"):
        call_command("verify_audit", "--read-only", "--contains", last.hash)
    changed = happened(cast.ml_engineer)
    tamper(changed, "UPDATE models_app_auditevent SET actor_name = 'ada' WHERE id = %s")
    with pytest.raises(CommandError, match=f"breaks at event {changed.pk:,}"):
        call_command("verify_audit")
    assert AuditEvent.objects.latest("id").to_state == "broken"
