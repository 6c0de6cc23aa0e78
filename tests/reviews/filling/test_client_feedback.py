"""What clients found fault with comes back to the desk, once, with the reason; what cannot come back says why."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from models_app.foundation import jobs
from models_app.models import ClientFeedback, InferenceRequest
from reviews.filling.client_feedback import bring_back, why
from reviews.models import FeedbackExample, QueueItem, SourceDocument, Summary
from tests import make

TEXT = make.ARTICLE + " It was the last report of the day."


def request_of(text: str = TEXT, **fields: Any) -> InferenceRequest:
    release = make.release()
    values = {
        "release": release,
        "model_version": release.model_version,
        "prompt_version": release.prompt_version,
        "title": "Pier closes",
        "domain": "news",
        "summary": "The pier closes for nine years.",
        "summary_words": 6,
        "input_words": len(text.split()),
        "latency_ms": 812.0,
        "confidence": 0.25,
        "outcome": "ok",
        "text_hash": hashlib.sha256(text.encode()).hexdigest(),
    }
    return InferenceRequest.objects.create(text=text, **{**values, **fields})


def feedback_on(request: InferenceRequest, **fields: Any) -> ClientFeedback:
    return ClientFeedback.objects.create(
        request=request, **{"stars": 1, "comment": "Nine months, not years!", **fields}
    )


@pytest.mark.parametrize(
    ("stars", "category", "wants", "reason"),
    [
        (1, "", "none", "few stars"),
        (2, "factual error", "retrain", "few stars"),
        (3, "factual error", "retrain", "complaint"),
        (4, "tone", "none", "complaint"),
        (5, "praise", "retrain", "retraining wanted"),
        (4, "other", "refine", "better prompt wanted"),
        (3, "", "none", None),
        (5, "praise", "none", None),
    ],
)
def test_the_rule_names_the_gravest_reason(stars: int, category: str, wants: str, reason: str | None) -> None:
    found = why(stars=stars, category=category, wants=wants)
    assert (found[0].value if found else None) == reason


def test_graver_is_more_urgent() -> None:
    def urgency(**about: Any) -> int:
        found = why(**{"stars": 2, "category": "", "wants": "none", **about})
        assert found is not None
        return found[1]

    assert urgency(stars=1) > urgency()
    assert urgency(category="factual error") > urgency(category="tone") > urgency()
    assert urgency(wants="retrain") > urgency()


@pytest.mark.django_db
def test_few_stars_bring_the_summary_to_the_desk_with_the_clients_words() -> None:
    make.cast()
    request = request_of()
    done = bring_back(feedback=feedback_on(request))
    assert done.item is not None
    item = QueueItem.objects.get(pk=done.item)
    assert (item.queue.slug, item.reason, item.note) == (
        "weak-outputs",
        "few stars",
        "Nine months, not years!",
    )
    summary = item.summary
    assert (summary.source, summary.request_id, summary.text) == ("api", request.pk, request.summary)
    assert (summary.release, summary.model_version, summary.latency_ms) == (
        request.release, request.model_version, 812.0,
    )  # fmt: skip
    assert (summary.document.origin, summary.document.title, summary.document.text) == (
        "API",
        "Pier closes",
        TEXT,
    )
    assert item.assignments.count() == 1
    assert (summary.confidence, item.confidence) == (0.25, 0.25), "so that the least sure can come first"


@pytest.mark.django_db
def test_doing_it_twice_changes_nothing() -> None:
    make.cast()
    feedback = feedback_on(request_of(), edited_summary="The pier closes for nine months, they said.")
    first, again = bring_back(feedback=feedback), bring_back(feedback=feedback)
    assert (first.item, first.summary, first.document) == (again.item, again.summary, again.document)
    assert (QueueItem.objects.count(), Summary.objects.count(), FeedbackExample.objects.count()) == (1, 1, 1)


@pytest.mark.django_db
def test_a_known_document_is_used_again_whatever_its_spaces() -> None:
    make.cast()
    first = bring_back(feedback=feedback_on(request_of()))
    again = bring_back(feedback=feedback_on(request_of(text=TEXT.replace(". ", ".\n"))))
    assert first.document == again.document
    assert first.summary != again.summary
    assert SourceDocument.objects.count() == 1


@pytest.mark.django_db
def test_a_second_complaint_adds_its_words_and_makes_it_more_urgent() -> None:
    make.cast()
    request = request_of()
    bring_back(feedback=feedback_on(request, stars=2, comment="Not good."))
    done = bring_back(
        feedback=feedback_on(request, stars=1, comment="Wrong number.", category="factual error")
    )
    item = QueueItem.objects.get()
    assert item.pk == done.item
    assert item.note == "Not good.\n\nWrong number."
    assert item.priority == item.assignments.get().priority == 55


@pytest.mark.django_db
def test_a_clients_correction_is_proposed_as_an_example() -> None:
    make.cast()
    feedback = feedback_on(
        request_of(), stars=4, comment="", edited_summary="The pier closes for nine months, they said."
    )
    done = bring_back(feedback=feedback)
    assert done.item is None
    assert done.example is not None
    example = FeedbackExample.objects.get(pk=done.example)
    assert (example.origin, example.kind, example.target) == (
        "client",
        "demonstration",
        feedback.edited_summary,
    )
    assert example.state == ("declined" if example.document.split == "test" else "proposed")


@pytest.mark.django_db
def test_a_text_that_was_not_kept_is_said_so() -> None:
    make.cast()
    done = bring_back(feedback=feedback_on(request_of(text="")))
    assert "not kept" in done.said
    assert (done.document, done.summary, done.item) == (None, None, None)
    assert not SourceDocument.objects.exists()


@pytest.mark.django_db
def test_a_text_that_is_no_article_is_refused_with_the_reason() -> None:
    make.cast()
    done = bring_back(feedback=feedback_on(request_of(text="Too short.")))
    assert "words" in done.said
    assert not QueueItem.objects.exists()


@pytest.mark.django_db
def test_the_job_brings_it_back_and_reports() -> None:
    make.cast()
    feedback = feedback_on(request_of())
    job = make.carried_out(
        jobs.enqueue(kind="review_requests", actor=None, payload={"feedback": feedback.pk}, deliver=False)
    )
    assert job.state == "succeeded", job.reason
    assert job.result["item"] == QueueItem.objects.get().pk
    lost = make.carried_out(
        jobs.enqueue(kind="review_requests", actor=None, payload={"feedback": 0}, deliver=False)
    )
    assert (lost.state, lost.reason) == ("failed", "There is no client feedback 0.")
