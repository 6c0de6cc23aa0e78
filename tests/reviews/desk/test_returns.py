"""A review that is sent back with a comment is corrected and submitted again; meanwhile it teaches nothing."""

from __future__ import annotations

import pytest

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims
from reviews.desk.answers import AlreadySubmitted
from reviews.desk.returns import return_review
from reviews.desk.reviews import Answers, revise_review, save_draft, submit_review
from reviews.examples.decisions import approve_example
from reviews.models import Adjudication, FeedbackExample, Notification, QueueItem, Review
from tests import make
from tests.reviews.desk.test_claims import COMPLETE, claimed


def submitted(cast: make.Cast) -> Review:
    queue = make.queue()
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    return submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)


@pytest.mark.django_db
def test_a_returned_review_reopens_its_item_and_withdraws_what_was_not_decided() -> None:
    cast = make.cast()
    review = submitted(cast)
    assert FeedbackExample.objects.filter(review=review, state="proposed").count() == 2
    made = return_review(review=review, comment=" Look at the number again. ", actor=cast.ml_engineer)
    assert made.comment == "Look at the number again."
    review.refresh_from_db()
    item = QueueItem.objects.get(pk=review.item_id)
    assert (review.state, item.state) == ("returned", "open")
    assert not FeedbackExample.objects.filter(review=review).exists()
    event = AuditEvent.objects.get(action="review.return")
    assert (event.from_state, event.to_state, event.reason) == ("submitted", "returned", made.comment)
    told = Notification.objects.get(user=cast.reviewer)
    assert (told.kind, told.url) == ("returned", f"/desk/item/{item.pk}/")
    assert made.comment in told.text
    # its assignment is nobody else's, and its reviewer is not asked for it as if it were new
    for person in (cast.reviewer, cast.another_reviewer):
        assert claims.claim_next(queue=item.queue, reviewer=person) is None
        assert claims.hold(item=item, reviewer=person) is None


@pytest.mark.django_db
def test_it_counts_again_once_it_is_submitted_again() -> None:
    cast = make.cast()
    review = submitted(cast)
    made = return_review(review=review, comment="Look again.", actor=cast.ml_engineer)
    better = Answers(**{**COMPLETE, "stars": 2, "verdict": "poor"})
    with pytest.raises(AlreadySubmitted):
        submit_review(item=review.item, answers=better, reviewer=cast.reviewer)
    with pytest.raises(AlreadySubmitted):
        save_draft(item=review.item, answers=better, reviewer=cast.reviewer, base_revision=review.revision)
    again = revise_review(item=review.item, answers=better, reviewer=cast.reviewer)
    made.refresh_from_db()
    assert (again.state, again.stars, again.late) == ("submitted", 2, False)
    assert made.answered_at is not None
    assert QueueItem.objects.get(pk=review.item_id).state == "done"
    assert [revision.number for revision in again.revisions.all()] == [1, 2]
    assert FeedbackExample.objects.filter(review=review, state="proposed").count() == 2
    # and may be sent back once more; submitting the same again is an answer too
    return_review(review=again, comment="Still.", actor=cast.ml_engineer)
    same = revise_review(item=again.item, answers=better, reviewer=cast.reviewer)
    assert same.state == "submitted"
    assert not same.returns.filter(answered_at=None).exists()


@pytest.mark.django_db
def test_what_was_approved_stays_approved_until_its_text_changes() -> None:
    cast = make.cast()
    review = submitted(cast)
    example = FeedbackExample.objects.get(review=review, kind="demonstration")
    approve_example(example=example, actor=cast.ml_engineer)
    return_review(review=review, comment="Shorter.", actor=cast.ml_engineer)
    example.refresh_from_db()
    assert example.state == "approved"
    shorter = Answers(**{**COMPLETE, "edited_text": "The old pier closes for nine months."})
    revise_review(item=review.item, answers=shorter, reviewer=cast.reviewer)
    example.refresh_from_db()
    assert example.state == "declined"


@pytest.mark.django_db
def test_who_may_send_back_what() -> None:
    cast = make.cast()
    review = submitted(cast)
    with pytest.raises(NotAllowed):
        return_review(review=review, comment="No.", actor=cast.another_reviewer)
    for comment in ("", "  \n", "x" * 2001):
        with pytest.raises(InvalidInput) as refused:
            return_review(review=review, comment=comment, actor=cast.ml_engineer)
        assert "comment" in refused.value.fields
    return_review(review=review, comment="No.", actor=cast.ml_engineer)
    with pytest.raises(StaleState):
        return_review(review=review, comment="Again.", actor=cast.ml_engineer)
    cast.reviewer.groups.add(*cast.ml_engineer.groups.all())
    review = revise_review(item=review.item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    own = type(cast.reviewer).objects.get(pk=cast.reviewer.pk)
    with pytest.raises(Refused):
        return_review(review=review, comment="Mine.", actor=own)
    Adjudication.objects.create(
        item=review.item, adjudicator=cast.ml_engineer, stars=3, verdict="fair", rubric=review.rubric,
        edited_text="It closes.",
    )  # fmt: skip
    with pytest.raises(Refused):
        return_review(review=review, comment="Too late.", actor=cast.ml_engineer)
