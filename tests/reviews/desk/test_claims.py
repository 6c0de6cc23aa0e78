"""Assignments at items: nobody gets what somebody else holds, though many ask at once; no lease loses anything."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, StaleState
from models_app.models import AuditEvent
from reviews.desk import claims
from reviews.desk.claims import Lease
from reviews.desk.reviews import Answers, save_draft, submit_review
from reviews.models import Assignment, QueueItem, Review, ReviewQueue, RubricVersion, Skip
from reviews.queues import statements
from reviews.queues.items import Entry, put_in_queue, put_many
from reviews.queues.statements import items_waiting
from tests import make
from tests.database import somebody_waits_for_a_lock
from tests.process.programs import wait_for

COMPLETE: dict[str, Any] = {
    "stars": 4,
    "verdict": "good",
    "ratings": {"consistency": 4, "relevance": 4, "coherence": 5, "fluency": 5},
    "edited_text": "The old pier of Nordhaven will close for nine months. 140 piles are rotten.",
}


def expire(lease: Lease) -> None:
    Assignment.objects.filter(pk=lease.assignment.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )


def claimed(queue: ReviewQueue, reviewer: User, **more: Any) -> Lease:
    lease = claims.claim_next(queue=queue, reviewer=reviewer, **more)
    assert lease is not None
    return lease


# ---------------------------------------------------------------- putting in


@pytest.mark.django_db
def test_an_item_gets_as_many_assignments_as_the_queue_wants_reviews() -> None:
    make.queue(reviews_per_item=3)
    item = put_in_queue(
        summary=make.summary(), queue_slug="new-drafts", reason="new draft", priority=7, actor=None
    )
    assert [(assignment.position, assignment.priority, assignment.state) for assignment in item.assignments.all()] == [
        (0, 7, "free"), (1, 7, "free"), (2, 7, "free"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_summary_is_in_a_queue_once_however_often_it_is_put_there() -> None:
    make.queue()
    summary = make.summary()
    first = put_in_queue(summary=summary, queue_slug="new-drafts", reason="new draft", actor=None)
    again = put_in_queue(
        summary=summary, queue_slug="new-drafts", reason="complaint", priority=9, note="other", actor=None
    )
    again.refresh_from_db()
    assert (again.pk, again.reason, again.priority) == (first.pk, "new draft", 0)
    assert again.assignments.count() == 1


@pytest.mark.django_db
def test_what_the_model_was_least_sure_of_comes_first_where_the_queue_says_so() -> None:
    cast, queue = make.cast(), make.queue(order="lowest confidence")
    document = make.document()
    sure, unsure, untold = (make.summary(document, confidence=value) for value in (0.9, 0.2, None))
    for summary in (untold, sure):
        put_in_queue(summary=summary, queue_slug=queue.slug, reason="new draft", actor=None)
    assert put_many(queue=queue, entries=[Entry(unsure.pk)], reason="new draft", actor=None) == 1
    got = []
    for _ in range(3):
        lease = claimed(queue, cast.reviewer)
        got.append(lease.assignment.item.summary)
        claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    assert got == [unsure, sure, untold]


@pytest.mark.django_db
def test_only_those_who_may_fill_queues_do_and_it_is_recorded() -> None:
    cast = make.cast()
    summary = make.summary()
    with pytest.raises(NotAllowed):
        put_in_queue(summary=summary, queue_slug="new-drafts", reason="new draft", actor=cast.reviewer)
    item = put_in_queue(
        summary=summary, queue_slug="new-drafts", reason="put in by hand", actor=cast.ml_engineer
    )
    assert AuditEvent.objects.get(action="item.queue").subject == f"queueitem:{item.pk}"


@pytest.mark.django_db
def test_an_unknown_queue_or_reason_is_refused() -> None:
    make.queue()
    with pytest.raises(NotFound):
        put_in_queue(summary=make.summary(), queue_slug="nowhere", reason="new draft", actor=None)
    with pytest.raises(InvalidInput):
        put_in_queue(summary=make.summary(), queue_slug="new-drafts", reason="because", actor=None)


# ---------------------------------------------------------------- claiming


@pytest.mark.django_db
def test_a_second_reviewer_cannot_claim_the_same_assignment() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    assert claimed(queue, cast.reviewer).assignment.reviewer == cast.reviewer
    assert claims.claim_next(queue=queue, reviewer=cast.another_reviewer) is None


@pytest.mark.django_db
def test_who_asks_again_gets_the_assignment_he_holds_and_more_time() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    make.queue_item()
    first = claimed(queue, cast.reviewer)
    expire(first)
    again = claimed(queue, cast.reviewer)
    assert (again.assignment.pk, again.token) == (first.assignment.pk, first.token)
    assert again.until > timezone.now() + timedelta(minutes=29)


@pytest.mark.django_db
def test_nobody_reviews_an_item_twice() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item()
    claimed(queue, cast.reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer) is None
    assert claimed(queue, cast.another_reviewer).assignment.item == item


@pytest.mark.django_db
def test_the_next_item_can_be_fetched_ahead_for_a_short_while() -> None:
    cast, queue = make.cast(), make.queue()
    one, other = make.queue_item(), make.queue_item()
    first = claimed(queue, cast.reviewer)
    ahead = claimed(queue, cast.reviewer, but_not=first.assignment.item_id, lease=timedelta(minutes=3))
    assert {first.assignment.item, ahead.assignment.item} == {one, other}
    assert ahead.until < timezone.now() + timedelta(minutes=4)
    # asking once more gives the same one, and never shortens a longer lease
    claims.renew_lease(assignment=ahead.assignment, token=ahead.token, reviewer=cast.reviewer)
    again = claimed(queue, cast.reviewer, but_not=first.assignment.item_id, lease=timedelta(minutes=3))
    assert again.assignment == ahead.assignment
    assert again.until > timezone.now() + timedelta(minutes=29)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("order", "expected"), [("oldest", [0, 1, 2]), ("priority", [2, 0, 1])], ids=["oldest", "priority"]
)
def test_items_come_in_the_order_of_the_queue(order: str, expected: list[int]) -> None:
    cast, queue = make.cast(), make.queue(order=order)
    items = [make.queue_item(priority=priority) for priority in (0, 0, 5)]
    got = []
    for _ in items:
        lease = claimed(queue, cast.reviewer)
        got.append(lease.assignment.item)
        claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    assert got == [items[index] for index in expected]


@pytest.mark.django_db
def test_random_order_is_the_same_shuffle_for_one_reviewer_and_another_for_the_next() -> None:
    cast, queue = make.cast(), make.queue(order="random")
    for _ in range(12):
        make.queue_item()

    def first_items(reviewer: User) -> list[int]:
        got = []
        for _ in range(12):
            lease = claimed(queue, reviewer)
            got.append(lease.assignment.item_id)
            claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=reviewer)
        Skip.objects.filter(reviewer=reviewer).delete()
        return got

    mine = first_items(cast.reviewer)
    assert first_items(cast.reviewer) == mine
    assert first_items(cast.another_reviewer) != mine
    assert mine != sorted(mine)


@pytest.mark.django_db
def test_a_closed_queue_gives_nothing() -> None:
    cast, queue = make.cast(), make.queue(active=False)
    make.queue_item()
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer) is None
    assert items_waiting(reviewer=cast.reviewer).get(queue.pk, 0) == 0


@pytest.mark.django_db
def test_only_reviewers_claim() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    for person in (cast.stranger, cast.approver, cast.operator):
        with pytest.raises(NotAllowed):
            claims.claim_next(queue=queue, reviewer=person)
    cast.reviewer.is_active = False
    cast.reviewer.save()
    with pytest.raises(NotAllowed):
        claims.claim_next(queue=queue, reviewer=cast.reviewer)


# ---------------------------------------------------------------- leases


@pytest.mark.django_db
def test_an_expired_assignment_goes_to_the_next_and_leaves_its_holder_a_draft() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item()
    expire(claimed(queue, cast.reviewer))
    assert claimed(queue, cast.another_reviewer).assignment.item == item
    trace = Review.objects.get(item=item, reviewer=cast.reviewer)
    assert (trace.state, trace.revision, trace.edited_text) == ("draft", 0, "")


@pytest.mark.django_db
def test_an_expired_assignment_is_taken_only_when_nothing_else_is_free() -> None:
    cast, queue = make.cast(), make.queue()
    mine, free = make.queue_item(priority=5), make.queue_item()
    lease = claimed(queue, cast.reviewer)
    assert lease.assignment.item == mine
    expire(lease)
    assert claimed(queue, cast.another_reviewer).assignment.item == free


@pytest.mark.django_db
def test_a_lease_is_renewed_also_after_its_time_while_nobody_else_wanted_the_assignment() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    lease = claimed(queue, cast.reviewer)
    expire(lease)
    renewed = claims.renew_lease(assignment=lease.assignment, token=lease.token, reviewer=cast.reviewer)
    assert renewed.until > timezone.now()
    with pytest.raises(StaleState):
        claims.renew_lease(assignment=lease.assignment, token=uuid.uuid4(), reviewer=cast.reviewer)
    with pytest.raises(StaleState):
        claims.renew_lease(assignment=lease.assignment, token=lease.token, reviewer=cast.another_reviewer)


@pytest.mark.django_db
def test_an_assignment_that_somebody_else_took_cannot_be_renewed() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    lease = claimed(queue, cast.reviewer)
    expire(lease)
    claimed(queue, cast.another_reviewer)
    with pytest.raises(StaleState, match="kept as a draft"):
        claims.renew_lease(assignment=lease.assignment, token=lease.token, reviewer=cast.reviewer)


# ---------------------------------------------------------------- this very item


@pytest.mark.django_db
def test_holding_an_item_takes_a_free_assignment_of_it_or_none() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item(in_queue=queue)
    lease = claims.hold(item=item, reviewer=cast.reviewer)
    assert lease is not None
    assert lease.assignment.item == item
    again = claims.hold(item=item, reviewer=cast.reviewer)
    assert again is not None
    assert again.token == lease.token
    assert claims.hold(item=item, reviewer=cast.another_reviewer) is None
    expire(lease)
    taken = claims.hold(item=item, reviewer=cast.another_reviewer)
    assert taken is not None
    assert claims.hold(item=item, reviewer=cast.reviewer) is None


@pytest.mark.django_db
def test_a_finished_or_flagged_item_cannot_be_held() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert claims.hold(item=lease.assignment.item, reviewer=cast.reviewer) is None, "I answered it"
    QueueItem.objects.filter(pk=item.pk).update(state="flagged")
    item.refresh_from_db()
    assert claims.hold(item=item, reviewer=cast.another_reviewer) is None


# ---------------------------------------------------------------- skipping


@pytest.mark.django_db
def test_later_comes_back_to_me_after_two_hours_and_is_free_for_others_at_once() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item()
    lease = claimed(queue, cast.reviewer)
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=cast.reviewer)
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer) is None
    Skip.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert claimed(queue, cast.reviewer).assignment.item == item


@pytest.mark.django_db
def test_a_skipped_item_is_never_asked_of_me_again_but_of_others() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item()
    lease = claimed(queue, cast.reviewer)
    claims.skip(assignment=lease.assignment, token=lease.token, meaning="skip", reviewer=cast.reviewer)
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer) is None
    assert claimed(queue, cast.another_reviewer).assignment.item == item


@pytest.mark.django_db
def test_a_flagged_item_needs_a_reason_is_asked_of_nobody_and_can_be_put_back() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item = make.queue_item(in_queue=queue)
    lease = claimed(queue, cast.reviewer)
    with pytest.raises(InvalidInput) as refused:
        claims.skip(
            assignment=lease.assignment,
            token=lease.token,
            meaning="flag",
            reason=" ",
            reviewer=cast.reviewer,
        )
    assert "reason" in refused.value.fields
    claims.skip(
        assignment=lease.assignment,
        token=lease.token,
        meaning="flag",
        reason="Not an article.",
        reviewer=cast.reviewer,
    )
    item.refresh_from_db()
    assert item.state == "flagged"
    assert AuditEvent.objects.get(action="item.flagged").reason == "Not an article."
    assert claims.claim_next(queue=queue, reviewer=cast.another_reviewer) is None
    assert items_waiting(reviewer=cast.another_reviewer)[queue.pk] == 0
    with pytest.raises(NotAllowed):
        claims.put_back(item=item, actor=cast.another_reviewer)
    claims.put_back(item=item, actor=cast.ml_engineer)
    with pytest.raises(StaleState):
        claims.put_back(item=item, actor=cast.ml_engineer)
    assert claimed(queue, cast.another_reviewer).assignment.item == item
    assert claims.claim_next(queue=queue, reviewer=cast.reviewer) is None


@pytest.mark.django_db
def test_an_assignment_released_after_its_item_was_flagged_is_given_to_nobody() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    make.queue_item(in_queue=queue)
    mine, theirs = claimed(queue, cast.reviewer), claimed(queue, cast.another_reviewer)
    claims.skip(
        assignment=mine.assignment,
        token=mine.token,
        meaning="flag",
        reason="Empty.",
        reviewer=cast.reviewer,
    )
    claims.skip(
        assignment=theirs.assignment, token=theirs.token, meaning="snooze", reviewer=cast.another_reviewer
    )
    assert claims.claim_next(queue=queue, reviewer=cast.ml_engineer) is None


@pytest.mark.django_db
@pytest.mark.parametrize("meaning", ["", "done", "SNOOZE"])
def test_an_unknown_meaning_is_refused(meaning: str) -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    lease = claimed(queue, cast.reviewer)
    with pytest.raises(InvalidInput):
        claims.skip(assignment=lease.assignment, token=lease.token, meaning=meaning, reviewer=cast.reviewer)


@pytest.mark.django_db
def test_an_assignment_of_somebody_else_cannot_be_passed_by() -> None:
    cast, queue = make.cast(), make.queue()
    make.queue_item()
    lease = claimed(queue, cast.reviewer)
    with pytest.raises(StaleState):
        claims.skip(
            assignment=lease.assignment, token=lease.token, meaning="snooze", reviewer=cast.another_reviewer
        )
    assert claimed(queue, cast.reviewer).token == lease.token


# ---------------------------------------------------------------- what waits


@pytest.mark.django_db
def test_what_waits_for_me_counts_items_i_could_take_or_hold() -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    for _ in range(5):
        make.queue_item(in_queue=queue)
    count: Callable[[User], int] = lambda person: items_waiting(reviewer=person)[queue.pk]  # noqa: E731
    assert count(cast.reviewer) == 5, "items, not assignments"
    mine = claimed(queue, cast.reviewer)
    assert count(cast.reviewer) == 5, "what I hold waits for me"
    submit_review(item=mine.assignment.item, answers=Answers(**COMPLETE), reviewer=cast.reviewer)
    assert count(cast.reviewer) == 4
    second = claimed(queue, cast.reviewer)
    claims.skip(assignment=second.assignment, token=second.token, meaning="skip", reviewer=cast.reviewer)
    assert count(cast.reviewer) == 3
    theirs = claimed(queue, cast.another_reviewer)
    assert theirs.assignment.item == mine.assignment.item
    assert count(cast.ml_engineer) == 4, "both assignments of the first are taken"
    one, two = claimed(queue, cast.ml_engineer), claimed(queue, cast.administrator)
    assert one.assignment.item == two.assignment.item
    assert count(cast.another_reviewer) == 4, "three untouched and the one I hold"
    expire(one)
    expire(two)
    assert count(cast.another_reviewer) == 5, "two expired assignments of one item count once"


@pytest.mark.django_db
def test_counting_stops_where_nobody_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cast, queue = make.cast(), make.queue()
    for _ in range(6):
        make.queue_item(in_queue=queue)
    monkeypatch.setattr(statements, "COUNTED", 4)
    assert items_waiting(reviewer=cast.reviewer)[queue.pk] == 4


# ---------------------------------------------------------------- all at once


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Each act in a thread with a connection of its own, all let go at the same moment; results in order."""
    ready = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def carry_out(index: int, act: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            ready.wait(timeout=30)
            results[index] = act()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=carry_out, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    errors = [result for result in results if isinstance(result, Exception)]
    assert not errors, errors
    return results


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_twelve_reviewers_who_claim_until_all_is_gone_never_get_the_same_assignment() -> None:
    queue = make.queue(reviews_per_item=2)
    people = [make.user(f"reviewer{number}", "reviewer") for number in range(12)]
    items = [make.queue_item(in_queue=queue) for _ in range(40)]

    def work(reviewer: User) -> list[tuple[int, int]]:
        got: list[tuple[int, int]] = []
        while True:
            lease = claims.claim_next(queue=queue, reviewer=reviewer)
            if lease is None:
                return got
            got.append((lease.assignment.pk, lease.assignment.item_id))
            submit_review(item=lease.assignment.item, answers=Answers(**COMPLETE), reviewer=reviewer)

    results = at_once(*(lambda person=person: work(person) for person in people))
    assignments = Counter(assignment for got in results for assignment, _ in got)
    assert set(assignments.values()) == {1}
    assert len(assignments) == 80
    for got in results:
        assert len({item for _, item in got}) == len(got), "nobody reviews an item twice"
    assert Review.objects.filter(state="submitted", late=False).count() == 80
    assert QueueItem.objects.filter(state="done").count() == len(items)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who_waits", ["the claim", "the late work"])
def test_late_work_and_a_claim_of_the_same_person_at_the_same_instant_take_one_assignment(
    who_waits: str,
) -> None:
    cast, queue = make.cast(), make.queue(reviews_per_item=2)
    item, following = make.queue_item(in_queue=queue), make.queue_item(in_queue=queue)
    expire(claimed(queue, cast.reviewer))
    claims.free_expired(Assignment.objects.filter(item=item))
    first = Assignment.objects.filter(item=item, position=0)
    results: list[Any] = []

    def act() -> None:
        if who_waits == "the claim":
            results.append(claimed(queue, cast.reviewer).assignment.item)
        else:
            results.append(submit_review(item=item, answers=Answers(**COMPLETE), reviewer=cast.reviewer))
        connection.close()

    thread = threading.Thread(target=act)
    with transaction.atomic():
        if who_waits == "the claim":
            first.update(state="done", reviewer=cast.reviewer)
        else:
            first.update(state="held", reviewer=cast.reviewer, lease_token=uuid.uuid4(), lease_until=Now())
        thread.start()
        wait_for(somebody_waits_for_a_lock)
    thread.join(30)
    assert [assignment.state for assignment in Assignment.objects.filter(item=item).order_by("position")] == [
        "done",
        "free",
    ]
    if who_waits == "the claim":
        assert results == [following]
    else:
        assert [review.late for review in results] == [False]


@pytest.mark.django_db(transaction=True)
def test_one_item_for_ten_who_ask_at_the_same_instant_goes_to_one() -> None:
    queue = make.queue()
    people = [make.user(f"reviewer{number}", "reviewer") for number in range(10)]
    for _ in range(8):
        item = make.queue_item(in_queue=queue)
        by_address = at_once(
            *(
                (lambda person=person: claims.hold(item=item, reviewer=person))  # noqa: B023
                if index % 2
                else (lambda person=person: claims.claim_next(queue=queue, reviewer=person))
                for index, person in enumerate(people)
            )
        )
        winners = [lease for lease in by_address if lease is not None]
        assert len(winners) == 1
        Assignment.objects.filter(item=item).update(state="done")


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_one_reviewer_get_one_assignment() -> None:
    queue = make.queue(reviews_per_item=3)
    reviewer = make.user("rita", "reviewer")
    for _ in range(4):
        make.queue_item(in_queue=queue)
    leases = at_once(*(lambda: claims.claim_next(queue=queue, reviewer=reviewer) for _ in range(6)))
    assert len({lease.assignment.pk for lease in leases}) == 1
    assert Assignment.objects.filter(state="held").count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_expired_assignment_that_many_want_goes_to_one_and_its_holder_keeps_his_text() -> None:
    queue = make.queue()
    holder = make.user("holder", "reviewer")
    people = [make.user(f"reviewer{number}", "reviewer") for number in range(8)]
    item = make.queue_item(in_queue=queue)
    lease = claimed(queue, holder)
    save_draft(item=item, answers=Answers(edited_text="Half a sen"), reviewer=holder, base_revision=0)
    expire(lease)
    leases = at_once(
        *(lambda person=person: claims.claim_next(queue=queue, reviewer=person) for person in people)
    )
    assert sum(found is not None for found in leases) == 1
    assert Review.objects.get(item=item, reviewer=holder).edited_text == "Half a sen"


@pytest.mark.django_db
def test_the_rubric_of_a_trace_is_the_one_that_was_asked() -> None:
    cast, queue = make.cast(), make.queue()
    item = make.queue_item()
    lease = claimed(queue, cast.reviewer)
    rubric = queue.rubric
    expire(lease)
    claimed(queue, cast.another_reviewer)
    queue.rubric = RubricVersion.objects.create(number=2)
    queue.save()
    assert Review.objects.get(item=item, reviewer=cast.reviewer).rubric == rubric
