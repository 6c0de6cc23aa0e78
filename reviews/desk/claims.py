"""Claiming a seat at an item, keeping it, passing it by.

A seat (`ReviewSlot`) is claimed by one conditional UPDATE that skips rows others are just taking, so that two people
never get the same one, however many ask at once. A lease that ran out gives the seat back once somebody else needs
it; an (empty) draft of its holder remains as the sign that the item was his, so that late work can be handed in.
Whoever was deactivated holds nothing, whatever the lease says. Times are read from one clock, the database's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Now
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.foundation.rows import JoinedRows
from models_app.texts.normalise import normalise
from reviews.models import (
    Preference,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewSlot,
    Skip,
    SourceDocument,
    Summary,
)
from reviews.quality import adjudication, gold
from reviews.queues import judges
from reviews.queues import seats as seating

LATER = timedelta(hours=2)
LONGEST_REASON_CHARACTERS = 2000
#: `waiting` counts no further: a queue of a hundred thousand must not make a page wait.
COUNTED = 1000
_LOCK = 0x5EA7  # advisory locks (this, reviewer): one person's claims come one after another

# Seats of open items that this reviewer has neither answered, nor sits at, nor passed by.
_OPEN_TO_ME = """
       EXISTS (SELECT 1 FROM reviews_queueitem item WHERE item.id = slot.item_id AND item.state = 'open')
   AND NOT EXISTS (SELECT 1 FROM reviews_reviewslot mine
                    WHERE mine.item_id = slot.item_id AND mine.reviewer_id = %(reviewer)s)
   AND NOT EXISTS (SELECT 1 FROM reviews_review answered
                    WHERE answered.item_id = slot.item_id AND answered.reviewer_id = %(reviewer)s
                      AND answered.state IN ('submitted', 'returned'))
   AND NOT EXISTS (SELECT 1 FROM reviews_preference chosen
                    WHERE chosen.item_id = slot.item_id AND chosen.reviewer_id = %(reviewer)s
                      AND chosen.state = 'submitted')
   AND NOT EXISTS (SELECT 1 FROM reviews_skip skip
                    WHERE skip.item_id = slot.item_id AND skip.reviewer_id = %(reviewer)s
                      AND (skip.until IS NULL OR skip.until > statement_timestamp()))
"""
_MINE = f"""slot.queue_id = %(queue)s AND slot.state = 'free' AND slot.assigned_to_id = %(reviewer)s
        AND {_OPEN_TO_ME}"""
_ANYBODYS = f"""slot.queue_id = %(queue)s AND slot.state = 'free' AND slot.assigned_to_id IS NULL
        AND {_OPEN_TO_ME}"""
# Shuffling all of a large queue for each claim would take longer than the claim: the next ones are shuffled.
_SHUFFLED = 500
_IN_RANK = "slot.rank, slot.item_id, slot.position"
# Two people at once never change the same row: what one is just taking, the other passes over.
_TAKE = """
UPDATE reviews_reviewslot
   SET state = 'held', reviewer_id = %(reviewer)s, lease_token = %(token)s, claimed_at = statement_timestamp(),
       lease_until = statement_timestamp() + %(lease)s
 WHERE id = (SELECT slot.id FROM reviews_reviewslot slot WHERE {which} ORDER BY {order} LIMIT 1
                FOR UPDATE SKIP LOCKED)
   AND state = 'free'
RETURNING *
"""
_SHUFFLE = f"""slot.state = 'free' AND slot.id IN (
              SELECT slot.id FROM reviews_reviewslot slot
               WHERE {_ANYBODYS} ORDER BY slot.rank, slot.item_id LIMIT {_SHUFFLED})"""  # nosec B608
# the same shuffle for one reviewer each time, another one for the next
_IN_SHUFFLE = "hashint8(slot.item_id * 7919 + %(reviewer)s), slot.item_id, slot.position"
_EXTEND = """
UPDATE reviews_reviewslot SET lease_until = greatest(lease_until, statement_timestamp() + %(lease)s)
 WHERE id = %(slot)s AND state = 'held' AND reviewer_id = %(reviewer)s AND lease_token = %(token)s
RETURNING lease_until
"""
_EXTEND_HELD = """
UPDATE reviews_reviewslot SET lease_until = greatest(lease_until, statement_timestamp() + %(lease)s)
 WHERE id = (SELECT id FROM reviews_reviewslot
              WHERE reviewer_id = %(reviewer)s AND queue_id = %(queue)s AND state = 'held'
                AND (%(but_not)s::bigint IS NULL OR item_id <> %(but_not)s)
              ORDER BY claimed_at, id LIMIT 1)
   AND state = 'held' AND reviewer_id = %(reviewer)s
RETURNING *
"""
# Two tabs of one person must not take two seats, nor two seats at one item; and nobody takes one while the queue is
# rearranged (`seating.share_queue`). One message of three statements, each of which sees what was committed while the
# one before waited.
_TURN = f"""
SELECT pg_advisory_xact_lock({_LOCK}, %(reviewer)s), pg_advisory_xact_lock_shared({seating.QUEUE_LOCK}, %(queue)s);
SELECT EXISTS (SELECT 1 FROM reviews_reviewslot WHERE reviewer_id = %(reviewer)s AND queue_id = %(queue)s
                  AND state = 'held' AND (%(but_not)s::bigint IS NULL OR item_id <> %(but_not)s)),
       EXISTS (SELECT 1 FROM reviews_reviewslot slot
                WHERE slot.queue_id = %(queue)s AND slot.state = 'free' AND slot.assigned_to_id = %(reviewer)s)
"""  # nosec B608
_EXPIRED = """({seat}.lease_until < statement_timestamp()
        OR EXISTS (SELECT 1 FROM auth_user holder WHERE holder.id = {seat}.reviewer_id AND NOT holder.is_active))"""
# Items, not seats. What this reviewer cannot have is looked up once and hashed: fifty queues of a thousand waiting
# items each would cost fifty thousand look-ups otherwise. Of items that are not open only those set aside have free
# seats.
_WAITING = f"""
WITH active AS MATERIALIZED (
     SELECT id, reviews_per_item FROM reviews_reviewqueue
      WHERE active AND (%(queue)s::bigint IS NULL OR id = %(queue)s)
), closed AS MATERIALIZED (
     SELECT item_id FROM reviews_reviewslot WHERE reviewer_id = %(reviewer)s
      UNION ALL SELECT item_id FROM reviews_review
                 WHERE reviewer_id = %(reviewer)s AND state IN ('submitted', 'returned')
      UNION ALL SELECT item_id FROM reviews_preference WHERE reviewer_id = %(reviewer)s AND state = 'submitted'
      UNION ALL SELECT item_id FROM reviews_skip
                 WHERE reviewer_id = %(reviewer)s AND (until IS NULL OR until > statement_timestamp())
      UNION ALL SELECT item.id FROM active JOIN reviews_queueitem item
                    ON item.queue_id = active.id AND item.state = 'set aside'
), given AS MATERIALIZED (
     SELECT DISTINCT slot.queue_id, slot.item_id FROM reviews_reviewslot slot
      WHERE slot.assigned_to_id = %(reviewer)s AND slot.state = 'free'
        AND slot.item_id NOT IN (SELECT item_id FROM closed)
)
SELECT active.id, (
       SELECT count(DISTINCT free.item_id) FROM (
              SELECT slot.item_id FROM reviews_reviewslot slot
               WHERE slot.queue_id = active.id AND slot.state = 'free' AND slot.assigned_to_id IS NULL
                 AND slot.item_id NOT IN (SELECT item_id FROM closed)
                 AND slot.item_id NOT IN (SELECT item_id FROM given)
               ORDER BY slot.rank, slot.item_id  -- the index of free seats, so that finished ones cost nothing
               LIMIT %(counted)s * active.reviews_per_item) free) + (
       SELECT count(*) FROM given WHERE given.queue_id = active.id) + (
       SELECT count(*) FROM reviews_reviewslot slot
        WHERE slot.queue_id = active.id AND slot.state = 'held'
          AND (slot.reviewer_id = %(reviewer)s
               OR {_EXPIRED.format(seat="slot")}
                  AND coalesce(slot.assigned_to_id, %(reviewer)s) = %(reviewer)s AND {_OPEN_TO_ME}
                  AND NOT EXISTS (SELECT 1 FROM reviews_reviewslot other
                                   WHERE other.item_id = slot.item_id AND other.id <> slot.id
                                     AND coalesce(other.assigned_to_id, %(reviewer)s) = %(reviewer)s
                                     AND (other.state = 'free' OR other.state = 'held' AND other.id < slot.id
                                          AND {_EXPIRED.format(seat="other")})))
       )
  FROM active
"""  # nosec B608 (made of constants of this module; values are parameters)
#: The same items over all active queues of some kinds, up to `enough`, for every page: queue by queue, so that it ends
#: with the hundredth, and by look-ups, so that it costs the same for somebody with tens of thousands of reviews.
WAITING_AT_DESKS = f"""
SELECT count(*) FROM (
       SELECT 1 FROM reviews_reviewqueue queue CROSS JOIN LATERAL (
              (SELECT free.item_id FROM (
                      SELECT slot.item_id FROM reviews_reviewslot slot
                       WHERE slot.queue_id = queue.id AND slot.state = 'free' AND slot.assigned_to_id IS NULL
                         AND {_OPEN_TO_ME}
                       ORDER BY slot.rank, slot.item_id LIMIT %(enough)s * queue.reviews_per_item) free)
               UNION
              (SELECT slot.item_id FROM reviews_reviewslot slot
                WHERE slot.queue_id = queue.id AND slot.state = 'free' AND slot.assigned_to_id = %(reviewer)s
                  AND {_OPEN_TO_ME} ORDER BY slot.rank, slot.item_id LIMIT %(enough)s)
               UNION
              (SELECT slot.item_id FROM reviews_reviewslot slot
                WHERE slot.queue_id = queue.id AND slot.state = 'held'
                  AND (slot.reviewer_id = %(reviewer)s
                       OR {_EXPIRED.format(seat="slot")}
                          AND coalesce(slot.assigned_to_id, %(reviewer)s) = %(reviewer)s AND {_OPEN_TO_ME})
                LIMIT %(enough)s)) item
        WHERE queue.active AND queue.kind IN ({{kinds}}) LIMIT %(enough)s) waiting
"""  # nosec B608 (made of constants of this module; values are parameters)


def _seat(change: str) -> JoinedRows:
    """A change of one seat, and the seat with what is shown at it."""
    statement = f"""
WITH slot AS ({change})
SELECT {{columns}} FROM slot
  JOIN reviews_queueitem item ON item.id = slot.item_id
  JOIN reviews_summary summary ON summary.id = item.summary_id
  JOIN reviews_sourcedocument document ON document.id = summary.document_id
"""  # nosec B608
    return JoinedRows(statement, slot=ReviewSlot, item=QueueItem, summary=Summary, document=SourceDocument)


_HELD = _seat(_EXTEND_HELD)
_ASSIGNED = _seat(_TAKE.format(which=_MINE, order=_IN_RANK))
_FREE = _seat(_TAKE.format(which=_ANYBODYS, order=_IN_RANK))
_FREE_SHUFFLED = _seat(_TAKE.format(which=_SHUFFLE, order=_IN_SHUFFLE))


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
    """The seat I hold in this queue, else the next free one, else None.

    `but_not` is an item to pass over, and `lease` a shorter one than the queue's: for fetching the next item ahead.
    `kind` is what the caller can show; a queue of the other desk gives it nothing.
    """
    require(reviewer, "review")
    if not queue.active or (queue.kind in ReviewQueue.AT_DESK) != (kind in ReviewQueue.AT_DESK):
        return None
    values: dict[str, Any] = {
        "reviewer": reviewer.pk,
        "queue": queue.pk,
        "but_not": but_not,
        "lease": lease or timedelta(minutes=queue.lease_minutes),
        "token": uuid.uuid4(),
    }
    with transaction.atomic():
        holds, assigned = _wait_for_my_turn(values)
        if holds and (found := _HELD.first(values)) is not None:
            return _lease(found, queue, reviewer)
        known = gold.due(queue=queue, reviewer=reviewer)
        if known is not None:
            return hold(item=known, reviewer=reviewer)
        claim = _claim_pair if queue.kind == ReviewQueue.Kind.PAIRWISE else _claim_free
        found = claim(queue, reviewer, values, assigned)
        if found is None and free_expired(ReviewSlot.objects.filter(queue=queue)):
            found = claim(queue, reviewer, values, True)
        return None if found is None else _lease(found, queue, reviewer)


def _seats() -> QuerySet[ReviewSlot]:
    return ReviewSlot.objects.select_related("item__queue__rubric", "item__summary__document")


def _wait_for_my_turn(values: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether I hold a seat of this queue, and whether a free one is meant for me, as long as the transaction runs."""
    with connection.cursor() as cursor:
        cursor.execute(_TURN, values)
        cursor.nextset()
        holds, assigned = cursor.fetchone()
    return holds, assigned


def _lease(found: Mapping[str, Any], queue: ReviewQueue, reviewer: User) -> Lease:
    seat, item = found["slot"], found["item"]
    seat.queue, seat.item, seat.reviewer = queue, item, reviewer
    item.queue, item.summary, item.summary.document = queue, found["summary"], found["document"]
    return Lease(seat, seat.lease_token, seat.lease_until)


def _claim_pair(
    queue: ReviewQueue, reviewer: User, values: Mapping[str, Any], assigned: bool
) -> dict[str, Any] | None:
    """`_claim_free`, at a pair that is this person's to judge; all others about the same release are passed by."""
    pairs = QueueItem.objects.filter(queue=queue)
    while True:
        before = transaction.savepoint()
        found = _claim_free(queue, reviewer, values, assigned)
        if found is None:
            judges.leave_to_others(
                items=pairs, judge=reviewer
            )  # so that it is told right what waits for others
        else:
            item = found["item"]
            item.summary, item.summary.document = found["summary"], found["document"]
            if judges.is_for_others(item=item, judge=reviewer):
                transaction.savepoint_rollback(before)
                judges.pass_by(items=pairs.filter(other__release=item.other.release_id), judge=reviewer)
                continue
        transaction.savepoint_commit(before)
        return found


def _claim_free(
    queue: ReviewQueue, reviewer: User, values: Mapping[str, Any], assigned: bool
) -> dict[str, Any] | None:
    """What is assigned to me comes first, what is assigned to others never."""
    mine = _ASSIGNED.first(values) if assigned else None
    free = _FREE_SHUFFLED if queue.order == ReviewQueue.Order.RANDOM else _FREE
    return mine or free.first(values)


def free_expired(seats: QuerySet[ReviewSlot], *, whatever_the_lease: bool = False) -> int:
    """Give back held seats whose lease ran out or whose holder was deactivated. Holders keep a draft, be it an empty
    one. Call it within a transaction that has not locked seats before items."""
    over = Q() if whatever_the_lease else Q(lease_until__lt=Now()) | Q(reviewer__is_active=False)
    with transaction.atomic():
        held = list(seats.filter(over, state="held").select_related("item__summary", "queue").order_by("pk"))
        if not held:
            return 0
        full = seating.locked_full([seat.item_id for seat in held])
        # Before any seat is locked: a submit locks the review before the seat.
        _leave_traces(held)
        freed = (
            ReviewSlot.objects.filter(over, pk__in=[seat.pk for seat in held], state="held")
            .select_for_update(of=("self",), skip_locked=True)
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


def _extend(slot: ReviewSlot, lease: timedelta | None = None) -> Lease | None:
    values: dict[str, Any] = {
        "slot": slot.pk,
        "reviewer": slot.reviewer_id,
        "token": slot.lease_token,
        "lease": lease or timedelta(minutes=slot.item.queue.lease_minutes),
    }
    with connection.cursor() as cursor:
        cursor.execute(_EXTEND, values)
        row = cursor.fetchone()
    if row is None or slot.lease_token is None:
        return None
    slot.lease_until = row[0]
    return Lease(slot, slot.lease_token, row[0])


def renew_lease(
    *, slot: ReviewSlot, token: uuid.UUID, reviewer: User, lease: timedelta | None = None
) -> Lease:
    """Keep my seat, also after its time ran out, as long as nobody else has needed it. Raises StaleState."""
    require(reviewer, "review")
    current = _seats().filter(pk=slot.pk, state="held", reviewer=reviewer, lease_token=token).first()
    renewed = None if current is None else _extend(current, lease)
    if renewed is None:
        raise StaleState("This item is no longer held by you; what you typed is kept as a draft.")
    return renewed


@seating.taking_a_seat
def hold(*, item: QueueItem, reviewer: User) -> Lease | None:
    """My seat at this very item: the one I hold, else a free one of it that is nobody else's, else None."""
    require(reviewer, "review")
    with transaction.atomic():
        _wait_for_my_turn({"reviewer": reviewer.pk, "queue": item.queue_id, "but_not": None})
        mine = _seats().filter(item=item, reviewer=reviewer).first()
        if mine is not None:
            return _extend(mine)
        if not item.queue.active or item.state != QueueItem.State.OPEN:
            return None
        if item.other_id:
            judges.leave_to_others(items=QueueItem.objects.filter(pk=item.pk), judge=reviewer)
        if _has_answered(item, reviewer) or _left_for_good(item, reviewer):
            return None
        free_expired(ReviewSlot.objects.filter(item=item))
        free = (
            _seats()
            .filter(
                Q(assigned_to=None) | Q(assigned_to=reviewer), item=item, item__state="open", state="free"
            )
            .select_for_update(of=("self",), skip_locked=True)
            .order_by(F("assigned_to").asc(nulls_last=True), "position")
            .first()
        )
        if free is None:
            return None
        free.state, free.reviewer, free.lease_token = ReviewSlot.State.HELD, reviewer, uuid.uuid4()
        ReviewSlot.objects.filter(pk=free.pk).update(
            state="held", reviewer=reviewer, lease_token=free.lease_token, lease_until=Now(), claimed_at=Now()
        )
        return _extend(free)


def _has_answered(item: QueueItem, reviewer: User) -> bool:
    return (
        Review.objects.filter(item=item, reviewer=reviewer, state__in=["submitted", "returned"]).exists()
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
    if len(reason) > LONGEST_REASON_CHARACTERS:
        raise InvalidInput(
            "The reason is too long.", fields={"reason": f"At most {LONGEST_REASON_CHARACTERS:,} characters."}
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


def _left_for_good(item: QueueItem, reviewer: User) -> bool:
    return saw_others(item=item, reviewer=reviewer) or judges.had_a_hand(item=item, judge=reviewer)


def saw_others(*, item: QueueItem, reviewer: User) -> bool:
    return Skip.objects.filter(item=item, reviewer=reviewer, saw_others=True).exists()


def step_aside(*, item: QueueItem, reviewer: User) -> None:
    """Let others have this item for good, without having held it: before one looks at what they think of it."""
    require(reviewer, "review")
    if saw_others(item=item, reviewer=reviewer):
        return
    with transaction.atomic():
        _wait_for_my_turn({"reviewer": reviewer.pk, "queue": item.queue_id, "but_not": None})
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


def waiting(*, reviewer: User, queue: ReviewQueue | None = None) -> dict[int, int]:
    """Items that this reviewer could take or holds, by queue (or in one); counted up to COUNTED each."""
    values = {"reviewer": reviewer.pk, "queue": queue.pk if queue else None, "counted": COUNTED}
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, values)
        return {found: min(count, COUNTED) for found, count in cursor.fetchall()}
