"""Gold items: mixed in without a word, explained in a round, judged by the first answer, and taught from by nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims
from reviews.desk.reviews import Answers, revise_review, submit_review
from reviews.models import (
    Assignment,
    FeedbackExample,
    GoldAnswer,
    Grounding,
    QueueItem,
    Review,
    ReviewQueue,
    Summary,
)
from reviews.quality import gold
from reviews.quality.gold import Known, is_turn, mark_gold
from tests import make
from tests.reviews.desk.test_claims import at_once

RATINGS = {"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5}
KNOWN = Known(
    stars=2, verdict="poor", ratings=RATINGS, tolerance=1, explanation="The article says 140 piles, not 410."
)
FIXED = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."
ANSWERS = Answers(stars=2, verdict="poor", ratings=RATINGS, edited_text=FIXED)


def golden(queue: ReviewQueue, actor: User, n: int = 1, **change: Any) -> list[GoldAnswer]:
    known = replace(KNOWN, **change)
    return [
        mark_gold(summary=make.summary(), rubric=queue.rubric, known=known, actor=actor) for _ in range(n)
    ]


def worked(queue: ReviewQueue, reviewer: User, n: int) -> list[QueueItem]:
    """The next items that this reviewer is given, all answered."""
    items = []
    for _ in range(n):
        lease = claims.claim_next(queue=queue, reviewer=reviewer)
        if lease is None:
            break
        submit_review(item=lease.assignment.item, answers=ANSWERS, reviewer=reviewer)
        items.append(lease.assignment.item)
    return items


# ---------------------------------------------------------------- whose turn it is


def test_each_hundred_holds_exactly_the_share_and_nobody_can_count_them_out() -> None:
    turns = [[place for place in range(1000) if is_turn(place, 7, seed)] for seed in ("1:1", "1:2")]
    for places in turns:
        assert Counter(place // 100 for place in places) == dict.fromkeys(range(10), 7)
        gaps = {later - earlier for earlier, later in pairwise(places)}
        assert len(gaps) > 10
    assert turns[0] != turns[1]
    assert turns[0] == [place for place in range(1000) if is_turn(place, 7, "1:1")]
    assert not any(is_turn(place, 0, "1:1") for place in range(100))


# ---------------------------------------------------------------- mixed in


def test_gold_is_mixed_into_the_work_at_its_share(cast: make.Cast, queue: ReviewQueue) -> None:
    golden(queue, cast.ml_engineer, 20)
    gold.set_gold_percent(queue=queue, percent=50, actor=cast.ml_engineer)
    queue.refresh_from_db()
    for _ in range(20):
        make.queue_item(in_queue=queue)
    items = worked(queue, cast.reviewer, 20)
    expected = [is_turn(place, 50, f"{queue.pk}:{cast.reviewer.pk}") for place in range(20)]
    assert [item.reason == "gold item" for item in items] == expected
    assert len({item.summary_id for item in items}) == 20, "nobody gets one twice"
    assert not FeedbackExample.objects.filter(review__item__reason="gold item").exists()
    assert FeedbackExample.objects.exists(), "the others teach as ever"
    assert not QueueItem.objects.filter(reason="gold item", state="disputed").exists()


def test_all_reviewers_answer_the_same_gold_item_and_no_assignment_is_left_over(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    golden(queue, cast.ml_engineer)
    ReviewQueue.objects.filter(pk=queue.pk).update(gold_percent=50)
    queue.refresh_from_db()
    for person in (cast.reviewer, cast.another_reviewer):
        turn = next(n for n in range(100) if is_turn(n, 50, f"{queue.pk}:{person.pk}"))
        for _ in range(turn):
            make.queue_item(in_queue=queue)
        worked(queue, person, turn + 1)
    item = QueueItem.objects.get(reason="gold item")
    assert {review.reviewer for review in item.reviews.all()} == {cast.reviewer, cast.another_reviewer}
    assert set(item.assignments.values_list("state", flat=True)) == {"done"}
    assert item.state == "done"
    assert item.disagreement is None


def test_nobody_is_asked_for_what_they_wrote_answered_or_passed_by(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    known = golden(queue, cast.ml_engineer)[0]
    ReviewQueue.objects.filter(pk=queue.pk).update(gold_percent=50)
    queue.refresh_from_db()
    place = next(n for n in range(100) if is_turn(n, 50, f"{queue.pk}:{cast.reviewer.pk}"))
    for _ in range(20):
        make.queue_item(in_queue=queue)
    assert not any(item.reason == "gold item" for item in worked(queue, cast.ml_engineer, 6))
    worked(queue, cast.reviewer, place)
    lease = claims.claim_next(queue=queue, reviewer=cast.reviewer)
    assert lease is not None
    assert lease.assignment.item.summary_id == known.summary_id
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    lease = claims.claim_next(queue=queue, reviewer=cast.reviewer)
    assert lease is not None
    assert lease.assignment.item.reason != "gold item"


def test_a_queue_without_gold_pays_nothing_for_it(
    cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    golden(queue, cast.ml_engineer)
    with django_assert_num_queries(0):
        assert gold.due(queue=queue, reviewer=cast.reviewer) is None


@pytest.mark.django_db(transaction=True)
def test_many_who_get_their_first_gold_item_at_once_each_have_an_assignment() -> None:
    cast, queue = make.cast(), make.queue()
    people = [make.user(f"r{n}", "reviewer") for n in range(24)]
    golden(queue, cast.ml_engineer)
    ReviewQueue.objects.filter(pk=queue.pk).update(gold_percent=50)
    queue.refresh_from_db()
    first = [person for person in people if is_turn(0, 50, f"{queue.pk}:{person.pk}")][:6]
    leases = at_once(
        *(lambda person=person: claims.claim_next(queue=queue, reviewer=person) for person in first)
    )
    assert len(first) > 1
    assert {lease.assignment.item.reason for lease in leases} == {"gold item"}
    assert len({lease.assignment.pk for lease in leases}) == len(first)
    assert QueueItem.objects.count() == 1


# ---------------------------------------------------------------- what may be gold


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stars": None}, "stars"),
        ({"verdict": ""}, "verdict"),
        ({"ratings": {"consistency": 2}}, None),
        ({"ratings": {**RATINGS, "taste": 1}}, "taste"),
        ({"tolerance": 3}, "tolerance"),
        ({"explanation": ""}, "explanation"),
    ],
)
def test_a_gold_answer_is_whole_or_refused_by_its_field(
    cast: make.Cast, queue: ReviewQueue, change: dict[str, Any], field: str | None
) -> None:
    with pytest.raises(InvalidInput) as refused:
        golden(queue, cast.ml_engineer, **change)
    assert set(refused.value.fields) == ({field} if field else {"relevance", "coherence", "fluency"})
    assert not GoldAnswer.objects.exists()


def test_only_who_manages_queues_makes_gold_and_sets_its_share(cast: make.Cast, queue: ReviewQueue) -> None:
    known = golden(queue, cast.ml_engineer)[0]
    for act in (
        lambda: mark_gold(summary=make.summary(), rubric=queue.rubric, known=KNOWN, actor=cast.reviewer),
        lambda: gold.set_gold_percent(queue=queue, percent=5, actor=cast.reviewer),
        lambda: gold.retire_gold(gold=known, reason="x", actor=cast.reviewer),
        lambda: gold.start_round(name="R", golds=[known], reviewers=[cast.reviewer], actor=cast.reviewer),
    ):
        with pytest.raises(NotAllowed):
            act()
    for percent in (-1, 51):
        with pytest.raises(InvalidInput):
            gold.set_gold_percent(queue=queue, percent=percent, actor=cast.ml_engineer)


def test_a_summary_whose_reviews_are_still_wanted_is_not_made_gold(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    item = make.queue_item(in_queue=queue)
    with pytest.raises(Refused, match="still wanted"):
        mark_gold(summary=item.summary, rubric=queue.rubric, known=KNOWN, actor=cast.ml_engineer)
    worked(queue, cast.reviewer, 1)
    mark_gold(summary=item.summary, rubric=queue.rubric, known=KNOWN, actor=cast.ml_engineer)
    assert Grounding.objects.filter(summary=item.summary).exists(), "lacking links would give it away"
    with pytest.raises(StaleState, match="gold already"):
        mark_gold(summary=item.summary, rubric=queue.rubric, known=KNOWN, actor=cast.ml_engineer)


def test_a_retired_gold_item_is_asked_of_nobody_and_counts_no_more(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    known = golden(queue, cast.ml_engineer, 2)
    round_ = gold.start_round(
        name="July", golds=known, reviewers=[cast.reviewer, cast.another_reviewer], actor=cast.ml_engineer
    )
    worked(round_, cast.reviewer, 1)
    answered = GoldAnswer.objects.get(summary__reviews__reviewer=cast.reviewer)
    gold.retire_gold(gold=answered, reason="The article was changed.", actor=cast.ml_engineer)
    assert gold.results() == {}
    assert not Assignment.objects.filter(item__summary=answered.summary_id, state="free").exists()
    with pytest.raises(StaleState):
        gold.retire_gold(gold=answered, reason="again", actor=cast.ml_engineer)
    again = mark_gold(
        summary=answered.summary, rubric=queue.rubric, known=replace(KNOWN, stars=4), actor=cast.ml_engineer
    )
    assert (again.pk, again.stars, again.active) == (answered.pk, 4, True)


# ---------------------------------------------------------------- a calibration round


def test_a_round_has_an_assignment_for_each_person_at_each_item(cast: make.Cast, queue: ReviewQueue) -> None:
    known = golden(queue, cast.ml_engineer, 3)
    people = [cast.reviewer, cast.another_reviewer]
    round_ = gold.start_round(name="Round of July", golds=known, reviewers=people, actor=cast.ml_engineer)
    assert round_.calibration
    assert Counter(Assignment.objects.filter(queue=round_).values_list("assigned_to", flat=True)) == {
        cast.reviewer.pk: 3, cast.another_reviewer.pk: 3,
    }  # fmt: skip
    assert len(worked(round_, cast.reviewer, 9)) == 3
    assert len(worked(round_, cast.another_reviewer, 9)) == 3
    assert not FeedbackExample.objects.exists(), "nothing is learnt from a round"
    newcomer = make.user("nora", "reviewer")
    assert gold.invite(queue=round_, reviewer=newcomer, actor=cast.ml_engineer) == 3
    assert len(worked(round_, newcomer, 9)) == 3
    with pytest.raises(Refused, match="knows them already"):
        gold.invite(queue=round_, reviewer=newcomer, actor=cast.ml_engineer)
    assert AuditEvent.objects.filter(action__in=["gold.start_round", "gold.invite"]).count() == 2


def test_a_round_that_makes_no_sense_is_refused_by_its_field(cast: make.Cast, queue: ReviewQueue) -> None:
    known = golden(queue, cast.ml_engineer)
    whole: dict[str, Any] = {"name": "One", "golds": known, "reviewers": [cast.reviewer]}
    for change, wrong in (
        ({"name": " "}, "name"),
        ({"name": queue.name}, "name"),
        ({"golds": []}, "golds"),
        ({"reviewers": []}, "reviewers"),
        ({"reviewers": [cast.approver]}, "reviewers"),
    ):
        with pytest.raises(InvalidInput) as refused:
            gold.start_round(**{**whole, **change}, actor=cast.ml_engineer)
        assert set(refused.value.fields) == {wrong}
    with pytest.raises(Refused, match="knows all"):
        gold.start_round(name="Two", golds=known, reviewers=[cast.ml_engineer], actor=cast.ml_engineer)
    assert not ReviewQueue.objects.filter(calibration=True).exists()


# ---------------------------------------------------------------- judged


def test_the_first_answer_counts_whatever_is_corrected_after_the_explanation(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    known = golden(queue, cast.ml_engineer)
    round_ = gold.start_round(name="R", golds=known, reviewers=[cast.reviewer], actor=cast.ml_engineer)
    lease = claims.claim_next(queue=round_, reviewer=cast.reviewer)
    assert lease is not None
    wrong = replace(ANSWERS, stars=5, verdict="good", ratings={**RATINGS, "consistency": 4, "relevance": 3})
    review = submit_review(item=lease.assignment.item, answers=wrong, reviewer=cast.reviewer)
    revise_review(item=review.item, answers=ANSWERS, reviewer=cast.reviewer)
    found = gold.explained(review_id=review.pk, reviewer=cast.reviewer)
    assert {question.key: question.holds for question in found.questions} == {
        "consistency": False, "relevance": True, "coherence": True, "fluency": True,
        "verdict": False, "stars": False,
    }  # fmt: skip
    assert found.right == 3
    results = gold.results()[cast.reviewer.pk]
    assert {key: (share.right, share.n) for key, share in results.items()} == {
        "consistency": (0, 1), "relevance": (1, 1), "coherence": (1, 1), "fluency": (1, 1),
        "verdict": (0, 1), "stars": (0, 1),
    }  # fmt: skip
    low, high = results["relevance"].interval
    assert 0 < low < results["relevance"].share <= high <= 1
    assert gold.results(reviewer=cast.another_reviewer) == {}


@pytest.mark.parametrize(
    ("tolerance", "verdict", "holds"),
    [(0, "poor", True), (0, "fair", False), (1, "fair", True), (2, "good", False)],
)
def test_a_verdict_beside_the_right_one_counts_where_a_point_off_does(
    cast: make.Cast, queue: ReviewQueue, tolerance: int, verdict: str, holds: bool
) -> None:
    known = golden(queue, cast.ml_engineer, tolerance=tolerance)
    round_ = gold.start_round(name="R", golds=known, reviewers=[cast.reviewer], actor=cast.ml_engineer)
    lease = claims.claim_next(queue=round_, reviewer=cast.reviewer)
    assert lease is not None
    submit_review(
        item=lease.assignment.item, answers=replace(ANSWERS, verdict=verdict), reviewer=cast.reviewer
    )
    (mine,) = gold.my_answers(cast.reviewer)
    assert {question.key: question.holds for question in mine.questions}["verdict"] is holds
    assert gold.results()[cast.reviewer.pk]["verdict"].right == int(holds)


def test_an_answer_is_explained_to_its_reviewer_alone_and_only_once_given(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    known = golden(queue, cast.ml_engineer)
    round_ = gold.start_round(name="R", golds=known, reviewers=[cast.reviewer], actor=cast.ml_engineer)
    lease = claims.claim_next(queue=round_, reviewer=cast.reviewer)
    assert lease is not None
    draft = Review.objects.create(
        item=lease.assignment.item,
        summary=lease.assignment.item.summary,
        reviewer=cast.reviewer,
        rubric=round_.rubric,
    )
    plain = make.queue_item(in_queue=queue)
    worked(queue, cast.reviewer, 1)
    ordinary = plain.reviews.get()
    for review in (draft, ordinary):
        with pytest.raises(NotFound):
            gold.explained(review_id=review.pk, reviewer=cast.reviewer)
    review = submit_review(item=lease.assignment.item, answers=ANSWERS, reviewer=cast.reviewer)
    assert gold.explained(review_id=review.pk, reviewer=cast.reviewer).gold == known[0]
    for other in (cast.another_reviewer, cast.ml_engineer):
        with pytest.raises(NotFound):
            gold.explained(review_id=review.pk, reviewer=other)


def test_lists_cost_a_fixed_number_of_queries(
    cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    known = golden(queue, cast.ml_engineer, 5)
    round_ = gold.start_round(name="R", golds=known, reviewers=[cast.reviewer], actor=cast.ml_engineer)
    worked(round_, cast.reviewer, 5)
    with django_assert_num_queries(2):
        assert len(gold.my_answers(cast.reviewer)) == 5
    with django_assert_num_queries(1):
        gold.results()
    with django_assert_num_queries(1):
        rows: list[Any] = list(gold.gold_rows())
        assert [(row.answers, row.summary.document.pk > 0) for row in rows] == [(1, True)] * 5
    assert Summary.objects.filter(gold__active=True).count() == 5
