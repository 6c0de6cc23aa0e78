"""What waits for a person, as every page's navigation counts it: which seats, up to how many, at what cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from reviews import overview, queueing
from reviews.models import QueueItem, ReviewQueue, ReviewSlot
from reviews.reviewing import Answers, submit_review
from tests import make
from tests.reviews.test_queueing import COMPLETE, claimed

pytestmark = pytest.mark.django_db


def test_seats_that_i_can_have_are_counted_and_no_others(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    cast = make.cast()
    queue = make.queue(reviews_per_item=2)
    me, other = cast.reviewer, cast.another_reviewer

    def count() -> int:
        with django_assert_num_queries(1):
            return overview.waiting(me).review

    assert count() == 0
    make.queue_item(in_queue=queue)
    assert count() == 2, "both seats of it"
    theirs = claimed(queue, other)
    assert count() == 1, "what others hold is theirs"
    ReviewSlot.objects.filter(pk=theirs.slot.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
    assert count() == 2, "until their time is over"
    mine = claimed(queue, me)
    assert count() == 2, "what I hold waits for me"
    submit_review(item=mine.slot.item, answers=Answers(**COMPLETE), reviewer=me)
    assert count() == 0, "I have answered"

    second = make.queue_item(in_queue=queue)
    ReviewSlot.objects.filter(item=second).update(assigned_to=None)
    first, last = ReviewSlot.objects.filter(item=second).order_by("position")
    ReviewSlot.objects.filter(pk=first.pk).update(assigned_to=other)
    ReviewSlot.objects.filter(pk=last.pk).update(assigned_to=me)
    assert count() == 1, "kept for others is not for me"
    QueueItem.objects.filter(pk=second.pk).update(state="set aside")
    assert count() == 0
    QueueItem.objects.filter(pk=second.pk).update(state="open")
    queueing.step_aside(item=second, reviewer=me)
    assert count() == 0, "passed by for good"
    make.queue_item(in_queue=queue)
    assert count() == 2
    ReviewQueue.objects.update(active=False)
    assert count() == 0


def test_it_counts_no_further_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make.cast()
    for _ in range(3):
        make.queue_item()
    monkeypatch.setattr(overview, "ENOUGH", 2)
    found = overview.waiting(cast.reviewer).review
    assert (found, overview.shown(found)) == (2, "1+")
