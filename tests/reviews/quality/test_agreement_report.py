"""What the agreement page is told: which reviews count, by question, queue and pair, at once or from the queue."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.foundation.errors import NotAllowed
from models_app.models import Job
from reviews.models import AgreementReport, Criterion, QueueItem, Review, ReviewQueue, ReviewRating
from reviews.quality import agreement_report
from reviews.quality.agreement_report import (
    agreement_of,
    beside_others,
    find_report,
    measure,
    measure_all,
    read,
)
from tests import make


def answered(
    item: QueueItem, reviewer: User, points: int, *, days_ago: float = 0, state: str = "submitted"
) -> None:
    """A review with these points for everything, written without the desk's ceremony."""
    review = Review.objects.create(
        item=item, summary=item.summary, reviewer=reviewer, rubric_id=item.queue.rubric_id, state=state, stars=points,
        verdict=("poor", "poor", "fair", "good", "good")[points - 1], edited_text="Five words of a summary.",
        submitted_at=timezone.now() - timedelta(days=days_ago),
    )  # fmt: skip
    ReviewRating.objects.bulk_create(
        ReviewRating(review=review, criterion=criterion, value=points)
        for criterion in Criterion.objects.filter(rubric=item.queue.rubric_id)
    )


def shared(
    queue: ReviewQueue, cast: make.Cast, n: int, *, stricter: int = 0, days_ago: float = 0
) -> list[QueueItem]:
    """Items that two people rated 2, 3, 4, 5, 2 …, the second `stricter` points lower."""
    items = []
    for number in range(n):
        item = make.queue_item(in_queue=queue, state="done")
        points = 2 + number % 4
        answered(item, cast.reviewer, points, days_ago=days_ago)
        answered(item, cast.another_reviewer, max(1, points - stricter), days_ago=days_ago)
        items.append(item)
    return items


def test_only_shared_items_count_and_neither_gold_nor_rounds_nor_drafts(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    shared(queue, cast, 3)
    answered(make.queue_item(in_queue=queue), cast.reviewer, 5)
    for_gold = make.queue_item(in_queue=queue, reason="gold item")
    round_ = ReviewQueue.objects.create(name="R", slug="r", rubric=queue.rubric, calibration=True)
    for item in (for_gold, make.queue_item(in_queue=round_)):
        answered(item, cast.reviewer, 5)
        answered(item, cast.another_reviewer, 5)
    half = make.queue_item(in_queue=queue)
    answered(half, cast.reviewer, 5)
    answered(half, cast.another_reviewer, 5, state="draft")
    found = read()
    assert len(found.items) == 6
    assert set(found.values) == {"stars", "verdict", "consistency", "relevance", "coherence", "fluency"}
    assert set(found.queues) == {queue.pk}
    assert found.values["fluency"].tolist() == found.values["stars"].tolist()


def test_a_question_that_a_rubric_did_not_ask_is_missing_and_no_value(
    cast: make.Cast, queue: ReviewQueue
) -> None:
    shared(queue, cast, 3)
    ReviewRating.objects.filter(review__reviewer=cast.reviewer, criterion__key="fluency").first().delete()  # type: ignore[union-attr]
    found = measure(read(), scales=["ordinal"])
    assert agreement_of(found["all"]["fluency"]["ordinal"]).items == 2
    assert agreement_of(found["all"]["coherence"]["ordinal"]).items == 3


def test_everybody_alike_is_one_and_a_strict_one_is_named(cast: make.Cast, queue: ReviewQueue) -> None:
    shared(queue, cast, 16)
    found = measure(read())
    alike = agreement_of(found["all"]["stars"]["ordinal"])
    assert (alike.alpha, alike.low, alike.high, alike.items, alike.ratings, alike.raters) == (
        1,
        1,
        1,
        16,
        32,
        2,
    )
    Review.objects.all().delete()
    other = ReviewQueue.objects.create(name="Other", slug="other", rubric=queue.rubric)
    shared(queue, cast, 12, stricter=1)
    shared(other, cast, 12)
    found = measure(read())
    per_queue = {
        int(pk): agreement_of(rows["stars"]["ordinal"]).alpha for pk, rows in found["queues"].items()
    }
    assert per_queue[other.pk] == 1
    assert 0 < (per_queue[queue.pk] or 0) < 0.8
    (pair,) = found["pairs"]["stars"]["rows"]
    assert {pair["first"], pair["second"]} == {cast.reviewer.pk, cast.another_reviewer.pk}
    assert pair["items"] == 24
    assert 0 < pair["kappa"] < 1
    strict = found["offsets"]["stars"][str(cast.another_reviewer.pk)]
    assert (strict["n"], strict["mean"], strict["direction"]) == (24, pytest.approx(-0.5), "strict")
    assert set(found["all"]["stars"]) == {"ordinal", "nominal", "interval"}


def test_nothing_to_compare_is_said_so(cast: make.Cast, queue: ReviewQueue) -> None:
    report = find_report(days=30, scale="ordinal", question="stars")
    assert report.data is not None
    nothing = agreement_of(report.data["all"]["stars"]["ordinal"])
    assert (nothing.alpha, nothing.reason) == (None, "no item with two ratings")
    shared(queue, cast, 1)
    report = find_report(days=30, scale="ordinal", question="stars")
    assert report.data is not None
    assert "no variation" in agreement_of(report.data["all"]["stars"]["ordinal"]).reason


def test_the_window_is_kept_to(cast: make.Cast, queue: ReviewQueue) -> None:
    shared(queue, cast, 3, days_ago=40)
    shared(queue, cast, 2, days_ago=3)
    sizes = []
    for days in agreement_report.WINDOWS:
        report = find_report(days=days, scale="ordinal", question="stars")
        assert report.data is not None
        sizes.append(report.data["items"])
    assert sizes == [2, 2, 5, 5]


def test_many_reviews_are_the_queues_work(
    cast: make.Cast,
    queue: ReviewQueue,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    monkeypatch.setattr(agreement_report, "INLINE", 5)
    shared(queue, cast, 12, stricter=1)
    report = find_report(days=7, scale="ordinal", question="stars")
    assert (report.data, report.stored, report.stale, report.job) == (None, True, True, None)
    with pytest.raises(NotAllowed):
        agreement_report.start_measuring(actor=cast.reviewer)
    job = agreement_report.start_measuring(actor=cast.ml_engineer)
    assert agreement_report.start_measuring(actor=cast.administrator) == job, "one at a time"
    assert find_report(days=7, scale="ordinal", question="stars").job == job
    done = make.carried_out(Job.objects.get(pk=job.pk))
    assert (done.state, done.result) == ("succeeded", {"reviews": 24})
    assert set(AgreementReport.objects.values_list("days", flat=True)) == {7, 30, 90, 0}
    with django_assert_max_num_queries(3):
        report = find_report(days=7, scale="interval", question="fluency")
    assert report.data is not None
    assert (report.stale, report.job) == (False, None)
    now = measure(read())
    assert report.data["all"] == now["all"], "stored as computed"
    assert report.data["pairs"] == now["pairs"]
    AgreementReport.objects.update(computed_at=timezone.now() - timedelta(hours=2))
    assert find_report(days=7, scale="ordinal", question="stars").stale
    measure_all()
    assert not find_report(days=7, scale="ordinal", question="stars").stale
    assert AgreementReport.objects.count() == 4


def test_ones_own_offset_is_told_over_ten_finished_items_and_more(
    cast: make.Cast, queue: ReviewQueue, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    shared(queue, cast, 9, stricter=1)
    few = beside_others(cast.another_reviewer)["stars"]
    assert (few.shared, few.offset) == (9, None), "few would tell what a peer answered"
    item = shared(queue, cast, 1, stricter=1)[0]
    with django_assert_num_queries(2):
        found = beside_others(cast.another_reviewer)
    assert set(found) == {"stars", "consistency", "relevance", "coherence", "fluency"}
    mine = {key: beside.offset for key, beside in found.items() if beside.offset is not None}
    assert (mine["stars"].n, mine["stars"].direction) == (10, "strict")
    assert mine["stars"].mean == pytest.approx(-1)
    other = beside_others(cast.reviewer)["stars"].offset
    assert other is not None
    assert other.mean == pytest.approx(1)
    QueueItem.objects.filter(pk=item.pk).update(state="open")
    assert beside_others(cast.another_reviewer)["stars"] == few, "an open item does not count yet"
    with pytest.raises(NotAllowed):
        beside_others(cast.stranger)
    assert np.isfinite(mine["fluency"].mean)
