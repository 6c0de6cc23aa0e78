"""Queues: putting summaries in, claiming a seat at one, keeping it, passing one by.

A seat (`ReviewSlot`) is claimed by one conditional UPDATE that skips rows others are just taking, so that two people
never get the same one, however many ask at once. A lease that ran out gives the seat back; what its holder typed
stays as his draft.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotFound, StaleState
from models_app.foundation.roles import require
from reviews.models import QueueItem, ReviewQueue, ReviewSlot, Skip, Summary

LATER = timedelta(hours=2)

_CLAIM = """
UPDATE reviews_reviewslot
   SET state = 'held', reviewer_id = %(reviewer)s, lease_token = %(token)s, lease_until = %(until)s,
       claimed_at = %(now)s
 WHERE id = (
       SELECT slot.id
         FROM reviews_reviewslot slot
        WHERE slot.queue_id = %(queue)s AND slot.state = 'free'
          AND NOT EXISTS (SELECT 1 FROM reviews_reviewslot mine
                           WHERE mine.item_id = slot.item_id AND mine.reviewer_id = %(reviewer)s)
          AND NOT EXISTS (SELECT 1 FROM reviews_review answered
                           WHERE answered.item_id = slot.item_id AND answered.reviewer_id = %(reviewer)s
                             AND answered.state = 'submitted')
          AND NOT EXISTS (SELECT 1 FROM reviews_skip skip
                           WHERE skip.item_id = slot.item_id AND skip.reviewer_id = %(reviewer)s
                             AND (skip.until IS NULL OR skip.until > %(now)s))
        ORDER BY {order}
        LIMIT 1
          FOR UPDATE SKIP LOCKED)
   AND state = 'free'
RETURNING id
"""
_ORDERS = {
    ReviewQueue.Order.OLDEST: "slot.item_id",
    ReviewQueue.Order.PRIORITY: "slot.priority DESC, slot.item_id",
    # the same shuffle for one reviewer each time, another one for the next
    ReviewQueue.Order.RANDOM: "hashint8(slot.item_id * 7919 + %(reviewer)s), slot.item_id",
}


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
    queue = ReviewQueue.objects.filter(slug=queue_slug).first()
    if queue is None:
        raise NotFound(f"There is no review queue {queue_slug!r}.")
    with transaction.atomic():
        item, made = QueueItem.objects.get_or_create(
            queue=queue, summary=summary, defaults={"reason": reason, "priority": priority, "note": note}
        )
        if made:
            ReviewSlot.objects.bulk_create(
                ReviewSlot(item=item, queue=queue, position=position, priority=priority)
                for position in range(queue.reviews_per_item)
            )
    return item


def claim_next(*, queue: ReviewQueue, reviewer: User, but_not: int | None = None) -> Lease | None:
    """The seat I hold in this queue, else the next free one, else None. `but_not`: an item to pass over."""
    require(reviewer, "review")
    if not queue.active:
        return None
    held = (
        ReviewSlot.objects.filter(queue=queue, reviewer=reviewer, state="held")
        .exclude(item=but_not)
        .order_by("claimed_at")
        .first()
    )
    if held is not None:
        renewed = _extend(held)
        if renewed is not None:
            return renewed
    return _claim_free(queue, reviewer) or (_claim_free(queue, reviewer) if _free_expired(queue) else None)


def _claim_free(queue: ReviewQueue, reviewer: User) -> Lease | None:
    now = timezone.now()
    values = {
        "reviewer": reviewer.pk,
        "queue": queue.pk,
        "token": uuid.uuid4(),
        "now": now,
        "until": now + timedelta(minutes=queue.lease_minutes),
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM.format(order=_ORDERS[ReviewQueue.Order(queue.order)]), values)
        row = cursor.fetchone()
    if row is None:
        return None
    slot = ReviewSlot.objects.select_related("item__summary__document", "queue").get(pk=row[0])
    return Lease(slot, values["token"], values["until"])


def _free_expired(queue: ReviewQueue) -> int:
    """Seats whose lease ran out become free; drafts stay."""
    return ReviewSlot.objects.filter(queue=queue, state="held", lease_until__lt=timezone.now()).update(
        state="free", reviewer=None, lease_token=None, lease_until=None
    )


def _extend(slot: ReviewSlot) -> Lease | None:
    until = timezone.now() + timedelta(minutes=slot.queue.lease_minutes)
    changed = ReviewSlot.objects.filter(
        pk=slot.pk, state="held", reviewer=slot.reviewer_id, lease_token=slot.lease_token
    ).update(lease_until=until)
    if not changed:
        return None
    slot.refresh_from_db()
    assert slot.lease_token is not None  # noqa: S101 (the update matched it)
    return Lease(slot, slot.lease_token, until)


def renew_lease(*, slot: ReviewSlot, token: uuid.UUID, reviewer: User) -> Lease:
    """Keep my seat. Raises StaleState where it is no longer mine."""
    require(reviewer, "review")
    if slot.reviewer_id != reviewer.pk or slot.lease_token != token:
        raise StaleState("This item is no longer held by you; what you typed is kept as a draft.")
    lease = _extend(slot)
    if lease is None:
        raise StaleState("This item is no longer held by you; what you typed is kept as a draft.")
    return lease


def hold(*, item: QueueItem, reviewer: User) -> Lease | None:
    """My seat at this very item: the one I hold, else a free one of it, else None."""
    require(reviewer, "review")
    mine = ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="held").first()
    if mine is not None:
        return _extend(mine)
    now = timezone.now()
    ReviewSlot.objects.filter(item=item, state="held", lease_until__lt=now).update(
        state="free", reviewer=None, lease_token=None, lease_until=None
    )
    if ReviewSlot.objects.filter(item=item, reviewer=reviewer).exists():
        return None
    token, until = uuid.uuid4(), now + timedelta(minutes=item.queue.lease_minutes)
    with transaction.atomic():
        free = ReviewSlot.objects.select_for_update(skip_locked=True).filter(item=item, state="free").first()
        if free is None:
            return None
        ReviewSlot.objects.filter(pk=free.pk).update(
            state="held", reviewer=reviewer, lease_token=token, lease_until=until, claimed_at=now
        )
    free.refresh_from_db()
    return Lease(free, token, until)


def skip(*, slot: ReviewSlot, token: uuid.UUID, meaning: str, reason: str = "", reviewer: User) -> None:
    """Pass an item by: later (it comes back to me), not for me (others get it), bad item (it is set aside)."""
    require(reviewer, "review")
    if meaning not in Skip.Meaning.values:
        raise InvalidInput("Say why you pass it by.", fields={"meaning": "later, not for me or bad item"})
    if meaning == Skip.Meaning.BAD_ITEM and not reason.strip():
        raise InvalidInput("Say what is wrong with the item.", fields={"reason": "An engineer will read it."})
    with transaction.atomic():
        changed = ReviewSlot.objects.filter(
            pk=slot.pk, state="held", reviewer=reviewer, lease_token=token
        ).update(state="free", reviewer=None, lease_token=None, lease_until=None)
        if not changed:
            raise StaleState("This item is no longer held by you.")
        until = timezone.now() + LATER if meaning == Skip.Meaning.LATER else None
        Skip.objects.update_or_create(
            item=slot.item,
            reviewer=reviewer,
            defaults={"meaning": meaning, "reason": reason.strip(), "until": until, "at": timezone.now()},
        )
        if meaning == Skip.Meaning.BAD_ITEM:
            QueueItem.objects.filter(pk=slot.item_id, state="open").update(state="set aside")
            ReviewSlot.objects.filter(item=slot.item, state="free").delete()
            audit.record(
                actor=reviewer, action="item.set_aside", subject=f"queueitem:{slot.item_id}", reason=reason.strip()
            )


def waiting(*, reviewer: User) -> dict[int, int]:
    """Seats that this reviewer could take or holds, by queue."""
    from django.db.models import Count, Q

    rows = (
        ReviewSlot.objects.filter(queue__active=True)
        .filter(Q(state="free") | Q(state="held", reviewer=reviewer) | Q(state="held", lease_until__lt=timezone.now()))
        .exclude(item__reviews__in=reviewer.reviews.filter(state="submitted"))
        .values("queue")
        .annotate(n=Count("item", distinct=True))
    )
    return {row["queue"]: row["n"] for row in rows}
