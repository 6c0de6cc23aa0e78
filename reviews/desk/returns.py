"""Sending a review back to its reviewer with a comment. It counts again once it is submitted again."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import reverse

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.texts.normalise import normalise
from reviews.models import FeedbackExample, Notification, QueueItem, Review, ReviewReturn
from reviews.notifications.notices import notify
from reviews.queues.assignments import reopen_if_incomplete

_UNDECIDED = (FeedbackExample.State.PROPOSED, FeedbackExample.State.HELD)


def return_review(*, review: Review, comment: str, actor: Any) -> ReviewReturn:
    """Its reviewer corrects it (`revise_review`). What it would teach is not decided on meanwhile, and the item waits.

    Raises Refused for one's own review, and where the item has a final answer.
    """
    require(actor, "manage_queues")
    comment = normalise(comment)
    if not comment:
        raise InvalidInput("Say what is to be corrected.", fields={"comment": "The reviewer will read it."})
    if len(comment) > ReviewReturn.LONGEST_COMMENT_CHARACTERS:
        raise InvalidInput(
            "The comment is too long.",
            fields={"comment": f"At most {ReviewReturn.LONGEST_COMMENT_CHARACTERS:,} characters."},
        )
    if review.reviewer_id == actor.pk:
        raise Refused("This review is your own: correct it yourself.")
    with transaction.atomic():
        item = QueueItem.objects.locked().get(pk=review.item_id)
        if hasattr(item, "adjudication"):
            raise Refused("This item has a final answer already; its reviews stand as they are.")
        changed = Review.objects.filter(pk=review.pk, state=Review.State.SUBMITTED).update(
            state=Review.State.RETURNED
        )
        if not changed:
            raise StaleState("This review is not submitted any more. Look again.")
        # Proposed again when it is submitted again. What was decided stays until its text changes.
        FeedbackExample.objects.filter(review=review, state__in=_UNDECIDED).delete()
        made = ReviewReturn.objects.create(review=review, returned_by=actor, comment=comment)
        reopen_if_incomplete(item)
        notify(
            user=review.reviewer, kind=Notification.Kind.RETURNED, url=reverse("desk_item", args=[item.pk]),
            text=f"A review of yours was sent back to you: {comment}", subject=review,
        )  # fmt: skip
        audit.record(
            actor=actor, action="review.return", subject=review, from_state="submitted", to_state="returned",
            reason=comment,
        )  # fmt: skip
    review.state = Review.State.RETURNED
    return made
