"""What people corrected becomes training data by somebody's decision, once a document, never of the test split."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent, EvaluationExample, SnapshotExample
from reviews.examples.decisions import (
    TEST_SPLIT,
    approve_example,
    approve_examples,
    decline_example,
    decline_examples,
)
from reviews.examples.proposals import propose_from_client, propose_from_references, propose_from_review
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import Selection, freeze_snapshot, preview_snapshot
from reviews.models import FeedbackExample, Review, SourceDocument
from tests import make

BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


def review(of: SourceDocument, by: Any, edited: str = BETTER, verdict: str = "poor") -> Review:
    item = make.queue_item(make.summary(of))
    return Review.objects.create(
        item=item, summary=item.summary, reviewer=by, rubric=item.queue.rubric, state="submitted", stars=2,
        verdict=verdict, edited_text=edited or item.summary.text, submitted_at=item.created_at,
    )  # fmt: skip


def example(document: SourceDocument | None = None, **fields: Any) -> FeedbackExample:
    values = {"kind": "demonstration", "origin": "reference", "target": BETTER}
    return FeedbackExample.objects.create(document=document or make.document(), **{**values, **fields})


# ---------------------------------------------------------------- proposing


def test_a_correction_is_proposed_and_preferred_to_the_draft(cast: make.Cast) -> None:
    done = review(make.document(), cast.reviewer)
    demonstration, preference = propose_from_review(review=done)
    assert (demonstration.kind, demonstration.target, demonstration.state) == (
        "demonstration",
        BETTER,
        "proposed",
    )
    assert (preference.kind, preference.rejected) == ("preference", done.summary.text)
    assert demonstration.review == done
    assert demonstration.created_by == cast.reviewer


@pytest.mark.parametrize(("verdict", "count"), [("good", 1), ("fair", 0), ("poor", 0)])
def test_an_unchanged_text_teaches_only_where_it_was_found_good(
    cast: make.Cast, verdict: str, count: int
) -> None:
    done = review(make.document(), cast.reviewer, edited="", verdict=verdict)
    assert [each.kind for each in propose_from_review(review=done)] == ["demonstration"] * count


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("Too short.", "Too short to learn from"),
        ("Write to jane.doe@example.org to hear more about it.", "e-mail address or a card number"),
        ("Pay with card 4111 1111 1111 1111 before Monday please.", "e-mail address or a card number"),
    ],
)
def test_what_must_not_be_learnt_is_declined_with_the_reason(
    cast: make.Cast, target: str, reason: str
) -> None:
    made = propose_from_review(review=review(make.document(), cast.reviewer, edited=target))
    assert {each.state for each in made} == {"declined"}
    assert all(reason in each.reason for each in made)


def test_a_test_documents_correction_is_declined_saying_why(cast: make.Cast) -> None:
    made = propose_from_review(review=review(make.document(split="test"), cast.reviewer))
    assert [(each.state, each.reason) for each in made] == [("declined", TEST_SPLIT)] * 2


def test_references_are_proposed_once_and_never_of_test_documents(cast: make.Cast) -> None:
    documents = [
        make.document(),
        make.document(split="validation"),
        make.document(split="test"),
        make.document(reference=""),
    ]
    made = propose_from_references(documents=documents, actor=cast.ml_engineer)
    assert [each.document for each in made] == documents[:2]
    decline_example(example=made[0], actor=cast.ml_engineer, reason="Not ours.")
    assert propose_from_references(documents=documents, actor=cast.ml_engineer) == []
    assert FeedbackExample.objects.count() == 2
    event = AuditEvent.objects.get(action="feedback.propose_references")
    assert event.data == {"count": 2}


def test_a_clients_correction_is_proposed_once(cast: make.Cast) -> None:
    summary = make.summary(make.document())
    made = propose_from_client(summary=summary, corrected=f" {BETTER}\n", by=cast.operator)
    assert made is not None
    assert made.created_by == cast.operator, "whose token it came with"
    assert (made.origin, made.target, made.state) == ("client", BETTER, "proposed")
    assert propose_from_client(summary=summary, corrected=BETTER, by=None) is None
    assert propose_from_client(summary=summary, corrected=summary.text, by=None) is None


def test_a_corrected_review_takes_back_what_was_approved_with_the_older_text(cast: make.Cast) -> None:
    done = review(make.document(), cast.reviewer)
    demonstration, _ = propose_from_review(review=done)
    approve_example(example=demonstration, actor=cast.ml_engineer)
    done.edited_text = f"{BETTER} Ferries leave from the northern quay."
    done.save()
    newer = propose_from_review(review=done)
    demonstration.refresh_from_db()
    assert demonstration.state == "declined"
    assert {each.target for each in newer} == {done.edited_text}
    with pytest.raises(Refused, match="corrected this review since"):
        approve_example(example=demonstration, actor=cast.ml_engineer)


# ---------------------------------------------------------------- deciding


def test_a_test_documents_example_can_never_be_approved(cast: make.Cast) -> None:
    declined = example(make.document(split="test"), state="declined", reason=TEST_SPLIT)
    with pytest.raises(Refused, match="it judges models, so nothing is learnt from it") as caught:
        approve_example(example=declined, actor=cast.ml_engineer)
    assert caught.value.code == "test_split"
    declined.refresh_from_db()
    assert declined.state == "declined"


def test_one_document_has_one_approved_demonstration(cast: make.Cast) -> None:
    document = make.document()
    first, second = example(document), example(document, target=f"{BETTER} Again.")
    approve_example(example=first, actor=cast.ml_engineer)
    with pytest.raises(Refused, match="an approved demonstration already"):
        approve_example(example=second, actor=cast.ml_engineer)
    decline_example(example=first, actor=cast.ml_engineer, reason="The other is better.")
    assert approve_example(example=second, actor=cast.ml_engineer).state == "approved"


def test_a_decision_is_on_record_with_who_and_why(cast: make.Cast) -> None:
    one = decline_example(example=example(), actor=cast.ml_engineer, reason=" Too vague. ")
    assert (one.state, one.reason, one.decided_by) == ("declined", "Too vague.", cast.ml_engineer)
    event = AuditEvent.objects.get(subject=f"feedbackexample:{one.pk}")
    assert (event.action, event.from_state, event.to_state) == ("feedback.declined", "proposed", "declined")
    assert event.reason == "Too vague."


def test_declining_needs_a_reason(cast: make.Cast) -> None:
    with pytest.raises(InvalidInput) as caught:
        decline_example(example=example(), actor=cast.ml_engineer, reason=" \u0000 ")
    assert caught.value.fields == {"reason": "The reviewer is shown it."}
    with pytest.raises(InvalidInput):
        decline_examples(examples=[example()], actor=cast.ml_engineer, reason="")


def test_who_looked_at_an_older_state_is_told(cast: make.Cast) -> None:
    one = example()
    stale = FeedbackExample.objects.get(pk=one.pk)
    decline_example(example=one, actor=cast.ml_engineer, reason="No.")
    with pytest.raises(StaleState, match="has been decided meanwhile"):
        approve_example(example=stale, actor=cast.administrator)


def test_deciding_the_same_twice_is_one_decision(cast: make.Cast) -> None:
    one = approve_example(example=example(), actor=cast.ml_engineer)
    assert approve_example(example=one, actor=cast.administrator).decided_by == cast.ml_engineer
    assert AuditEvent.objects.filter(action="feedback.approved").count() == 1


def test_many_are_decided_with_the_reasons_of_those_that_could_not_be(cast: make.Cast) -> None:
    document = make.document()
    examples = [
        example(),
        example(document),
        example(document, target=f"{BETTER} x"),
        example(make.document(split="test")),
    ]
    approved, refusals = approve_examples(examples=examples, actor=cast.ml_engineer)
    assert approved == 2
    assert [refusal.split(":")[0] for refusal in refusals] == [f"Example {each.pk}" for each in examples[2:]]
    declined, refusals = decline_examples(examples=examples[2:], actor=cast.ml_engineer, reason="No.")
    assert (declined, refusals) == (2, [])


@pytest.mark.parametrize("name", ["reviewer", "approver", "operator", "stranger"])
def test_who_may_not_decide_is_refused(cast: make.Cast, name: str) -> None:
    actor, one = getattr(cast, name), example()
    for act in (
        lambda: approve_example(example=one, actor=actor),
        lambda: decline_example(example=one, actor=actor, reason="No."),
        lambda: approve_examples(examples=[one], actor=actor),
        lambda: propose_from_references(documents=[one.document], actor=actor),
        lambda: freeze_snapshot(name="x", actor=actor),
    ):
        with pytest.raises(NotAllowed):
            act()


@pytest.mark.django_db(transaction=True)
def test_references_proposed_twice_at_once_are_proposed_once() -> None:
    documents = [make.document() for _ in range(20)]
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        propose_from_references(documents=documents, actor=None)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert FeedbackExample.objects.count() == 20


# ---------------------------------------------------------------- freezing


def approved(split: str = "train", **fields: Any) -> FeedbackExample:
    document = fields.pop("document", None) or make.document(split=split, domain=fields.pop("domain", "news"))
    return example(document, state="approved", **fields)


def test_only_approved_demonstrations_are_frozen_with_the_drafts_that_lost(cast: make.Cast) -> None:
    done = review(make.document(), cast.reviewer)
    demonstration, _ = propose_from_review(review=done)
    approve_example(example=demonstration, actor=cast.ml_engineer)
    plain = approved("validation")
    example()  # proposed
    example(state="declined", reason="No.")
    snapshot = freeze_snapshot(name=" First\n snapshot ", actor=cast.ml_engineer)
    rows = {row.origin: row for row in SnapshotExample.objects.filter(snapshot=snapshot)}
    assert set(rows) == {f"feedback:{demonstration.pk}", f"feedback:{plain.pk}"}
    assert rows[f"feedback:{demonstration.pk}"].rejected == done.summary.text
    assert rows[f"feedback:{plain.pk}"].rejected == ""
    assert snapshot.name == "First snapshot"
    assert snapshot.curators == sorted([cast.reviewer.pk, cast.ml_engineer.pk])


def test_the_same_selection_gives_the_same_digest_and_another_another(cast: make.Cast) -> None:
    approved(domain="news")
    approved(domain="sport")
    approved("validation", domain="news")
    everything = freeze_snapshot(name="a", actor=None)
    assert freeze_snapshot(name="b", actor=None) == everything
    news = freeze_snapshot(name="c", selection=Selection(domains=("news",)), actor=None)
    assert news.digest != everything.digest
    assert (news.train_rows, news.validation_rows) == (1, 1)
    assert news.selection["domains"] == ["news"]


def test_a_test_document_gets_in_by_no_selection(cast: make.Cast) -> None:
    """Even if somebody writes the approval past the rules."""
    smuggled = approved("test")
    approved("train")
    for selection in (
        Selection(),
        Selection(documents=(smuggled.document_id,)),
        Selection(origins=("reference",)),
    ):
        assert preview_snapshot(selection).rows in (0, 1)
    snapshot = freeze_snapshot(name="a", actor=None)
    assert not snapshot.examples.filter(document_hash=smuggled.document.content_hash).exists()
    with pytest.raises(Refused, match="Nothing was selected"):
        freeze_snapshot(name="b", selection=Selection(documents=(smuggled.document_id,)), actor=None)


def test_the_preview_counts_what_would_be_frozen(
    cast: make.Cast, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.GALLEY_MIN_TRAINING_EXAMPLES = 3
    for split, domain in (("train", "news"), ("train", "sport"), ("validation", "sport"), ("test", "sport")):
        approved(split, domain=domain)
    with django_assert_num_queries(2):
        preview = preview_snapshot(Selection())
    assert (preview.train, preview.validation, preview.rows) == (2, 1, 3)
    assert preview.domains == [("sport", 1, 1), ("news", 1, 0)]
    assert (preview.train_missing, preview.validation_missing, preview.enough) == (1, 0, False)
    news = preview_snapshot(Selection(domains=("news",)))
    assert (news.train_missing, news.validation_missing) == (2, 1)
    snapshot = freeze_snapshot(name="a", actor=None)
    assert (snapshot.train_rows, snapshot.validation_rows) == (preview.train, preview.validation)


def test_a_snapshot_needs_a_name(cast: make.Cast) -> None:
    approved()
    with pytest.raises(InvalidInput) as caught:
        freeze_snapshot(name=" ", actor=None)
    assert "name" in caught.value.fields


def test_the_test_set_takes_test_documents_with_references_the_same_ones_each_time(cast: make.Cast) -> None:
    documents = [make.document(split="test") for _ in range(4)]
    make.document(split="test", reference="")
    make.document(split="train")
    whole = freeze_test_set(actor=cast.ml_engineer)
    assert whole.rows == 4
    two = freeze_test_set(actor=cast.ml_engineer, limit=2)
    lowest = sorted(document.content_hash for document in documents)[:2]
    assert [
        *EvaluationExample.objects.filter(evaluation_set=two).values_list("document_hash", flat=True)
    ] == lowest
    assert freeze_test_set(actor=cast.ml_engineer, limit=2) == two
