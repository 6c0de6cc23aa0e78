"""Exports: the same fields whatever the format, only what the asker may see, whole files or none."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import signal
import threading
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused
from models_app.models import AuditEvent, Job, PromptVersion
from reviews import export_files, export_rows, exporting
from reviews.export_rows import Request
from reviews.feedback import approve_example, freeze_snapshot
from reviews.models import (
    Adjudication,
    Export,
    FeedbackExample,
    Preference,
    QueueItem,
    Review,
    ReviewRating,
    ReviewSlot,
    SentenceSupport,
    SpanMark,
)
from tests import make

pytestmark = pytest.mark.django_db
WROTE = "The old pier 👷🏽 of Nordhaven will close. 410 piles are rotten."
BETTER = "The old pier of Nordhaven will close. 140 piles are rotten."


@pytest.fixture(autouse=True)
def empty_store() -> Iterator[None]:
    yield
    shutil.rmtree(Path(django_settings.GALLEY_HOME) / "exports", ignore_errors=True)


def review(by: Any, *, item: QueueItem | None = None, split: str = "train", **fields: Any) -> Review:
    if item is None:
        summary = make.summary(
            make.document(split=split, external_id="a-1"), WROTE,
            release=make.release(), model_version=make.lead_model(), prompt_version=PromptVersion.objects.first(),
        )  # fmt: skip
        item = make.queue_item(summary)
    values = {
        "state": "submitted", "stars": 2, "verdict": "poor", "edited_text": BETTER, "comment": "=1+1 is wrong",
        "active_seconds": 90, "revision": 3, "submitted_at": timezone.now(), "rubric": item.queue.rubric,
    }  # fmt: skip
    made = Review.objects.create(item=item, summary=item.summary, reviewer=by, **{**values, **fields})
    for criterion in item.queue.rubric.criteria.all():
        ReviewRating.objects.create(review=made, criterion=criterion, value=4)
    start = item.summary.text.index("410")
    SpanMark.objects.create(
        review=made,
        start=start,
        end=start + 3,
        quote="410",
        error_type="wrong entity or number",
        severity="major",
    )
    SentenceSupport.objects.create(review=made, start=0, end=41, supported=True)
    return made


def exported(actor: Any, **fields: Any) -> Export:
    export = exporting.request_export(request=Request(**fields), actor=actor)
    assert export.job is not None
    job = make.carried_out(export.job)
    assert job.state == "succeeded", job.reason
    export.refresh_from_db()
    return export


def read(export: Export) -> bytes:
    with exporting.open_file(export=export, actor=export.requested_by) as file:
        return file.read()


def rows_of(export: Export) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(export).decode().splitlines()]


# ---------------------------------------------------------------- what is in them


def test_a_review_comes_with_everything_and_offsets_that_fit(cast: make.Cast) -> None:
    one = review(cast.reviewer)
    Adjudication.objects.create(
        item=one.item,
        adjudicator=cast.ml_engineer,
        stars=2,
        verdict="poor",
        rubric=one.rubric,
        edited_text=BETTER,
    )
    export = exported(cast.ml_engineer, kind="reviews", reviewers="names")
    (row,) = rows_of(export)
    assert list(row) == [column.name for column in export_rows.columns_of(Request("reviews"))]
    assert (row["review"], row["external_id"], row["reviewer"]) == (one.pk, "a-1", "rita")
    assert row["summary_text"] == WROTE
    assert row["article"] == one.summary.document.text
    assert row["ratings"] == {"consistency": 4, "relevance": 4, "coherence": 4, "fluency": 4}
    (mark,) = row["marks"]
    assert WROTE[mark["start"] : mark["end"]] == mark["quote"] == "410", (
        "code points, beside an emoji of three"
    )
    assert row["sentence_support"] == [{"start": 0, "end": 41, "supported": True}]
    assert row["model_version"] == make.lead_model().name
    assert (row["edited"], row["adjudicated"], row["late"], row["active_seconds"]) == (True, True, False, 90)
    assert (export.rows, export.bytes, export.digest) == (1, len(read(export)), export.digest)
    final = Path(django_settings.GALLEY_HOME) / export.file
    assert export.digest == export_files.digest_of(final)
    assert [path.name for path in final.parent.iterdir()] == [final.name], "nothing is left beside it"


def test_each_kind_has_the_same_review_fields(cast: make.Cast) -> None:
    review(cast.reviewer)
    review(cast.another_reviewer, edited_text=WROTE, verdict="good", stars=5)
    found = {
        kind: rows_of(exported(cast.ml_engineer, kind=kind, texts=False))
        for kind in ("reviews", "ratings", "spans", "edits")
    }
    assert {kind: len(rows) for kind, rows in found.items()} == {
        "reviews": 2,
        "ratings": 8,
        "spans": 2,
        "edits": 1,
    }
    shared = set(found["reviews"][0])
    assert all(shared <= set(row) for rows in found.values() for row in rows)
    assert "article" not in shared
    assert {row["criterion"] for row in found["ratings"]} == {
        "consistency",
        "relevance",
        "coherence",
        "fluency",
    }
    assert {row["quote"] for row in found["spans"]} == {"410"}
    assert [row["edited_text"] for row in found["edits"]] == [BETTER]


def test_drafts_and_withdrawn_reviews_stay_out_and_returned_ones_come(cast: make.Cast) -> None:
    review(cast.reviewer, state="withdrawn")
    review(cast.reviewer, state="draft", submitted_at=None)
    kept = review(cast.another_reviewer, state="returned")
    assert [row["review"] for row in rows_of(exported(cast.ml_engineer, kind="reviews"))] == [kept.pk]


def test_queue_and_days_choose(cast: make.Cast) -> None:
    today = timezone.localdate()
    old = review(cast.reviewer, submitted_at=timezone.now() - timedelta(days=5))
    new = review(cast.reviewer)
    other = review(cast.reviewer, item=make.queue_item(new.summary, make.queue(slug="weak-outputs")))

    def chosen(**fields: Any) -> list[int]:
        return [row["review"] for row in rows_of(exported(cast.ml_engineer, kind="reviews", **fields))]

    assert chosen(queue="weak-outputs") == [other.pk]
    assert chosen(since=today) == [new.pk, other.pk]
    assert chosen(until=today - timedelta(days=2)) == [old.pk]
    assert chosen(since=today - timedelta(days=6), until=today, queue="new-drafts") == [old.pk, new.pk]


def test_csv_is_rfc_4180_and_no_cell_is_a_formula(cast: make.Cast) -> None:
    review(cast.reviewer, comment='@SUM(A1) "said"\nhe', edited_text="-1 pier, closed")
    export = exported(cast.ml_engineer, kind="reviews", format="csv", compressed=True)
    assert export.file.endswith(".csv.gz")
    text = gzip.decompress(read(export)).decode()
    assert text.count("\r\n") == 2, "one line end a record; those in a cell are its own"
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    assert row["comment"] == '\'@SUM(A1) "said"\nhe'
    assert row["edited_text"] == "'-1 pier, closed"
    assert (row["rating_consistency"], row["stars"], row["edited"]) == ("4", "2", "true")
    assert json.loads(row["marks"])[0]["quote"] == "410"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_what_begins_a_formula_gets_an_apostrophe(start: str) -> None:
    assert export_files.guarded(f"{start}cmd") == f"'{start}cmd"
    assert export_files.guarded("5 - 3 = 2") == "5 - 3 = 2"
    assert export_files.guarded("") == ""


def test_the_same_request_gives_the_same_bytes(cast: make.Cast) -> None:
    review(cast.reviewer)
    first = exported(cast.ml_engineer, kind="reviews", compressed=True)
    again = exported(cast.ml_engineer, kind="reviews", compressed=True)
    assert first.pk != again.pk
    assert first.digest == again.digest


def test_ratings_and_spans_repeat_their_review_in_every_format(cast: make.Cast) -> None:
    review(cast.reviewer, comment='He said "no",\nthen yes')
    review(cast.another_reviewer, comment="")
    for kind, own in (
        ("ratings", ("criterion", "value")),
        ("spans", ("side", "start", "quote", "suggested")),
    ):
        lines = rows_of(exported(cast.ml_engineer, kind=kind))
        text = read(exported(cast.ml_engineer, kind=kind, format="csv")).decode()
        records = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        assert len(lines) == len(records) == {"ratings": 8, "spans": 2}[kind]
        for line, record in zip(lines, records, strict=True):
            assert list(line) == [column.name for column in export_rows.columns_of(Request(kind))]
            assert list(record)[-1] == list(line)[-1] == own[-1]
            for name in ("review", "comment", "article", *own):
                said = line[name]
                assert record[name] == (str(said).lower() if isinstance(said, bool) else str(said))


def test_progress_counts_reviews_up_to_all_of_them(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_rows, "FETCHED", 2)
    for _ in range(3):
        review(cast.reviewer)
    told: list[tuple[int, int]] = []
    request = Request("ratings")
    with export_rows.open_rows(request, None, progress=lambda *at: told.append(at)) as rows:
        written = export_files.write_lines(
            rows, io.BytesIO(), format="jsonl", columns=export_rows.columns_of(request)
        )
    assert written == 12
    assert told == [(2, 3), (3, 3)]


def test_a_writer_that_gives_up_leaves_no_reader_behind(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "FETCHED", 1)
    for _ in range(4):
        review(cast.reviewer)

    def give_up() -> None:
        with export_rows.open_rows(Request("reviews"), None) as rows:
            next(rows)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        give_up()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("export")]
    assert Review.objects.count() == 4, "the connection answers"


@pytest.mark.django_db(transaction=True)
def test_what_the_reader_meets_is_raised_to_the_writer(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "FETCHED", 1)
    for _ in range(4):
        review(cast.reviewer)

    def lose_the_server() -> None:
        with export_rows.open_rows(Request("reviews"), None) as rows:
            next(rows)
            with psycopg.connect(connection.connection.info.dsn) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
            list(rows)

    with pytest.raises(OperationalError):
        lose_the_server()
    connection.close()
    assert Review.objects.count() == 4


def test_pseudonyms_stay_the_same_and_name_nobody(cast: make.Cast) -> None:
    one = review(cast.reviewer)
    review(cast.another_reviewer, item=one.item)
    first, second = (rows_of(exported(cast.ml_engineer, kind=kind)) for kind in ("reviews", "edits"))
    assert [row["reviewer"] for row in first] == [row["reviewer"] for row in second]
    assert len({row["reviewer"] for row in first}) == 2
    assert "rita" not in json.dumps(first)


def test_pairwise_choices_and_the_pairs_they_teach(cast: make.Cast) -> None:
    queue = make.queue(slug="new-drafts")
    queue.kind = "pairwise"
    queue.save()
    documents = {split: make.document(split=split) for split in ("train", "test")}
    for document in documents.values():
        before, after = make.summary(document, "It closes, they say here."), make.summary(document, BETTER)
        item = QueueItem.objects.create(queue=queue, summary=before, other=after)
        for person, choice in (
            (cast.reviewer, "after"),
            (cast.another_reviewer, "after"),
            (cast.ml_engineer, "before"),
        ):
            Preference.objects.create(
                item=item,
                reviewer=person,
                choice=choice,
                state="submitted",
                submitted_at=timezone.now(),
                strength=2,
            )
    split_item = QueueItem.objects.create(
        queue=queue,
        summary=make.summary(documents["train"], "Left one."),
        other=make.summary(documents["train"], "Right."),
    )
    for person, choice in ((cast.reviewer, "after"), (cast.another_reviewer, "before")):
        Preference.objects.create(
            item=split_item, reviewer=person, choice=choice, state="submitted", submitted_at=timezone.now()
        )
    said = rows_of(exported(cast.ml_engineer, kind="preferences"))
    assert len(said) == 8
    assert {row["choice"] for row in said} == {"before", "after"}
    (pair,) = rows_of(exported(cast.ml_engineer, kind="dpo"))
    assert set(pair) == {"prompt", "chosen", "rejected"}
    assert (pair["chosen"], pair["rejected"]) == (BETTER, "It closes, they say here.")
    assert documents["train"].text in pair["prompt"]


def test_training_data_are_approved_and_never_of_test_documents(cast: make.Cast) -> None:
    def example(split: str, kind: str = "demonstration", **fields: Any) -> FeedbackExample:
        made = FeedbackExample.objects.create(
            document=make.document(split=split), kind=kind, origin="reference", target=BETTER, **fields
        )
        if split != "test":
            approve_example(example=made, actor=cast.ml_engineer)
        return made

    example("train")
    example("validation")
    example("train", "preference", rejected=WROTE)
    # also where the table held what no use case lets in
    FeedbackExample.objects.filter(pk=example("test").pk).update(state="approved")
    FeedbackExample.objects.create(
        document=make.document(), kind="demonstration", origin="reference", target="Not yet so."
    )

    (sft,) = rows_of(exported(cast.ml_engineer, kind="sft"))
    assert set(sft) == {"prompt", "completion"}
    assert sft["completion"] == BETTER
    assert len(rows_of(exported(cast.ml_engineer, kind="sft", split="validation"))) == 1
    (chat,) = rows_of(exported(cast.ml_engineer, kind="chat"))
    assert [message["role"] for message in chat["messages"]][-2:] == ["user", "assistant"]
    (dpo,) = rows_of(exported(cast.ml_engineer, kind="dpo"))
    assert (dpo["chosen"], dpo["rejected"]) == (BETTER, WROTE)
    with pytest.raises(InvalidInput) as refused:
        exporting.request_export(request=Request("sft", split="test"), actor=cast.ml_engineer)
    assert "judge models" in refused.value.fields["split"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reviews", "spans", "sft", "chat", "preferences"])
def test_a_folder_is_read_by_datasets(
    cast: make.Cast, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "test"):
        one = review(cast.reviewer, split=split)
        other = make.summary(one.summary.document, "Another one.")
        pair = QueueItem.objects.create(queue=one.item.queue, summary=one.summary, other=other)
        Preference.objects.create(
            item=pair, reviewer=cast.reviewer, choice="tie", state="submitted", submitted_at=timezone.now()
        )
    FeedbackExample.objects.create(
        document=make.document(), kind="demonstration", origin="reference", target=BETTER, state="approved"
    )
    export = exported(cast.ml_engineer, kind=kind, format="datasets")
    archive = tmp_path / "export.zip"
    archive.write_bytes(read(export))
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith("galley-"))
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == ({"train"} if kind in ("sft", "chat") else {"train", "test"})
    columns = [column.name for column in export_rows.columns_of(Request(kind))]
    assert loaded["train"].column_names == columns
    card = (folder / "README.md").read_text()
    assert all(f"`{name}`" in card for name in columns)
    if kind == "reviews":
        row = loaded["train"][0]
        assert row["ratings"] == {"consistency": 4, "relevance": 4, "coherence": 4, "fluency": 4}
        assert row["marks"][0]["quote"] == "410"
        assert row["submitted_at"].tzinfo is not None
        assert "Do not train on rows of `test`" in card


# ---------------------------------------------------------------- who may what


def test_a_reviewer_gets_their_own_answers_and_no_model(cast: make.Cast) -> None:
    own, other = review(cast.reviewer), review(cast.another_reviewer)
    with pytest.raises(NotAllowed):
        exporting.request_export(request=Request("reviews"), actor=cast.reviewer)
    with pytest.raises(NotAllowed):
        exporting.request_export(request=Request("sft", mine=True), actor=cast.reviewer)
    export = exported(cast.reviewer, kind="reviews", mine=True)
    (row,) = rows_of(export)
    assert row["review"] == own.pk
    assert (row["release"], row["model_version"], row["prompt_version"]) == (None, None, None)
    assert row["reason"] is None, "it would tell which items were gold"
    assert make.lead_model().name not in read(export).decode()
    assert str(other.pk) not in {str(found["review"]) for found in rows_of(export)}
    for stranger in (cast.stranger, cast.approver):
        with pytest.raises(NotAllowed):
            exporting.request_export(request=Request("reviews", mine=True), actor=stranger)


@pytest.mark.parametrize("seat", [{"state": "held"}, {"state": "free"}])
def test_what_the_asker_still_judges_blind_is_left_out(cast: make.Cast, seat: dict[str, str]) -> None:
    peer, elsewhere = review(cast.reviewer), review(cast.reviewer)
    slot = ReviewSlot.objects.filter(item=peer.item)
    if seat["state"] == "held":
        slot.update(
            state="held", reviewer=cast.ml_engineer, lease_until=timezone.now(),
            lease_token="5f0a0d4e-1111-4222-8333-444455556666",
        )  # fmt: skip
    else:
        slot.update(assigned_to=cast.ml_engineer)
    assert [row["review"] for row in rows_of(exported(cast.ml_engineer, kind="reviews"))] == [elsewhere.pk]
    peer.item.queue.blind_to_peers = False
    peer.item.queue.save()
    assert len(rows_of(exported(cast.ml_engineer, kind="reviews"))) == 2


def test_only_whoever_asked_can_see_fetch_cancel_or_remove_it(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = exported(cast.ml_engineer, kind="reviews")
    for person in (cast.administrator, cast.reviewer):
        assert not exporting.exports_of(person).exists()
        for act in (exporting.open_file, exporting.remove, exporting.cancel):
            with pytest.raises(NotFound):
                act(export=export, actor=person)
    assert read(export)
    cast.ml_engineer.groups.clear()
    person = type(cast.ml_engineer).objects.get(pk=cast.ml_engineer.pk)
    with pytest.raises(NotAllowed):
        exporting.open_file(export=export, actor=person)


def test_who_lost_the_right_before_it_was_written_gets_nothing(cast: make.Cast) -> None:
    review(cast.reviewer)
    export = exporting.request_export(request=Request("reviews"), actor=cast.ml_engineer)
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
    exporting.remove(export=export, actor=cast.ml_engineer)
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
        exporting.request_export(request=Request(**{"kind": "reviews", **fields}), actor=cast.ml_engineer)
    assert set(refused.value.fields) == {name}
    assert not Export.objects.exists()


# ---------------------------------------------------------------- jobs, files and their time


def test_asking_twice_is_one_file_and_many_at_once_are_refused(cast: make.Cast) -> None:
    one = exporting.request_export(request=Request("reviews"), actor=cast.ml_engineer)
    assert exporting.request_export(request=Request("reviews"), actor=cast.ml_engineer).pk == one.pk
    assert Job.objects.filter(kind="export").count() == 1
    for kind in ("ratings", "spans"):
        exporting.request_export(request=Request(kind), actor=cast.ml_engineer)
    with pytest.raises(Refused):
        exporting.request_export(request=Request("edits"), actor=cast.ml_engineer)
    exporting.cancel(export=one, actor=cast.ml_engineer)
    one.refresh_from_db()
    assert exporting.status_of(one) == "cancelled"
    exporting.request_export(request=Request("edits"), actor=cast.ml_engineer)


def test_nothing_to_export_is_said(cast: make.Cast) -> None:
    export = exporting.request_export(request=Request("spans"), actor=cast.ml_engineer)
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
    assert exporting.carry_out(export=export) == {"rows": 1, "bytes": export.bytes}
    export.refresh_from_db()
    assert export.finished_at == finished
    assert AuditEvent.objects.filter(action="export.write").count() == 1


def test_a_full_disk_leaves_nothing(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review(cast.reviewer)

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    export = exporting.request_export(request=Request("reviews"), actor=cast.ml_engineer)
    monkeypatch.setattr(os, "fsync", full)
    assert export.job is not None
    job = make.carried_out(export.job)
    assert job.state == "failed"
    assert "no room on the disk" in job.reason
    export.refresh_from_db()
    assert exporting.status_of(export) == "failed"


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
    assert exporting.status_of(export) == "removed", "at once, not when the queue comes by"
    with pytest.raises(Refused):
        exporting.open_file(export=export, actor=cast.ml_engineer)
    with django_capture_on_commit_callbacks(execute=True):
        assert exporting.remove_expired() == 1
    assert not path.exists()
    assert read(kept)
    assert exporting.remove_expired() == 0


_FIVE_THOUSAND = (
    """INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
              content_hash, split, reference, words, created_at)
       VALUES ('Long', %(text)s, 'news', '', 'test', '', '', '', 'long', 'train', '', 1200, now())""",
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
    export = exporting.request_export(request=Request("reviews", compressed=True), actor=cast.ml_engineer)
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
    assert exporting.status_of(export) == "ready"
    assert [path.name for path in directory.iterdir()] == [f"galley-reviews-{export.pk}.jsonl.gz"]
    assert export.rows == 5001


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_are_one_export(cast: make.Cast) -> None:
    found: list[int] = []

    def press() -> None:
        try:
            found.append(exporting.request_export(request=Request("reviews"), actor=cast.ml_engineer).pk)
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
    page = client.get("/exports/").content.decode()
    assert "SFT: prompt, completion" in page
    form = {"kind": "reviews", "format": "jsonl", "whose": "names", "texts": "on", "queue": "new-drafts"}
    assert client.post("/exports/", form).status_code == 302
    export = Export.objects.get()
    assert (export.options["reviewers"], export.options["texts"], export.options["mine"]) == (
        "names",
        True,
        False,
    )
    waiting = client.get("/exports/", headers={"HX-Request": "true"}).content.decode()
    assert "waits for the queue" in waiting
    assert "every 2s" in waiting
    assert client.get(f"/exports/{export.pk}/file/").status_code == 409
    assert export.job is not None
    make.carried_out(export.job)
    ready = client.get("/exports/", headers={"HX-Request": "true"}).content.decode()
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
    assert "Messages are a list" in wrong.content.decode()


def test_training_data_of_a_snapshot_are_asked_for_on_the_page(cast: make.Cast) -> None:
    example = FeedbackExample.objects.create(
        document=make.document(), kind="demonstration", origin="reference", target=BETTER
    )
    approve_example(example=example, actor=cast.ml_engineer)
    snapshot = freeze_snapshot(name="November", actor=None)
    client = signed_in(cast.ml_engineer)
    offered = f"snapshot {snapshot.pk} · November (1 training rows)"
    assert offered in client.get("/exports/").content.decode()
    form = {"kind": "sft", "format": "jsonl", "snapshot": str(snapshot.pk), "split": "train"}
    for more, words in (
        ({"kind": "reviews"}, "Snapshots are training data"),
        ({"since": "2026-11-01"}, "A snapshot is taken as it was frozen."),
        ({"snapshot": "999"}, "Select a valid choice"),
    ):
        wrong = client.post("/exports/", {**form, **more})
        assert (wrong.status_code, words in wrong.content.decode()) == (422, True), more
    assert client.post("/exports/", form).status_code == 302
    export = Export.objects.get()
    assert export.options["snapshot"] == snapshot.pk
    assert f"snapshot {snapshot.pk} · train" in client.get("/exports/").content.decode()
    assert export.job is not None
    make.carried_out(export.job)
    export.refresh_from_db()
    assert read(export) == read(exported(cast.ml_engineer, kind="sft", snapshot=snapshot.pk))
    assert 'name="snapshot"' not in signed_in(cast.reviewer).get("/exports/").content.decode()
    assert signed_in(cast.reviewer).post("/exports/", {**form, "kind": "reviews"}).status_code == 302
    assert Export.objects.get(requested_by=cast.reviewer).options["snapshot"] is None


def test_a_reviewer_is_offered_their_own_and_cannot_widen_it(cast: make.Cast) -> None:
    client = signed_in(cast.reviewer)
    page = client.get("/exports/").content.decode()
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
        (["reviews", "--format", "datasets", "--output", str(tmp_path / "folder")], "exists already"),
        (["reviews", "--format", "sft"], "no format"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("export", *arguments)
    assert not (tmp_path / "none").exists()
