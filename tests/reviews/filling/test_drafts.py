"""Drafts are written once for each document and release, land in the queue, and go on where they were cut off."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.engines import open_engine
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.foundation.jobs import JobCancelled
from models_app.models import Job, Release, Route
from reviews.filling.drafts import draft_summaries, start_drafting, usual_writer
from reviews.models import Grounding, QueueItem, SourceDocument, Summary
from tests import make


@pytest.fixture
def release(cast: make.Cast) -> Release:
    """The article's first three sentences: a real engine without a model."""
    return make.release(state="live")


@pytest.fixture
def documents(cast: make.Cast) -> list[SourceDocument]:
    return [make.document() for _ in range(11)]


def test_each_document_is_drafted_with_the_release_and_put_in_the_queue(
    release: Release, documents: list[SourceDocument]
) -> None:
    told: list[tuple[int, int]] = []
    written = draft_summaries(
        documents=documents, release=release, progress=lambda done, total: told.append((done, total))
    )
    assert written == 11
    assert told == [(8, 11), (11, 11)]
    for document in documents:
        summary = Summary.objects.get(document=document)
        assert document.text.startswith(summary.text.split(".")[0])
        assert (summary.release, summary.model_version, summary.source) == (
            release,
            release.model_version,
            "batch",
        )
        assert summary.decoding == release.decoding
        item = QueueItem.objects.get(summary=summary)
        assert (item.queue.slug, item.reason) == ("new-drafts", "new draft")
        assert Grounding.objects.get(summary=summary).data["sentences"], (
            "linked when the first reviewer comes"
        )


def test_many_drafts_are_put_in_the_queue_with_as_many_queries_as_few(
    release: Release, documents: list[SourceDocument], django_assert_max_num_queries: Any
) -> None:
    draft_summaries(documents=documents, release=release, queue_slug="")
    with django_assert_max_num_queries(30):  # one by one each draft would ask by itself
        draft_summaries(documents=documents, release=release)
    assert QueueItem.objects.count() == 11


def test_what_is_written_is_not_written_again_but_put_in_the_queue(
    release: Release, documents: list[SourceDocument]
) -> None:
    assert draft_summaries(documents=documents[:3], release=release, queue_slug="") == 3
    assert not QueueItem.objects.exists()
    assert draft_summaries(documents=documents[:4], release=release) == 1
    assert draft_summaries(documents=documents[:4], release=release) == 0
    assert QueueItem.objects.count() == Summary.objects.count() == 4


def test_cancelled_half_way_it_keeps_what_it_has_and_goes_on_later(
    release: Release, documents: list[SourceDocument]
) -> None:
    asked = iter([False, True])
    with pytest.raises(JobCancelled):
        draft_summaries(documents=documents, release=release, should_stop=lambda: next(asked))
    assert Summary.objects.count() == 8
    assert draft_summaries(documents=documents, release=release) == 3


def test_a_summary_that_another_job_wrote_meanwhile_stands(
    release: Release, documents: list[SourceDocument], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open_engine

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        make.summary(documents[0], "The other job's text.", release=release)
        return real(*args, **kwargs)

    monkeypatch.setattr("reviews.filling.drafts.open_engine", meanwhile)
    draft_summaries(documents=documents[:2], release=release)
    assert Summary.objects.get(document=documents[0]).text == "The other job's text."
    assert QueueItem.objects.count() == 2


def test_the_job_drafts_with_the_named_release(
    cast: make.Cast, release: Release, documents: list[SourceDocument]
) -> None:
    chosen = [document.pk for document in documents[:2]]
    job = start_drafting(documents=chosen, release=release, queue="new-drafts", actor=cast.ml_engineer)
    again = start_drafting(
        documents=chosen[::-1], release=release, queue="new-drafts", actor=cast.ml_engineer
    )
    assert again == job
    done = make.carried_out(job)
    assert (done.state, done.result) == ("succeeded", {"drafted": 2, "asked": 2})


def test_what_cannot_be_drafted_starts_no_job(cast: make.Cast, release: Release) -> None:
    document = make.document()
    with pytest.raises(InvalidInput, match="No documents were chosen"):
        start_drafting(documents=[], release=release, actor=cast.ml_engineer)
    with pytest.raises(InvalidInput, match="20,001 documents are too many for one job"):
        start_drafting(documents=list(range(20_001)), release=release, actor=cast.ml_engineer)
    with pytest.raises(InvalidInput, match="no review queue 'nowhere'"):
        start_drafting(documents=[document.pk], release=release, queue="nowhere", actor=cast.ml_engineer)
    with pytest.raises(NotAllowed):
        start_drafting(documents=[document.pk], release=release, actor=cast.reviewer)
    assert not Job.objects.exists()


def test_the_live_release_writes_drafts_and_without_one_it_is_said(release: Release) -> None:
    with pytest.raises(Refused, match="No release is live"):
        usual_writer()
    Route.objects.update(release=release)
    assert usual_writer() == release
