"""What is in exports: the same fields whatever the format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.utils import timezone

from models_app.foundation.errors import InvalidInput
from reviews.examples.decisions import approve_example
from reviews.exports import files, requests
from reviews.exports import rows as export_rows
from reviews.exports.columns import columns_of
from reviews.exports.request import Request
from reviews.models import (
    Adjudication,
    FeedbackExample,
    Preference,
    QueueItem,
    Review,
)
from tests import make
from tests.reviews.exports.exported import BETTER, WROTE, exported, read, review, rows_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_store")]


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
    assert list(row) == [column.name for column in columns_of(Request("reviews"))]
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
    assert export.digest == files.digest_of(final)
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
    done = make.queue_item(new.summary, make.queue(slug="weak-outputs"), state="done")
    other = review(cast.reviewer, item=done)

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
    assert files.guarded(f"{start}cmd") == f"'{start}cmd"
    assert files.guarded("5 - 3 = 2") == "5 - 3 = 2"
    assert files.guarded("") == ""


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
            assert list(line) == [column.name for column in columns_of(Request(kind))]
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
        written = files.write_lines(rows, io.BytesIO(), format="jsonl", columns=columns_of(request))
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
        item = QueueItem.objects.create(queue=queue, summary=before, other=after, state="done")
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
        state="done",
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
        requests.request_export(request=Request("sft", split="test"), actor=cast.ml_engineer)
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
        pair = QueueItem.objects.create(queue=one.item.queue, summary=one.summary, other=other, state="done")
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
    columns = [column.name for column in columns_of(Request(kind))]
    assert loaded["train"].column_names == columns
    card = (folder / "README.md").read_text()
    assert all(f"`{name}`" in card for name in columns)
    if kind == "reviews":
        row = loaded["train"][0]
        assert row["ratings"] == {"consistency": 4, "relevance": 4, "coherence": 4, "fluency": 4}
        assert row["marks"][0]["quote"] == "410"
        assert row["submitted_at"].tzinfo is not None
        assert "Do not train on rows of `test`" in card
