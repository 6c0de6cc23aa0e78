"""A file or data set is uploaded, looked at, imported once and reported on; what went wrong leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, TooLarge, Unavailable
from models_app.foundation.jobs import JobCancelled, JobContext
from models_app.models import AuditEvent, Job
from reviews.ingest import uploads
from reviews.ingest.imports import DOCUMENTS, ImportOptions, sample_rows
from reviews.models import ImportBatch, SourceDocument
from tests import make

HOME = Path(django_settings.GALLEY_HOME)


def lines(count: int, start: str = "word", **more: Any) -> bytes:
    rows = [
        {
            "article": " ".join(f"{start}{row}-{i}" for i in range(30)),
            "highlights": f"Reference {row}.",
            **more,
        }
        for row in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture(autouse=True)
def empty_store() -> Iterator[None]:
    yield
    shutil.rmtree(HOME / DOCUMENTS.place, ignore_errors=True)


def submitted(cast: make.Cast, content: bytes = b"", name: str = "a.jsonl", **options: Any) -> ImportBatch:
    path = uploads.keep(chunks=[content or lines(3)], name=name, place=DOCUMENTS.place)
    batch = DOCUMENTS.submit_file(path=path, options=ImportOptions(**options), actor=cast.ml_engineer)
    return make.looked_at(batch)


def imports_asked_for() -> int:
    return Job.objects.exclude(payload__has_key="look").count()


# ---------------------------------------------------------------- submitting


def test_a_file_waits_under_its_content_until_it_is_imported(cast: make.Cast) -> None:
    batch = submitted(cast)
    assert uploads.path_of(batch).read_bytes() == lines(3)
    assert batch.report["sample"]["columns"] == ["article", "highlights"]
    columns, rows = sample_rows(batch=batch, mapping=None)
    assert columns == {"text": "article", "reference": "highlights"}
    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[0].values == {"reference": "Reference 0."}
    assert (rows[0].words, rows[0].problem) == (30, "")
    assert not SourceDocument.objects.exists()


def test_the_first_rows_show_what_would_be_refused(cast: make.Cast) -> None:
    content = lines(1) + b'{"article": "short"}\nnot json\n{"article": {"a": 1}}\n'
    _, rows = sample_rows(batch=submitted(cast, content), mapping=None)
    assert [row.problem.split(";")[0] for row in rows] == [
        "",
        "text: 1 word",
        "This is not JSON: Expecting value at character 1.",
        "text: There is no text.",
    ]


def test_another_mapping_shows_other_rows(cast: make.Cast) -> None:
    batch = submitted(cast)
    columns, rows = sample_rows(batch=batch, mapping={"text": "highlights"})
    assert columns["text"] == "highlights"
    assert rows[0].problem.startswith("text: 2 words")
    with pytest.raises(InvalidInput, match="no column 'body'"):
        sample_rows(batch=batch, mapping={"text": "body"})


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\rows.csv", "rows.csv"),
        (".hidden", "hidden"),
        ("a\x00b\n.jsonl", "ab .jsonl"),
        ("<b>x</b>.csv", "b_.csv"),
        ("x" * 300 + ".jsonl", "x" * 100 + ".jsonl"),
        ("Über uns.csv", "Über uns.csv"),
        ("", "upload"),
        ("..", "upload"),
    ],
)
def test_a_name_cannot_lead_out_of_the_store(name: str, kept: str) -> None:
    path = uploads.keep(chunks=[b"x"], name=name, place=DOCUMENTS.place)
    assert path.name == kept
    assert path.parent.parent == HOME / "uploads"


def test_a_file_that_cannot_be_read_leaves_nothing(cast: make.Cast) -> None:
    with pytest.raises(InvalidInput, match=r"a.jsonl is not text"):
        submitted(cast, os.urandom(4000))
    assert not ImportBatch.objects.exists()
    assert list((HOME / "uploads").glob("*")) == []


def test_a_file_above_the_limit_leaves_nothing(cast: make.Cast, settings: Any) -> None:
    settings.GALLEY_MAX_UPLOAD_MB = 1
    with pytest.raises(TooLarge, match=r"a.jsonl has more than 1 MB"):
        uploads.keep(chunks=[b"x" * (1 << 19)] * 3, name="a.jsonl", place=DOCUMENTS.place)
    assert list((HOME / "uploads").glob("*")) == []


def test_a_full_disk_is_said_and_leaves_nothing(cast: make.Cast) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Unavailable, match="no room on the disk"):
        uploads.keep(chunks=chunks(), name="a.jsonl", place=DOCUMENTS.place)
    assert list((HOME / "uploads").glob("*")) == []


@pytest.mark.parametrize("name", ["reviewer", "approver", "operator", "stranger"])
def test_who_may_not_import_can_do_none_of_it(cast: make.Cast, name: str) -> None:
    actor = getattr(cast, name)
    batch = submitted(cast)
    path = uploads.path_of(batch)
    for act in (
        lambda: DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=actor),
        lambda: DOCUMENTS.submit_data_set(options=ImportOptions(hub="a/b"), actor=actor),
        lambda: DOCUMENTS.start(row=batch, options=ImportOptions(), actor=actor),
        lambda: DOCUMENTS.discard(row=batch, actor=actor),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert ImportBatch.objects.count() == 1
    assert not imports_asked_for()


# ---------------------------------------------------------------- importing, with a job


def test_a_batch_is_imported_with_a_report_and_its_file_goes(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    batch = submitted(cast, lines(3) + lines(1) + b'{"article": "short"}\n', name="rows.jsonl")
    options = ImportOptions(domain="Sport", licence="CC0-1.0")
    job = DOCUMENTS.start(row=batch, options=options, actor=cast.ml_engineer)
    with django_capture_on_commit_callbacks(execute=True):
        done = make.carried_out(job)
    assert (done.state, done.reason) == ("succeeded", "")
    assert done.result == {"read": 5, "imported": 3, "duplicates": 1, "refused_count": 1}
    batch.refresh_from_db()
    assert batch.report["refused"] == [
        [5, "text", "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS)."]
    ]
    assert batch.report["repeated"] == [
        [4, SourceDocument.objects.order_by("pk").get(reference="Reference 0.").pk]
    ]
    assert batch.report["mapping"] == {"text": "article", "reference": "highlights"}
    assert batch.finished_at is not None
    document = SourceDocument.objects.filter(batch=batch).first()
    assert document is not None
    assert (document.domain, document.licence, document.origin) == ("sport", "CC0-1.0", "rows.jsonl")
    assert document.created_by == cast.ml_engineer
    assert list((HOME / "uploads").glob("*")) == []


def test_a_job_that_comes_twice_imports_once(cast: make.Cast) -> None:
    batch = submitted(cast)
    job = make.carried_out(DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer))
    again = jobs.enqueue(kind="import_documents", actor=None, payload=job.payload, deliver=False)
    assert make.carried_out(again).result == job.result
    assert SourceDocument.objects.count() == 3
    assert AuditEvent.objects.filter(action="documents.import").count() == 1


def test_asking_twice_gives_one_job(cast: make.Cast) -> None:
    batch = submitted(cast)
    first = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    second = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    assert first == second
    assert imports_asked_for() == 1
    assert AuditEvent.objects.filter(action="import.start").count() == 1


def test_a_mapping_that_does_not_fit_starts_nothing(cast: make.Cast) -> None:
    batch = submitted(cast)
    with pytest.raises(InvalidInput, match="no column 'body' for text"):
        DOCUMENTS.start(row=batch, options=ImportOptions(mapping={"text": "body"}), actor=cast.ml_engineer)
    assert not imports_asked_for()


@pytest.mark.parametrize("limit", [0, -1, 1.5])
def test_a_number_of_rows_that_means_nothing_starts_nothing(cast: make.Cast, limit: Any) -> None:
    batch = submitted(cast)
    with pytest.raises(InvalidInput) as refused:
        DOCUMENTS.start(row=batch, options=ImportOptions(limit=limit), actor=cast.ml_engineer)
    assert refused.value.fields == {"limit": "From 1 to 10,000,000."}
    assert not imports_asked_for()


def test_a_failed_import_leaves_nothing_and_can_be_tried_again(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    batch = submitted(cast, lines(1200) + b'{"article": "caf\xe9"}\n')
    with django_capture_on_commit_callbacks(execute=True):
        job = make.carried_out(DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer))
    assert job.state == "failed"
    assert "line 1,201, byte" in job.reason
    assert "iconv" in job.reason
    assert not SourceDocument.objects.exists()
    batch.refresh_from_db()
    assert not batch.is_imported
    again = DOCUMENTS.start(
        row=batch, options=ImportOptions(limit=1200), actor=cast.ml_engineer
    )  # the file is still there
    assert make.carried_out(again).result["imported"] == 1200


def test_what_is_in_is_not_imported_again_nor_discarded(cast: make.Cast) -> None:
    batch = submitted(cast)
    make.carried_out(DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer))
    with pytest.raises(Refused, match="has been imported already"):
        DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    with pytest.raises(Refused, match="its result stays"):
        DOCUMENTS.discard(row=batch, actor=cast.ml_engineer)


def test_a_lost_file_is_said(cast: make.Cast) -> None:
    batch = submitted(cast)
    uploads.path_of(batch).unlink()
    with pytest.raises(Refused, match=r"a.jsonl is not kept any more. Upload it again"):
        DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)


def test_a_data_set_is_looked_at_by_the_queue(cast: make.Cast, settings: Any) -> None:
    settings.GALLEY_OFFLINE = True
    batch = DOCUMENTS.submit_data_set(
        options=ImportOptions(hub="abisee/cnn_dailymail"), actor=cast.ml_engineer
    )
    assert batch.job is not None
    job = make.carried_out(batch.job)
    assert job.state == "failed"
    assert "this installation never asks the hub" in job.reason
    batch.refresh_from_db()
    assert batch.report == {}


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b/c"])
def test_what_is_no_name_of_a_data_set_is_refused(cast: make.Cast, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DOCUMENTS.submit_data_set(options=ImportOptions(hub=name), actor=cast.ml_engineer)
    assert "hub" in caught.value.fields
    assert not ImportBatch.objects.exists()


# ---------------------------------------------------------------- tidying up


def test_discarding_forgets_batch_and_file(cast: make.Cast, django_capture_on_commit_callbacks: Any) -> None:
    batch = submitted(cast)
    with django_capture_on_commit_callbacks(execute=True):
        DOCUMENTS.discard(row=batch, actor=cast.ml_engineer)
    assert not ImportBatch.objects.exists()
    assert list((HOME / "uploads").glob("*")) == []


def test_a_file_that_another_batch_waits_for_stays(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = submitted(cast), submitted(cast)
    with django_capture_on_commit_callbacks(execute=True):
        DOCUMENTS.discard(row=first, actor=cast.ml_engineer)
    assert uploads.path_of(second).is_file()


def test_a_running_import_is_not_discarded(cast: make.Cast) -> None:
    batch = submitted(cast)
    DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    with pytest.raises(Refused, match="is being imported"):
        DOCUMENTS.discard(row=batch, actor=cast.ml_engineer)


def test_what_was_left_behind_is_forgotten_when_its_time_is_over(
    cast: make.Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.GALLEY_UPLOAD_DAYS = 3
    submitted(cast, name="old.jsonl")
    fresh = submitted(cast, lines(2), name="fresh.jsonl")
    failed, failed_lately = (
        submitted(cast, name="failed.jsonl"),
        submitted(cast, lines(2), name="fresh.jsonl"),
    )
    for batch in (failed, failed_lately):
        job = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
        Job.objects.filter(pk=job.pk).update(state="failed")
    waits = submitted(cast, name="waits.jsonl")
    DOCUMENTS.start(row=waits, options=ImportOptions(), actor=cast.ml_engineer)
    long_ago = timezone.now() - timedelta(days=4)
    ImportBatch.objects.exclude(pk=fresh.pk).update(created_at=long_ago)
    ImportBatch.objects.filter(pk=failed_lately.pk).update(finished_at=timezone.now())
    stray = uploads.keep(chunks=[b"stray"], name="stray", place=DOCUMENTS.place)
    os.utime(stray, (0, 0))
    with django_capture_on_commit_callbacks(execute=True):
        assert DOCUMENTS.forget_left_behind() == 2
    assert {*ImportBatch.objects.all()} == {fresh, failed_lately, waits}
    assert {path.name for path in (HOME / "uploads").glob("*/*")} == {"fresh.jsonl", "waits.jsonl"}


# ---------------------------------------------------------------- with real transactions


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_job_in_a_process_of_its_own_says_how_far_it_is(transactional_db: None) -> None:
    cast = make.cast()
    batch = submitted(cast, lines(15_000))
    job = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    seen: set[tuple[int, int]] = set()
    jobs.carry_out(job, watch=lambda row: seen.add((row.step, row.total)))
    assert SourceDocument.objects.count() == 15_000
    total = len(lines(15_000))
    assert any(0 < step < total and of == total for step, of in seen), seen
    assert list((HOME / "uploads").glob("*")) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_an_import_killed_half_way_leaves_nothing_and_is_tried_again(transactional_db: None) -> None:
    cast = make.cast()
    batch = submitted(cast, lines(8_000))
    job = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)

    def kill_once_it_writes(row: Job) -> None:
        if row.phase == "importing documents":
            for child in psutil.Process().children():
                if "run_job" in child.cmdline():
                    child.kill()

    jobs.supervise(job.pk, watch=kill_once_it_writes)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 1)
    assert not SourceDocument.objects.exists()
    assert uploads.path_of(batch).is_file()
    jobs.carry_out(job)
    assert SourceDocument.objects.count() == 8_000
    batch.refresh_from_db()
    assert batch.report["imported"] == 8_000


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_import_stops_and_leaves_nothing(transactional_db: None) -> None:
    from reviews import jobs as handlers

    cast = make.cast()
    batch = submitted(cast, lines(400))
    job = jobs.claim(DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer).pk)
    assert job is not None
    context = JobContext(job)
    with handlers._Telling(context) as tell:
        tell(10, 100)
        jobs.request_cancel(job=job, actor=cast.ml_engineer)
        with pytest.raises(JobCancelled):
            _keep_telling(tell)
    job.refresh_from_db()
    assert (job.step, job.total) == (10, 100)
    assert not SourceDocument.objects.exists()


def _keep_telling(tell: Any) -> None:
    for _ in range(100):
        tell(10, 100)
        time.sleep(0.05)


@pytest.mark.django_db(transaction=True)
def test_the_telling_thread_is_gone_afterwards(transactional_db: None) -> None:
    cast = make.cast()
    batch = submitted(cast, lines(5))
    job = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    assert make.carried_out(job).state == "succeeded"
    assert not [thread for thread in threading.enumerate() if thread.name == "telling"]


def test_a_file_left_by_a_process_that_died_after_the_import_goes_with_the_next_attempt(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    batch = submitted(cast)
    with django_capture_on_commit_callbacks():  # it died before any of them
        DOCUMENTS.carry_out(row=batch)
    assert uploads.path_of(batch).is_file()
    with django_capture_on_commit_callbacks(execute=True):
        assert DOCUMENTS.carry_out(row=batch) is None
    assert not (HOME / batch.upload).exists()
    assert SourceDocument.objects.count() == 3
