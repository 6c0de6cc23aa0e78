"""How many items wait for a person: the same number at the desks, in the navigation and in the API; and what brings
the assignments of many items in step with their queue.

Items are counted, not assignments: those that the person holds, and those at which an assignment is open to them.
Which assignments these are the tables say (`AssignmentQuerySet`). By hand is that PostgreSQL goes from queue to queue
and stops where counting stops: the ORM can limit neither by a column nor within a LATERAL join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection
from django.db.models.expressions import RawSQL

from reviews.lists.compiled import Statement, compiled
from reviews.models import Assignment, QueueItem, ReviewQueue

#: Nobody is told of more: a queue of a hundred thousand must not make a page wait.
COUNTED = 1000

_BY_QUEUE = """
SELECT queue.id, (SELECT count(*) FROM (SELECT 1 FROM ({items}) item LIMIT %(counted)s) counted)
  FROM reviews_reviewqueue queue
 WHERE queue.active AND (%(queue)s::bigint IS NULL OR queue.id = %(queue)s)
"""
# Both desks by one statement that names the items once: PostgreSQL takes longer to plan it than to carry it out.
_AT_DESKS = """
SELECT (SELECT count(*) FROM (
          SELECT 1 FROM reviews_reviewqueue queue CROSS JOIN LATERAL ({items}) item
           WHERE queue.active AND (queue.kind = ANY(%(pairs)s)) = desk.pairs AND queue.kind = ANY(%(kinds)s)
           LIMIT %(counted)s) counted)
  FROM (VALUES (false), (true)) desk (pairs) ORDER BY desk.pairs
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
    pairs = [ReviewQueue.Kind.PAIRWISE]
    values = {
        "kinds": [*ReviewQueue.AT_DESK, *pairs], "pairs": pairs, "reviewer": reviewer.pk, "counted": COUNTED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_AT_DESKS.format(items=items.text), items.values | values)
        return AtDesks(*(count for (count,) in cursor.fetchall()))


def in_words(count: int) -> str:
    return f"{COUNTED:,}+" if count >= COUNTED else f"{count:,}"


@cache
def _items_of_a_queue() -> Statement:
    """For the row `queue` of the statement around it.

    Free assignments come in the order of their index, so that finished ones cost nothing. Of items that are not open
    only those flagged have assignments that are not done, and these few are looked up once, instead of each item."""
    reviewer = RawSQL("%%(reviewer)s", [])
    assignments = Assignment.objects.filter(queue_id=RawSQL("queue.id", []))
    flagged = QueueItem.objects.filter(queue__active=True, state=QueueItem.State.FLAGGED)
    opened = assignments.left_to(reviewer).exclude(item__in=flagged)
    parts = {
        "anybodys": opened.free().anybodys().order_by("rank", "item_id"),
        "assigned": opened.free().filter(assigned_to=reviewer).order_by(),
        "over": opened.over().needed().order_by(),
        "held": assignments.held_by(reviewer).order_by(),
    }
    made = {name: compiled(rows.values("item_id"), name) for name, rows in parts.items()}
    limit = "LIMIT %(counted)s * queue.reviews_per_item"
    return Statement(
        " UNION ".join(f"SELECT * FROM ({part.text} {limit}) {name}" for name, part in made.items()),
        {key: value for part in made.values() for key, value in part.values.items()},
    )


# ---------------------------------------------------------------- assignments

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
# Gold items get an assignment when it is somebody's turn (reviews/quality/gold.py).
_ORDINARY = f"item.reason <> '{QueueItem.Reason.GOLD.value}'"
_RESOLVED = "EXISTS (SELECT 1 FROM reviews_adjudication final WHERE final.item_id = item.id)"
_UNFINISHED = """(
       EXISTS (SELECT 1 FROM reviews_assignment assignment
                WHERE assignment.item_id = item.id AND assignment.state <> 'done')
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
# Assignments that are taken stay; of the free ones those that are meant for somebody stay longest.
_REMOVE_ASSIGNMENTS = f"""
DELETE FROM reviews_assignment assignment
 USING (SELECT assignment.id, item.wanted_reviews,
               row_number() OVER (PARTITION BY assignment.item_id
                                  ORDER BY assignment.state = 'free', assignment.assigned_to_id IS NULL,
                                           assignment.position) AS place
          FROM reviews_assignment assignment JOIN reviews_queueitem item ON item.id = assignment.item_id
         WHERE {_CHOSEN} AND {_ORDINARY}) placed
 WHERE placed.id = assignment.id AND placed.place > placed.wanted_reviews AND assignment.state = 'free'
"""  # nosec B608
# Of a pair the sides are drawn per assignment: neighbours at one item see them the other way round. By chance and not
# by a hash, which people could compute from the item's number.
_ADD_ASSIGNMENTS = f"""
INSERT INTO reviews_assignment (item_id, queue_id, position, priority, rank, swapped, state)
SELECT item.id, item.queue_id, assignments.next + more, item.priority, {_RANK},
       item.other_id IS NOT NULL
       AND (drawn.side + assignments.next + more) %% 2 = 1, 'free'
  FROM reviews_queueitem item
 CROSS JOIN LATERAL (SELECT count(*)::int AS number, coalesce(max(position) + 1, 0) AS next
                       FROM reviews_assignment assignment WHERE assignment.item_id = item.id) assignments
 CROSS JOIN LATERAL (SELECT item.id, (random() < 0.5)::int AS side) drawn
 CROSS JOIN LATERAL generate_series(0, item.wanted_reviews - assignments.number - 1) more
 WHERE {_CHOSEN} AND {_ORDINARY} AND NOT {_RESOLVED}
"""  # nosec B608
_RANK_ASSIGNMENTS = f"""
UPDATE reviews_assignment assignment SET rank = {_RANK}, priority = item.priority
  FROM reviews_queueitem item
 WHERE assignment.item_id = item.id AND {_CHOSEN} AND assignment.state <> 'done'
   AND (assignment.rank <> {_RANK} OR assignment.priority <> item.priority)
"""  # nosec B608
_REOPEN = f"""
UPDATE reviews_queueitem item SET state = 'open'
 WHERE {_CHOSEN} AND item.state IN ('done', 'disputed') AND {_UNFINISHED} AND NOT {_RESOLVED}
"""  # nosec B608
_CLOSE = f"""
UPDATE reviews_queueitem item SET state = 'done'
 WHERE {_CHOSEN} AND item.state = 'open' AND NOT {_UNFINISHED}
   AND EXISTS (SELECT 1 FROM reviews_assignment assignment WHERE assignment.item_id = item.id)
RETURNING id
"""  # nosec B608


@dataclass(frozen=True)
class Rearranged:
    """What bringing the assignments in step with a queue's settings changed."""

    assignments_added: int
    assignments_removed: int
    reopened: int
    closed: tuple[int, ...]  # items


def rearrange_assignments(*, queue: int, items: Sequence[int] | None) -> Rearranged:
    """See `assignments.fit_assignments`; in the caller's transaction. Each step is one statement for all items, since
    people wait while a queue of a hundred thousand is changed (`benchmarks/review_desk.py`, which fills one)."""
    values: dict[str, Any] = {"queue": queue, "items": None if items is None else list(items)}
    with connection.cursor() as cursor:

        def changed(statement: str) -> int:
            cursor.execute(statement, values)
            return cursor.rowcount

        if items is None or len(items) > MANY:
            cursor.execute("SET LOCAL enable_nestloop = off")
        changed(_LOCK_ITEMS)
        changed(_DRAW_WANTED)
        removed, added = changed(_REMOVE_ASSIGNMENTS), changed(_ADD_ASSIGNMENTS)
        changed(_RANK_ASSIGNMENTS)
        reopened = changed(_REOPEN)
        changed(_CLOSE)
        closed = tuple(pk for (pk,) in cursor.fetchall())
        cursor.execute("SET LOCAL enable_nestloop TO DEFAULT")
    return Rearranged(added, removed, reopened, closed)


def rank_assignments_of(*, queue: int, items: Sequence[int]) -> int:
    """By the queue's order, of assignments that are not done; how many changed. The rank is the one that assignments
    begin with (`benchmarks/review_desk.py`)."""
    with connection.cursor() as cursor:
        cursor.execute(_RANK_ASSIGNMENTS, {"queue": queue, "items": list(items)})
        return cursor.rowcount
