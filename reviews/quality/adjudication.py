"""Disputes: items whose reviewers differ, and the final answer that resolves one.

While an item is disputed, what its reviews would teach is held. Resolving it declines those examples, with the reason,
and proposes the adjudicated one instead. The person who resolves it has neither reviewed the item nor written another
text for its summary, and sees who said what only where the queue shows it to reviewers, too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.jobs import JobCancelled
from models_app.foundation.roles import require
from models_app.texts.normalise import normalise
from reviews.examples.proposals import propose_from_adjudication
from reviews.models import (
    Adjudication,
    FeedbackExample,
    Notification,
    QueueItem,
    Review,
    ReviewQueue,
)
from reviews.models.queues import DISPUTE_POINTS
from reviews.notifications.notices import notify
from reviews.quality.disagreement import Given, differences, disagreement
from reviews.queues.assignments import rank_assignments
from reviews.queues.rubrics import left_open

POINTS_WORDS = f"From {DISPUTE_POINTS[0]} to {DISPUTE_POINTS[1]}."
RESOLVED = "Its reviewers differed. The final answer is learnt instead."


@dataclass(frozen=True)
class Ruling:
    """The final answer, and why."""

    stars: int | None
    verdict: str
    ratings: Mapping[str, int] = field(default_factory=dict)
    edited_text: str = ""
    explanation: str = ""


# ---------------------------------------------------------------- when an item is disputed


def given_by(reviews: Sequence[Review]) -> list[Given]:
    return [
        Given(review.stars or 0, review.verdict, review.ratings, review.edited_text.strip())
        for review in reviews
    ]


def counting_reviews(item: QueueItem) -> list[Review]:
    """The item's reviews that are submitted, each person's once, in an order that tells nobody's place."""
    return sorted(_submitted(item).select_related("reviewer"), key=_shuffled)


def _submitted(item: QueueItem) -> QuerySet[Review]:
    return Review.objects.filter(item=item, state__in=(Review.State.SUBMITTED, Review.State.RETURNED))


def rubric_asked(item: QueueItem, reviews: Sequence[Review]) -> int:
    """The questions that resolve a dispute: the version that most of its reviews answered, of equals the newest.
    The queue may ask others by now."""
    answered = Counter(review.rubric_id for review in reviews)
    return max(answered, key=lambda rubric: (answered[rubric], rubric), default=item.queue.rubric_id)


def _shuffled(review: Review) -> str:
    return hashlib.sha256(f"{review.item_id}:{review.pk}".encode()).hexdigest()


def disputed(item: QueueItem, reviews: Sequence[Review]) -> list[str]:
    """Why the item needs a final answer, in words; empty where it does not."""
    return differences(given_by(reviews), item.summary.text.strip(), points=item.queue.dispute_points)


def keep_in_step(*, item: QueueItem) -> None:
    """Bring an item's disagreement and state in step with its reviews; to be called in the transaction of whatever
    changed them. Safe to call again. Gold items, pairs and calibration rounds are never disputed."""
    if item.disagreement is None and item.state == QueueItem.State.OPEN and not _several(item):
        return  # as it is for nearly every item: there is nobody to differ from
    item = QueueItem.objects.locked().select_related("summary", "queue").get(pk=item.pk)
    if item.other_id or item.reason == QueueItem.Reason.GOLD or item.queue.calibration:
        return
    reviews = counting_reviews(item)
    apart = disagreement(given_by(reviews), item.summary.text.strip())
    if apart != item.disagreement:
        QueueItem.objects.filter(pk=item.pk).update(disagreement=apart)
        rank_assignments(queue=item.queue, items=[item.pk])
    if Adjudication.objects.filter(item=item).exists():
        return
    examples = FeedbackExample.objects.filter(review__item=item)
    reasons = disputed(item, reviews)
    if item.state == QueueItem.State.DONE and reasons:
        examples.filter(state="proposed").update(state=FeedbackExample.State.HELD)
        _move(item, QueueItem.State.DISPUTED, "item.dispute", "; ".join(reasons))
    elif item.state == QueueItem.State.DISPUTED and reasons:
        examples.filter(state="proposed").update(state=FeedbackExample.State.HELD)
    elif item.state == QueueItem.State.DISPUTED:
        _move(item, QueueItem.State.DONE, "item.agree", "Its reviewers no longer differ.")
        examples.filter(state=FeedbackExample.State.HELD).update(state="proposed")
    elif item.state == QueueItem.State.DONE:  # it was disputed, and open again meanwhile
        examples.filter(state=FeedbackExample.State.HELD).update(state="proposed")


def look_for_disputes(
    *,
    items: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> int:
    """Bring done items in step with what their reviewers say; items with one review have nothing to differ about.
    Returns how many it looked at."""
    several = list(
        QueueItem.objects.filter(pk__in=items, state=QueueItem.State.DONE)
        .annotate(given=Count("reviews", filter=Q(reviews__state="submitted")))
        .filter(given__gt=1)
        .order_by("pk")
    )
    for number, item in enumerate(several):
        if should_stop is not None and should_stop():
            raise JobCancelled
        with transaction.atomic():
            keep_in_step(item=item)
        if progress is not None:
            progress(number + 1, len(several))
    return len(several)


def _several(item: QueueItem) -> bool:
    return len(_submitted(item).values_list("pk")[:2]) > 1


def _move(item: QueueItem, to: str, action: str, reason: str) -> None:
    QueueItem.objects.filter(pk=item.pk, state=item.state).update(state=to)
    audit.record(
        actor=None, action=action, subject=item, from_state=item.state, to_state=to, reason=reason[:300]
    )


def set_dispute_points(*, queue: ReviewQueue, points: int, actor: Any | None) -> None:
    """From how many points apart a queue's reviewers are a dispute; 0 for never. Items reviewed since follow it."""
    require(actor, "manage_queues")
    least, most = DISPUTE_POINTS
    if not least <= points <= most:
        raise InvalidInput("That is no distance on a scale of five.", fields={"points": POINTS_WORDS})
    with transaction.atomic():
        if (
            ReviewQueue.objects.filter(pk=queue.pk)
            .exclude(dispute_points=points)
            .update(dispute_points=points)
        ):
            audit.record(actor=actor, action="queue.dispute_points", subject=queue, data={"points": points})


# ---------------------------------------------------------------- who may resolve it


def objection(*, item: QueueItem, actor: User) -> str:
    """Why this person may not resolve this item's dispute, or nothing. 1 query."""
    mine = Q(reviews__reviewer=actor) | Q(assignments__reviewer=actor)
    wrote = FeedbackExample.objects.filter(summary=OuterRef("summary"), created_by=actor, adjudication=None)
    if not QueueItem.objects.filter(mine | Exists(wrote), pk=item.pk).exists():
        return ""
    return "You reviewed this item, or wrote a text for its summary; somebody else has to resolve it."


# ---------------------------------------------------------------- resolving


def resolve_dispute(*, item: QueueItem, ruling: Ruling, seen: Mapping[int, int], actor: User) -> Adjudication:
    """Give the final answer. `seen` are the revisions of the reviews that the page showed, by their ids.

    Raises InvalidInput naming each field, Refused for a person who had a part in it, StaleState if the item is resolved
    or agreed meanwhile, or a review was submitted or corrected since.
    """
    require(actor, "manage_queues")
    with transaction.atomic():
        item = QueueItem.objects.locked().select_related("summary__document", "queue").get(pk=item.pk)
        if item.state != QueueItem.State.DISPUTED:
            raise StaleState(
                "This item is not in dispute any more: it has been resolved, or its reviewers agree."
            )
        if why := objection(item=item, actor=actor):
            raise Refused(why, code="own_work")
        reviews = counting_reviews(item)
        rubric = rubric_asked(item, reviews)
        values = _checked(item, rubric, ruling)
        if {review.pk: review.revision for review in reviews} != dict(seen):
            raise StaleState(
                "A reviewer corrected an answer since you opened this page. Look again before you decide."
            )
        adjudication = Adjudication.objects.create(
            item=item, adjudicator=actor, rubric_id=rubric,
            reviews=[{"review": review.pk, "revision": review.revision} for review in reviews], **values,
        )  # fmt: skip
        declined = list(
            FeedbackExample.objects.filter(review__item=item).exclude(state="declined").order_by("pk")
        )
        FeedbackExample.objects.filter(pk__in=[example.pk for example in declined]).update(
            state="declined", reason=RESOLVED, decided_by=actor, decided_at=timezone.now()
        )
        QueueItem.objects.filter(pk=item.pk).update(state=QueueItem.State.DONE)
        made = propose_from_adjudication(adjudication=adjudication)
        audit.record(
            actor=actor, action="item.resolve", subject=item, from_state="disputed", to_state="done",
            reason=values["explanation"][:300],
            data={
                "adjudication": adjudication.pk, "reviews": adjudication.reviews,
                "declined": [example.pk for example in declined], "proposed": [example.pk for example in made],
            },
        )  # fmt: skip
        for review in reviews:
            notify(
                user=review.reviewer, kind=Notification.Kind.ADJUDICATED, subject=item,
                url=f"{reverse('my_feedback')}?state=adjudicated",
                text=f"A dispute about an item that you reviewed is resolved: “{item.summary.document}”.",
            )  # fmt: skip
    return adjudication


def _checked(item: QueueItem, rubric: int, ruling: Ruling) -> dict[str, Any]:
    explanation = normalise(ruling.explanation)
    wrong = left_open(
        rubric, stars=ruling.stars, verdict=ruling.verdict, ratings=ruling.ratings, explanation=explanation,
        why="Say why. The item's reviewers read it.",
    )  # fmt: skip
    text, draft = normalise(ruling.edited_text), item.summary.text.strip()
    if text == normalise(draft):
        text = draft
    if not text:
        wrong["edited_text"] = "The final summary is empty; leave it as it was where nothing is wrong."
    elif len(text) > Review.LONGEST_EDIT_CHARACTERS:
        wrong["edited_text"] = f"Longer than {Review.LONGEST_EDIT_CHARACTERS:,} characters."
    if wrong:
        raise InvalidInput("Something is missing before this can be resolved.", fields=wrong)
    return {
        "stars": ruling.stars, "verdict": ruling.verdict, "ratings": dict(ruling.ratings), "edited_text": text,
        "explanation": explanation,
    }  # fmt: skip
