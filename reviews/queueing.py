"""Queues: putting summaries in, claiming a seat at one, keeping it, passing one by.

A seat (`ReviewSlot`) is claimed by one conditional UPDATE that skips rows others are just taking, so that two people
never get the same one, however many ask at once. A lease that ran out gives the seat back once somebody else needs
it; an (empty) draft of its holder remains as the sign that the item was his, so that late work can be handed in.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotFound, StaleState
from models_app.foundation.roles import require
from reviews import gold
from reviews.linking import start_linking
from reviews.models import QueueItem, Review, ReviewQueue, ReviewSlot, Skip, Summary

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
                      AND answered.state = 'submitted')
   AND NOT EXISTS (SELECT 1 FROM reviews_skip skip
                    WHERE skip.item_id = slot.item_id AND skip.reviewer_id = %(reviewer)s
                      AND (skip.until IS NULL OR skip.until > %(now)s))
"""
_FREE = f"slot.queue_id = %(queue)s AND slot.state = 'free' AND {_OPEN_TO_ME}"
# Shuffling all of a large queue for each claim would take longer than the claim: the next ones are shuffled.
_SHUFFLED = 500
_CLAIM = """
UPDATE reviews_reviewslot
   SET state = 'held', reviewer_id = %(reviewer)s, lease_token = %(token)s, lease_until = %(until)s,
       claimed_at = %(now)s
 WHERE id = (
       SELECT slot.id
         FROM reviews_reviewslot slot
        WHERE {which}
        ORDER BY {order}
        LIMIT 1
          FOR UPDATE SKIP LOCKED)
   AND state = 'free'
RETURNING id
"""
_CLAIMS = {
    ReviewQueue.Order.OLDEST: _CLAIM.format(which=_FREE, order="slot.item_id, slot.position"),
    ReviewQueue.Order.PRIORITY: _CLAIM.format(
        which=_FREE, order="slot.priority DESC, slot.item_id, slot.position"
    ),
    # the same shuffle for one reviewer each time, another one for the next
    ReviewQueue.Order.RANDOM: _CLAIM.format(
        which=f"""slot.state = 'free' AND slot.id IN (
              SELECT slot.id FROM reviews_reviewslot slot
               WHERE {_FREE} ORDER BY slot.priority DESC, slot.item_id LIMIT {_SHUFFLED})""",  # nosec B608
        order="hashint8(slot.item_id * 7919 + %(reviewer)s), slot.item_id, slot.position",
    ),
}
_WAITING = f"""
SELECT queue.id, (
       SELECT count(*) FROM (
              SELECT 1 FROM reviews_reviewslot slot
               WHERE slot.queue_id = queue.id AND slot.state = 'free' AND {_OPEN_TO_ME}
                 AND NOT EXISTS (SELECT 1 FROM reviews_reviewslot other
                                  WHERE other.item_id = slot.item_id AND other.state = 'free'
                                    AND other.position < slot.position)
               ORDER BY slot.priority DESC, slot.item_id  -- the index of free seats, so that finished ones cost nothing
               LIMIT %(counted)s) free_items
       ) + (
       SELECT count(*) FROM reviews_reviewslot slot
        WHERE slot.queue_id = queue.id AND slot.state = 'held'
          AND (slot.reviewer_id = %(reviewer)s
               OR slot.lease_until < %(now)s AND {_OPEN_TO_ME}
                  AND NOT EXISTS (SELECT 1 FROM reviews_reviewslot other
                                   WHERE other.item_id = slot.item_id AND other.id <> slot.id
                                     AND (other.state = 'free' OR other.state = 'held' AND other.id < slot.id
                                                                  AND other.lease_until < %(now)s)))
       )
  FROM reviews_reviewqueue queue
 WHERE queue.active AND (%(queue)s::bigint IS NULL OR queue.id = %(queue)s)
"""  # nosec B608 (made of constants of this module; values are parameters)


@dataclass(frozen=True)
class Lease:
    slot: ReviewSlot
    token: uuid.UUID
    until: datetime


def put_in_queue(
    *,
    summary: Summary,
    queue_slug: str,
    reason: str,
    priority: int = 0,
    note: str = "",
    actor: Any | None,
) -> QueueItem:
    """A seat for each wanted review of this summary. One that is in the queue already is left as it is."""
    require(actor, "import_documents")
    if reason not in QueueItem.Reason.values:
        raise InvalidInput(
            "Say why it is put into the queue.", fields={"reason": ", ".join(QueueItem.Reason.values)}
        )
    queue = ReviewQueue.objects.filter(slug=queue_slug).first()
    if queue is None:
        raise NotFound(f"There is no review queue {queue_slug!r}.")
    with transaction.atomic():
        item, made = QueueItem.objects.get_or_create(
            queue=queue,
            summary=summary,
            defaults={
                "reason": reason, "priority": priority, "note": note, "wanted_reviews": queue.reviews_per_item
            },
        )  # fmt: skip
        if made:
            ReviewSlot.objects.bulk_create(
                ReviewSlot(item=item, queue=queue, position=position, priority=priority)
                for position in range(queue.reviews_per_item)
            )
            if actor is not None:  # what jobs put in by the thousand, they record once
                audit.record(actor=actor, action="item.queue", subject=item, data={"queue": queue.slug})
                start_linking()
    return item


def claim_next(
    *, queue: ReviewQueue, reviewer: User, but_not: int | None = None, lease: timedelta | None = None
) -> Lease | None:
    """The seat I hold in this queue, else the next free one, else None.

    `but_not` is an item to pass over, and `lease` a shorter one than the queue's: for fetching the next item ahead.
    """
    require(reviewer, "review")
    if not queue.active or queue.kind != ReviewQueue.Kind.RATE_AND_EDIT:
        return None
    with transaction.atomic():
        _wait_for_my_turn(reviewer)
        held = (
            _seats()
            .filter(queue=queue, reviewer=reviewer, state="held")
            .exclude(item=but_not)
            .order_by("claimed_at", "pk")
            .first()
        )
        if held is not None:
            return _extend(held, lease)
        known = gold.due(queue=queue, reviewer=reviewer)
        if known is not None:
            return hold(item=known, reviewer=reviewer)
        found = _claim_free(queue, reviewer, lease)
        if found is None and _free_expired(ReviewSlot.objects.filter(queue=queue)):
            found = _claim_free(queue, reviewer, lease)
        return found


def _seats() -> QuerySet[ReviewSlot]:
    return ReviewSlot.objects.select_related("item__queue__rubric", "item__summary__document")


def _wait_for_my_turn(reviewer: User) -> None:
    """Two tabs of one person must not take two seats, nor two seats at one item."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, reviewer.pk])


def _claim_free(queue: ReviewQueue, reviewer: User, lease: timedelta | None) -> Lease | None:
    now = timezone.now()
    until = now + (lease or timedelta(minutes=queue.lease_minutes))
    token = uuid.uuid4()
    values: dict[str, Any] = {
        "reviewer": reviewer.pk, "queue": queue.pk, "token": token, "now": now, "until": until,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_CLAIMS[ReviewQueue.Order(queue.order)], values)
        row = cursor.fetchone()
    return None if row is None else Lease(_seats().get(pk=row[0]), token, until)


def _free_expired(seats: QuerySet[ReviewSlot]) -> int:
    """Give back seats whose lease ran out. Their holders keep a draft, be it an empty one."""
    with transaction.atomic():
        expired = list(
            seats.filter(state="held", lease_until__lt=timezone.now())
            .select_related("item__summary", "queue")
            .select_for_update(of=("self",), skip_locked=True)
        )
        Review.objects.bulk_create(
            (
                Review(
                    item=seat.item,
                    summary=seat.item.summary,
                    reviewer_id=seat.reviewer_id,
                    rubric_id=seat.queue.rubric_id,
                )
                for seat in expired
                if seat.reviewer_id is not None
            ),
            ignore_conflicts=True,
        )
        return ReviewSlot.objects.filter(pk__in=[seat.pk for seat in expired]).update(
            state="free", reviewer=None, lease_token=None, lease_until=None
        )


def _extend(slot: ReviewSlot, lease: timedelta | None = None) -> Lease | None:
    until = timezone.now() + (lease or timedelta(minutes=slot.item.queue.lease_minutes))
    changed = ReviewSlot.objects.filter(
        pk=slot.pk, state="held", reviewer=slot.reviewer_id, lease_token=slot.lease_token
    ).update(lease_until=Greatest(F("lease_until"), until))
    if not changed:
        return None
    assert slot.lease_token is not None and slot.lease_until is not None  # noqa: PT018  # nosec B101 (the table says so)
    slot.lease_until = max(slot.lease_until, until)
    return Lease(slot, slot.lease_token, slot.lease_until)


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


def hold(*, item: QueueItem, reviewer: User) -> Lease | None:
    """My seat at this very item: the one I hold, else a free one of it, else None."""
    require(reviewer, "review")
    with transaction.atomic():
        _wait_for_my_turn(reviewer)
        mine = _seats().filter(item=item, reviewer=reviewer).first()
        if mine is not None:
            return _extend(mine)
        if not item.queue.active or item.state != QueueItem.State.OPEN:
            return None
        if Review.objects.filter(item=item, reviewer=reviewer, state=Review.State.SUBMITTED).exists():
            return None
        now = timezone.now()
        _free_expired(ReviewSlot.objects.filter(item=item))
        free = (
            _seats()
            .filter(item=item, state="free")
            .select_for_update(of=("self",), skip_locked=True)
            .order_by("position")
            .first()
        )
        if free is None:
            return None
        free.state, free.reviewer, free.lease_token, free.claimed_at = "held", reviewer, uuid.uuid4(), now
        free.lease_until = now + timedelta(minutes=item.queue.lease_minutes)
        free.save(update_fields=["state", "reviewer", "lease_token", "lease_until", "claimed_at"])
        return Lease(free, free.lease_token, free.lease_until)


def skip(*, slot: ReviewSlot, token: uuid.UUID, meaning: str, reason: str = "", reviewer: User) -> None:
    """Pass an item by: later (it comes back to me), not for me (others get it), bad item (it is set aside)."""
    require(reviewer, "review")
    reason = reason.strip()
    if meaning not in Skip.Meaning.values:
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
        until = timezone.now() + LATER if meaning == Skip.Meaning.LATER else None
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


def put_back(*, item: QueueItem, actor: Any | None) -> None:
    """Let a flagged item be reviewed after all; whoever flagged it is not asked again."""
    require(actor, "manage_queues")
    with transaction.atomic():
        if not QueueItem.objects.filter(pk=item.pk, state="set aside").update(state="open"):
            raise StaleState("This item is not set aside any more.")
        audit.record(
            actor=actor, action="item.put_back", subject=item, from_state="set aside", to_state="open"
        )


def waiting(*, reviewer: User, queue: ReviewQueue | None = None) -> dict[int, int]:
    """Items that this reviewer could take or holds, by queue (or in one); counted up to COUNTED each."""
    values: dict[str, Any] = {
        "reviewer": reviewer.pk,
        "queue": queue.pk if queue else None,
        "now": timezone.now(),
        "counted": COUNTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, values)
        return {found: min(count, COUNTED) for found, count in cursor.fetchall()}
