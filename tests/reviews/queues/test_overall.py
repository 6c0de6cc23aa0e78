"""Stars and verdict that nobody chose: the rounding, and who computes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reviews.desk import claims
from reviews.desk.reviews import Answers, save_draft, submit_review
from reviews.models import QueueItem
from reviews.queues.overall import stars_of, verdict_of
from tests import make

RATINGS = {"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5}
DERIVED = Answers(ratings=RATINGS, edited_text="The pier of Nordhaven closes for nine months.")


@pytest.mark.parametrize(
    ("ratings", "stars", "verdict"),
    [
        ([1], 1, "poor"), ([1, 2], 2, "poor"), ([2, 2, 2, 3], 2, "poor"), ([2, 3], 3, "fair"),
        ([3, 3, 4, 3], 3, "fair"), ([3, 4, 3, 4], 4, "good"), ([4, 5, 4, 5], 5, "good"), ([5, 5], 5, "good"),
    ],
)  # fmt: skip
def test_the_mean_is_rounded_half_up(ratings: list[int], stars: int, verdict: str) -> None:
    assert (stars_of(ratings), verdict_of(stars_of(ratings))) == (stars, verdict)


def test_no_ratings_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no ratings"):
        stars_of([])


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    item = make.queue_item(in_queue=make.queue())
    assert claims.hold(item=item, reviewer=cast.reviewer) is not None
    return item


def test_what_nobody_chose_is_what_the_ratings_come_to(cast: make.Cast, item: QueueItem) -> None:
    review = submit_review(item=item, answers=DERIVED, reviewer=cast.reviewer)
    assert (review.stars, review.verdict, review.overall_from_ratings) == (4, "good", True)
    again = submit_review(item=item, answers=DERIVED, reviewer=cast.reviewer, base_revision=0)
    assert again.revision == review.revision, "the same answers once more"


def test_what_was_chosen_by_hand_stays_and_fills_what_was_left_open(cast: make.Cast, item: QueueItem) -> None:
    review = submit_review(item=item, answers=replace(DERIVED, stars=2), reviewer=cast.reviewer)
    assert (review.stars, review.verdict, review.overall_from_ratings) == (2, "poor", False)


def test_a_verdict_by_hand_goes_with_the_stars_of_the_ratings(cast: make.Cast, item: QueueItem) -> None:
    review = submit_review(item=item, answers=replace(DERIVED, verdict="fair"), reviewer=cast.reviewer)
    assert (review.stars, review.verdict, review.overall_from_ratings) == (4, "fair", False)


def test_a_page_cannot_pass_off_its_own_sum_as_derived(cast: make.Cast, item: QueueItem) -> None:
    claim = replace(DERIVED, stars=1, verdict="poor", overall_from_ratings=True)
    draft = save_draft(item=item, answers=claim, reviewer=cast.reviewer, base_revision=0)
    assert (draft.stars, draft.verdict, draft.overall_from_ratings) == (4, "good", True)
    assert submit_review(item=item, answers=claim, reviewer=cast.reviewer, base_revision=1).stars == 4


def test_a_draft_derives_nothing_before_every_rating_is_there(cast: make.Cast, item: QueueItem) -> None:
    half = replace(DERIVED, ratings={"consistency": 2}, stars=1, overall_from_ratings=True)
    draft = save_draft(item=item, answers=half, reviewer=cast.reviewer, base_revision=0)
    assert (draft.stars, draft.verdict, draft.overall_from_ratings) == (None, "", True)
    by_hand = replace(DERIVED, overall_from_ratings=False)
    draft = save_draft(item=item, answers=by_hand, reviewer=cast.reviewer, base_revision=1)
    assert (draft.stars, draft.verdict, draft.overall_from_ratings) == (None, "", False)
