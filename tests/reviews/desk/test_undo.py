"""Undo: what was submitted or skipped a moment ago is as it was before; later, or once it counts, it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.foundation.errors import NotAllowed, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims
from reviews.desk.claims import Lease
from reviews.desk.reviews import revise_review, save_draft, submit_review, take_back
from reviews.desk.undo import ACCEPTED, take_back_skip
from reviews.models import Assignment, FeedbackExample, QueueItem, Review, ReviewQueue, ReviewRating, Skip
from tests import make
from tests.reviews.desk.test_claims import claimed, expire
from tests.reviews.desk.test_reviews import RATINGS, WHOLE


@pytest.fixture
def lease(cast: make.Cast, queue: ReviewQueue, item: QueueItem) -> Lease:
    return claimed(queue, cast.reviewer)


@pytest.fixture
def review(cast: make.Cast, item: QueueItem, lease: Lease) -> Review:
    return submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)


def test_a_review_taken_back_is_a_draft_with_my_assignment_and_can_be_submitted_again(
    cast: make.Cast, item: QueueItem, review: Review
) -> None:
    draft = take_back(item=review.item, reviewer=cast.reviewer)
    item.refresh_from_db()
    assignment = Assignment.objects.get(item=item)
    assert (draft.state, draft.submitted_at, item.state) == ("draft", None, "open")
    assert (assignment.state, assignment.reviewer) == ("held", cast.reviewer)
    assert assignment.lease_until is not None
    assert assignment.lease_until > timezone.now() + timedelta(minutes=20)
    assert (draft.edited_text, draft.ratings, draft.stars) == (WHOLE.edited_text, WHOLE.ratings, WHOLE.stars)
    assert not ReviewRating.objects.exists()
    assert not FeedbackExample.objects.exists(), "nobody learns from a draft"
    event = AuditEvent.objects.get(action="review.take_back")
    assert (event.actor, event.from_state, event.to_state) == (cast.reviewer, "submitted", "draft")
    again = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=draft.revision)
    assert again.submitted_at is not None
    assert again.submitted_at > event.at
    assert again.revisions.count() == 2, "what was submitted first stays on record"
    assert FeedbackExample.objects.count() == 2


def test_a_tab_that_still_shows_it_as_submitted_is_stale(
    cast: make.Cast, item: QueueItem, review: Review
) -> None:
    take_back(item=review.item, reviewer=cast.reviewer)
    with pytest.raises(StaleState, match="not been submitted"):
        revise_review(item=review.item, answers=WHOLE, reviewer=cast.reviewer, base_revision=review.revision)
    with pytest.raises(StaleState, match="nothing to take back"):
        take_back(item=review.item, reviewer=cast.reviewer)


def test_too_late_is_too_late(cast: make.Cast, review: Review) -> None:
    Review.objects.update(submitted_at=timezone.now() - ACCEPTED - timedelta(seconds=1))
    with pytest.raises(StaleState, match="Too late"):
        take_back(item=review.item, reviewer=cast.reviewer)
    assert Review.objects.get().state == "submitted"


@pytest.mark.usefixtures("review")
def test_what_somebody_decided_on_stays(cast: make.Cast, review: Review) -> None:
    FeedbackExample.objects.filter(kind="demonstration").update(
        state="declined", decided_by=cast.ml_engineer, decided_at=timezone.now()
    )
    with pytest.raises(StaleState, match="decided"):
        take_back(item=review.item, reviewer=cast.reviewer)
    assert FeedbackExample.objects.count() == 2


def test_what_i_have_corrected_since_is_corrected_again(cast: make.Cast, review: Review) -> None:
    revise_review(
        item=review.item,
        answers=WHOLE.__class__(**{**WHOLE.__dict__, "comment": "More."}),
        reviewer=cast.reviewer,
    )
    with pytest.raises(StaleState, match="corrected"):
        take_back(item=review.item, reviewer=cast.reviewer)


def test_an_item_that_somebody_else_has_finished_since_stays_finished(cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    claimed(queue, cast.another_reviewer)
    first = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    second = submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    with pytest.raises(StaleState, match="finished"):
        take_back(item=first.item, reviewer=cast.reviewer)
    assert take_back(item=second.item, reviewer=cast.another_reviewer).state == "draft", "the last one may"
    item.refresh_from_db()
    assert item.state == "open"
    assert take_back(item=first.item, reviewer=cast.reviewer).state == "draft"


def test_taking_back_what_made_a_dispute_ends_it(cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    other = submit_review(
        item=item, answers=replace(WHOLE, stars=5, verdict="good", ratings=dict.fromkeys(RATINGS, 5)),
        reviewer=cast.another_reviewer,
    )  # fmt: skip
    item.refresh_from_db()
    assert item.state == "disputed"
    take_back(item=other.item, reviewer=cast.another_reviewer)
    item.refresh_from_db()
    assert item.state == "open"
    assert set(FeedbackExample.objects.values_list("state", flat=True)) == {"proposed"}
    again = submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    item.refresh_from_db()
    assert (again.state, item.state) == ("submitted", "done")


def test_late_work_taken_back_is_a_draft_without_an_assignment(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem, lease: Lease
) -> None:
    save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    expire(lease)
    claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    late = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    draft = take_back(item=late.item, reviewer=cast.reviewer)
    item.refresh_from_db()
    assert (draft.state, draft.late, item.state) == ("draft", False, "done"), (
        "the others' answers still finish it"
    )
    assert Assignment.objects.get(item=item).reviewer == cast.another_reviewer
    assert submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer).late


def test_only_the_person_who_wrote_it_takes_it_back(cast: make.Cast, review: Review) -> None:
    with pytest.raises(StaleState):
        take_back(item=review.item, reviewer=cast.another_reviewer)
    with pytest.raises(NotAllowed):
        take_back(item=review.item, reviewer=cast.stranger)
    assert Review.objects.get().state == "submitted"


# ---------------------------------------------------------------- skipped


@pytest.mark.parametrize("meaning", ["snooze", "skip", "flag"])
def test_an_item_passed_by_comes_back_to_me(
    cast: make.Cast, item: QueueItem, lease: Lease, meaning: str
) -> None:
    claims.skip(
        assignment=lease.assignment,
        token=lease.token,
        meaning=meaning,
        reason="A table.",
        reviewer=cast.reviewer,
    )
    back = take_back_skip(item=item, reviewer=cast.reviewer)
    item.refresh_from_db()
    assert (back.assignment.item, back.assignment.reviewer, back.assignment.state) == (
        item,
        cast.reviewer,
        "held",
    )
    assert item.state == "open"
    assert not Skip.objects.exists()
    told = AuditEvent.objects.filter(action="item.flag_taken_back").count()
    assert told == (1 if meaning == "flag" else 0)


def test_an_item_that_others_took_meanwhile_stays_theirs_and_passed_by(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem, lease: Lease
) -> None:
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    claimed(queue, cast.another_reviewer)
    with pytest.raises(StaleState, match="Others have taken"):
        take_back_skip(item=item, reviewer=cast.reviewer)
    assert Skip.objects.get().meaning == Skip.Meaning.SKIP


def test_a_skip_is_taken_back_by_its_reviewer_soon_and_before_an_engineer_acts(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    claims.skip(
        assignment=lease.assignment,
        token=lease.token,
        meaning="flag",
        reason="A table.",
        reviewer=cast.reviewer,
    )
    with pytest.raises(StaleState, match="not skipped"):
        take_back_skip(item=item, reviewer=cast.another_reviewer)
    with pytest.raises(NotAllowed):
        take_back_skip(item=item, reviewer=cast.stranger)
    claims.put_back(item=item, actor=cast.ml_engineer)
    with pytest.raises(StaleState, match="dealt with"):
        take_back_skip(item=item, reviewer=cast.reviewer)
    Skip.objects.update(at=timezone.now() - ACCEPTED - timedelta(seconds=1), meaning=Skip.Meaning.SNOOZE)
    with pytest.raises(StaleState, match="Too late"):
        take_back_skip(item=item, reviewer=cast.reviewer)
