"""Undo, for a short while: a review that was just handed in is a draft again, an item just passed by is back."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Now
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import StaleState
from models_app.foundation.roles import require
from reviews.desk import claims
from reviews.desk.claims import Lease
from reviews.models import Adjudication, FeedbackExample, QueueItem, Review, ReviewRating, ReviewSlot, Skip
from reviews.quality import adjudication
from reviews.queues import seats

#: What the page offers.
OFFERED = timedelta(seconds=10)
#: What is accepted: the answer has to come back, and the undo has to arrive.
ACCEPTED = OFFERED + timedelta(seconds=10)


def take_back(*, review: Review, reviewer: User) -> Review:
    """My review, handed in a moment ago, as a draft again, with my seat. What was handed in stays as a revision.

    Raises StaleState where that was longer ago, somebody decided on what it teaches, or somebody else handed in after
    me and thereby finished the item. Examples that nobody has decided on go.
    """
    require(reviewer, "review")
    if review.reviewer_id != reviewer.pk:
        raise StaleState("Only whoever wrote a review can take it back.")
    now = timezone.now()
    with transaction.atomic():
        # the same order of locks as a submit: the item, then the review, then the seat
        item = (
            QueueItem.objects.select_for_update(of=("self",), no_key=True)
            .select_related("queue")
            .get(pk=review.item_id)
        )
        mine = Review.objects.select_for_update(of=("self",)).get(pk=review.pk)
        if mine.state != Review.State.SUBMITTED or mine.submitted_at is None:
            raise StaleState("This review is not handed in, so there is nothing to take back.")
        if mine.submitted_at < now - ACCEPTED:
            raise StaleState(
                "Too late to take it back. You can still correct it: the earlier answers are kept."
            )
        if mine.revisions.filter(at__gt=mine.submitted_at).exists():
            raise StaleState("You have corrected this review since. Correct it again where it is wrong.")
        _refuse_if_it_counts_already(item, mine)
        FeedbackExample.objects.filter(review=mine, decided_by=None).exclude(state="approved").delete()
        ReviewRating.objects.filter(review=mine).delete()
        mine.span_marks.all().delete()
        mine.sentence_support.all().delete()
        mine.state, mine.submitted_at, mine.late = Review.State.DRAFT, None, False
        mine.sentiment, mine.sentiment_score, mine.category = "", None, ""
        mine.revision += 1  # a tab that still shows what was handed in is stale
        mine.updated_at = now
        mine.save()
        ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="done").update(
            state="held",
            lease_token=uuid.uuid4(),
            lease_until=Now() + Value(timedelta(minutes=item.queue.lease_minutes)),
            claimed_at=Now(),
        )
        seats.rank_seats(queue=item.queue, items=[item.pk])
        seats.reopen_if_incomplete(item)
        if QueueItem.objects.filter(pk=item.pk, state="open").exists():
            # an open item is in no dispute: what the others' reviews teach is held no more
            FeedbackExample.objects.filter(review__item=item, state=FeedbackExample.State.HELD).update(
                state=FeedbackExample.State.PROPOSED
            )
        adjudication.keep_in_step(item=item)
        audit.record(
            actor=reviewer, action="review.take_back", subject=mine, from_state="submitted", to_state="draft",
            data={"item": item.pk},
        )  # fmt: skip
    return mine


def _refuse_if_it_counts_already(item: QueueItem, mine: Review) -> None:
    if FeedbackExample.objects.filter(Q(state="approved") | ~Q(decided_by=None), review=mine).exists():
        raise StaleState("Somebody has decided on your correction already. Correct the review instead.")
    if Adjudication.objects.filter(item=item).exists():
        raise StaleState("An authoritative answer was given to this item already.")
    if item.state in (QueueItem.State.DONE, QueueItem.State.DISPUTED):
        later = Review.objects.filter(
            item=item, state=Review.State.SUBMITTED, submitted_at__gt=mine.submitted_at
        )
        if later.exclude(pk=mine.pk).exists():
            raise StaleState("Somebody else has finished this item since. Correct the review instead.")


def take_back_skip(*, item: QueueItem, reviewer: User) -> Lease:
    """An item that I passed by a moment ago, with a seat for me again; one that I flagged is not set aside any more.

    Raises StaleState where that was longer ago, others have taken every seat, or an engineer has dealt with the flag.
    """
    require(reviewer, "review")
    with transaction.atomic():
        seats.share_queue(item.queue_id)  # the order of locks in reviews/queues/seats.py
        item = (
            QueueItem.objects.select_for_update(of=("self",), no_key=True)
            .select_related("queue")
            .get(pk=item.pk)
        )
        passed = Skip.objects.select_for_update().filter(item=item, reviewer=reviewer).first()
        if passed is None or passed.meaning == Skip.Meaning.HAD_A_HAND:
            raise StaleState("You have not passed this item by, so there is nothing to take back.")
        if passed.saw_others:
            raise StaleState("You have seen what others think of this item, so it is left to them.")
        if passed.at < timezone.now() - ACCEPTED:
            raise StaleState("Too late to take it back.")
        if passed.meaning == Skip.Meaning.BAD_ITEM:
            if item.state != QueueItem.State.SET_ASIDE:
                raise StaleState("Somebody has dealt with your flag already.")
            item.state = QueueItem.State.OPEN
            item.save(update_fields=["state"])
            audit.record(
                actor=reviewer, action="item.flag_taken_back", subject=item,
                from_state="set aside", to_state="open",
            )  # fmt: skip
        passed.delete()
        lease = claims.hold(item=item, reviewer=reviewer)
        if lease is None:
            raise StaleState("Others have taken this item meanwhile.")
    return lease
