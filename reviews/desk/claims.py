"""Claiming a seat at an item, keeping it, skipping it.

A seat (`ReviewSlot`) is claimed by locking it and passing over those that others are just taking, so that two people
never get the same one, however many ask at once. A lease that ran out gives the seat back once somebody else needs
it; an (empty) draft of its holder remains as the sign that the item was theirs, so that late work can be submitted.
Somebody deactivated holds nothing, whatever the lease says. Times are read from one clock, the database's.

Which seats a person may have, the tables say (`ReviewSlotQuerySet.open_to`).
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
from reviews.desk.statements import Which, take_seat, wait_for_my_turn
from reviews.models import Preference, QueueItem, Review, ReviewQueue, ReviewSlot, Skip, Summary
from reviews.models.queues import ReviewSlotQuerySet
from reviews.quality import adjudication, gold
from reviews.queues import judges
from reviews.queues import seats as seating

LATER = timedelta(hours=2)


@dataclass(frozen=True)
class Lease:
    slot: ReviewSlot
    token: uuid.UUID
    until: datetime


@seating.taking_a_seat
def claim_next(
    *,
    queue: ReviewQueue,
    reviewer: User,
    but_not: int | None = None,
    lease: timedelta | None = None,
    kind: str = ReviewQueue.Kind.RATE_AND_EDIT,
) -> Lease | None:
    """The seat I hold in this queue, else the next one for me, else None.

    `but_not` is an item to pass over, and `lease` a shorter one than the queue's: for fetching the next item ahead.
    `kind` is what the caller can show; a queue of the other desk gives it nothing.
    """
    require(reviewer, "review")
    if not queue.active or (queue.kind in ReviewQueue.AT_DESK) != (kind in ReviewQueue.AT_DESK):
        return None
    lease = lease or timedelta(minutes=queue.lease_minutes)
    seats = ReviewSlot.objects.filter(queue=queue)
    with transaction.atomic():
        turn = wait_for_my_turn(queue=queue.pk, reviewer=reviewer)
        mine = seats.held_by(reviewer).exclude(item=but_not).order_by("claimed_at", "pk")
        if turn.holds and (held := _extended(mine, queue, lease)) is not None:
            return held
        known = gold.due(queue=queue, reviewer=reviewer)
        if known is not None:
            return hold(item=known, reviewer=reviewer)
        take = _take_pair if queue.kind == ReviewQueue.Kind.PAIRWISE else _take_next
        taken = take(queue, reviewer, lease, assigned=turn.assigned)
        if taken is None and free_expired(seats):
            taken = take(queue, reviewer, lease, assigned=True)
        return taken


def _extended(held: ReviewSlotQuerySet, queue: ReviewQueue, lease: timedelta) -> Lease | None:
    """The first of these that I hold, for longer now; a longer lease is never shortened. None where I hold none."""
    seats: QuerySet[Any] = held.select_for_update(of=("self",)).annotate(now=Now())
    seat = seats.select_related("item__summary__document").first()
    if seat is None:
        return None
    seat.lease_until = max(seat.lease_until, seat.now + lease)
    ReviewSlot.objects.filter(pk=seat.pk).update(lease_until=seat.lease_until)
    return _lease(seat, queue)


def _take_next(queue: ReviewQueue, reviewer: User, lease: timedelta, *, assigned: bool) -> Lease | None:
    """What is assigned to me comes first, what is assigned to others never."""
    following = Which.SHUFFLED if queue.order == ReviewQueue.Order.RANDOM else Which.NEXT
    for which in (Which.ASSIGNED, following) if assigned else (following,):
        seat = take_seat(which, queue=queue.pk, reviewer=reviewer, lease=lease)
        if seat is not None:
            return _taken(seat, queue)
    return None


def _take_pair(queue: ReviewQueue, reviewer: User, lease: timedelta, *, assigned: bool) -> Lease | None:
    """`_take_next`, of pairs that are this person's to judge; all others about the same release are passed by."""
    pairs = QueueItem.objects.filter(queue=queue)
    while True:
        before = transaction.savepoint()
        taken = _take_next(queue, reviewer, lease, assigned=assigned)
        if taken is None:
            # so that it is told right what waits for others
            judges.leave_to_others(items=pairs, judge=reviewer)
        elif judges.is_for_others(item=taken.slot.item, judge=reviewer):
            transaction.savepoint_rollback(before)
            release = Summary.objects.filter(pairs=taken.slot.item).values("release")
            judges.pass_by(items=pairs.filter(other__release__in=release), judge=reviewer)
            continue
        transaction.savepoint_commit(before)
        return taken


def _lease(seat: ReviewSlot, queue: ReviewQueue) -> Lease:
    assert seat.lease_token is not None
    assert seat.lease_until is not None
    seat.queue = seat.item.queue = queue  # which the caller has loaded
    return Lease(seat, seat.lease_token, seat.lease_until)


def _taken(seat: ReviewSlot | None, queue: ReviewQueue) -> Lease | None:
    """With all that is shown at it."""
    if seat is None:
        return None
    seat.item = QueueItem.objects.select_related("summary__document").get(pk=seat.item_id)
    return _lease(seat, queue)


def free_expired(seats: ReviewSlotQuerySet, *, whatever_the_lease: bool = False) -> int:
    """Give back held seats whose lease ran out or whose holder was deactivated. Holders keep a draft, be it an empty
    one. Call it within a transaction that has not locked seats before items."""
    over = seats.filter(state=ReviewSlot.State.HELD) if whatever_the_lease else seats.over()
    with transaction.atomic():
        held = list(over.select_related("item__summary", "queue").order_by("pk"))
        if not held:
            return 0
        full = seating.locked_full([seat.item_id for seat in held])
        # Before any seat is locked: a submit locks the review before the seat.
        _leave_traces(held)
        freed = (
            over.filter(pk__in=[seat.pk for seat in held])
            .select_for_update(of=("self",), skip_locked=True)
            .order_by()
            .values_list("pk", flat=True)
        )
        count = ReviewSlot.objects.filter(pk__in=list(freed)).update(
            state="free", reviewer=None, lease_token=None, lease_until=None
        )
        _drop_surplus(full)
        return count


def _drop_surplus(items: Sequence[QueueItem]) -> None:
    """Nobody is asked for more than is wanted by now; what has enough is done. The items are locked."""
    for item in items:
        if seating.drop_surplus(item) and seating.close_if_complete(item):
            item.refresh_from_db(fields=["state"])
            adjudication.keep_in_step(item=item)


def _leave_traces(seats: Sequence[ReviewSlot]) -> None:
    """The sign that an item was somebody's, who may hand his answer in later."""
    Review.objects.bulk_create(
        (
            Review(
                item=seat.item,
                summary=seat.item.summary,
                reviewer_id=seat.reviewer_id,
                rubric_id=seat.queue.rubric_id,
            )
            for seat in seats
            if seat.reviewer_id is not None and seat.queue.kind != ReviewQueue.Kind.PAIRWISE
        ),
        ignore_conflicts=True,
    )
    Preference.objects.bulk_create(
        (
            Preference(item=seat.item, reviewer_id=seat.reviewer_id, after_was_left=seat.swapped)
            for seat in seats
            if seat.reviewer_id is not None and seat.queue.kind == ReviewQueue.Kind.PAIRWISE
        ),
        ignore_conflicts=True,
    )


def renew_lease(
    *, slot: ReviewSlot, token: uuid.UUID, reviewer: User, lease: timedelta | None = None
) -> Lease:
    """Keep my seat, also after its time ran out, as long as nobody else has needed it. Raises StaleState."""
    require(reviewer, "review")
    mine = ReviewSlot.objects.held_by(reviewer).filter(pk=slot.pk, lease_token=token)
    with transaction.atomic():
        queue = slot.item.queue
        renewed = _extended(mine, queue, lease or timedelta(minutes=queue.lease_minutes))
    if renewed is None:
        raise StaleState("This item is no longer held by you; what you typed is kept as a draft.")
    return renewed


@seating.taking_a_seat
def hold(*, item: QueueItem, reviewer: User) -> Lease | None:
    """My seat at this very item: the one I hold, else a free one of it that is nobody else's, else None.

    Whoever skipped the item gets it by opening it, unless it has to be left to others.
    """
    require(reviewer, "review")
    seats = ReviewSlot.objects.filter(item=item)
    with transaction.atomic():
        wait_for_my_turn(queue=item.queue_id, reviewer=reviewer)
        lease = timedelta(minutes=item.queue.lease_minutes)
        if seats.filter(reviewer=reviewer).exists():
            return _extended(seats.held_by(reviewer), item.queue, lease)
        if not item.queue.active:
            return None
        if item.other_id:
            judges.leave_to_others(items=QueueItem.objects.filter(pk=item.pk), judge=reviewer)
        if not seats.open_to(reviewer, unless=Skip.objects.beyond_recall()).exists():
            return None
        free_expired(seats)
        seat = take_seat(Which.AT_ITEM, queue=item.queue_id, reviewer=reviewer, item=item.pk, lease=lease)
        return _taken(seat, item.queue)


def _has_answered(item: QueueItem, reviewer: User) -> bool:
    return (
        Review.objects.filter(item=item, reviewer=reviewer, state__in=Review.ANSWERED).exists()
        or Preference.objects.filter(item=item, reviewer=reviewer, state="submitted").exists()
    )


def skip(*, slot: ReviewSlot, token: uuid.UUID, meaning: str, reason: str = "", reviewer: User) -> None:
    """Pass an item by: later (it comes back to me), not for me (others get it), bad item (it is set aside)."""
    require(reviewer, "review")
    reason = normalise(reason)
    if meaning not in Skip.SAID:
        raise InvalidInput("Say why you pass it by.", fields={"meaning": "later, not for me or bad item"})
    if meaning == Skip.Meaning.BAD_ITEM and not reason:
        raise InvalidInput("Say what is wrong with the item.", fields={"reason": "An engineer will read it."})
    if len(reason) > Skip.LONGEST_REASON_CHARACTERS:
        raise InvalidInput(
            "The reason is too long.",
            fields={"reason": f"At most {Skip.LONGEST_REASON_CHARACTERS:,} characters."},
        )
    with transaction.atomic():
        # the same order of locks as a submit: the item, then its seat
        QueueItem.objects.select_for_update(no_key=True).get(pk=slot.item_id)
        changed = ReviewSlot.objects.filter(
            pk=slot.pk, state="held", reviewer=reviewer, lease_token=token
        ).update(state="free", reviewer=None, lease_token=None, lease_until=None)
        if not changed:
            raise StaleState("This item is no longer held by you.")
        if (
            meaning != Skip.Meaning.LATER
        ):  # kept for somebody who is never asked again, it would wait for ever
            ReviewSlot.objects.filter(item=slot.item_id, assigned_to=reviewer, state="free").update(
                assigned_to=None
            )
        until = Now() + Value(LATER) if meaning == Skip.Meaning.LATER else None
        Skip.objects.update_or_create(
            item=slot.item,
            reviewer=reviewer,
            defaults={"meaning": meaning, "reason": reason, "until": until, "at": timezone.now()},
        )
        if meaning == Skip.Meaning.BAD_ITEM:
            QueueItem.objects.filter(pk=slot.item_id, state="open").update(state="set aside")
            audit.record(
                actor=reviewer, action="item.set_aside", subject=f"queueitem:{slot.item_id}", reason=reason
            )
        else:
            _drop_surplus(seating.locked_full([slot.item_id]))


def saw_others(*, item: QueueItem, reviewer: User) -> bool:
    return Skip.objects.filter(item=item, reviewer=reviewer, saw_others=True).exists()


def step_aside(*, item: QueueItem, reviewer: User) -> None:
    """Let others have this item for good, without having held it: before one looks at what they think of it."""
    require(reviewer, "review")
    if saw_others(item=item, reviewer=reviewer):
        return
    with transaction.atomic():
        wait_for_my_turn(queue=item.queue_id, reviewer=reviewer)
        QueueItem.objects.select_for_update(no_key=True).get(pk=item.pk)
        if ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="held").exists():
            raise Refused("You hold this item. Hand it in or pass it by at the desk first.")
        if _has_answered(item, reviewer):  # and may correct it
            raise Refused("You have answered it. You see what others answered once all have.")
        Skip.objects.filter(item=item, reviewer=reviewer, meaning=Skip.Meaning.LATER).delete()
        Skip.objects.update_or_create(
            item=item,
            reviewer=reviewer,
            defaults={"saw_others": True, "at": timezone.now()},
            create_defaults={"meaning": Skip.Meaning.NOT_FOR_ME, "saw_others": True},
        )
        ReviewSlot.objects.filter(item=item, assigned_to=reviewer, state="free").update(assigned_to=None)
        audit.record(actor=reviewer, action="item.step_aside", subject=item)


def put_back(*, item: QueueItem, actor: Any | None) -> None:
    """Let a flagged item be reviewed after all; whoever flagged it is not asked again."""
    require(actor, "manage_queues")
    with transaction.atomic():
        if not QueueItem.objects.filter(pk=item.pk, state="set aside").update(state="open"):
            raise StaleState("This item is not set aside any more.")
        seating.close_if_complete(item)  # fewer reviews may be wanted by now
        audit.record(
            actor=actor, action="item.put_back", subject=item, from_state="set aside", to_state="open"
        )
