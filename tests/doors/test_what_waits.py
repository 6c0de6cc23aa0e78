"""What waits for a person is the same number at every door: the navigation, the desk, the API, and people who count
what they are given until nothing comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from reviews.desk import claims
from reviews.desk.choices import Judgement, choose
from reviews.desk.preferring import pairs_for
from reviews.desk.queries import queues_for
from reviews.desk.reviews import Answers, submit_review
from reviews.filling.pairs import pairwise_queue
from reviews.models import Assignment, QueueItem, ReviewQueue
from reviews.quality import gold
from reviews.queues import statements
from reviews.reports import overview
from tests import make
from tests.api.conftest import Api
from tests.doors.test_preference import put_in, scene
from tests.reviews.desk.test_claims import COMPLETE, claimed
from tests.reviews.quality.test_gold import golden

pytestmark = pytest.mark.django_db


def asked_everywhere(reviewer: User) -> int:
    """What all doors say, which is the same; then what is given, which is as much."""
    at_desk = sum(row.waiting for row in queues_for(reviewer))
    pairs = sum(row.waiting for row in pairs_for(reviewer))
    by_program = Api(reviewer, "reviews:write").get("queues/").json()["results"]
    told = overview.waiting(reviewer)
    assert (told.review, told.pairs) == (at_desk, pairs), "the navigation"
    assert sum(row["waiting"] for row in by_program) == at_desk, "the API"
    for kind, waits in (("rate and edit", at_desk), ("pairwise", pairs)):
        assert sum(_given(queue, reviewer, kind) for queue in ReviewQueue.objects.all()) == waits, kind
    assert (overview.waiting(reviewer).review, overview.waiting(reviewer).pairs) == (0, 0), "all is done"
    return at_desk + pairs


def _given(queue: ReviewQueue, reviewer: User, kind: str) -> int:
    number = 0
    while (lease := claims.claim_next(queue=queue, reviewer=reviewer, kind=kind)) is not None:
        if kind == "pairwise":
            choose(item=lease.assignment.item, answers=Judgement("tie"), reviewer=reviewer)
        else:
            submit_review(item=lease.assignment.item, answers=Answers(**COMPLETE), reviewer=reviewer)
        number += 1
        assert number < 100, "it never ends"
    return number


def answered(item: QueueItem, *people: User) -> None:
    for person in people:
        assert claims.hold(item=item, reviewer=person) is not None
        submit_review(item=item, answers=Answers(**COMPLETE), reviewer=person)


def says(item: QueueItem, person: User, meaning: str) -> None:
    lease = claims.hold(item=item, reviewer=person)
    assert lease is not None
    claims.skip(
        assignment=lease.assignment, token=lease.token, meaning=meaning, reason="Empty.", reviewer=person
    )


def expire_all() -> None:
    Assignment.objects.filter(state="held").update(lease_until=timezone.now() - timedelta(seconds=1))


# Each scene: an item of three wanted reviews, what happened to it, and how many items wait for Rita then.
Scene = Callable[[QueueItem, make.Cast], None]


def untouched(item: QueueItem, cast: make.Cast) -> None:
    """Three assignments, one item."""


def answered_by_another(item: QueueItem, cast: make.Cast) -> None:
    answered(item, cast.another_reviewer)


def answered_by_me(item: QueueItem, cast: make.Cast) -> None:
    answered(item, cast.reviewer)


def held_by_me(item: QueueItem, cast: make.Cast) -> None:
    claims.hold(item=item, reviewer=cast.reviewer)


def held_by_me_and_another(item: QueueItem, cast: make.Cast) -> None:
    claims.hold(item=item, reviewer=cast.another_reviewer)
    claims.hold(item=item, reviewer=cast.reviewer)


def held_by_me_too_long(item: QueueItem, cast: make.Cast) -> None:
    claims.hold(item=item, reviewer=cast.reviewer)
    expire_all()


def held_by_all_others(item: QueueItem, cast: make.Cast) -> None:
    for person in (cast.another_reviewer, cast.ml_engineer, cast.administrator):
        claims.hold(item=item, reviewer=person)


def held_by_all_others_too_long(item: QueueItem, cast: make.Cast) -> None:
    held_by_all_others(item, cast)
    expire_all()


def held_by_somebody_deactivated(item: QueueItem, cast: make.Cast) -> None:
    held_by_all_others(item, cast)
    User.objects.filter(pk=cast.another_reviewer.pk).update(is_active=False)


def held_too_long_where_fewer_are_wanted_since(item: QueueItem, cast: make.Cast) -> None:
    answered(item, cast.another_reviewer)
    claims.hold(item=item, reviewer=cast.ml_engineer)
    expire_all()
    QueueItem.objects.filter(pk=item.pk).update(wanted_reviews=1)
    Assignment.objects.filter(item=item, state="free").delete()


def held_too_long_and_kept_for_another(item: QueueItem, cast: make.Cast) -> None:
    Assignment.objects.filter(item=item, position=0).update(assigned_to=cast.another_reviewer)
    Assignment.objects.filter(item=item, position__gt=0).delete()
    claims.hold(item=item, reviewer=cast.another_reviewer)
    expire_all()


def one_assigned_to_me(item: QueueItem, cast: make.Cast) -> None:
    Assignment.objects.filter(item=item, position=1).update(assigned_to=cast.reviewer)


def the_last_assigned_to_me(item: QueueItem, cast: make.Cast) -> None:
    Assignment.objects.filter(item=item, position=0).update(assigned_to=cast.reviewer)
    answered(item, cast.another_reviewer, cast.ml_engineer)


def all_assigned_to_others(item: QueueItem, cast: make.Cast) -> None:
    others = (cast.another_reviewer, cast.ml_engineer, cast.administrator)
    for assignment, person in zip(item.assignments.order_by("position"), others, strict=True):
        Assignment.objects.filter(pk=assignment.pk).update(assigned_to=person)


def put_off(item: QueueItem, cast: make.Cast) -> None:
    says(item, cast.reviewer, "snooze")


def skipped(item: QueueItem, cast: make.Cast) -> None:
    says(item, cast.reviewer, "skip")


def skipped_by_another(item: QueueItem, cast: make.Cast) -> None:
    says(item, cast.another_reviewer, "skip")


def flagged(item: QueueItem, cast: make.Cast) -> None:
    says(item, cast.another_reviewer, "flag")


def flagged_and_put_back(item: QueueItem, cast: make.Cast) -> None:
    flagged(item, cast)
    claims.put_back(item=item, actor=cast.ml_engineer)


def saw_others(item: QueueItem, cast: make.Cast) -> None:
    claims.step_aside(item=item, reviewer=cast.reviewer)


def in_a_closed_queue(item: QueueItem, cast: make.Cast) -> None:
    ReviewQueue.objects.filter(pk=item.queue_id).update(active=False)


@pytest.mark.parametrize(
    ("happened", "waits"),
    [
        (untouched, 1),
        (answered_by_another, 1),
        (answered_by_me, 0),
        (held_by_me, 1),
        (held_by_me_and_another, 1),
        (held_by_me_too_long, 1),
        (held_by_all_others, 0),
        (held_by_all_others_too_long, 1),
        (held_by_somebody_deactivated, 1),
        (held_too_long_where_fewer_are_wanted_since, 0),
        (held_too_long_and_kept_for_another, 0),
        (one_assigned_to_me, 1),
        (the_last_assigned_to_me, 1),
        (all_assigned_to_others, 0),
        (put_off, 0),
        (skipped, 0),
        (skipped_by_another, 1),
        (flagged, 0),
        (flagged_and_put_back, 1),
        (saw_others, 0),
        (in_a_closed_queue, 0),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_all_doors_count_what_is_given(happened: Scene, waits: int) -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3)
    happened(make.queue_item(in_queue=queue), cast)
    assert asked_everywhere(cast.reviewer) == waits


def test_all_scenes_in_one_queue_are_counted_as_they_are_one_by_one() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=3)
    happened_to_each = (
        held_by_all_others_too_long, held_by_me_too_long, untouched, answered_by_another, one_assigned_to_me, put_off,
        skipped, flagged, saw_others, held_by_me,
    )  # fmt: skip
    for happened in happened_to_each:
        happened(make.queue_item(in_queue=queue), cast)
    for _ in range(3):
        make.queue_item(in_queue=make.queue(slug="weak-outputs", reviews_per_item=2))
    assert asked_everywhere(cast.reviewer) == 9


def test_a_calibration_round_waits_for_those_who_are_invited() -> None:
    cast, queue = make.cast(), make.queue()
    known = golden(queue, cast.ml_engineer, 3)
    gold.start_round(name="Round", golds=known, reviewers=[cast.reviewer], actor=cast.ml_engineer)
    assert overview.waiting(cast.another_reviewer).review == 0
    assert asked_everywhere(cast.reviewer) == 3


def test_a_gold_item_that_somebody_left_waits_for_those_who_can_take_it() -> None:
    """One that is still to be mixed in is told to nobody."""
    cast, queue = make.cast(), make.queue()
    golden(queue, cast.ml_engineer)
    ReviewQueue.objects.filter(pk=queue.pk).update(gold_percent=50)
    queue.refresh_from_db()
    person = next(
        person
        for person in (make.user(f"r{number}", "reviewer") for number in range(20))
        if gold.is_turn(0, 50, f"{queue.pk}:{person.pk}")
    )
    assert overview.waiting(person).review == 0
    lease = claimed(queue, person)
    assert lease.assignment.item.reason == "gold item"
    assert overview.waiting(person).review == 1, "what I hold"
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=person)
    assert overview.waiting(person).review == 0
    assert asked_everywhere(cast.reviewer) == 1


def test_pairs_wait_for_those_who_have_no_hand_in_the_release() -> None:
    the = scene()
    queue = pairwise_queue(actor=the.cast.ml_engineer)
    assert len(put_in(the.comparison, queue, the.cast.ml_engineer)) == 20
    assert asked_everywhere(the.cast.ml_engineer) == 0
    assert asked_everywhere(the.cast.another_reviewer) == 20


def test_all_doors_stop_counting_at_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    for _ in range(3):
        make.queue_item(in_queue=queue)
    monkeypatch.setattr(statements, "COUNTED", 2)
    (row, *_) = queues_for(cast.reviewer)
    assert (row.waiting, row.more, overview.waiting(cast.reviewer).review) == (2, True, 2)
