"""Exports: only what the asker may see, whole files or none, by page and command."""

from __future__ import annotations

import json
import os
import signal
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused
from models_app.models import AuditEvent, Job
from reviews.examples.decisions import approve_example
from reviews.examples.snapshots import freeze_snapshot
from reviews.exports import requests
from reviews.exports.request import Request
from reviews.models import (
    Assignment,
    Export,
    FeedbackExample,
    QueueItem,
)
from tests import make
from tests.pages import markup
from tests.reviews.exports.exported import BETTER, exported, read, review, rows_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]


# ---------------------------------------------------------------- who may what


def test_a_reviewer_gets_their_own_answers_and_no_model(cast: make.Cast) -> None:
    own, other = review(cast.reviewer), review(cast.another_reviewer)
    with pytest.raises(NotAllowed):
        requests.request_export(request=Request("reviews"), actor=cast.reviewer)
    with pytest.raises(NotAllowed):
        requests.request_export(request=Request("sft", mine=True), actor=cast.reviewer)
    export = exported(cast.reviewer, kind="reviews", mine=True)
    (row,) = rows_of(export)
    assert row["review"] == own.pk
    assert (row["release"], row["model_version"], row["prompt_version"]) == (None, None, None)
    assert row["reason"] is None, "it would tell which items were gold"
    assert make.lead_model().name not in read(export).decode()
    assert str(other.pk) not in {str(found["review"]) for found in rows_of(export)}
    for stranger in (cast.stranger, cast.approver):
        with pytest.raises(NotAllowed):
            requests.request_export(request=Request("reviews", mine=True), actor=stranger)


@pytest.mark.parametrize("state", ["held", "free"])
def test_what_the_asker_still_judges_blind_is_left_out(cast: make.Cast, state: str) -> None:
    peer, elsewhere = review(cast.reviewer), review(cast.reviewer)
    QueueItem.objects.filter(pk=peer.item_id).update(state="open")
    assignment = Assignment.objects.filter(item=peer.item)
    if state == "held":
        assignment.update(
            state="held", reviewer=cast.ml_engineer, lease_until=timezone.now(),
            lease_token="5f0a0d4e-1111-4222-8333-444455556666",
        )  # fmt: skip
    else:
        assignment.update(assigned_to=cast.ml_engineer)
    assert [row["review"] for row in rows_of(exported(cast.ml_engineer, kind="reviews"))] == [elsewhere.pk]
    peer.item.queue.blind_to_peers = False
    peer.item.queue.save()
    assert len(rows_of(exported(cast.ml_engineer, kind="reviews"))) == 2


def test_only_the_person_who_asked_can_see_fetch_cancel_or_remove_it(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = exported(cast.ml_engineer, kind="reviews")
    for person in (cast.administrator, cast.reviewer):
        assert not requests.exports_of(person).exists()
        for act in (requests.open_file, requests.remove, requests.cancel):
            with pytest.raises(NotFound):
                act(export=export, actor=person)
    assert read(export)
    cast.ml_engineer.groups.clear()
    person = type(cast.ml_engineer).objects.get(pk=cast.ml_engineer.pk)
    with pytest.raises(NotAllowed):
        requests.open_file(export=export, actor=person)


def test_who_lost_the_right_before_it_was_written_gets_nothing(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = requests.request_export(request=Request("reviews"), actor=cast.ml_engineer)
    cast.ml_engineer.is_active = False
    cast.ml_engineer.save()
    assert export.job is not None
    job = make.carried_out(export.job)
    assert job.state == "failed"
    assert "right" in job.reason or "role" in job.reason
    assert not (Path(django_settings.GALLEY_HOME) / "exports" / str(export.pk)).exists()


def test_the_trail_says_who_took_what_out(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = exported(cast.ml_engineer, kind="reviews", queue="new-drafts")
    read(export)
    requests.remove(export=export, actor=cast.ml_engineer)
    events = AuditEvent.objects.filter(subject=f"export:{export.pk}").order_by("id")
    assert [(event.action, event.actor_name) for event in events] == [
        ("export.request", "mila"), ("export.write", "mila"), ("export.fetch", "mila"), ("export.remove", "mila"),
    ]  # fmt: skip
    assert events[0].data["queue"] == "new-drafts"
    assert events[1].data["sha256"] == export.digest


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "everything"}, "kind"),
        ({"format": "xlsx"}, "format"),
        ({"kind": "chat", "format": "csv"}, "format"),
        ({"format": "datasets", "compressed": True}, "compressed"),
        ({"queue": "nowhere"}, "queue"),
        ({"since": date(2026, 5, 2), "until": date(2026, 5, 1)}, "until"),
        ({"kind": "sft", "prompt": 10**9}, "prompt"),
        ({"max_words": 0}, "max_words"),
        ({"reviewers": "addresses"}, "reviewers"),
    ],
)
def test_nonsense_is_refused_with_its_field(cast: make.Cast, fields: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        requests.request_export(request=Request(**{"kind": "reviews", **fields}), actor=cast.ml_engineer)
    assert set(refused.value.fields) == {name}
    assert not Export.objects.exists()


# ---------------------------------------------------------------- jobs, files and their time


def test_asking_twice_is_one_file_and_many_at_once_are_refused(cast: make.Cast) -> None:
    one = requests.request_export(request=Request("reviews"), actor=cast.ml_engineer)
    assert requests.request_export(request=Request("reviews"), actor=cast.ml_engineer).pk == one.pk
    assert Job.objects.filter(kind="export").count() == 1
    for kind in ("ratings", "spans"):
        requests.request_export(request=Request(kind), actor=cast.ml_engineer)
    with pytest.raises(Refused):
        requests.request_export(request=Request("edits"), actor=cast.ml_engineer)
    requests.cancel(export=one, actor=cast.ml_engineer)
    one.refresh_from_db()
    assert requests.status_of(one) == "cancelled"
    requests.request_export(request=Request("edits"), actor=cast.ml_engineer)


def test_nothing_to_export_is_said(cast: make.Cast) -> None:
    export = requests.request_export(request=Request("spans"), actor=cast.ml_engineer)
    assert export.job is not None
    job = make.carried_out(export.job)
    assert (job.state, job.reason) == (
        "failed", "There is no marked error to export for this choice of queue, days and people.",
    )  # fmt: skip
    assert not (Path(django_settings.GALLEY_HOME) / "exports" / str(export.pk)).exists()


def test_a_job_that_comes_twice_writes_once(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = exported(cast.ml_engineer, kind="reviews")
    finished = export.finished_at
    assert requests.carry_out(export=export) == {"rows": 1, "bytes": export.bytes}
    export.refresh_from_db()
    assert export.finished_at == finished
    assert AuditEvent.objects.filter(action="export.write").count() == 1


def test_a_full_disk_leaves_nothing(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review(cast.reviewer)

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    export = requests.request_export(request=Request("reviews"), actor=cast.ml_engineer)
    monkeypatch.setattr(os, "fsync", full)
    assert export.job is not None
    job = make.carried_out(export.job)
    assert job.state == "failed"
    assert "no room on the disk" in job.reason
    export.refresh_from_db()
    assert requests.status_of(export) == "failed"


def test_files_go_when_their_time_is_over(
    cast: make.Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.GALLEY_EXPORT_DAYS = 3
    review(cast.reviewer)
    export, kept = exported(cast.ml_engineer, kind="reviews"), exported(cast.ml_engineer, kind="edits")
    path = Path(django_settings.GALLEY_HOME) / export.file
    assert export.expires_at is not None
    assert export.finished_at is not None
    assert export.expires_at - export.finished_at == timedelta(days=3)
    Export.objects.filter(pk=export.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    export.refresh_from_db()
    assert requests.status_of(export) == "removed", "at once, not when the queue comes by"
    with pytest.raises(Refused):
        requests.open_file(export=export, actor=cast.ml_engineer)
    with django_capture_on_commit_callbacks(execute=True):
        assert requests.remove_expired() == 1
    assert not path.exists()
    assert read(kept)
    assert requests.remove_expired() == 0


_FIVE_THOUSAND = (
    """INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
              content_hash, split, reference, words, fields, created_at)
       VALUES ('Long', %(text)s, 'news', '', 'test', '', '', '', 'long', 'train', '', 1200, '{}', now())""",
    """INSERT INTO reviews_summary (document_id, text, decoding, source, words, truncated, finish, created_at)
       SELECT id, 'Summary ' || n, '{}', 'batch', 2, false, '', now()
         FROM reviews_sourcedocument, generate_series(1, 5000) n WHERE content_hash = 'long'""",
    """INSERT INTO reviews_queueitem (queue_id, summary_id, reason, note, priority, wanted_reviews, state, created_at)
       SELECT item.queue_id, summary.id, 'new draft', '', 0, 1, 'done', now() FROM reviews_summary summary,
              reviews_review review JOIN reviews_queueitem item ON item.id = review.item_id
        WHERE review.id = %(review)s AND summary.text LIKE 'Summary %%'""",
    """INSERT INTO reviews_review (item_id, summary_id, reviewer_id, rubric_id, state, stars, verdict, ratings,
              overall_from_ratings, marks, support, edited_text, comment, wants_retrain, wants_refine, sentiment,
              category, active_seconds, late, revision, created_at, updated_at, submitted_at)
       SELECT item.id, item.summary_id, review.reviewer_id, review.rubric_id, 'submitted', 3, 'fair', '{}', false,
              '[]', '[]', 'Better.', '', false, false, '', '', 60, false, 1, now(), now(), now()
         FROM reviews_queueitem item, reviews_review review
        WHERE review.id = %(review)s AND item.id <> review.item_id""",
)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_half_way_it_leaves_nothing_and_is_tried_again(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real child process, killed while it writes five thousand reviews."""
    one = review(cast.reviewer)
    with connection.cursor() as cursor:
        for statement in _FIVE_THOUSAND:
            cursor.execute(statement, {"review": one.pk, "text": make.ARTICLE * 20})
    export = requests.request_export(request=Request("reviews", compressed=True), actor=cast.ml_engineer)
    assert export.job is not None
    directory = Path(django_settings.GALLEY_HOME) / "exports" / str(export.pk)
    half: list[str] = []

    def kill(job: Job) -> None:
        found = [path.name for path in directory.glob(".*")]
        if half or not found:
            return
        half.extend(found)
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            if process.read_bytes().split(b"\0")[-3:] == [b"run_job", str(job.pk).encode(), b""]:
                os.kill(int(process.parent.name), signal.SIGKILL)

    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.02)
    jobs.supervise(export.job.pk, watch=kill)
    assert [name.rpartition(".")[2] for name in half] == ["partial"]
    export.job.refresh_from_db()
    assert export.job.state == "queued", export.job.reason
    assert "signal 9" in export.job.reason
    jobs.supervise(export.job.pk)
    export.refresh_from_db()
    assert requests.status_of(export) == "ready"
    assert [path.name for path in directory.iterdir()] == [f"galley-reviews-{export.pk}.jsonl.gz"]
    assert export.rows == 5001


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_are_one_export(cast: make.Cast) -> None:
    found: list[int] = []

    def press() -> None:
        try:
            found.append(requests.request_export(request=Request("reviews"), actor=cast.ml_engineer).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert Export.objects.count() == 1


# ---------------------------------------------------------------- pages and commands


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_page_asks_watches_and_gives_the_file(cast: make.Cast, django_assert_num_queries: Any) -> None:
    review(cast.reviewer)
    client = signed_in(cast.ml_engineer)
    page = markup(client.get("/exports/"))
    assert "SFT: prompt, completion" in page
    form = {"kind": "reviews", "format": "jsonl", "whose": "names", "texts": "on", "queue": "new-drafts"}
    assert client.post("/exports/", form).status_code == 302
    export = Export.objects.get()
    assert (export.options["reviewers"], export.options["texts"], export.options["mine"]) == (
        "names",
        True,
        False,
    )
    waiting = markup(client.get("/exports/", headers={"HX-Request": "true"}))
    assert "waits for the queue" in waiting
    assert "every 2s" in waiting
    assert client.get(f"/exports/{export.pk}/file/").status_code == 409
    assert export.job is not None
    make.carried_out(export.job)
    ready = markup(client.get("/exports/", headers={"HX-Request": "true"}))
    assert "every 2s" not in ready
    answer = client.get(f"/exports/{export.pk}/file/")
    assert answer.streaming
    assert json.loads(b"".join(answer))["reviewer"] == "rita"
    assert answer["Content-Disposition"] == f'attachment; filename="galley-reviews-{export.pk}.jsonl"'
    assert "no-store" in answer["Cache-Control"]
    assert signed_in(cast.administrator).get(f"/exports/{export.pk}/file/").status_code == 404
    assert client.post(f"/exports/{export.pk}/remove/").status_code == 302
    assert client.get(f"/exports/{export.pk}/file/").status_code == 409
    wrong = client.post("/exports/", {**form, "kind": "chat", "format": "csv"})
    assert wrong.status_code == 422
    assert "Messages are a list" in markup(wrong)


def test_training_data_of_a_snapshot_are_asked_for_on_the_page(cast: make.Cast) -> None:
    example = FeedbackExample.objects.create(
        document=make.document(), kind="demonstration", origin="reference", target=BETTER
    )
    approve_example(example=example, actor=cast.ml_engineer)
    snapshot = freeze_snapshot(name="November", actor=None)
    client = signed_in(cast.ml_engineer)
    offered = f"snapshot {snapshot.pk} · November (1 training rows)"
    assert offered in markup(client.get("/exports/"))
    form = {"kind": "sft", "format": "jsonl", "snapshot": str(snapshot.pk), "split": "train"}
    for more, words in (
        ({"kind": "reviews"}, "Snapshots are training data"),
        ({"since": "2026-11-01"}, "A snapshot is taken as it was frozen."),
        ({"snapshot": "999"}, "Select a valid choice"),
    ):
        wrong = client.post("/exports/", {**form, **more})
        assert (wrong.status_code, words in markup(wrong)) == (422, True), more
    assert client.post("/exports/", form).status_code == 302
    export = Export.objects.get()
    assert export.options["snapshot"] == snapshot.pk
    assert f"snapshot {snapshot.pk} · train" in markup(client.get("/exports/"))
    assert export.job is not None
    make.carried_out(export.job)
    export.refresh_from_db()
    assert read(export) == read(exported(cast.ml_engineer, kind="sft", snapshot=snapshot.pk))
    assert 'name="snapshot"' not in markup(signed_in(cast.reviewer).get("/exports/"))
    assert signed_in(cast.reviewer).post("/exports/", {**form, "kind": "reviews"}).status_code == 302
    assert Export.objects.get(requested_by=cast.reviewer).options["snapshot"] is None


def test_a_reviewer_is_offered_their_own_and_cannot_widen_it(cast: make.Cast) -> None:
    client = signed_in(cast.reviewer)
    page = markup(client.get("/exports/"))
    assert "SFT" not in page
    assert 'name="whose"' not in page
    assert client.post("/exports/", {"kind": "sft", "format": "jsonl"}).status_code == 422
    assert (
        client.post("/exports/", {"kind": "reviews", "format": "jsonl", "whose": "names"}).status_code == 302
    )
    assert Export.objects.get().options["mine"] is True
    for user, status in ((cast.stranger, 403), (cast.approver, 403)):
        assert signed_in(user).get("/exports/").status_code == status


def test_the_command_writes_the_same(cast: make.Cast, tmp_path: Path, capfdbinary: Any) -> None:
    review(cast.reviewer)
    export = exported(cast.ml_engineer, kind="reviews")
    path = tmp_path / "reviews.jsonl"
    call_command("export", "reviews", "--user", "mila", "--output", str(path))
    assert path.read_bytes() == read(export)
    call_command("export", "ratings", "--format", "csv", "--no-articles")
    out = capfdbinary.readouterr().out
    assert out.count(b"\r\n") == 5
    assert AuditEvent.objects.filter(subject="export:command").count() == 2
    call_command("export", "reviews", "--format", "datasets", "--output", str(tmp_path / "folder"))
    assert (tmp_path / "folder/data/train.parquet").is_file()
    for arguments, words in (
        (["reviews", "--user", "rita"], "your own"),
        (["dpo"], "no preference to export"),
        (["reviews", "--queue", "nowhere"], "no queue"),
        (["reviews", "--mine"], "say whose"),
        (["reviews", "--since", "tomorrow"], "'tomorrow' is no day"),
        (["reviews", "--format", "datasets", "--output", str(tmp_path / "folder")], "exists already"),
        (["reviews", "--format", "sft"], "no format"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("export", *arguments)
    assert not (tmp_path / "none").exists()
