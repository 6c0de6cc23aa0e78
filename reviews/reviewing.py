"""Reviews: drafts that save themselves, submits that carry a lease, corrections that lie over the summary."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, StaleState
from models_app.foundation.roles import require
from models_app.foundation.texts import normalise
from models_app.monitoring.comment_classes import classify_comment
from models_app.monitoring.sentiment import sentiment
from reviews.feedback import propose_from_review
from reviews.models import Criterion, QueueItem, Review, ReviewRating, ReviewRevision, ReviewSlot

LONGEST_EDIT_CHARACTERS = 400_000
LONGEST_COMMENT_CHARACTERS = 10_000
MOST_ACTIVE_SECONDS = 8 * 3600


@dataclass(frozen=True)
class Answers:
    """What a reviewer has entered so far, or all of it."""

    stars: int | None = None
    verdict: str = ""
    ratings: Mapping[str, int] = field(default_factory=dict)
    edited_text: str = ""
    comment: str = ""
    wants_retrain: bool = False
    wants_refine: bool = False
    active_seconds: int = 0


class StaleDraft(StaleState):
    """Another tab saved after this one had loaded. `review` is what is saved now."""

    code = "stale_draft"

    def __init__(self, review: Review) -> None:
        super().__init__(
            "This review was changed in another tab or window. Nothing of either is lost: reload to see the newer "
            "draft, or save this one over it."
        )
        self.review = review


def save_draft(
    *, item: QueueItem, answers: Answers, reviewer: User, base_revision: int, overwrite: bool = False
) -> Review:
    """Keep what was entered so far, also where the lease has run out meanwhile.

    `base_revision` is the revision the form was loaded or last saved with (0 for none). Raises StaleDraft where
    another tab saved since, unless `overwrite`; StaleState where the review was submitted.
    """
    require(reviewer, "review")
    _check_shape(item, answers)
    values = _values(answers)
    with transaction.atomic():
        review = _locked(item, reviewer)
        if review is None:
            try:
                with transaction.atomic():
                    return Review.objects.create(
                        item=item, summary=item.summary, reviewer=reviewer, rubric=item.queue.rubric, revision=1,
                        **values,
                    )  # fmt: skip
            except IntegrityError:
                review = _locked(item, reviewer)
                assert review is not None  # noqa: S101 (the constraint says it is there)
        if review.state != Review.State.DRAFT:
            raise StaleState("You have submitted this review already.", code="submitted")
        if review.revision != base_revision and not overwrite:
            raise StaleDraft(review)
        _write(review, values)
    return review


def submit_review(
    *, slot: ReviewSlot, token: uuid.UUID, answers: Answers, reviewer: User, base_revision: int | None = None
) -> Review:
    """Hand a review in; the whole of it is checked here, whatever the page did.

    A second submit of the same seat gives the review there is. Where the lease ran out and somebody else took the
    seat, finished work is kept as an extra, late review. Raises InvalidInput naming each field that is missing or
    wrong, StaleDraft where another tab saved since `base_revision`.
    """
    require(reviewer, "review")
    item = slot.item
    _check_shape(item, answers)
    _check_whole(item, answers)
    with transaction.atomic():
        review = _locked(item, reviewer)
        if review is not None and review.state == Review.State.SUBMITTED:
            return review
        if review is not None and base_revision is not None and review.revision != base_revision:
            raise StaleDraft(review)
        late = not _take_seat(slot, token, reviewer)
        if review is None:
            review = Review(item=item, summary=item.summary, reviewer=reviewer, rubric=item.queue.rubric)
        _submit(review, answers, late=late)
        if not ReviewSlot.objects.filter(item=item).exclude(state="done").exists():
            QueueItem.objects.filter(pk=item.pk, state="open").update(state="done")
        propose_from_review(review=review)
        audit.record(
            actor=reviewer, action="review.submit", subject=f"review:{review.pk}", to_state="submitted",
            data={"item": item.pk, "revision": review.revision, "late": late},
        )  # fmt: skip
    return review


def revise_review(*, review: Review, answers: Answers, reviewer: User) -> Review:
    """Correct a review that I handed in; the earlier one is kept as a revision."""
    require(reviewer, "review")
    if review.reviewer_id != reviewer.pk:
        raise StaleState("Only whoever wrote a review can revise it.")
    _check_shape(review.item, answers)
    _check_whole(review.item, answers)
    with transaction.atomic():
        locked = Review.objects.select_for_update().get(pk=review.pk)
        _submit(locked, answers, late=locked.late)
        propose_from_review(review=locked)
        audit.record(
            actor=reviewer, action="review.revise", subject=f"review:{review.pk}", data={"revision": locked.revision}
        )
    return locked


def _take_seat(slot: ReviewSlot, token: uuid.UUID, reviewer: User) -> bool:
    """Close my seat; else, where my lease ran out, a seat of the item that is still free. False where none is left."""
    mine = ReviewSlot.objects.filter(pk=slot.pk, state="held", reviewer=reviewer, lease_token=token)
    if mine.update(state="done"):
        return True
    free = ReviewSlot.objects.select_for_update(skip_locked=True).filter(item=slot.item_id, state="free").first()
    if free is None or ReviewSlot.objects.filter(item=slot.item_id, reviewer=reviewer).exists():
        return False
    return bool(ReviewSlot.objects.filter(pk=free.pk, state="free").update(state="done", reviewer=reviewer))


def _submit(review: Review, answers: Answers, *, late: bool) -> None:
    now = timezone.now()
    comment = normalise(answers.comment)
    tone = sentiment(comment) if comment else None
    review.state = Review.State.SUBMITTED
    review.late = late
    review.submitted_at = review.submitted_at or now
    review.sentiment = tone.label if tone else ""
    review.sentiment_score = tone.score if tone else None
    review.category = classify_comment(comment) if comment else ""
    _write(review, _values(answers))
    criteria = {criterion.key: criterion for criterion in Criterion.objects.filter(rubric=review.rubric_id)}
    ReviewRating.objects.filter(review=review).delete()
    ReviewRating.objects.bulk_create(
        ReviewRating(review=review, criterion=criteria[key], value=value) for key, value in answers.ratings.items()
    )
    ReviewRevision.objects.create(
        review=review, number=review.revision, data={**_values(answers), "rubric": review.rubric_id}, at=now
    )


def _locked(item: QueueItem, reviewer: User) -> Review | None:
    return Review.objects.select_for_update().filter(item=item, reviewer=reviewer).first()


def _write(review: Review, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(review, name, value)
    review.revision += 1
    review.updated_at = timezone.now()
    review.save()


def _values(answers: Answers) -> dict[str, Any]:
    return {
        "stars": answers.stars,
        "verdict": answers.verdict,
        "ratings": dict(answers.ratings),
        "edited_text": normalise(answers.edited_text),
        "comment": normalise(answers.comment),
        "wants_retrain": answers.wants_retrain,
        "wants_refine": answers.wants_refine,
        "active_seconds": max(0, min(answers.active_seconds, MOST_ACTIVE_SECONDS)),
    }


def _check_shape(item: QueueItem, answers: Answers) -> None:
    """What may not even stand in a draft."""
    wrong = {}
    if answers.stars is not None and not 1 <= answers.stars <= 5:
        wrong["stars"] = "From 1 to 5."
    if answers.verdict and answers.verdict not in Review.Verdict.values:
        wrong["verdict"] = "good, fair or poor."
    known = set(Criterion.objects.filter(rubric=item.queue.rubric_id).values_list("key", flat=True))
    for key, value in answers.ratings.items():
        if key not in known:
            wrong[key] = "Not a criterion of this queue's rubric."
        elif not 1 <= value <= 5:
            wrong[key] = "From 1 to 5."
    if len(answers.edited_text) > LONGEST_EDIT_CHARACTERS:
        wrong["edited_text"] = f"Longer than {LONGEST_EDIT_CHARACTERS:,} characters."
    if len(answers.comment) > LONGEST_COMMENT_CHARACTERS:
        wrong["comment"] = f"Longer than {LONGEST_COMMENT_CHARACTERS:,} characters."
    if wrong:
        raise InvalidInput("Some answers are out of range.", fields=wrong)


def _check_whole(item: QueueItem, answers: Answers) -> None:
    wrong = {}
    if answers.stars is None:
        wrong["stars"] = "Give one to five stars."
    if not answers.verdict:
        wrong["verdict"] = "Good, fair or poor?"
    for criterion in Criterion.objects.filter(rubric=item.queue.rubric_id):
        if criterion.key not in answers.ratings:
            wrong[criterion.key] = f"Rate {criterion.name.lower()}."
    if not normalise(answers.edited_text):
        wrong["edited_text"] = "The corrected summary is empty; leave it as it was where nothing is wrong."
    if wrong:
        raise InvalidInput("Something is missing before this can be handed in.", fields=wrong)
