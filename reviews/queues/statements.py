"""How many items wait for a person: the same number at the desks, in the navigation and in the API.

Items are counted, not seats: those that the person holds, and those at which a seat is open to them. Which seats these
are the tables say (`ReviewSlotQuerySet`). By hand is that PostgreSQL goes from queue to queue and stops where counting
stops: the ORM can limit neither by a column nor within a LATERAL join.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection
from django.db.models.expressions import RawSQL

from reviews.lists.compiled import Statement, compiled
from reviews.models import QueueItem, ReviewQueue, ReviewSlot

#: Nobody is told of more: a queue of a hundred thousand must not make a page wait.
COUNTED = 1000

_BY_QUEUE = """
SELECT queue.id, (SELECT count(*) FROM (SELECT 1 FROM ({items}) item LIMIT %(counted)s) counted)
  FROM reviews_reviewqueue queue
 WHERE queue.active AND (%(queue)s::bigint IS NULL OR queue.id = %(queue)s)
"""
_OF_KINDS = """
(SELECT count(*) FROM (
        SELECT 1 FROM reviews_reviewqueue queue CROSS JOIN LATERAL ({items}) item
         WHERE queue.active AND queue.kind = ANY(%({kinds})s) LIMIT %(counted)s) counted)
"""


class AtDesks(NamedTuple):
    """Of all open queues of a desk together, up to COUNTED."""

    review: int
    pairs: int


def items_waiting(*, reviewer: User, queue: ReviewQueue | None = None) -> dict[int, int]:
    """For each open queue (or this one) how many items this person holds or could take, up to COUNTED.

    By the ORM the list of 50 queues in each of which a thousand items wait cost PostgreSQL 20 times as much
    (`benchmarks/review_desk.py`, "desk: queues").
    """
    items = _items_of_a_queue()
    values = {"queue": queue.pk if queue else None, "reviewer": reviewer.pk, "counted": COUNTED}
    with connection.cursor() as cursor:
        cursor.execute(_BY_QUEUE.format(items=items.text), items.values | values)
        return dict(cursor.fetchall())


def items_waiting_at_desks(*, reviewer: Any) -> AtDesks:
    """The same over all open queues of each desk, for every page (`benchmarks/review_desk.py`, part `cost`)."""
    items = _items_of_a_queue()
    counts = [_OF_KINDS.format(items=items.text, kinds=kinds) for kinds in ("review", "pairs")]
    values = {
        "review": list(ReviewQueue.AT_DESK), "pairs": [ReviewQueue.Kind.PAIRWISE], "reviewer": reviewer.pk,
        "counted": COUNTED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(counts)}", items.values | values)  # nosec B608 (texts of this module)
        return AtDesks(*cursor.fetchone())


def in_words(count: int) -> str:
    return f"{COUNTED:,}+" if count >= COUNTED else f"{count:,}"


@cache
def _items_of_a_queue() -> Statement:
    """For the row `queue` of the statement around it.

    Free seats come in the order of their index, so that finished ones cost nothing. Of items that are not open only
    those set aside have seats that are not done, and these few are looked up once, instead of each item.
    """
    reviewer = RawSQL("%%(reviewer)s", [])
    seats = ReviewSlot.objects.filter(queue_id=RawSQL("queue.id", []))
    set_aside = QueueItem.objects.filter(queue__active=True, state=QueueItem.State.SET_ASIDE)
    opened = seats.left_to(reviewer).exclude(item__in=set_aside)
    parts = {
        "anybodys": opened.free().anybodys().order_by("rank", "item_id"),
        "assigned": opened.free().filter(assigned_to=reviewer).order_by(),
        "over": opened.over().needed().order_by(),
        "held": seats.held_by(reviewer).order_by(),
    }
    made = {name: compiled(rows.values("item_id"), name) for name, rows in parts.items()}
    limit = "LIMIT %(counted)s * queue.reviews_per_item"
    return Statement(
        " UNION ".join(f"SELECT * FROM ({part.text} {limit}) {name}" for name, part in made.items()),
        {key: value for part in made.values() for key, value in part.values.items()},
    )
