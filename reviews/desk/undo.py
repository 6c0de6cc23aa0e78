"""Undo, for a short while: how long, and an item just skipped that is back. Answers: `reviews/desk/answers.py`."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import StaleState
from models_app.foundation.roles import require
from reviews.desk import claims
from reviews.desk.claims import Lease
from reviews.models import QueueItem, Skip
from reviews.queues.assignments import share_queue

#: What the page offers.
OFFERED = timedelta(seconds=10)
#: What is accepted: the answer has to come back, and the undo has to arrive.
ACCEPTED = OFFERED + timedelta(seconds=10)


def take_back_skip(*, item: QueueItem, reviewer: User) -> Lease:
    """An item that I snoozed, skipped or flagged a moment ago, with an assignment for me again; it is not flagged any
    more.

    Raises StaleState where that was longer ago, others have taken every assignment, or an engineer has dealt with the
    flag."""
    require(reviewer, "review")
    with transaction.atomic():
        share_queue(item.queue_id)  # the order of locks in reviews/queues/assignments.py
        item = QueueItem.objects.locked().select_related("queue").get(pk=item.pk)
        skipped = Skip.objects.select_for_update().filter(item=item, reviewer=reviewer).first()
        if skipped is None or skipped.meaning == Skip.Meaning.HAD_A_HAND:
            raise StaleState("You have not skipped this item, so there is nothing to take back.")
        if skipped.saw_others:
            raise StaleState("You have seen what others think of this item, so it is left to them.")
        if skipped.at < timezone.now() - ACCEPTED:
            raise StaleState("Too late to take it back.")
        if skipped.meaning == Skip.Meaning.FLAG:
            if item.state != QueueItem.State.FLAGGED:
                raise StaleState("Somebody has dealt with your flag already.")
            item.state = QueueItem.State.OPEN
            item.save(update_fields=["state"])
            audit.record(
                actor=reviewer, action="item.flag_taken_back", subject=item,
                from_state="flagged", to_state="open",
            )  # fmt: skip
        skipped.delete()
        lease = claims.hold(item=item, reviewer=reviewer)
        if lease is None:
            raise StaleState("Others have taken this item meanwhile.")
    return lease
