"""How many assignments an item has, in which order they are given out, and when the item is done.

What brings a queue in step is set-based, the same for one item and for a hundred thousand: queues are changed while
people work.

Order of locks everywhere: the queue's assignments (an advisory lock: claiming and adding share it, rearranging the
queue has it alone), then the item, then its assignments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, F, OuterRef, Q

from models_app.foundation import locks
from models_app.foundation.constraints import broke
from reviews.models import Assignment, QueueItem, Review, ReviewQueue
from reviews.queues.statements import Rearranged, rank_assignments_of, rearrange_assignments

P = ParamSpec("P")
R = TypeVar("R")
QUEUE_LOCK = 0x0EA7  # advisory locks (this, queue)
_ONE_ASSIGNMENT = "assignment_once_per_reviewer"


def share_queue(queue: int) -> None:
    """Until the transaction ends nobody rearranges the assignments of this queue; others may claim as well."""
    locks.shared(QUEUE_LOCK, queue)


def own_queue(queue: int) -> None:
    """Wait for everybody who is just claiming or putting in; keep others waiting until the transaction ends."""
    locks.alone(QUEUE_LOCK, queue)


def fit_assignments(*, queue: ReviewQueue, items: Sequence[int] | None = None) -> Rearranged:
    """Bring these items (None: all of the queue) in step with the queue: how many reviews each gets, free
    assignments, their rank, whether it is open or done.

    An assignment that somebody holds or has answered from is never taken away. Reads the queue's settings from the
    database. For more than the items that the caller has just made, call `own_queue` first."""
    with transaction.atomic():
        return rearrange_assignments(queue=queue.pk, items=items)


def rank_assignments(*, queue: ReviewQueue, items: Sequence[int]) -> None:
    """After an item's priority, confidence or disagreement changed, or an assignment that was done is not."""
    rank_assignments_of(queue=queue.pk, items=items)


def locked_full(items: Sequence[int]) -> list[QueueItem]:
    """Those of these items that have more assignments than they need, locked. To be called before any assignment is."""
    full = list(
        QueueItem.objects.filter(pk__in=items)
        .exclude(reason=QueueItem.Reason.GOLD)
        .alias(there=Count("assignments"))
        .filter(there__gt=F("wanted_reviews"))
        .values_list("pk", flat=True)
    )
    if not full:
        return []
    return list(QueueItem.objects.locked().filter(pk__in=full).order_by("pk"))


def drop_surplus(item: QueueItem) -> int:
    """Take away free assignments that nobody needs any more; the caller has locked the item. Returns how many."""
    assignments = Assignment.objects.filter(item=item)
    surplus = assignments.count() - item.wanted_reviews
    if surplus <= 0:
        return 0
    free = assignments.filter(state=Assignment.State.FREE)
    anybodys = ExpressionWrapper(Q(assigned_to=None), BooleanField())
    # those that are meant for somebody stay longest
    last = free.order_by(anybodys.desc(), "-position").values("pk")[:surplus]
    removed, _ = free.filter(pk__in=last).delete()
    return removed


def close_held_assignment(*, item: QueueItem, reviewer: User) -> bool:
    """What this person sat here for is submitted. False where they hold no assignment of the item."""
    held = Assignment.objects.filter(item=item, reviewer=reviewer, state=Assignment.State.HELD)
    return bool(held.update(state=Assignment.State.DONE))


def close_assignment(*, item: QueueItem, reviewer: User) -> bool:
    """The same; where the lease ran out, of an assignment that is still free. False where none is left."""
    if close_held_assignment(item=item, reviewer=reviewer):
        return True
    if Assignment.objects.filter(item=item, reviewer=reviewer).exists():
        return False
    free = (
        Assignment.objects.select_for_update(skip_locked=True)
        .filter(Q(assigned_to=None) | Q(assigned_to=reviewer), item=item, state="free")
        .order_by(F("assigned_to").asc(nulls_last=True), "position")
        .first()
    )
    if free is None:
        return False
    try:
        with transaction.atomic():
            left = Assignment.objects.filter(pk=free.pk, state="free")
            return bool(left.update(state="done", reviewer=reviewer))
    except IntegrityError as error:
        if not broke(error, _ONE_ASSIGNMENT):
            raise
        # in another tab they took an assignment of the item at the same instant
        return close_held_assignment(item=item, reviewer=reviewer)


def taking_an_assignment(take: Callable[P, R]) -> Callable[P, R]:
    """Looks once more where late work took an assignment of the same item, for the same person, at the same instant."""

    @wraps(take)
    def once_more(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return take(*args, **kwargs)
        except IntegrityError as error:
            if not broke(error, _ONE_ASSIGNMENT):
                raise
            return take(*args, **kwargs)

    return once_more


def is_complete(item: QueueItem) -> bool:
    """All wanted reviews are in: no assignment is free or held, and none was sent back."""
    return QueueItem.objects.filter(_ALL_ARE_IN, pk=item.pk).exists()


_ALL_ARE_IN = ~Exists(
    Assignment.objects.filter(item=OuterRef("pk")).exclude(state=Assignment.State.DONE)
) & ~Exists(Review.objects.filter(item=OuterRef("pk"), state=Review.State.RETURNED))


def close_if_complete(item: QueueItem) -> bool:
    """Make an open item done once all wanted reviews are in; the caller has locked it. True where this closed it."""
    complete = QueueItem.objects.filter(_ALL_ARE_IN, pk=item.pk, state=QueueItem.State.OPEN)
    return bool(complete.update(state=QueueItem.State.DONE))


def reopen_if_incomplete(item: QueueItem) -> None:
    """The other way: an assignment became free or a review was sent back. The caller has locked the item."""
    if not is_complete(item):
        QueueItem.objects.filter(
            pk=item.pk, state__in=[QueueItem.State.DONE, QueueItem.State.DISPUTED], adjudication=None
        ).update(state=QueueItem.State.OPEN)
