"""Documents in, drafts, snapshots and training files out, from a terminal: what is printed, and the exit codes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils.module_loading import import_string
from django_q.models import Schedule

from models_app.models import DatasetSnapshot, EvaluationSet, Job, Release, Route
from reviews.examples.snapshots import freeze_snapshot
from reviews.loop import sample_workspace
from reviews.models import FeedbackExample, ImportBatch, Review, SourceDocument, Summary
from tests import make

BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


def run(*arguments: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [{"body": f"{make.ARTICLE} Row {number}.", "tldr": "It closes."} for number in range(3)]
    rows += [{"body": "Short."}, rows[0]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---------------------------------------------------------------- import_documents


def test_each_file_has_its_report(cast: make.Cast, file: Path) -> None:
    said = run("import_documents", file, "--domain", "News", "--licence", "CC0", "--user", "mila")
    batch = ImportBatch.objects.get()
    assert said.splitlines()[0].startswith(f"rows.jsonl (import {batch.pk}): 5 read, 3 imported (")
    assert "1 duplicates, 1 refused" in said
    assert "  row 4, text: 1 word; an article has at least 20" in said
    assert batch.imported_by == cast.ml_engineer
    assert batch.report["imported"] == 3
    assert {*SourceDocument.objects.values_list("domain", "licence", "reference", "batch")} == {
        ("news", "CC0", "It closes.", batch.pk)
    }


def test_a_file_that_cannot_be_imported_hinders_no_other_and_ends_with_1(
    cast: make.Cast, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("import_documents", file.with_name("nowhere.csv"), file)
    assert ended.value.code == 1
    assert "nowhere.csv does not exist." in capsys.readouterr().err
    assert SourceDocument.objects.count() == 3


def test_strict_ends_with_1_where_a_row_was_refused(cast: make.Cast, file: Path) -> None:
    run("import_documents", file)
    with pytest.raises(SystemExit) as ended:
        run("import_documents", file, "--strict")
    assert ended.value.code == 1


def test_a_mapping_and_a_limit_are_kept(cast: make.Cast, file: Path) -> None:
    said = json.loads(run("import_documents", file, "--map", "reference=", "--limit", "1", "--json"))
    assert (said["read"], said["imported"], said["refused"]) == (1, 1, [])
    assert SourceDocument.objects.get().reference == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name a file or, by --hub, a data set"),
        (["x.csv", "--map", "text"], "write FIELD=COLUMN"),
        (["x.csv", "--limit", "0"], "--limit: at least 1"),
        (["x.csv", "--user", "nobody"], "no active user 'nobody'"),
    ],
)
def test_arguments_that_mean_nothing_are_told(cast: make.Cast, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("import_documents", *arguments)


def test_who_may_not_import_cannot_by_command(
    cast: make.Cast, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("import_documents", file, "--user", "rita")
    assert "Your role does not allow this" in capsys.readouterr().err
    assert not ImportBatch.objects.exists()


# ---------------------------------------------------------------- generate_summaries


@pytest.fixture
def live(cast: make.Cast) -> Release:
    release = make.release(state="live")
    Route.objects.update(release=release)
    return release


def test_the_live_release_drafts_what_has_no_summary_yet(live: Release) -> None:
    documents = [make.document(domain=domain) for domain in ("news", "news", "sport")]
    make.summary(documents[0])
    said = run("generate_summaries", "--domain", "news")
    job = Job.objects.get()
    assert job.payload == {"documents": [documents[1].pk], "release": live.pk, "queue": "new-drafts"}
    assert said == f"Release {live.pk} drafts 1 summaries (job {job.pk}).\n"
    with pytest.raises(CommandError, match="No document fits that has no summary yet"):
        run("generate_summaries", "--domain", "culture")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_waiting_carries_it_out_here(transactional_db: None) -> None:
    make.cast()
    release = make.release(state="live")
    document = make.document()
    said = run(
        "generate_summaries", "--release", release.pk, "--document", document.pk, "--queue", "", "--wait"
    )
    assert said.endswith("1 written.\n")
    assert Summary.objects.get().document == document


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--release", "999"], "no release 999"),
        (["--queue", "nowhere"], "no review queue 'nowhere'"),
        (["--user", "rita"], "Your role does not allow this"),
        (["--limit", "0"], "--limit: at least 1"),
    ],
)
def test_drafts_that_cannot_be_are_told(live: Release, arguments: list[str], words: str) -> None:
    make.document()
    with pytest.raises(CommandError, match=words):
        run("generate_summaries", *arguments)
    assert not Job.objects.exists()


# ---------------------------------------------------------------- freeze_snapshot


def approved(split: str = "train", **fields: Any) -> FeedbackExample:
    values = {"kind": "demonstration", "origin": "reference", "target": BETTER, "state": "approved"}
    return FeedbackExample.objects.create(document=make.document(split=split), **{**values, **fields})


def test_the_same_selection_gives_the_same_digest(cast: make.Cast) -> None:
    approved()
    approved("validation")
    assert run("freeze_snapshot", "--dry-run").startswith(
        "1 training and 1 validation rows would be in; too small"
    )
    assert not DatasetSnapshot.objects.exists()
    first = json.loads(run("freeze_snapshot", "--name", "A", "--json", "--user", "mila"))
    again = run("freeze_snapshot", "--name", "B")
    assert first["digest"] in again
    assert "frozen before; nothing new was made" in again
    assert DatasetSnapshot.objects.get().created_by == cast.ml_engineer
    with pytest.raises(CommandError, match="Nothing was selected"):
        run("freeze_snapshot", "--from", "client")
    with pytest.raises(CommandError, match="Your role does not allow this"):
        run("freeze_snapshot", "--user", "rita")


def test_the_test_set_is_frozen_by_command(cast: make.Cast) -> None:
    with pytest.raises(CommandError, match="No test document has a reference summary"):
        run("freeze_snapshot", "--test-set")
    for _ in range(3):
        make.document(split="test")
    said = run("freeze_snapshot", "--test-set", "--limit", "2", "--name", "T")
    frozen = EvaluationSet.objects.get()
    assert said == f"Test set {frozen.pk} (T): 2 documents, digest {frozen.digest}\n"


# ---------------------------------------------------------------- export


@pytest.fixture
def snapshot(cast: make.Cast) -> DatasetSnapshot:
    document = make.document(title="Old {pier}")
    item = make.queue_item(make.summary(document))
    review = Review.objects.create(
        item=item, summary=item.summary, reviewer=cast.reviewer, rubric=item.queue.rubric, state="submitted", stars=2,
        verdict="poor", edited_text=BETTER, submitted_at=item.created_at,
    )  # fmt: skip
    for kind, rejected in (("demonstration", ""), ("preference", item.summary.text)):
        FeedbackExample.objects.create(
            document=document, kind=kind, origin="review", review=review, summary=item.summary, target=BETTER,
            rejected=rejected, state="approved",
        )  # fmt: skip
    approved("validation", target='Line one.\nLine »two«, quoted "twice".')
    return freeze_snapshot(name="S", actor=None)


def export(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    call_command("export", *map(str, arguments))
    return capsys.readouterr().out


def test_prompt_and_completion(snapshot: DatasetSnapshot, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in export(capsys, "--split", "train").splitlines()]
    document = SourceDocument.objects.get(title="Old {pier}")
    assert rows == [{"prompt": f"summarize: {document.text}", "completion": BETTER}]


def test_chat_messages(snapshot: DatasetSnapshot, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in export(capsys, "--format", "chat").splitlines()]
    assert [[message["role"] for message in row["messages"]] for row in rows] == [["user", "assistant"]] * 2
    assert rows[0]["messages"][0]["content"].startswith(
        "Summarize this news article in three short sentences."
    )
    assert {row["messages"][1]["content"] for row in rows} == {
        BETTER,
        'Line one.\nLine »two«, quoted "twice".',
    }


def test_preference_pairs_are_those_with_a_draft_that_lost(
    snapshot: DatasetSnapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in export(capsys, "--format", "dpo").splitlines()]
    assert [(row["chosen"], row["rejected"]) for row in rows] == [(BETTER, Summary.objects.get().text)]
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}


def test_csv_reads_back(
    snapshot: DatasetSnapshot, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    assert export(capsys, "--format", "csv", "--output", path) == ""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["summary"] for row in rows} == {BETTER, 'Line one.\nLine »two«, quoted "twice".'}
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--snapshot", "999"], "no snapshot 999"),
        (["--prompt", "999"], "no such prompt version"),
        (
            ["--format", "dpo", "--split", "validation", "--output", "x"],
            "has no such rows with a draft that lost",
        ),
        (["--output", "/nowhere/x"], "cannot be written: No such file or directory"),
    ],
)
def test_an_export_that_cannot_be_leaves_no_file(
    snapshot: DatasetSnapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=words):
        call_command("export", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_without_a_snapshot_there_is_nothing_to_export(cast: make.Cast) -> None:
    with pytest.raises(CommandError, match="There is no snapshot yet"):
        call_command("export")


# ---------------------------------------------------------------- bootstrap


def test_what_the_queue_does_regularly_can_be_found_and_finds_nothing_to_do(db: None) -> None:
    sample_workspace.schedule_regular_work()
    sample_workspace.schedule_regular_work()
    kept = {row.name: row for row in Schedule.objects.all()}
    assert set(kept) == set(sample_workspace.REGULAR_WORK)
    for row in kept.values():
        assert (row.schedule_type, row.cluster) == (Schedule.MINUTES, "default")
        assert not import_string(row.func)()
