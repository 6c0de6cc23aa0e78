"""Disputes: when an item is one, what waits meanwhile, who may resolve it, and what counts afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims
from reviews.desk.reviews import Answers, revise_review, submit_review
from reviews.examples.decisions import approve_example, decline_example
from reviews.examples.proposals import propose_from_review
from reviews.models import Adjudication, FeedbackExample, QueueItem, Review, ReviewQueue
from reviews.quality.adjudication import (
    RESOLVED,
    Ruling,
    keep_in_step,
    objection,
    resolve_dispute,
    set_dispute_points,
)
from reviews.quality.disagreement import Given, differences, disagreement
from reviews.quality.disputes import dispute_of
from reviews.queues.settings import Question, create_rubric_version
from tests import make
from tests.reviews.desk.test_claims import at_once

RATINGS = {"consistency": 4, "relevance": 4, "coherence": 5, "fluency": 5}
DRAFT = "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
FIXED = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."
GOOD = Answers(stars=5, verdict="good", ratings=RATINGS, edited_text=DRAFT)
POOR = Answers(stars=2, verdict="poor", ratings={**RATINGS, "consistency": 1}, edited_text=FIXED)
TAUGHT_OPPOSITE = "One corrected it, another found it good as it was"
RULING = Ruling(
    stars=2, verdict="poor", ratings={**RATINGS, "consistency": 2}, edited_text=FIXED,
    explanation="The article says 140 piles.",
)  # fmt: skip


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return make.queue(reviews_per_item=2)


@pytest.fixture
def item(queue: ReviewQueue) -> QueueItem:
    return make.queue_item(in_queue=queue, wanted_reviews=2)


def reviewed(item: QueueItem, reviewer: Any, answers: Answers) -> Review:
    assert claims.hold(item=item, reviewer=reviewer) is not None
    return submit_review(item=item, answers=answers, reviewer=reviewer)


def disputed(item: QueueItem, cast: make.Cast, one: Answers = GOOD, other: Answers = POOR) -> list[Review]:
    reviews = [reviewed(item, cast.reviewer, one), reviewed(item, cast.another_reviewer, other)]
    item.refresh_from_db()
    return reviews


def seen(*reviews: Review) -> dict[int, int]:
    return {review.pk: review.revision for review in reviews}


# ---------------------------------------------------------------- how far apart


def test_disagreement_is_none_for_one_nothing_for_twins_and_one_for_opposites() -> None:
    low = Given(1, "poor", {"fluency": 1}, "alpha beta")
    high = Given(5, "good", {"fluency": 5}, "gamma delta")
    assert disagreement([low], "draft") is None
    assert disagreement([low, low], "draft") == 0
    assert disagreement([low, high], "draft") == 1
    between = disagreement([low, low, high], "draft")
    assert between == pytest.approx(2 / 3), "the mean over each two"


def test_a_question_that_only_one_rubric_has_is_left_out() -> None:
    one = Given(3, "fair", {"fluency": 1}, "x")
    assert disagreement([one, Given(3, "fair", {"tone": 5}, "x")], "x") == 0


@pytest.mark.parametrize(
    ("one", "other", "points", "said"),
    [
        (Given(2, "fair", {}, DRAFT), Given(4, "fair", {}, DRAFT), 2, "Stars from 2 to 4"),
        (Given(2, "fair", {}, DRAFT), Given(4, "fair", {}, DRAFT), 3, ""),
        (Given(3, "fair", {"fluency": 1}, DRAFT), Given(3, "fair", {"fluency": 3}, DRAFT), 2, "Fluency from 1 to 3"),
        (Given(3, "poor", {}, DRAFT), Given(4, "good", {}, DRAFT), 4, "Good for one, poor for another"),
        (Given(4, "good", {}, DRAFT), Given(4, "fair", {}, FIXED), 2, TAUGHT_OPPOSITE),
        (Given(4, "good", {}, DRAFT), Given(4, "fair", {}, DRAFT.replace(". 4", "; 4")), 2, ""),
        (Given(4, "fair", {}, DRAFT), Given(4, "fair", {}, FIXED), 2, ""),
        (Given(1, "poor", {"fluency": 1}, FIXED), Given(5, "good", {"fluency": 5}, DRAFT), 0, ""),
    ],
)  # fmt: skip
def test_what_makes_a_dispute(one: Given, other: Given, points: int, said: str) -> None:
    assert "; ".join(differences([one, other], DRAFT, points=points)) == said


# ---------------------------------------------------------------- becoming one, and no longer being one


def test_the_last_wanted_review_makes_a_dispute_and_holds_what_both_would_teach(
    cast: make.Cast, item: QueueItem
) -> None:
    reviewed(item, cast.reviewer, GOOD)
    item.refresh_from_db()
    assert (item.state, item.disagreement) == ("open", None)
    assert FeedbackExample.objects.get().state == "proposed"
    reviewed(item, cast.another_reviewer, POOR)
    item.refresh_from_db()
    assert item.state == "disputed"
    assert item.disagreement == pytest.approx((3 / 4 + 1 + 3 / 4 + 2 / 26) / 7, abs=0.001)
    assert set(FeedbackExample.objects.values_list("state", flat=True)) == {"held"}
    event = AuditEvent.objects.get(action="item.dispute")
    assert (event.from_state, event.to_state) == ("done", "disputed")
    assert "Stars from 2 to 5" in event.reason
    for example in FeedbackExample.objects.all():
        with pytest.raises(Refused, match="reviewers differ"):
            approve_example(example=example, actor=cast.ml_engineer)
        with pytest.raises(Refused, match="reviewers differ"):
            decline_example(example=example, actor=cast.ml_engineer, reason="no")


def test_reviewers_who_agree_make_no_dispute(cast: make.Cast, item: QueueItem) -> None:
    disputed(item, cast, GOOD, replace(GOOD, stars=4))
    assert item.state == "done"
    assert item.disagreement == pytest.approx(1 / 4 / 7)
    assert not FeedbackExample.objects.filter(state="held").exists()


def test_a_queue_may_have_no_disputes(cast: make.Cast, queue: ReviewQueue, item: QueueItem) -> None:
    set_dispute_points(queue=queue, points=0, actor=cast.ml_engineer)
    disputed(item, cast)
    assert item.state == "done"
    assert item.disagreement is not None, "the order of queues still has it"
    with pytest.raises(InvalidInput):
        set_dispute_points(queue=queue, points=5, actor=cast.ml_engineer)
    with pytest.raises(NotAllowed):
        set_dispute_points(queue=queue, points=2, actor=cast.reviewer)


def test_a_correction_that_comes_closer_ends_the_dispute(cast: make.Cast, item: QueueItem) -> None:
    good, _ = disputed(item, cast)
    revise_review(
        item=good.item, answers=replace(POOR, stars=1), reviewer=cast.reviewer, base_revision=good.revision
    )
    item.refresh_from_db()
    assert item.state == "done"
    assert set(FeedbackExample.objects.values_list("state", flat=True)) == {"proposed"}
    assert AuditEvent.objects.filter(action="item.agree").count() == 1
    keep_in_step(item=item)
    assert AuditEvent.objects.filter(action__startswith="item.").count() == 2, "looking again changes nothing"


def test_a_correction_that_goes_further_apart_makes_one(cast: make.Cast, item: QueueItem) -> None:
    one, _ = disputed(item, cast, replace(POOR, verdict="fair"), POOR)
    assert item.state == "done"
    revise_review(item=one.item, answers=GOOD, reviewer=cast.reviewer, base_revision=one.revision)
    item.refresh_from_db()
    assert item.state == "disputed"


# ---------------------------------------------------------------- resolving


def test_resolving_replaces_what_the_reviews_would_teach(cast: make.Cast, item: QueueItem) -> None:
    first = reviewed(item, cast.reviewer, GOOD)
    approved = FeedbackExample.objects.get(review=first)
    approve_example(example=approved, actor=cast.ml_engineer)
    second = reviewed(item, cast.another_reviewer, POOR)
    item.refresh_from_db()
    made = resolve_dispute(item=item, ruling=RULING, seen=seen(first, second), actor=cast.ml_engineer)
    item.refresh_from_db()
    assert item.state == "done"
    assert (made.stars, made.verdict, made.edited_text, made.explanation) == (
        2, "poor", FIXED, "The article says 140 piles.",
    )  # fmt: skip
    assert {row["review"] for row in made.reviews} == {first.pk, second.pk}
    theirs = FeedbackExample.objects.filter(review__isnull=False)
    assert set(theirs.values_list("state", "reason")) == {("declined", RESOLVED)}, "the approved one too"
    ours = FeedbackExample.objects.filter(adjudication=made).order_by("kind")
    assert [(row.kind, row.state, row.origin, row.target) for row in ours] == [
        ("demonstration", "proposed", "adjudication", FIXED),
        ("preference", "proposed", "adjudication", FIXED),
    ]
    approve_example(example=ours[0], actor=cast.administrator)
    event = AuditEvent.objects.get(action="item.resolve")
    assert (event.actor, event.to_state, event.data["adjudication"]) == (cast.ml_engineer, "done", made.pk)


def test_a_dispute_is_resolved_by_the_questions_that_its_reviewers_answered(
    cast: make.Cast, queue: ReviewQueue, item: QueueItem
) -> None:
    reviews = disputed(item, cast)
    asked = queue.rubric
    newer = create_rubric_version(
        instructions="", questions=[Question("Tone", "Does it fit?", ("1", "2", "3", "4", "5"))], actor=None
    )
    ReviewQueue.objects.filter(pk=queue.pk).update(rubric=newer)
    item = QueueItem.objects.get(pk=item.pk)
    assert {line.key for line in dispute_of(item).lines} == {*RATINGS, "verdict", "stars"}
    made = resolve_dispute(item=item, ruling=RULING, seen=seen(*reviews), actor=cast.ml_engineer)
    assert made.rubric == asked


def test_a_review_corrected_after_the_ruling_teaches_nothing(cast: make.Cast, item: QueueItem) -> None:
    good, poor = disputed(item, cast)
    resolve_dispute(item=item, ruling=RULING, seen=seen(good, poor), actor=cast.ml_engineer)
    revise_review(
        item=good.item, answers=replace(GOOD, stars=4), reviewer=cast.reviewer, base_revision=good.revision
    )
    item.refresh_from_db()
    assert item.state == "done"
    assert not FeedbackExample.objects.filter(review=good).exclude(state="declined").exists()


def test_nobody_resolves_what_they_had_a_part_in(cast: make.Cast, queue: ReviewQueue) -> None:
    """One who reviewed it, one who sits at it, and one whose text it is."""
    item = make.queue_item(in_queue=queue, wanted_reviews=2)
    good, poor = (
        reviewed(item, cast.ml_engineer, GOOD),
        reviewed(item, cast.another_reviewer, POOR),
    )
    item.refresh_from_db()
    assert objection(item=item, actor=cast.ml_engineer)
    with pytest.raises(Refused) as refused:
        resolve_dispute(item=item, ruling=RULING, seen=seen(good, poor), actor=cast.ml_engineer)
    assert refused.value.code == "own_work"
    assert not objection(item=item, actor=cast.administrator)
    FeedbackExample.objects.create(
        kind="demonstration", origin="client", document=item.summary.document, summary=item.summary,
        target="Another text of five words.", created_by=cast.administrator,
    )  # fmt: skip
    assert objection(item=item, actor=cast.administrator)


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_only_who_manages_queues_resolves(cast: make.Cast, item: QueueItem, who: str) -> None:
    reviews = disputed(item, cast)
    with pytest.raises(NotAllowed):
        resolve_dispute(item=item, ruling=RULING, seen=seen(*reviews), actor=getattr(cast, who))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stars": None}, "stars"),
        ({"stars": 6}, "stars"),
        ({"verdict": "nice"}, "verdict"),
        ({"ratings": {**RATINGS, "consistency": 0}}, "consistency"),
        ({"ratings": {**RATINGS, "taste": 3}}, "taste"),
        ({"edited_text": " \n"}, "edited_text"),
        ({"explanation": " "}, "explanation"),
        ({"explanation": "x" * 4001}, "explanation"),
    ],
)
def test_a_ruling_is_whole_or_refused_by_its_field(
    cast: make.Cast, item: QueueItem, change: dict[str, Any], field: str
) -> None:
    reviews = disputed(item, cast)
    with pytest.raises(InvalidInput) as refused:
        resolve_dispute(
            item=item, ruling=replace(RULING, **change), seen=seen(*reviews), actor=cast.ml_engineer
        )
    assert set(refused.value.fields) == {field}
    assert not Adjudication.objects.exists()
    assert FeedbackExample.objects.filter(state="held").count() == 3


def test_an_answer_corrected_while_somebody_decides_is_not_overlooked(
    cast: make.Cast, item: QueueItem
) -> None:
    good, poor = disputed(item, cast)
    shown = seen(good, poor)
    revise_review(
        item=poor.item, answers=replace(POOR, stars=1), reviewer=cast.another_reviewer, base_revision=poor.revision
    )  # fmt: skip
    with pytest.raises(StaleState, match="corrected"):
        resolve_dispute(item=item, ruling=RULING, seen=shown, actor=cast.ml_engineer)


def test_an_item_that_is_not_disputed_cannot_be_resolved(cast: make.Cast, item: QueueItem) -> None:
    review = reviewed(item, cast.reviewer, GOOD)
    with pytest.raises(StaleState):
        resolve_dispute(item=item, ruling=RULING, seen=seen(review), actor=cast.ml_engineer)


def test_what_was_proposed_for_a_resolved_item_is_not_proposed_again(
    cast: make.Cast, item: QueueItem
) -> None:
    good, poor = disputed(item, cast)
    resolve_dispute(item=item, ruling=RULING, seen=seen(good, poor), actor=cast.ml_engineer)
    assert propose_from_review(review=Review.objects.get(pk=good.pk)) == []


@pytest.mark.django_db(transaction=True)
def test_of_two_who_resolve_at_once_one_is_told() -> None:
    cast = make.cast()
    item = make.queue_item(in_queue=make.queue(reviews_per_item=2), wanted_reviews=2)
    reviews = disputed(item, cast)
    shown = seen(*reviews)

    def attempt(actor: Any) -> str:
        try:
            resolve_dispute(item=item, ruling=RULING, seen=shown, actor=actor)
        except StaleState:
            return "told"
        return "resolved"

    assert sorted(at_once(lambda: attempt(cast.ml_engineer), lambda: attempt(cast.administrator))) == [
        "resolved",
        "told",
    ]
    assert Adjudication.objects.count() == 1
