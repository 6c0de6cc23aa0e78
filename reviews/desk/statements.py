"""Taking an assignment, and finding what an answer belongs to: what everybody at the desk waits for with each item.

Which assignments a person may take the tables say (`AssignmentQuerySet.open_to`); Django makes the text of each
question once. Making it again with each claim cost 13 times as much of Python's time as is spent now."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F, Func, IntegerField

from reviews.lists.compiled import Prepared, Statement, compiled, given
from reviews.models import Answer, Assignment, QueueItem, Skip
from reviews.models.queues import AssignmentQuerySet
from reviews.queues.assignments import QUEUE_LOCK

Row = TypeVar("Row", bound=Answer)
#: Shuffling all of a large queue for each claim would take longer than the claim: the next ones are shuffled.
SHUFFLED = 500
_LOCK = 0x5EA7  # advisory locks (this, reviewer): one person's claims come one after another

# One message of two statements: the second sees what was committed while the first waited.
_TURN = f"""
SELECT pg_advisory_xact_lock({_LOCK}, %(reviewer)s), pg_advisory_xact_lock_shared({QUEUE_LOCK}, %(queue)s);
SELECT EXISTS (SELECT 1 FROM reviews_assignment
                WHERE reviewer_id = %(reviewer)s AND queue_id = %(queue)s AND state = 'held'),
       EXISTS (SELECT 1 FROM reviews_assignment
                WHERE assigned_to_id = %(reviewer)s AND queue_id = %(queue)s AND state = 'free')
"""  # nosec B608 (numbers of ours; values are parameters)
_TAKE = """
UPDATE reviews_assignment
   SET state = 'held', reviewer_id = %(reviewer)s, lease_token = %(token)s, claimed_at = statement_timestamp(),
       lease_until = statement_timestamp() + %(lease)s
 WHERE id = ({first}) AND state = 'free'
RETURNING *
"""


@dataclass(frozen=True)
class Turn:
    """Of my assignments in a queue: whether I hold one, and whether a free one is assigned to me."""

    holds: bool
    assigned: bool


def wait_for_my_turn(*, queue: int, reviewer: User) -> Turn:
    """Until the transaction ends, no other tab of mine takes an assignment, and nobody rearranges the queue: two tabs
    must not take two assignments, nor two assignments at one item. One message instead of four
    (`benchmarks/review_desk.py`, part `crowd`)."""
    with connection.cursor() as cursor:
        cursor.execute(_TURN, {"queue": queue, "reviewer": reviewer.pk})
        cursor.nextset()
        return Turn(*cursor.fetchone())


class Which(Enum):
    """Of the free assignments that are open to me the one to take."""

    ASSIGNED = "the first in the queue's order that is assigned to me"
    NEXT = "the first in the queue's order that is anybody's"
    SHUFFLED = "one of the next ones, in the same shuffle for me each time and in another one for others"
    AT_ITEM = "one at this very item, which I may have skipped; first the one that is assigned to me"


def take_assignment(
    which: Which, *, queue: int, reviewer: User, lease: timedelta, item: int | None = None
) -> Assignment | None:
    """The assignment, from now on held by this person. What somebody else is just taking is passed over, so that two
    people at once never get the same one. One message (`benchmarks/review_desk.py`, parts `alone` and `crowd`)."""
    first = _first(which)
    values = {
        **first.values, "queue": queue, "reviewer": reviewer.pk, "item": item, "lease": lease, "token": uuid.uuid4(),
    }  # fmt: skip
    return next(iter(Assignment.objects.raw(_TAKE.format(first=first.text), values)), None)


@cache
def _first(which: Which) -> Statement:
    queue, reviewer, item = (given(name) for name in ("queue", "reviewer", "item"))
    assignments = Assignment.objects.filter(queue_id=queue)
    choose: dict[Which, Callable[[], AssignmentQuerySet]] = {
        Which.ASSIGNED: lambda: assignments.open_to(reviewer).free().filter(assigned_to=reviewer).in_order(),
        Which.NEXT: lambda: assignments.open_to(reviewer).free().anybodys().in_order(),
        Which.SHUFFLED: lambda: _shuffled(
            assignments.open_to(reviewer).free().anybodys().in_order(), reviewer
        ),
        Which.AT_ITEM: lambda: (
            assignments.filter(item_id=item)
            .open_to(reviewer, unless=Skip.objects.beyond_recall())
            .free()
            .order_by(F("assigned_to").asc(nulls_last=True), "position")
        ),
    }
    chosen = choose[which]().select_for_update(of=("self",), skip_locked=True)
    return compiled(chosen.values("pk")[:1], "first")


def _shuffled(assignments: AssignmentQuerySet, reviewer: Any) -> AssignmentQuerySet:
    place = Func(F("item_id") * 7919 + reviewer, function="hashint8", output_field=IntegerField())
    following = Assignment.objects.free().filter(pk__in=assignments.values("pk")[:SHUFFLED])
    return following.order_by(place, "item_id", "position")


def locked_item(pk: int, *, related: tuple[str, ...]) -> QueueItem | None:
    """The item, locked until the transaction ends, with its queue and what else is `related`. With the answer below, a
    submit takes half of Python's time that it takes where their text is made each time (`benchmarks/review_desk.py`,
    part `alone`)."""
    return _item(related).first(item=pk)


def shown_item(pk: int) -> QueueItem | None:
    """The item with all that is shown at it (`benchmarks/review_desk.py`, part `crowd`)."""
    return _shown().first(item=pk)


def locked_answer(rows: type[Row], *, item: QueueItem, reviewer: User) -> Row | None:
    """What this person has answered so far, locked until the transaction ends (`benchmarks/review_desk.py`)."""
    return _answer(rows).first(item=item.pk, reviewer=reviewer.pk)


def held_assignment(*, item: QueueItem, reviewer: User) -> Assignment | None:
    """Stays theirs until the transaction ends (`benchmarks/review_desk.py`)."""
    return _held().first(item=item.pk, reviewer=reviewer.pk)


@cache
def _item(related: tuple[str, ...]) -> Prepared[QueueItem]:
    locked = QueueItem.objects.locked()
    return Prepared(locked.select_related("queue", *related).filter(pk=given("item")).order_by())


@cache
def _shown() -> Prepared[QueueItem]:
    return Prepared(QueueItem.objects.select_related("summary__document").filter(pk=given("item")).order_by())


@cache
def _answer(rows: type[Any]) -> Prepared[Any]:
    mine = rows.objects.filter(item_id=given("item"), reviewer_id=given("reviewer"))
    return Prepared(mine.select_for_update().order_by())


@cache
def _held() -> Prepared[Assignment]:
    # in no order: the table's own would join the item, and lock it against every new answer
    mine = Assignment.objects.filter(item_id=given("item"), reviewer_id=given("reviewer"))
    return Prepared(mine.filter(state=Assignment.State.HELD).select_for_update().order_by())
