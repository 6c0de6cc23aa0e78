"""How many seats an item has, in which order they are given out, and when the item is done.

All of it is set-based SQL, the same for one item and for a hundred thousand: queues are changed while people work.

Order of locks everywhere: the queue's seats (an advisory lock; shared by whoever claims or puts in, exclusive for
whoever rearranges the queue), then the item, then its seats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q

from models_app.foundation import locks
from models_app.foundation.constraints import broke
from reviews.models import QueueItem, Review, ReviewQueue, ReviewSlot

P = ParamSpec("P")
R = TypeVar("R")
QUEUE_LOCK = 0x0EA7  # advisory locks (this, queue)
_ONE_SEAT = "slot_once_per_reviewer"
#: Items. The statistics know little of a queue that was just filled; nested loops chosen by them take minutes.
MANY = 100

# Which items get all the reviews of the queue and which get one: by a hash, so that the same item always falls on the
# same side, and a higher share only ever adds items.
_DRAW = """(('x' || encode(substring(sha256(convert_to(
    item.queue_id || ':' || item.summary_id || ':' || coalesce(item.other_id, 0), 'UTF8')) FROM 1 FOR 4), 'hex'))
    ::bit(32)::bigint %% 100)"""
_WANTED = f"""CASE WHEN {_DRAW} < queue.overlap_percent THEN queue.reviews_per_item ELSE 1 END"""
# Least first. Where a model told no confidence, or nobody has answered yet, there is nothing to be ahead for.
_RANKS = {
    ReviewQueue.Order.OLDEST: "0",
    ReviewQueue.Order.PRIORITY: "-item.priority",
    ReviewQueue.Order.RANDOM: "-item.priority",
    ReviewQueue.Order.CONFIDENCE: "coalesce(item.confidence, 2)",
    ReviewQueue.Order.DISAGREEMENT: "-coalesce(item.disagreement, 0)",
}
# By the order that the queue has now, whatever it had when somebody loaded it.
_RANK = f"""CASE (SELECT current."order" FROM reviews_reviewqueue current WHERE current.id = %(queue)s)
     {" ".join(f"WHEN '{order.value}' THEN {rank}" for order, rank in _RANKS.items())} END"""
_CHOSEN = """item.queue_id = %(queue)s AND (%(items)s::bigint[] IS NULL OR item.id = ANY(%(items)s))"""
# Gold items get a seat when it is somebody's turn (reviews/quality/gold.py).
_ORDINARY = f"item.reason <> '{QueueItem.Reason.GOLD.value}'"
_SETTLED = "EXISTS (SELECT 1 FROM reviews_adjudication settled WHERE settled.item_id = item.id)"
_UNFINISHED = """(
       EXISTS (SELECT 1 FROM reviews_reviewslot slot WHERE slot.item_id = item.id AND slot.state <> 'done')
    OR EXISTS (SELECT 1 FROM reviews_review back WHERE back.item_id = item.id AND back.state = 'returned'))"""

_LOCK_ITEMS = f"""
SELECT count(*) FROM (
       SELECT 1 FROM reviews_queueitem item WHERE {_CHOSEN} ORDER BY item.id FOR NO KEY UPDATE) locked
"""  # nosec B608 (this and the following: made of constants of this module; values are parameters)
_DRAW_WANTED = f"""
UPDATE reviews_queueitem item SET wanted_reviews = {_WANTED}
  FROM reviews_reviewqueue queue
 WHERE queue.id = item.queue_id AND {_CHOSEN} AND {_ORDINARY} AND item.wanted_reviews <> {_WANTED}
"""  # nosec B608
# Seats that are taken stay; of the free ones those that are meant for somebody stay longest.
_REMOVE_SEATS = f"""
DELETE FROM reviews_reviewslot slot
 USING (SELECT slot.id, item.wanted_reviews,
               row_number() OVER (PARTITION BY slot.item_id
                                  ORDER BY slot.state = 'free', slot.assigned_to_id IS NULL, slot.position) AS place
          FROM reviews_reviewslot slot JOIN reviews_queueitem item ON item.id = slot.item_id
         WHERE {_CHOSEN} AND {_ORDINARY}) seat
 WHERE seat.id = slot.id AND seat.place > seat.wanted_reviews AND slot.state = 'free'
"""  # nosec B608
# Of a pair the sides are drawn per seat: neighbours at one item see them the other way round. By chance and not by a
# hash, which people could compute from the item's number.
_ADD_SEATS = f"""
INSERT INTO reviews_reviewslot (item_id, queue_id, position, priority, rank, swapped, state)
SELECT item.id, item.queue_id, seats.next + more, item.priority, {_RANK},
       item.other_id IS NOT NULL
       AND (drawn.side + seats.next + more) %% 2 = 1, 'free'
  FROM reviews_queueitem item
 CROSS JOIN LATERAL (SELECT count(*)::int AS number, coalesce(max(position) + 1, 0) AS next
                       FROM reviews_reviewslot slot WHERE slot.item_id = item.id) seats
 CROSS JOIN LATERAL (SELECT item.id, (random() < 0.5)::int AS side) drawn
 CROSS JOIN LATERAL generate_series(0, item.wanted_reviews - seats.number - 1) more
 WHERE {_CHOSEN} AND {_ORDINARY} AND NOT {_SETTLED}
"""  # nosec B608
_RANK_SEATS = f"""
UPDATE reviews_reviewslot slot SET rank = {_RANK}, priority = item.priority
  FROM reviews_queueitem item
 WHERE slot.item_id = item.id AND {_CHOSEN} AND slot.state <> 'done'
   AND (slot.rank <> {_RANK} OR slot.priority <> item.priority)
"""  # nosec B608
_REOPEN = f"""
UPDATE reviews_queueitem item SET state = 'open'
 WHERE {_CHOSEN} AND item.state IN ('done', 'disputed') AND {_UNFINISHED} AND NOT {_SETTLED}
"""  # nosec B608
_CLOSE = f"""
UPDATE reviews_queueitem item SET state = 'done'
 WHERE {_CHOSEN} AND item.state = 'open' AND NOT {_UNFINISHED}
   AND EXISTS (SELECT 1 FROM reviews_reviewslot slot WHERE slot.item_id = item.id)
RETURNING id
"""  # nosec B608
_CLOSE_ONE = f"""
UPDATE reviews_queueitem item SET state = 'done'
 WHERE item.id = %(item)s AND item.state = 'open' AND NOT {_UNFINISHED}
"""  # nosec B608


# With more seats than reviews are wanted, as where fewer are wanted since somebody sat down.
_FULL = f"""
SELECT item.id FROM reviews_queueitem item
 WHERE item.id = ANY(%(items)s) AND {_ORDINARY}
   AND item.wanted_reviews < (SELECT count(*) FROM reviews_reviewslot slot WHERE slot.item_id = item.id)
"""  # nosec B608
_DROP_SURPLUS = """
DELETE FROM reviews_reviewslot WHERE id IN (
       SELECT slot.id FROM reviews_reviewslot slot
        WHERE slot.item_id = %(item)s AND slot.state = 'free'
        ORDER BY slot.assigned_to_id IS NULL DESC, slot.position DESC
        LIMIT greatest(0, (SELECT count(*) FROM reviews_reviewslot seat WHERE seat.item_id = %(item)s) - %(wanted)s))
   AND state = 'free'
"""


@dataclass(frozen=True)
class Rearranged:
    """What bringing the seats in step with a queue's settings changed."""

    seats_added: int
    seats_removed: int
    reopened: int
    closed: tuple[int, ...]  # items


def share_queue(queue: int) -> None:
    """Until the transaction ends nobody rearranges the seats of this queue; others may claim as well."""
    locks.shared(QUEUE_LOCK, queue)


def own_queue(queue: int) -> None:
    """Wait for everybody who is just claiming or putting in; keep others waiting until the transaction ends."""
    locks.alone(QUEUE_LOCK, queue)


def fit_seats(*, queue: ReviewQueue, items: Sequence[int] | None = None) -> Rearranged:
    """Bring these items (None: all of the queue) in step with the queue: how many reviews each gets, free seats, their
    rank, whether it is open or done.

    A seat that somebody holds or has answered from is never taken away. Reads the queue's settings from the database.
    For more than the items that the caller has just made, call `own_queue` first.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        values: dict[str, Any] = {"queue": queue.pk, "items": None if items is None else list(items)}

        def changed(statement: str) -> int:
            cursor.execute(statement, values)
            return cursor.rowcount

        if items is None or len(items) > MANY:
            cursor.execute("SET LOCAL enable_nestloop = off")
        changed(_LOCK_ITEMS)
        changed(_DRAW_WANTED)
        removed, added = changed(_REMOVE_SEATS), changed(_ADD_SEATS)
        changed(_RANK_SEATS)
        reopened = changed(_REOPEN)
        changed(_CLOSE)
        closed = tuple(pk for (pk,) in cursor.fetchall())
        cursor.execute("SET LOCAL enable_nestloop TO DEFAULT")
        return Rearranged(added, removed, reopened, closed)


def rank_seats(*, queue: ReviewQueue, items: Sequence[int]) -> None:
    """After an item's priority, confidence or disagreement changed, or a seat that was done is not."""
    with connection.cursor() as cursor:
        cursor.execute(_RANK_SEATS, {"queue": queue.pk, "items": list(items)})


def locked_full(items: Sequence[int]) -> list[QueueItem]:
    """Those of these items that have more seats than they need, locked. To be called before any seat is."""
    with connection.cursor() as cursor:
        cursor.execute(_FULL, {"items": list(items)})
        full = [pk for (pk,) in cursor.fetchall()]
    if not full:
        return []
    return list(QueueItem.objects.select_for_update(no_key=True).filter(pk__in=full).order_by("pk"))


def drop_surplus(item: QueueItem) -> int:
    """Take away free seats that nobody needs any more; the caller has locked the item. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DROP_SURPLUS, {"item": item.pk, "wanted": item.wanted_reviews})
        return cursor.rowcount


_CLOSE_MINE = """
UPDATE reviews_reviewslot SET state = 'done'
 WHERE item_id = %(item)s AND reviewer_id = %(reviewer)s AND state = 'held'
"""


def close_held_seat(*, item: QueueItem, reviewer: User) -> bool:
    """What this person sat here for is handed in. False where they hold no seat of the item."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE_MINE, {"item": item.pk, "reviewer": reviewer.pk})
        return cursor.rowcount > 0


def close_seat(*, item: QueueItem, reviewer: User) -> bool:
    """The same; where the lease ran out, of a seat that is still free. False where none is left."""
    if close_held_seat(item=item, reviewer=reviewer):
        return True
    if ReviewSlot.objects.filter(item=item, reviewer=reviewer).exists():
        return False
    free = (
        ReviewSlot.objects.select_for_update(skip_locked=True)
        .filter(Q(assigned_to=None) | Q(assigned_to=reviewer), item=item, state="free")
        .order_by(F("assigned_to").asc(nulls_last=True), "position")
        .first()
    )
    if free is None:
        return False
    try:
        with transaction.atomic():
            left = ReviewSlot.objects.filter(pk=free.pk, state="free")
            return bool(left.update(state="done", reviewer=reviewer))
    except IntegrityError as error:
        if not broke(error, _ONE_SEAT):
            raise
        # in another tab they took a seat of the item at the same instant
        return close_held_seat(item=item, reviewer=reviewer)


def taking_a_seat(take: Callable[P, R]) -> Callable[P, R]:
    """Looks once more where late work took a seat of the same item, for the same person, at the same instant."""

    @wraps(take)
    def once_more(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return take(*args, **kwargs)
        except IntegrityError as error:
            if not broke(error, _ONE_SEAT):
                raise
            return take(*args, **kwargs)

    return once_more


def is_complete(item: QueueItem) -> bool:
    """All wanted reviews are in: no seat is free or held, and none was sent back."""
    return not (
        ReviewSlot.objects.filter(item=item).exclude(state=ReviewSlot.State.DONE).exists()
        or Review.objects.filter(item=item, state=Review.State.RETURNED).exists()
    )


def close_if_complete(item: QueueItem) -> bool:
    """Make an open item done once all wanted reviews are in; the caller has locked it. True where this closed it."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE_ONE, {"item": item.pk})
        return cursor.rowcount > 0


def reopen_if_incomplete(item: QueueItem) -> None:
    """The other way: a seat became free or a review was sent back. The caller has locked the item."""
    if not is_complete(item):
        QueueItem.objects.filter(
            pk=item.pk, state__in=[QueueItem.State.DONE, QueueItem.State.DISPUTED], adjudication=None
        ).update(state=QueueItem.State.OPEN)
