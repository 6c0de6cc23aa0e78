"""Assignments for particular people, and where they go when somebody leaves."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import AuditEvent
from models_app.people import accounts
from reviews.desk import assigning, claims
from reviews.desk.reviews import Answers, submit_review
from reviews.desk.spreading import Wish, spread
from reviews.models import Assignment, Notification, QueueItem, Review
from reviews.queues.statements import items_waiting
from tests import make
from tests.reviews.desk.test_claims import COMPLETE, claimed, expire

# ---------------------------------------------------------------- the spread


def test_assignments_go_to_the_person_who_has_least_and_can_take_them() -> None:
    assignments = [(1, 10), (2, 10), (3, 11), (4, 11), (5, 12), (6, 12)]
    assert spread(assignments, [Wish(1, 0), Wish(2, 0)]) == {1: [1, 3, 5], 2: [2, 4, 6]}
    assert spread(assignments, [Wish(1, 2), Wish(2, 0)]) == {1: [2, 4, 6], 2: [1, 3, 5]}, (
        "two assignments, two people"
    )
    assert spread(assignments, [Wish(1, 0, frozenset({10})), Wish(2, 0)]) == {1: [3, 5], 2: [1, 4, 6]}
    assert spread([(1, 10), (2, 10)], [Wish(1, 0)]) == {1: [1]}, "nobody gets two assignments at one item"
    assert spread(assignments, []) == {}
    uneven = spread([(n, n) for n in range(10)], [Wish(1, 6), Wish(2, 0), Wish(3, 1)])
    assert [len(uneven[person]) for person in (1, 2, 3)] == [0, 6, 4] or sorted(
        len(mine) + has for mine, has in zip(uneven.values(), (6, 0, 1), strict=True)
    ) == [5, 6, 6]


# ---------------------------------------------------------------- assigned assignments


@pytest.mark.django_db
def test_what_is_assigned_to_me_comes_first_and_to_others_never() -> None:
    cast, queue = make.cast(), make.queue()
    first, last = make.queue_item(in_queue=queue, priority=9), make.queue_item(in_queue=queue)
    with pytest.raises(NotAllowed):
        assigning.assign(item=last, to=cast.reviewer, actor=cast.another_reviewer)
    assigning.assign(item=last, to=cast.reviewer, actor=cast.ml_engineer)
    assert AuditEvent.objects.get(action="item.assign").data["to"] == "rita"
    assert claims.hold(item=last, reviewer=cast.another_reviewer) is None, "nor by its address"
    waiting = {
        person: items_waiting(reviewer=person)[queue.pk] for person in (cast.reviewer, cast.another_reviewer)
    }
    assert waiting == {cast.reviewer: 2, cast.another_reviewer: 1}
    mine = claimed(queue, cast.reviewer)
    assert (mine.assignment.item, claimed(queue, cast.another_reviewer).assignment.item) == (last, first)
    expire(mine)
    assert claims.claim_next(queue=queue, reviewer=cast.ml_engineer) is None, (
        "an expired assignment stays meant"
    )
    assert claimed(queue, cast.reviewer).assignment.item == last


@pytest.mark.django_db
@pytest.mark.parametrize("order", ["random", "oldest", "lowest confidence"])
def test_assigned_items_come_first_in_every_order(order: str) -> None:
    cast, queue = make.cast(), make.queue(order=order)
    items = [make.queue_item(in_queue=queue) for _ in range(6)]
    assigning.assign(item=items[4], to=cast.reviewer, actor=cast.ml_engineer)
    assert claimed(queue, cast.reviewer).assignment.item == items[4]


@pytest.mark.django_db
def test_an_item_that_somebody_could_never_take_is_not_kept_for_him() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    with pytest.raises(Refused):
        assigning.assign(item=item, to=cast.reviewer, actor=cast.ml_engineer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    with pytest.raises(Refused):
        assigning.assign(item=item, to=cast.reviewer, actor=cast.ml_engineer)
    lease = claimed(queue, cast.another_reviewer)
    claims.skip(
        assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.another_reviewer
    )
    with pytest.raises(Refused):
        assigning.assign(item=item, to=cast.another_reviewer, actor=cast.ml_engineer)
    with pytest.raises(InvalidInput) as refused:
        assigning.assign(item=item, to=cast.stranger, actor=cast.ml_engineer)
    assert "people" in refused.value.fields
    assigning.assign(item=item, to=cast.administrator, actor=cast.ml_engineer)
    with pytest.raises(Refused):
        assigning.assign(item=item, to=cast.ml_engineer, actor=cast.ml_engineer)
    QueueItem.objects.filter(pk=item.pk).update(state="flagged")
    with pytest.raises(Refused):
        assigning.assign(item=item, to=cast.ml_engineer, actor=cast.ml_engineer)


@pytest.mark.django_db
def test_what_was_kept_for_me_and_i_leave_to_others_is_anybodys() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item(in_queue=queue)
    assigning.assign(item=item, to=cast.reviewer, actor=cast.ml_engineer)
    lease = claimed(queue, cast.reviewer)
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=cast.reviewer)
    assert claims.claim_next(queue=queue, reviewer=cast.another_reviewer) is None
    again = claims.hold(item=item, reviewer=cast.reviewer)
    assert again is not None
    claims.skip(assignment=again.assignment, token=again.token, meaning="skip", reviewer=cast.reviewer)
    assert claimed(queue, cast.another_reviewer).assignment.item == item


@pytest.mark.django_db
def test_an_even_spread_leaves_all_with_the_same_and_two_reviewers_at_each_item() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    document = make.document()
    items = [make.queue_item(of=make.summary(document), in_queue=queue) for _ in range(9)]
    assigning.assign(item=items[8], to=cast.reviewer, actor=cast.ml_engineer)
    people = [cast.reviewer, cast.another_reviewer, cast.ml_engineer]
    counts = assigning.assign_evenly(queue=queue, people=people, actor=cast.ml_engineer)
    assert counts == {cast.reviewer.pk: 5, cast.another_reviewer.pk: 6, cast.ml_engineer.pk: 6}
    told = Notification.objects.get(user=cast.another_reviewer)
    assert (told.kind, told.text) == ("assigned", "6 items are for you in the queue New drafts.")
    for item in items:
        assert len(set(item.assignments.values_list("assigned_to", flat=True))) == 2
    assert claims.claim_next(queue=queue, reviewer=cast.administrator) is None
    assert items_waiting(reviewer=cast.reviewer)[queue.pk] == 6
    assert assigning.unassign(queue=queue, person=cast.reviewer, actor=cast.ml_engineer) == 6
    assert items_waiting(reviewer=cast.administrator)[queue.pk] == 6
    with pytest.raises(InvalidInput):
        assigning.assign_evenly(queue=queue, people=[], actor=cast.ml_engineer)
    with pytest.raises(InvalidInput):
        assigning.assign_evenly(queue=queue, people=people, most=0, actor=cast.ml_engineer)
    with pytest.raises(NotAllowed):
        assigning.assign_evenly(queue=queue, people=people, actor=cast.reviewer)
    some = assigning.assign_evenly(queue=queue, people=[cast.administrator], most=2, actor=cast.ml_engineer)
    assert some == {cast.administrator.pk: 2}


@pytest.mark.django_db
def test_a_late_submit_does_not_take_the_assignment_that_is_kept_for_somebody_else() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item(in_queue=queue)
    expire(claimed(queue, cast.reviewer))
    assigning.assign(item=item, to=cast.another_reviewer, actor=cast.ml_engineer)
    review = submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert review.late
    assert claimed(queue, cast.another_reviewer).assignment.item == item


# ---------------------------------------------------------------- taken back


@pytest.mark.django_db
def test_a_held_assignment_is_taken_back_and_its_holder_can_still_submit() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    with pytest.raises(NotAllowed):
        assigning.free_assignment(assignment=lease.assignment, actor=cast.another_reviewer)
    assigning.free_assignment(assignment=lease.assignment, actor=cast.ml_engineer, reason="Ill.")
    event = AuditEvent.objects.get(action="item.free_assignment")
    assert (event.reason, event.data["of"]) == ("Ill.", "rita")
    with pytest.raises(StaleState):
        assigning.free_assignment(assignment=lease.assignment, actor=cast.ml_engineer)
    with pytest.raises(StaleState):
        claims.renew_lease(assignment=lease.assignment, token=lease.token, reviewer=cast.reviewer)
    review = submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert (review.state, review.late) == ("submitted", False), "an assignment is free, so it counts"


@pytest.mark.django_db
def test_what_a_deactivated_reviewer_holds_is_free_at_once_and_what_was_kept_for_him_is_anybodys() -> None:
    cast, queue = make.cast(), make.queue()
    held, kept = make.queue_item(in_queue=queue, priority=5), make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    assert lease.until > timezone.now() + timedelta(minutes=29)
    assigning.assign(item=kept, to=cast.reviewer, actor=cast.ml_engineer)
    cast.reviewer.is_active = False
    cast.reviewer.save()
    # for everybody who asks, even before anybody has looked
    assert items_waiting(reviewer=cast.another_reviewer)[queue.pk] == 1
    assert claimed(queue, cast.another_reviewer).assignment.item == held
    assert Review.objects.filter(item=held, reviewer=cast.reviewer, state="draft").exists()
    assert assigning.free_lost() == 1
    assert assigning.free_lost() == 0
    assert claimed(queue, cast.ml_engineer).assignment.item == kept
    assert AuditEvent.objects.get(action="assignments.free").data == {
        "of": "rita",
        "held": 0,
        "assigned": 1,
    }


@pytest.mark.django_db
def test_a_person_who_loses_the_role_loses_the_assignments() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    assert assigning.free_lost() == 0
    cast.reviewer.groups.clear()
    assert assigning.free_lost() == 1
    assert Assignment.objects.get().state == "free"
    with pytest.raises(NotAllowed):
        assigning.free_all_of(person=cast.another_reviewer, actor=cast.approver)


@pytest.mark.django_db
@pytest.mark.parametrize("assignment", ["held", "kept"])
def test_an_assignment_given_at_the_instant_in_which_late_work_came_in_goes_to_others(
    assignment: str,
) -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    review = submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    Assignment.objects.filter(item=item).update(
        state="free", reviewer=None, lease_token=None, lease_until=None
    )
    given = Assignment.objects.filter(item=item, position=0)
    if assignment == "held":
        given.update(
            state="held", reviewer=cast.reviewer, lease_token=uuid.uuid4(), lease_until=timezone.now()
        )
    else:
        given.update(assigned_to=cast.reviewer)
    assert assigning.free_lost() == 1
    assert not Assignment.objects.exclude(state="free", assigned_to=None).exists()
    review.refresh_from_db()
    assert review.state == "submitted"


@pytest.mark.django_db
def test_a_person_who_is_deactivated_gives_back_what_they_held() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    accounts.deactivate(person=cast.reviewer, actor=cast.administrator)
    assert Assignment.objects.get().state == "free"
    event = AuditEvent.objects.get(action="assignments.free")
    assert (event.actor, event.data["held"]) == (cast.administrator, 1)
