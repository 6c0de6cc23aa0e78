"""Claiming an assignment at an item, keeping it, skipping it.

An assignment (`Assignment`) is claimed by locking it and passing over those that others are just taking, so that two
people never get the same one, however many ask at once. A lease that ran out gives the assignment back once somebody
else needs it; an (empty) draft of its holder remains as the sign that the item was theirs, so that late work can be
submitted. Somebody deactivated holds nothing, whatever the lease says. Times are read from one clock, the database's.

Which assignments a person may have, the tables say (`AssignmentQuerySet.open_to`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Now
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.texts.normalise import normalise
from reviews.desk.statements import Which, shown_item, take_assignment, wait_for_my_turn
from reviews.models import Assignment, Preference, QueueItem, Review, ReviewQueue, Skip, Summary
from reviews.models.queues import AssignmentQuerySet
from reviews.quality import adjudication, gold
from reviews.queues import judges
from reviews.queues.assignments import close_if_complete, drop_surplus, locked_full, taking_an_assignment

SNOOZED = timedelta(hours=2)


@dataclass(frozen=True)
class Lease:
    assignment: Assignment
    token: uuid.UUID
    until: datetime


@taking_an_assignment
def claim_next(
    *,
    queue: ReviewQueue,
    reviewer: User,
    but_not: int | None = None,
    lease: timedelta | None = None,
    kind: str = ReviewQueue.Kind.RATE_AND_EDIT,
) -> Lease | None:
    """The assignment I hold in this queue, else the next one for me, else None.

    `but_not` is an item to pass over, and `lease` a shorter one than the queue's: for fetching the next item ahead.
    `kind` is what the caller can show; a queue of the other desk gives it nothing.
    """
    require(reviewer, "review")
    if not queue.active or (queue.kind in ReviewQueue.AT_DESK) != (kind in ReviewQueue.AT_DESK):
        return None
    lease = lease or timedelta(minutes=queue.lease_minutes)
    assignments = Assignment.objects.filter(queue=queue)
    with transaction.atomic():
        turn = wait_for_my_turn(queue=queue.pk, reviewer=reviewer)
        mine = assignments.held_by(reviewer).exclude(item=but_not).order_by("claimed_at", "pk")
        if turn.holds and (held := _extended(mine, queue, lease)) is not None:
            return held
        known = gold.due(queue=queue, reviewer=reviewer)
        if known is not None:
            return hold(item=known, reviewer=reviewer)
        take = _take_pair if queue.kind == ReviewQueue.Kind.PAIRWISE else _take_next
        taken = take(queue, reviewer, lease, assigned=turn.assigned)
        if taken is None and free_expired(assignments):
            taken = take(queue, reviewer, lease, assigned=True)
        return taken


def _extended(held: AssignmentQuerySet, queue: ReviewQueue, lease: timedelta) -> Lease | None:
    """The first of these that I hold, for longer now; a longer lease is never shortened. None where I hold none."""
    assignments: QuerySet[Any] = held.select_for_update(of=("self",)).annotate(now=Now())
    assignment = assignments.select_related("item__summary__document").first()
    if assignment is None:
        return None
    assignment.lease_until = max(assignment.lease_until, assignment.now + lease)
    Assignment.objects.filter(pk=assignment.pk).update(lease_until=assignment.lease_until)
    return _lease(assignment, queue)


def _take_next(queue: ReviewQueue, reviewer: User, lease: timedelta, *, assigned: bool) -> Lease | None:
    """What is assigned to me comes first, what is assigned to others never."""
    following = Which.SHUFFLED if queue.order == ReviewQueue.Order.RANDOM else Which.NEXT
    for which in (Which.ASSIGNED, following) if assigned else (following,):
        assignment = take_assignment(which, queue=queue.pk, reviewer=reviewer, lease=lease)
        if assignment is not None:
            return _taken(assignment, queue)
    return None


def _take_pair(queue: ReviewQueue, reviewer: User, lease: timedelta, *, assigned: bool) -> Lease | None:
    """`_take_next`, of pairs that are this person's to judge; all others about the same release are skipped."""
    pairs = QueueItem.objects.filter(queue=queue)
    while True:
        before = transaction.savepoint()
        taken = _take_next(queue, reviewer, lease, assigned=assigned)
        if taken is None:
            # so that it is told right what waits for others
            judges.leave_to_others(items=pairs, judge=reviewer)
        elif judges.is_for_others(item=taken.assignment.item, judge=reviewer):
            transaction.savepoint_rollback(before)
            release = Summary.objects.filter(pairs=taken.assignment.item).values("release")
            judges.skip_for_good(items=pairs.filter(other__release__in=release), judge=reviewer)
            continue
        transaction.savepoint_commit(before)
        return taken


def _lease(assignment: Assignment, queue: ReviewQueue) -> Lease:
    assert assignment.lease_token is not None
    assert assignment.lease_until is not None
    assignment.queue = assignment.item.queue = queue  # which the caller has loaded
    return Lease(assignment, assignment.lease_token, assignment.lease_until)


def _taken(assignment: Assignment | None, queue: ReviewQueue) -> Lease | None:
    """With all that is shown at it."""
    if assignment is None:
        return None
    item = shown_item(assignment.item_id)
    assert item is not None  # its assignment is held
    assignment.item = item
    return _lease(assignment, queue)


def free_expired(rows: AssignmentQuerySet, *, whatever_the_lease: bool = False) -> int:
    """Give back held assignments whose lease ran out or whose holder was deactivated. Holders keep a draft, be it an
    empty one. Call it within a transaction that has not locked assignments before items."""
    over = rows.filter(state=Assignment.State.HELD) if whatever_the_lease else rows.over()
    with transaction.atomic():
        held = list(over.select_related("item__summary", "queue").order_by("pk"))
        if not held:
            return 0
        full = locked_full([assignment.item_id for assignment in held])
        # Before any assignment is locked: a submit locks the review before the assignment.
        _leave_traces(held)
        freed = (
            over.filter(pk__in=[assignment.pk for assignment in held])
            .select_for_update(of=("self",), skip_locked=True)
            .order_by()
            .values_list("pk", flat=True)
        )
        count = Assignment.objects.filter(pk__in=list(freed)).update(
            state="free", reviewer=None, lease_token=None, lease_until=None
        )
        _drop_surplus(full)
        return count


def _drop_surplus(items: Sequence[QueueItem]) -> None:
    """Nobody is asked for more than is wanted by now; what has enough is done. The items are locked."""
    for item in items:
        if drop_surplus(item) and close_if_complete(item):
            item.refresh_from_db(fields=["state"])
            adjudication.keep_in_step(item=item)


def _leave_traces(assignments: Sequence[Assignment]) -> None:
    """The sign that an item was somebody's, who may hand his answer in later."""
    Review.objects.bulk_create(
        (
            Review(
                item=assignment.item,
                summary=assignment.item.summary,
                reviewer_id=assignment.reviewer_id,
                rubric_id=assignment.queue.rubric_id,
            )
            for assignment in assignments
            if assignment.reviewer_id is not None and assignment.queue.kind != ReviewQueue.Kind.PAIRWISE
        ),
        ignore_conflicts=True,
    )
    Preference.objects.bulk_create(
        (
            Preference(
                item=assignment.item, reviewer_id=assignment.reviewer_id, after_was_left=assignment.swapped
            )
            for assignment in assignments
            if assignment.reviewer_id is not None and assignment.queue.kind == ReviewQueue.Kind.PAIRWISE
        ),
        ignore_conflicts=True,
    )


def renew_lease(
    *, assignment: Assignment, token: uuid.UUID, reviewer: User, lease: timedelta | None = None
) -> Lease:
    """Keep my assignment, also after its time ran out, as long as nobody else has needed it. Raises StaleState."""
    require(reviewer, "review")
    mine = Assignment.objects.held_by(reviewer).filter(pk=assignment.pk, lease_token=token)
    with transaction.atomic():
        queue = assignment.item.queue
        renewed = _extended(mine, queue, lease or timedelta(minutes=queue.lease_minutes))
    if renewed is None:
        raise StaleState(f"{Skip.NOT_HELD} What you typed is kept as a draft.")
    return renewed


@taking_an_assignment
def hold(*, item: QueueItem, reviewer: User) -> Lease | None:
    """My assignment at this very item: the one I hold, else a free one of it that is nobody else's, else None.

    People who skipped the item get it by opening it, unless it has to be left to others.
    """
    require(reviewer, "review")
    assignments = Assignment.objects.filter(item=item)
    with transaction.atomic():
        wait_for_my_turn(queue=item.queue_id, reviewer=reviewer)
        lease = timedelta(minutes=item.queue.lease_minutes)
        if assignments.filter(reviewer=reviewer).exists():
            return _extended(assignments.held_by(reviewer), item.queue, lease)
        if not item.queue.active:
            return None
        if item.other_id:
            judges.leave_to_others(items=QueueItem.objects.filter(pk=item.pk), judge=reviewer)
        if not assignments.open_to(reviewer, unless=Skip.objects.beyond_recall()).exists():
            return None
        free_expired(assignments)
        assignment = take_assignment(
            Which.AT_ITEM, queue=item.queue_id, reviewer=reviewer, item=item.pk, lease=lease
        )
        return _taken(assignment, item.queue)


def _has_answered(item: QueueItem, reviewer: User) -> bool:
    return (
        Review.objects.filter(item=item, reviewer=reviewer, state__in=Review.ANSWERED).exists()
        or Preference.objects.filter(item=item, reviewer=reviewer, state="submitted").exists()
    )


def skip(*, assignment: Assignment, token: uuid.UUID, meaning: str, reason: str = "", reviewer: User) -> None:
    """Do not review an item now: snooze (it comes back to me), skip (others get it), flag (nobody gets it)."""
    require(reviewer, "review")
    reason = normalise(reason)
    if meaning not in Skip.SAID:
        raise InvalidInput(Skip.SAY_WHAT_TO_DO, fields={"meaning": f"One of {', '.join(Skip.SAID)}."})
    kept = Skip.SAID[meaning]
    if kept == Skip.Meaning.FLAG and not reason:
        raise InvalidInput(Skip.SAY_WHAT_IS_WRONG, fields={"reason": "An engineer will read it."})
    if len(reason) > Skip.LONGEST_REASON_CHARACTERS:
        raise InvalidInput(
            Skip.TOO_LONG, fields={"reason": f"At most {Skip.LONGEST_REASON_CHARACTERS:,} characters."}
        )
    with transaction.atomic():
        # the same order of locks as a submit: the item, then its assignment
        QueueItem.objects.locked().get(pk=assignment.item_id)
        changed = Assignment.objects.filter(
            pk=assignment.pk, state="held", reviewer=reviewer, lease_token=token
        ).update(state="free", reviewer=None, lease_token=None, lease_until=None)
        if not changed:
            raise StaleState(Skip.NOT_HELD)
        if (
            kept != Skip.Meaning.SNOOZE
        ):  # assigned to somebody who is never asked again, it would wait for ever
            Assignment.objects.filter(item=assignment.item_id, assigned_to=reviewer, state="free").update(
                assigned_to=None
            )
        until = Now() + Value(SNOOZED) if kept == Skip.Meaning.SNOOZE else None
        Skip.objects.update_or_create(
            item=assignment.item,
            reviewer=reviewer,
            defaults={"meaning": kept, "reason": reason, "until": until, "at": timezone.now()},
        )
        if kept == Skip.Meaning.FLAG:
            QueueItem.objects.filter(pk=assignment.item_id, state="open").update(state="flagged")
            audit.record(
                actor=reviewer,
                action="item.flagged",
                subject=f"queueitem:{assignment.item_id}",
                reason=reason,
            )
        else:
            _drop_surplus(locked_full([assignment.item_id]))


def saw_others(*, item: QueueItem, reviewer: User) -> bool:
    return Skip.objects.filter(item=item, reviewer=reviewer, saw_others=True).exists()


def step_aside(*, item: QueueItem, reviewer: User) -> None:
    """Let others have this item for good, without having held it: before one looks at what they think of it."""
    require(reviewer, "review")
    if saw_others(item=item, reviewer=reviewer):
        return
    with transaction.atomic():
        wait_for_my_turn(queue=item.queue_id, reviewer=reviewer)
        QueueItem.objects.locked().get(pk=item.pk)
        if Assignment.objects.filter(item=item, reviewer=reviewer, state="held").exists():
            raise Refused("You have this item checked out. Submit or skip it at the desk first.")
        if _has_answered(item, reviewer):  # and may correct it
            raise Refused("You have answered it. You see what others answered once all have.")
        Skip.objects.filter(item=item, reviewer=reviewer, meaning=Skip.Meaning.SNOOZE).delete()
        Skip.objects.update_or_create(
            item=item,
            reviewer=reviewer,
            defaults={"saw_others": True, "at": timezone.now()},
            create_defaults={"meaning": Skip.Meaning.SKIP, "saw_others": True},
        )
        Assignment.objects.filter(item=item, assigned_to=reviewer, state="free").update(assigned_to=None)
        audit.record(actor=reviewer, action="item.step_aside", subject=item)


def put_back(*, item: QueueItem, actor: Any | None) -> None:
    """Let a flagged item be reviewed after all; the person who flagged it is not asked again."""
    require(actor, "manage_queues")
    with transaction.atomic():
        if not QueueItem.objects.filter(pk=item.pk, state="flagged").update(state="open"):
            raise StaleState("This item is not flagged any more.")
        close_if_complete(item)  # fewer reviews may be wanted by now
        audit.record(actor=actor, action="item.put_back", subject=item, from_state="flagged", to_state="open")
