"""Drafts and submits: whatever happens to tabs, leases and connections, nothing typed is lost or counted twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims, reviews
from reviews.desk.answers import AlreadySubmitted, StaleDraft
from reviews.desk.claims import Lease
from reviews.desk.reviews import Answers, revise_review, save_draft, submit_review
from reviews.models import (
    Assignment,
    Criterion,
    FeedbackExample,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewRating,
    RubricVersion,
)  # fmt: skip
from tests import make
from tests.reviews.desk.test_claims import at_once, claimed, expire

RATINGS = {"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5}
WHOLE = Answers(
    stars=2,
    verdict="poor",
    ratings=RATINGS,
    edited_text="The old pier of Nordhaven will close for nine months. 140 piles are rotten.",
    comment="The number of piles is wrong.",
    wants_retrain=True,
    active_seconds=90,
)


@pytest.fixture
def lease(cast: make.Cast, queue: ReviewQueue, item: QueueItem) -> Lease:
    return claimed(queue, cast.reviewer)


# ---------------------------------------------------------------- drafts


@pytest.mark.usefixtures("lease")
def test_a_draft_keeps_everything_and_each_save_is_a_revision(cast: make.Cast, item: QueueItem) -> None:
    first = save_draft(
        item=item, answers=Answers(edited_text="The old"), reviewer=cast.reviewer, base_revision=0
    )
    assert (first.state, first.revision) == ("draft", 1)
    second = save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)
    second.refresh_from_db()
    assert (second.pk, second.revision) == (first.pk, 2)
    assert (second.stars, second.verdict, second.ratings, second.edited_text, second.comment) == (
        2, "poor", RATINGS, WHOLE.edited_text, WHOLE.comment,
    )  # fmt: skip
    assert (second.wants_retrain, second.wants_refine, second.active_seconds) == (True, False, 90)
    assert not ReviewRating.objects.exists(), "ratings of a draft do not count"
    assert not FeedbackExample.objects.exists()


@pytest.mark.usefixtures("lease")
def test_saving_the_same_again_makes_no_revision_but_counts_the_time(
    cast: make.Cast, item: QueueItem
) -> None:
    save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    again = save_draft(
        item=item, answers=replace(WHOLE, active_seconds=120), reviewer=cast.reviewer, base_revision=0
    )
    again.refresh_from_db()
    assert (again.revision, again.active_seconds) == (1, 120)


@pytest.mark.usefixtures("lease")
def test_a_stale_tab_is_told_so_and_may_choose(cast: make.Cast, item: QueueItem) -> None:
    """Both tabs loaded revision 0; the other one saved."""
    save_draft(item=item, answers=Answers(edited_text="theirs"), reviewer=cast.reviewer, base_revision=0)
    with pytest.raises(StaleDraft) as refused:
        save_draft(item=item, answers=Answers(edited_text="mine"), reviewer=cast.reviewer, base_revision=0)
    assert refused.value.answer.edited_text == "theirs"
    assert refused.value.status == 409
    kept = save_draft(
        item=item,
        answers=Answers(edited_text="mine"),
        reviewer=cast.reviewer,
        base_revision=0,
        overwrite=True,
    )
    assert (kept.edited_text, kept.revision) == ("mine", 2)


@pytest.mark.usefixtures("lease")
def test_a_stale_tab_cannot_submit_over_the_newer_draft(cast: make.Cast, item: QueueItem) -> None:
    save_draft(item=item, answers=Answers(edited_text="newer"), reviewer=cast.reviewer, base_revision=0)
    with pytest.raises(StaleDraft):
        submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    assert Review.objects.get().edited_text == "newer"
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)


def test_what_is_typed_after_the_lease_ran_out_is_kept(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem, lease: Lease
) -> None:
    expire(lease)
    theirs = claimed(queue, cast.another_reviewer)
    assert theirs.assignment == lease.assignment
    draft = save_draft(
        item=item, answers=Answers(edited_text="typed"), reviewer=cast.reviewer, base_revision=0
    )
    assert draft.edited_text == "typed"
    submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    assert Review.objects.get(reviewer=cast.reviewer).edited_text == "typed"


def test_who_never_held_an_item_can_neither_save_nor_submit(cast: make.Cast, item: QueueItem) -> None:
    with pytest.raises(StaleState, match="do not have"):
        save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    with pytest.raises(StaleState, match="do not have"):
        submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    assert not Review.objects.exists()
    assert Assignment.objects.get().state == "free"


@pytest.mark.usefixtures("lease")
def test_text_is_cleaned_but_an_untouched_summary_is_no_edit(cast: make.Cast) -> None:
    odd = make.summary(text="Cafe\u0301 du  Port\u00a0closes in nine months, they say .")
    item = make.queue_item(of=odd)
    assert claims.hold(item=item, reviewer=cast.reviewer) is not None
    answers = replace(WHOLE, verdict="fair", edited_text=odd.text, comment="a\x00b\r\nc")
    review = submit_review(item=item, answers=answers, reviewer=cast.reviewer)
    assert review.edited_text == odd.text
    assert review.comment == "ab\nc"
    assert not FeedbackExample.objects.filter(review=review).exists(), (
        "nothing was changed, and it is only fair"
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stars": 99}, "stars"),
        ({"stars": 0}, "stars"),
        ({"ratings": {**RATINGS, "consistency": 99}}, "consistency"),
        ({"ratings": {**RATINGS, "fluency": 0}}, "fluency"),
        ({"ratings": {**RATINGS, "beauty": 3}}, "beauty"),
        ({"verdict": "excellent"}, "verdict"),
        ({"edited_text": "x" * (Review.LONGEST_EDIT_CHARACTERS + 1)}, "edited_text"),
        ({"comment": "x" * (Review.LONGEST_COMMENT_CHARACTERS + 1)}, "comment"),
        ({"rubric": 999_999}, "rubric"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.usefixtures("lease")
def test_what_is_out_of_range_gets_into_neither_draft_nor_review(
    cast: make.Cast, item: QueueItem, change: dict[str, Any], field: str
) -> None:
    for act in (
        lambda answers: save_draft(item=item, answers=answers, reviewer=cast.reviewer, base_revision=0),
        lambda answers: submit_review(item=item, answers=answers, reviewer=cast.reviewer),
    ):
        with pytest.raises(InvalidInput) as refused:
            act(replace(WHOLE, **change))
        assert field in refused.value.fields
    assert not Review.objects.filter(revision__gt=0).exists()


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"ratings": {"consistency": 3}}, {"relevance", "coherence", "fluency"}),
        ({"edited_text": " \n\u200b "}, {"edited_text"}),
    ],
    ids=["ratings", "text"],
)
@pytest.mark.usefixtures("lease")
def test_an_answer_that_is_not_whole_is_refused_at_each_field(
    cast: make.Cast, item: QueueItem, change: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit_review(item=item, answers=replace(WHOLE, **change), reviewer=cast.reviewer)
    assert set(refused.value.fields) == fields
    assert refused.value.status == 422


@pytest.mark.usefixtures("lease")
def test_an_empty_answer_names_all_that_is_missing(cast: make.Cast, item: QueueItem) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit_review(item=item, answers=Answers(), reviewer=cast.reviewer)
    assert set(refused.value.fields) == {"edited_text", *RATINGS}, "stars and verdict follow from the ratings"


@pytest.mark.usefixtures("lease")
def test_a_role_without_reviewing_is_refused(cast: make.Cast, item: QueueItem) -> None:
    for person in (cast.stranger, cast.approver):
        with pytest.raises(NotAllowed):
            submit_review(item=item, answers=WHOLE, reviewer=person)
        with pytest.raises(NotAllowed):
            save_draft(item=item, answers=WHOLE, reviewer=person, base_revision=0)


# ---------------------------------------------------------------- submitting


def test_a_submit_closes_the_assignment_and_the_item_and_is_recorded(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    lease.assignment.refresh_from_db()
    item.refresh_from_db()
    assert (lease.assignment.state, lease.assignment.reviewer, item.state) == ("done", cast.reviewer, "done")
    assert dict(review.rating_rows.values_list("criterion__key", "value")) == RATINGS
    revision = review.revisions.get()
    assert (revision.number, revision.data["stars"], revision.data["ratings"]) == (
        review.revision,
        2,
        RATINGS,
    )
    event = AuditEvent.objects.get(action="review.submit")
    assert (event.subject, event.actor, event.data["late"]) == (f"review:{review.pk}", cast.reviewer, False)


@pytest.mark.usefixtures("lease")
def test_the_comment_is_read_for_sentiment_and_class(cast: make.Cast, item: QueueItem) -> None:
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    review.refresh_from_db()
    assert (review.sentiment, review.category) == ("negative", "factual error")
    assert review.sentiment_score is not None
    assert review.sentiment_score < 0


@pytest.mark.usefixtures("lease")
def test_a_correction_proposes_what_it_teaches(cast: make.Cast, item: QueueItem) -> None:
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    examples = {example.kind: example for example in FeedbackExample.objects.all()}
    assert examples["demonstration"].target == WHOLE.edited_text
    assert examples["preference"].rejected == item.summary.text
    assert {example.state for example in examples.values()} == {"proposed"}


@pytest.mark.usefixtures("lease")
def test_two_submits_of_one_assignment_give_one_review(cast: make.Cast, item: QueueItem) -> None:
    first = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    again = submit_review(
        item=item, answers=replace(WHOLE, active_seconds=95), reviewer=cast.reviewer, base_revision=0
    )
    assert (again.pk, again.revision) == (first.pk, first.revision)
    assert AuditEvent.objects.filter(action="review.submit").count() == 1
    assert FeedbackExample.objects.count() == 2


@pytest.mark.usefixtures("lease")
def test_a_second_submit_with_other_answers_is_not_silently_dropped(cast: make.Cast, item: QueueItem) -> None:
    first = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    other = replace(WHOLE, comment="Now I see another fault.")
    with pytest.raises(AlreadySubmitted) as refused:
        submit_review(item=item, answers=other, reviewer=cast.reviewer)
    assert refused.value.answer == first
    with pytest.raises(AlreadySubmitted):
        save_draft(item=item, answers=other, reviewer=cast.reviewer, base_revision=1)
    assert save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0) == first, (
        "an autosave that was overtaken by its submit"
    )


def test_late_work_is_kept_as_an_extra_review(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem, lease: Lease
) -> None:
    save_draft(item=item, answers=Answers(edited_text="typed"), reviewer=cast.reviewer, base_revision=0)
    expire(lease)
    claimed(queue, cast.another_reviewer)
    on_time = submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    late = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)
    assert (on_time.late, late.late, late.state) == (False, True, "submitted")
    assert Assignment.objects.filter(item=item, state="done").count() == 1
    item.refresh_from_db()
    assert item.state == "done"


def test_late_work_takes_an_assignment_that_is_still_free(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    save_draft(item=item, answers=Answers(edited_text="typed"), reviewer=cast.reviewer, base_revision=0)
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=cast.reviewer)
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)
    assert not review.late
    assert Assignment.objects.get(item=item).state == "done"


def test_an_expired_lease_that_nobody_took_is_still_mine(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    expire(lease)
    assert not submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer).late


@pytest.mark.usefixtures("lease")
def test_a_finished_item_takes_no_answer_from_others(cast: make.Cast, item: QueueItem) -> None:
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    with pytest.raises(StaleState, match="do not have"):
        submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    assert Review.objects.count() == 1


@pytest.mark.usefixtures("cast")
def test_an_item_is_done_when_all_its_reviews_are_in(cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    claimed(queue, cast.another_reviewer)
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    item.refresh_from_db()
    assert item.state == "open"
    submit_review(item=item, answers=WHOLE, reviewer=cast.another_reviewer)
    item.refresh_from_db()
    assert item.state == "done"


def test_submitting_closes_my_assignment_also_where_another_tab_took_it_again(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    Assignment.objects.filter(pk=lease.assignment.pk).update(lease_token=uuid.uuid4())
    assert not submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer).late
    assert Assignment.objects.get(item=item).state == "done"


@pytest.mark.usefixtures("lease")
def test_a_deactivated_reviewer_loses_the_right_but_not_the_draft(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem, lease: Lease
) -> None:
    save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    cast.reviewer.is_active = False
    cast.reviewer.save()
    with pytest.raises(NotAllowed):
        submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    expire(lease)
    assert claimed(queue, cast.another_reviewer).assignment.item == item
    assert Review.objects.get(reviewer=cast.reviewer).comment == WHOLE.comment


@pytest.mark.usefixtures("lease")
def test_a_test_document_is_reviewed_but_teaches_nothing(cast: make.Cast) -> None:
    item = make.queue_item(of=make.summary(of=make.document(split="test")))
    assert claims.hold(item=item, reviewer=cast.reviewer) is not None
    submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    examples = FeedbackExample.objects.filter(document=item.summary.document)
    assert {(example.state, "Test document" in example.reason) for example in examples} == {
        ("declined", True)
    }


# ---------------------------------------------------------------- questions that change


def new_rubric(queue: ReviewQueue) -> RubricVersion:
    rubric = RubricVersion.objects.create(number=2)
    Criterion.objects.create(
        rubric=rubric,
        key="usefulness",
        name="Usefulness",
        question="Of use?",
        anchors=list("abcde"),
        position=0,
    )
    queue.rubric = rubric
    queue.save()
    return rubric


@pytest.mark.usefixtures("lease")
def test_a_draft_keeps_the_questions_it_was_begun_with(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    before = queue.rubric
    save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    new_rubric(queue)
    item.refresh_from_db()
    item = QueueItem.objects.get(pk=item.pk)
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)
    assert review.rubric == before
    assert dict(review.rating_rows.values_list("criterion__key", "value")) == RATINGS


@pytest.mark.usefixtures("lease")
def test_a_page_that_was_open_answers_the_questions_it_showed(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    shown = queue.rubric_id
    new = new_rubric(queue)
    item = QueueItem.objects.get(pk=item.pk)
    with pytest.raises(InvalidInput):
        submit_review(item=item, answers=replace(WHOLE, rubric=new.pk), reviewer=cast.reviewer)
    review = submit_review(item=item, answers=replace(WHOLE, rubric=shown), reviewer=cast.reviewer)
    assert review.rubric_id == shown


# ---------------------------------------------------------------- correcting what was submitted


@pytest.mark.usefixtures("lease")
def test_a_handed_in_review_can_be_corrected_and_the_earlier_one_stays(
    cast: make.Cast, item: QueueItem
) -> None:
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    at = review.submitted_at
    better = replace(WHOLE, stars=3, ratings={**RATINGS, "consistency": 3})
    revised = revise_review(item=review.item, answers=better, reviewer=cast.reviewer)
    assert (revised.stars, revised.revision, revised.submitted_at) == (3, review.revision + 1, at)
    assert [revision.data["stars"] for revision in revised.revisions.all()] == [2, 3]
    assert revised.rating_rows.get(criterion__key="consistency").value == 3
    assert AuditEvent.objects.filter(action="review.revise").count() == 1
    revise_review(item=review.item, answers=better, reviewer=cast.reviewer)
    assert revised.revisions.count() == 2, "the same again is no correction"


@pytest.mark.usefixtures("lease")
def test_a_correction_takes_back_what_was_approved_with_the_earlier_text(
    cast: make.Cast, item: QueueItem
) -> None:
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    FeedbackExample.objects.filter(review=review).update(
        state="approved", decided_by=cast.ml_engineer, decided_at=timezone.now()
    )
    revise_review(
        item=review.item,
        answers=replace(WHOLE, edited_text="A better text of five words."),
        reviewer=cast.reviewer,
    )
    rows = FeedbackExample.objects.filter(review=review, kind="demonstration").order_by("pk")
    assert [(row.state, row.target) for row in rows] == [
        ("declined", WHOLE.edited_text), ("proposed", "A better text of five words."),
    ]  # fmt: skip
    assert "corrected this review" in rows[0].reason


@pytest.mark.usefixtures("lease")
def test_a_correction_of_the_stars_alone_leaves_decisions_as_they_are(
    cast: make.Cast, item: QueueItem
) -> None:
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    FeedbackExample.objects.filter(review=review, kind="demonstration").update(
        state="declined", reason="Too long.", decided_by=cast.ml_engineer
    )
    FeedbackExample.objects.filter(review=review, kind="preference").update(
        state="approved", decided_by=cast.ml_engineer
    )
    revise_review(item=review.item, answers=replace(WHOLE, stars=1), reviewer=cast.reviewer)
    assert dict(FeedbackExample.objects.filter(review=review).values_list("kind", "state")) == {
        "demonstration": "declined", "preference": "approved",
    }  # fmt: skip


@pytest.mark.usefixtures("lease")
def test_only_its_author_corrects_a_review_and_only_once_it_is_submitted(
    cast: make.Cast, item: QueueItem
) -> None:
    draft = save_draft(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    with pytest.raises(StaleState, match="not been submitted"):
        revise_review(item=draft.item, answers=WHOLE, reviewer=cast.reviewer)
    review = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer)
    with pytest.raises(StaleState):
        revise_review(item=review.item, answers=WHOLE, reviewer=cast.another_reviewer)
    with pytest.raises(InvalidInput):
        revise_review(
            item=review.item, answers=replace(WHOLE, ratings={"fluency": 3}), reviewer=cast.reviewer
        )


# ---------------------------------------------------------------- at the same instant


@pytest.mark.django_db(transaction=True)
def test_a_submit_sent_six_times_at_once_makes_one_review() -> None:
    queue = make.queue()
    reviewer = make.user("rita", "reviewer")
    item = make.queue_item(in_queue=queue)
    claimed(queue, reviewer)
    results = at_once(
        *(lambda: submit_review(item=item, answers=WHOLE, reviewer=reviewer).pk for _ in range(6))
    )
    assert len(set(results)) == 1
    assert AuditEvent.objects.filter(action="review.submit").count() == 1
    assert FeedbackExample.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_last_two_reviews_submitted_at_once_finish_the_item() -> None:
    queue = make.queue(reviews_per_item=4)
    people = [make.user(f"reviewer{number}", "reviewer") for number in range(4)]
    for _ in range(5):
        item = make.queue_item(in_queue=queue)
        for person in people:
            claimed(queue, person)
        acts: list[Callable[[], Any]] = [
            lambda person=person, item=item: submit_review(item=item, answers=WHOLE, reviewer=person)  # type: ignore[misc]
            for person in people
        ]
        at_once(*acts)
        item.refresh_from_db()
        assert item.state == "done"


@pytest.mark.django_db(transaction=True)
def test_two_tabs_that_save_at_once_end_with_one_draft_and_one_warning() -> None:
    queue = make.queue()
    reviewer = make.user("rita", "reviewer")
    item = make.queue_item(in_queue=queue)
    claimed(queue, reviewer)

    def save(text: str) -> str:
        try:
            save_draft(item=item, answers=Answers(edited_text=text), reviewer=reviewer, base_revision=0)
        except StaleDraft:
            return "warned"
        return "saved"

    assert sorted(at_once(lambda: save("one"), lambda: save("two"))) == ["saved", "warned"]
    assert Review.objects.get().edited_text in ("one", "two")


def test_time_does_not_run_backwards_nor_past_a_working_day(
    cast: make.Cast, item: QueueItem, lease: Lease
) -> None:
    save_draft(
        item=item, answers=replace(WHOLE, active_seconds=10**9), reviewer=cast.reviewer, base_revision=0
    )
    draft = save_draft(
        item=item, answers=replace(WHOLE, stars=3, active_seconds=5), reviewer=cast.reviewer, base_revision=1
    )
    assert timedelta(seconds=draft.active_seconds) == timedelta(hours=8)


@pytest.mark.django_db(transaction=True)
def test_a_first_save_of_another_tab_in_the_midst_of_a_submit_makes_it_stale_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between looking for a review of mine and writing the first one."""
    cast, queue = make.cast(), make.queue()
    make.queue_item(in_queue=queue)
    lease = claims.claim_next(queue=queue, reviewer=cast.reviewer)
    assert lease is not None
    item, begin = lease.assignment.item, reviews.REVIEWS.begun

    def meanwhile(*given: Any) -> Review:
        at_once(
            lambda: Review.objects.create(
                item=item, summary=item.summary, reviewer=cast.reviewer, rubric=queue.rubric, comment="Typed.",
                edited_text="Typed there.", revision=1,
            )
        )  # fmt: skip
        return begin(*given)

    monkeypatch.setattr(reviews.REVIEWS, "begun", meanwhile)
    with pytest.raises(StaleDraft) as refused:
        submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=0)
    assert (refused.value.answer.comment, refused.value.answer.edited_text) == ("Typed.", "Typed there.")
    assert Assignment.objects.get(item=item, reviewer=cast.reviewer).state == "held"
    monkeypatch.undo()
    done = submit_review(item=item, answers=WHOLE, reviewer=cast.reviewer, base_revision=1)
    assert (done.state, done.revision) == ("submitted", 2)
