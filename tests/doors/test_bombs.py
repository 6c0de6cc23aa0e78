"""Files that people bring: small ones that grow, and those that break the program that reads them.

The web process keeps them and reads nothing; a job in a process of its own says what is wrong.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from benchmarks.attacks import bomb_files
from models_app.foundation import jobs, memory
from models_app.foundation.errors import Unavailable
from models_app.models import Job
from reviews.external_ratings import rows
from reviews.external_ratings.imports import RATINGS
from reviews.external_ratings.options import Options
from reviews.ingest import life, uploads
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.ingest.sources.files import open_file
from reviews.models import ImportBatch, RatingImport, SourceDocument
from tests import make

pytestmark = pytest.mark.django_db

HOME = Path(django_settings.GALLEY_HOME)
WORDS = " ".join(f"word{number}" for number in range(30))
Bomb = Callable[[Path], None]


@pytest.fixture(autouse=True)
def empty_stores() -> Iterator[None]:
    yield
    for place in (DOCUMENTS.place, RATINGS.place):
        shutil.rmtree(HOME / place, ignore_errors=True)


def content_of(bomb: Bomb, directory: Path) -> tuple[bytes, str]:
    path = directory / f"bomb{bomb_files.SUFFIXES[bomb.__name__.partition('_')[0]]}"
    bomb(path)
    return path.read_bytes(), path.name


def command_of(process: psutil.Process) -> list[str]:
    """Empty for one that ends at this very moment."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def submitted(cast: make.Cast, content: bytes, name: str = "a.jsonl") -> ImportBatch:
    path = uploads.keep(chunks=[content], name=name, place=DOCUMENTS.place)
    return DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=cast.ml_engineer)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def kept() -> list[str]:
    return [path.name for place in (DOCUMENTS.place, RATINGS.place) for path in (HOME / place).glob("*/*")]


# ---------------------------------------------------------------- who reads


def test_the_web_process_reads_no_file_that_is_uploaded(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in it, by either import: only a job opens it."""

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("the web process read the file")

    monkeypatch.setattr(life, "open_file", opened)
    client = signed_in(cast.ml_engineer)
    for number, path in enumerate(("/documents/imports/", "/ratings/")):
        upload = SimpleUploadedFile("a.jsonl", b'{"article": "x"}\n')
        answer = client.post(path, {"from": "file", "kind": "reviews", "file": upload})
        assert answer.status_code == 302
        assert "Looking at the first rows" in client.get(answer["Location"]).text
        assert client.get(answer["Location"], headers={"HX-Request": "true"}).status_code == 200
        assert Job.objects.filter(payload__look=True, state="queued").count() == number + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "bomb"),
    [
        *(("documents", bomb) for bomb in bomb_files.REFUSED),
        ("ratings", bomb_files.parquet_plain),
        ("ratings", bomb_files.json_deep),
        ("ratings", bomb_files.csv_one_quote),
    ],
)
def test_a_file_that_grows_is_refused_with_the_reason_and_goes(
    cast: make.Cast,
    tmp_path: Path,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
    bomb: Bomb,
    place: str,
) -> None:
    settings.GALLEY_IMPORT_MEMORY_MB = 256
    content, name = content_of(bomb, tmp_path)
    store = DOCUMENTS.place if place == "documents" else RATINGS.place
    path = uploads.keep(chunks=[content], name=name, place=store)
    batch: ImportBatch | RatingImport
    with django_capture_on_commit_callbacks(execute=True):
        if place == "documents":
            batch = make.looked_at(
                DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=cast.ml_engineer)
            )
        else:
            batch = make.looked_at(RATINGS.submit_file(path=path, options=Options(), actor=cast.ml_engineer))
    assert batch.status == "failed"
    assert batch.job is not None
    assert name in batch.job.reason
    assert "Error" not in batch.job.reason, "in words, not by the name of an exception"
    assert len(batch.job.reason) < 500
    assert "sample" not in batch.report
    assert not kept()


@pytest.mark.slow
def test_what_a_parquet_file_says_of_itself_is_looked_at_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "small.parquet"
    bomb_files.parquet_plain(path)
    assert path.stat().st_size < 120_000
    before = memory.taken()
    with pytest.raises(Exception, match=r"says that it unpacks to 1,0\d\d MB; at most 800 MB are read"):
        open_file(path)
    assert memory.taken() - before < 64 << 20


@pytest.mark.slow
@pytest.mark.parametrize("bomb", bomb_files.TAKEN)
def test_a_file_with_strange_rows_shows_and_imports_what_it_can(
    cast: make.Cast, tmp_path: Path, settings: Any, bomb: Bomb
) -> None:
    content, name = content_of(bomb, tmp_path)
    batch = make.looked_at(submitted(cast, content, name))
    assert batch.status == "ready", batch.job
    assert len(json.dumps(batch.report)) < 4_000_000
    client = signed_in(cast.ml_engineer)
    assert client.get(f"/documents/imports/{batch.pk}/").status_code == 200
    job = DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    done = make.carried_out(job)
    assert done.state == "succeeded", done.reason
    assert client.get(f"/documents/imports/{batch.pk}/").status_code == 200


def test_characters_that_no_text_can_have_hinder_no_row_of_either_import(
    cast: make.Cast, tmp_path: Path
) -> None:
    content, name = content_of(bomb_files.jsonl_nul_and_halves, tmp_path)
    batch = make.looked_at(submitted(cast, content, name))
    make.carried_out(DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer))
    batch.refresh_from_db()
    assert (batch.report["imported"], batch.report["duplicates"], batch.report["refused_count"]) == (2, 0, 0)
    assert {text.split()[-1] for text in SourceDocument.objects.values_list("text", flat=True)} == {
        "end",
        "word29",
    }

    path = uploads.keep(chunks=[content], name=name, place=RATINGS.place)
    rated = make.looked_at(RATINGS.submit_file(path=path, options=Options(), actor=cast.ml_engineer))
    guessed = rows.guess(rated.report["sample"]["paths"], [], "reviews")
    mapping = {**guessed, "text": "article", "summary": "highlights", "rater": "=somebody", "stars": "=3"}
    done = make.carried_out(
        RATINGS.start(row=rated, options=Options(mapping=mapping), actor=cast.ml_engineer)
    )
    assert (done.state, done.result["imported"]) == ("succeeded", 2), done.reason


# ---------------------------------------------------------------- two at once, and those that are cut off


def test_two_looks_at_the_same_file_do_not_overtake_each_other(
    cast: make.Cast, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = submitted(cast, b"not json\n"), submitted(cast, b"not json\n")
    assert first.upload == second.upload
    with django_capture_on_commit_callbacks(execute=True):
        make.looked_at(second)
    assert kept() == ["a.jsonl"], "the first still waits for it"
    with django_capture_on_commit_callbacks(execute=True):
        first = make.looked_at(first)
    assert first.job is not None
    assert "is not JSON Lines" in first.job.reason, "not that its file is gone"
    assert not kept()


def test_a_file_that_was_just_removed_with_its_twin_is_said(cast: make.Cast) -> None:
    path = uploads.keep(chunks=[b'{"article": "x"}'], name="a.jsonl", place=DOCUMENTS.place)
    uploads.drop(path, waits=ImportBatch)
    with pytest.raises(Unavailable, match="Send it again"):
        DOCUMENTS.submit(name="a.jsonl", path=path, options=ImportOptions(), actor=None)
    assert not ImportBatch.objects.exists()


def test_a_late_look_changes_nothing_of_a_batch_that_another_job_has(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make.looked_at(submitted(cast, json.dumps({"article": WORDS}).encode()))
    look, report = batch.job, batch.report
    assert look is not None
    DOCUMENTS.start(row=batch, options=ImportOptions(), actor=cast.ml_engineer)
    monkeypatch.setattr(DOCUMENTS, "look", lambda source: {"columns": ["another"]})
    DOCUMENTS.look_at(row=batch, job=look)
    batch.refresh_from_db()
    assert batch.report == report


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_look_that_is_killed_is_tried_again_and_told_when_it_fails_twice(transactional_db: None) -> None:
    cast = make.cast()
    batch = submitted(cast, json.dumps({"article": WORDS}).encode() + b"\n")
    assert batch.job is not None

    def kill(row: Job) -> None:
        for child in psutil.Process(os.getpid()).children():
            if "run_job" in command_of(child):
                child.kill()

    jobs.supervise(batch.job.pk, watch=kill)
    batch.job.refresh_from_db()
    assert (batch.job.state, batch.job.attempts) == ("queued", 1)
    assert kept() == ["a.jsonl"]
    jobs.supervise(batch.job.pk, watch=kill)
    batch.refresh_from_db()
    assert batch.status == "failed"
    assert "signal 9" in batch.report["refused"]
    assert not kept()
    assert "It could not be read" in signed_in(cast.ml_engineer).get(f"/documents/imports/{batch.pk}/").text


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_bomb_goes_off_in_a_child_and_leaves_the_rest_as_it_was(
    transactional_db: None, tmp_path: Path
) -> None:
    cast = make.cast()
    content, name = content_of(bomb_files.parquet_dictionary, tmp_path)
    assert len(content) < 10_000
    batch = submitted(cast, content, name)
    assert batch.job is not None
    here = psutil.Process()
    before, most = here.memory_info().rss, 0

    def watch(row: Job) -> None:
        nonlocal most
        for child in here.children():
            if "run_job" in command_of(child):
                most = max(most, child.memory_info().rss)

    jobs.supervise(batch.job.pk, watch=watch)
    batch.refresh_from_db()
    assert batch.report["refused"].startswith(f"{name} takes more than 1,024 MB of memory to read")
    assert most < (1024 + 400) << 20
    assert here.memory_info().rss - before < 100 << 20


# ---------------------------------------------------------------- the limit itself


def test_the_limit_holds_and_goes(cast: make.Cast) -> None:
    with pytest.raises(memory.OutOfMemory), memory.at_most(64):
        bytearray(200 << 20)
    assert len(bytearray(200 << 20)) == 200 << 20
