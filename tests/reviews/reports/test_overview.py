"""What waits for a person, as every page's navigation counts it: as the desk does, up to how many, at what cost."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from reviews.desk import claims, queries
from reviews.desk.reviews import Answers, submit_review
from reviews.models import Assignment, QueueItem, ReviewQueue
from reviews.queues import statements
from reviews.queues.statements import items_waiting
from reviews.reports import overview
from tests import make
from tests.reviews.desk.test_claims import COMPLETE, claimed

pytestmark = pytest.mark.django_db


def test_items_that_i_can_have_are_counted_and_no_others(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    cast = make.cast()
    queue = make.queue(reviews_per_item=2)
    me, other = cast.reviewer, cast.another_reviewer

    assert me.has_perm("models_app.review"), "read once a page, for the navigation itself"

    def count() -> int:
        with django_assert_num_queries(2):
            found = overview.waiting(me).review
        assert found == sum(row.waiting for row in queries.queues_for(me)), "as the desk says"
        return found

    assert count() == 0
    make.queue_item(in_queue=queue)
    assert count() == 1, "an item, however many assignments it has"
    theirs = claimed(queue, other)
    assert count() == 1, "what others hold is theirs"
    Assignment.objects.filter(pk=theirs.assignment.pk).update(
        lease_until=timezone.now() - timedelta(minutes=1)
    )
    assert count() == 1, "their time is over, and I can have one assignment of it at most"
    mine = claimed(queue, me)
    assert count() == 1, "what I hold waits for me"
    submit_review(item=mine.assignment.item, answers=Answers(**COMPLETE), reviewer=me)
    assert count() == 0, "I have answered"

    second = make.queue_item(in_queue=queue)
    Assignment.objects.filter(item=second).update(assigned_to=None)
    first, last = Assignment.objects.filter(item=second).order_by("position")
    Assignment.objects.filter(pk=first.pk).update(assigned_to=other)
    Assignment.objects.filter(pk=last.pk).update(assigned_to=me)
    assert count() == 1, "kept for others is not for me"
    QueueItem.objects.filter(pk=second.pk).update(state="flagged")
    assert count() == 0
    QueueItem.objects.filter(pk=second.pk).update(state="open")
    claims.step_aside(item=second, reviewer=me)
    assert count() == 0, "skipped for good"
    make.queue_item(in_queue=queue)
    assert count() == 1
    ReviewQueue.objects.update(active=False)
    assert count() == 0


def test_it_counts_no_further_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make.cast()
    for _ in range(3):
        make.queue_item()
    monkeypatch.setattr(statements, "COUNTED", 2)
    found = overview.waiting(cast.reviewer).review
    assert (found, statements.in_words(found)) == (2, "2+")


def test_with_three_reviews_an_item_the_navigation_and_the_desk_say_the_same() -> None:
    cast = make.cast()
    queue = make.queue(reviews_per_item=3)
    for _ in range(5):
        make.queue_item(in_queue=queue)
    submit_review(
        item=claimed(queue, cast.reviewer).assignment.item,
        answers=Answers(**COMPLETE),
        reviewer=cast.reviewer,
    )
    claimed(queue, cast.another_reviewer)
    for person, left in ((cast.reviewer, 4), (cast.another_reviewer, 5), (cast.ml_engineer, 5)):
        assert overview.waiting(person).review == left
        assert items_waiting(reviewer=person, queue=queue) == {queue.pk: left}


def test_whatever_happened_to_the_assignments_the_navigation_and_the_desk_say_the_same() -> None:
    cast = make.cast()
    rng = random.Random(8)
    people = [cast.reviewer, cast.another_reviewer, cast.ml_engineer]
    queues = [
        make.queue(slug=slug, reviews_per_item=number)
        for slug, number in (("new-drafts", 3), ("weak-outputs", 2))
    ]
    for _ in range(4):
        for queue in queues:
            for _ in range(3):
                make.queue_item(in_queue=queue)
        for assignment in Assignment.objects.filter(state="free"):
            person, fate = rng.choice(people), rng.random()
            if fate < 0.2:
                if not Assignment.objects.filter(item=assignment.item_id, assigned_to=person).exists():
                    Assignment.objects.filter(pk=assignment.pk).update(assigned_to=person)
            elif fate < 0.5 and (lease := claims.hold(item=assignment.item, reviewer=person)) is not None:
                if fate < 0.3:
                    submit_review(item=assignment.item, answers=Answers(**COMPLETE), reviewer=person)
                elif fate < 0.36:
                    claims.skip(
                        assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=person
                    )
                elif fate < 0.4:
                    claims.skip(
                        assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=person
                    )
                elif fate < 0.44:
                    over = timezone.now() - timedelta(minutes=1)
                    Assignment.objects.filter(pk=lease.assignment.pk).update(lease_until=over)
            elif fate > 0.95:
                QueueItem.objects.filter(pk=assignment.item_id, state="open").update(state="flagged")
        for person in people:
            assert overview.waiting(person).review == sum(row.waiting for row in queries.queues_for(person))
