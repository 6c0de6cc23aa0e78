"""Reviews: drafts that save themselves, submits that find their own seat, corrections that lie over the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, NotFound, Refused, StaleState
from models_app.foundation.roles import require
from models_app.foundation.rows import Insertion, JoinedRows
from models_app.texts.comment_classes import classify_comment
from models_app.texts.normalise import normalise
from models_app.texts.sentiment import sentiment
from reviews.examples.proposals import propose_from_review
from reviews.models import (
    Criterion,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewRating,
    ReviewReturn,
    ReviewRevision,
    ReviewSlot,
    SentenceSupport,
    SourceDocument,
    SpanMark,
    Summary,
)
from reviews.quality import adjudication
from reviews.queues import seats
from reviews.queues.overall import stars_of, verdict_of
from reviews.queues.rubrics import criteria_of
from reviews.texts.marks import Mark, Support, UnreadableMarks, checked_marks, checked_support

LONGEST_EDIT_CHARACTERS = 400_000
LONGEST_COMMENT_CHARACTERS = 10_000
MOST_ACTIVE_SECONDS = 8 * 3600


@dataclass(frozen=True)
class Answers:
    """What a reviewer has entered so far, or all of it. `rubric` is the version that the form showed.

    With `overall_from_ratings` stars and verdict are what the ratings come to, whatever stands in them.
    """

    stars: int | None = None
    verdict: str = ""
    ratings: Mapping[str, int] = field(default_factory=dict)
    overall_from_ratings: bool = False
    edited_text: str = ""
    comment: str = ""
    wants_retrain: bool = False
    wants_refine: bool = False
    active_seconds: int = 0
    rubric: int | None = None
    marks: tuple[Mark, ...] = ()
    support: tuple[Support, ...] = ()


class StaleDraft(StaleState):
    """Another tab saved after this one had loaded. `review` is what is saved now."""

    code = "stale_draft"

    def __init__(self, review: Review) -> None:
        super().__init__(
            "This review was changed in another tab or window. Nothing of either is lost: take the newer draft, "
            "or keep this one."
        )
        self.review = review


class AlreadySubmitted(StaleState):
    """The review was handed in, with other answers. `review` is what was handed in."""

    code = "submitted"

    def __init__(self, review: Review) -> None:
        super().__init__(
            "You have handed in this review already, with other answers. Leave it as it is, or correct it with these."
        )
        self.review = review


def save_draft(
    *, item: QueueItem, answers: Answers, reviewer: User, base_revision: int, overwrite: bool = False
) -> Review:
    """Keep what was entered so far, also where the lease has run out meanwhile. Saving the same again changes nothing.

    `base_revision` is the revision the form was loaded or last saved with (0 for none). Raises StaleDraft where
    another tab saved since, unless `overwrite`; AlreadySubmitted; StaleState for an item that was never mine.
    """
    require(reviewer, "review")
    with transaction.atomic():
        review = _own_review(item, reviewer)
        values = _checked(item, review, answers, whole=False)
        if _same(review, values):
            _spend(review, values["active_seconds"])
            return review
        if review.state != Review.State.DRAFT:
            raise AlreadySubmitted(review)
        if review.revision != base_revision and not overwrite:
            raise StaleDraft(review)
        _write(review, values)
    return review


def submit_review(
    *, item: QueueItem, answers: Answers, reviewer: User, base_revision: int | None = None
) -> Review:
    """Hand a review in; the whole of it is checked here, whatever the page did.

    It closes my own seat at this item, of which the table holds at most one, so it cannot close anybody else's. Where
    the lease ran out and others took all seats, finished work is kept as an extra, late review. A second submit of the
    same answers gives the review there is; of other answers it raises AlreadySubmitted. Stars and verdict that nobody
    gave are what the ratings come to (reviews/queues/overall.py). Raises InvalidInput naming
    each field that is missing or wrong, StaleDraft where another tab saved since `base_revision`, StaleState for an
    item that was never mine.
    """
    require(reviewer, "review")
    try:
        return _submit(item.pk, answers, reviewer, base_revision)
    except IntegrityError as error:
        if not broke(error, "review_once_per_person"):
            raise
        # another tab's first save came in between
        saved = Review.objects.select_related("summary").get(item=item, reviewer=reviewer)
        raise StaleDraft(saved) from error


def _submit(pk: int, answers: Answers, reviewer: User, base_revision: int | None) -> Review:
    with transaction.atomic():
        # Locked first: of two last submits at once, the second sees the first and closes the item.
        item = _locked_item(pk)
        review = _locked(item, reviewer)
        begun = review is not None
        if review is None:
            if not seats.close_held_seat(item=item, reviewer=reviewer):
                raise _not_yours()
            review = _new_review(item, reviewer)
        values = _checked(item, review, answers, whole=True)
        if review.state in (Review.State.SUBMITTED, Review.State.RETURNED):
            if _same(review, values):
                return review
            raise AlreadySubmitted(review)
        if base_revision is not None and review.revision != base_revision and not _same(review, values):
            raise StaleDraft(review)
        again = review.submitted_at is not None or review.revision > 1
        late = begun and not seats.close_seat(item=item, reviewer=reviewer)
        _hand_in(review, values, late=late)
        seats.close_if_complete(item)
        propose_from_review(review=review, first=not again)
        adjudication.keep_in_step(item=item)
        audit.record(
            actor=reviewer, action="review.submit", subject=review, to_state="submitted",
            data={"item": item.pk, "revision": review.revision, "late": late},
        )  # fmt: skip
    return review


def revise_review(
    *, review: Review, answers: Answers, reviewer: User, base_revision: int | None = None
) -> Review:
    """Correct a review that I handed in; the earlier one is kept as a revision. One that was sent back to me is handed
    in again with it, also where I changed nothing."""
    require(reviewer, "review")
    if review.reviewer_id != reviewer.pk:
        raise StaleState("Only whoever wrote a review can correct it.")
    with transaction.atomic():
        # the same order of locks as a submit: the item, then the review
        item = _locked_item(review.item_id)
        locked = _locked(item, reviewer)
        if locked is None or locked.state not in (Review.State.SUBMITTED, Review.State.RETURNED):
            raise StaleState("This review has not been handed in yet.")
        returned = locked.state == Review.State.RETURNED
        values = _checked(item, locked, answers, whole=True)
        if _same(locked, values) and not returned:
            return locked
        if base_revision is not None and locked.revision != base_revision:
            raise StaleDraft(locked)
        _hand_in(locked, values, late=locked.late)
        if returned:
            ReviewReturn.objects.filter(review=locked, answered_at=None).update(answered_at=timezone.now())
            seats.close_if_complete(item)
        propose_from_review(review=locked)
        adjudication.keep_in_step(item=item)
        audit.record(
            actor=reviewer, action="review.revise", subject=locked,
            from_state="returned" if returned else "", to_state="submitted" if returned else "",
            data={"revision": locked.revision},
        )  # fmt: skip
    return locked


# ---------------------------------------------------------------- whose it is


_ITEM = JoinedRows(
    """
SELECT {columns} FROM reviews_queueitem item
  JOIN reviews_reviewqueue queue ON queue.id = item.queue_id
  JOIN reviews_summary summary ON summary.id = item.summary_id
  JOIN reviews_sourcedocument document ON document.id = summary.document_id
 WHERE item.id = %(item)s
   FOR NO KEY UPDATE OF item
""",
    item=QueueItem,
    queue=ReviewQueue,
    summary=Summary,
    document=SourceDocument,
)
_REVIEW = JoinedRows(
    """
SELECT {columns} FROM reviews_review review
 WHERE review.item_id = %(item)s AND review.reviewer_id = %(reviewer)s
   FOR UPDATE
""",
    review=Review,
)


def _locked(item: QueueItem, reviewer: User) -> Review | None:
    found = _REVIEW.first({"item": item.pk, "reviewer": reviewer.pk})
    if found is None:
        return None
    review: Review = found["review"]
    # what the caller has loaded need not be asked for again
    review.item, review.summary, review.reviewer = item, item.summary, reviewer
    return review


def _locked_item(pk: int) -> QueueItem:
    found = _ITEM.first({"item": pk})
    if found is None:
        raise NotFound("There is no such item.")
    item: QueueItem = found["item"]
    item.queue, item.summary, item.summary.document = found["queue"], found["summary"], found["document"]
    if item.queue.kind == ReviewQueue.Kind.PAIRWISE:
        raise Refused("This item asks which of two texts is better, not for a review.", code="pairwise")
    return item


def _new_review(item: QueueItem, reviewer: User) -> Review:
    return Review(item=item, summary=item.summary, reviewer=reviewer, rubric_id=item.queue.rubric_id)


def _not_yours() -> StaleState:
    return StaleState(
        "You do not hold this item, so nothing can be kept or handed in for it.", code="not_yours"
    )


def _own_review(item: QueueItem, reviewer: User) -> Review:
    """My review of this item, locked; begun for whoever sits at it. A seat that was taken back has left one behind."""
    if item.queue.kind == ReviewQueue.Kind.PAIRWISE:
        raise Refused("This item asks which of two texts is better, not for a review.", code="pairwise")
    review = _locked(item, reviewer)
    if review is None and ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="held").exists():
        # another tab may be as fast
        Review.objects.bulk_create([_new_review(item, reviewer)], ignore_conflicts=True)
        review = _locked(item, reviewer)
    if review is None:
        raise _not_yours()
    return review


# ---------------------------------------------------------------- what is kept

_REVIEWS, _RATINGS, _REVISIONS = Insertion(Review), Insertion(ReviewRating), Insertion(ReviewRevision)


def _hand_in(review: Review, values: dict[str, Any], *, late: bool) -> None:
    now = timezone.now()
    comment = values["comment"]
    tone = sentiment(comment) if comment else None
    review.state = Review.State.SUBMITTED
    review.late = late
    again = review.submitted_at is not None  # whatever takes a review back takes these rows with it
    review.submitted_at = review.submitted_at or now
    review.sentiment = tone.label if tone else ""
    review.sentiment_score = tone.score if tone else None
    review.category = classify_comment(comment) if comment else ""
    _write(review, values)
    criteria = {criterion.key: criterion.pk for criterion in criteria_of(review.rubric_id)}
    if again:
        for rows in (ReviewRating, SpanMark, SentenceSupport):
            rows.objects.filter(review=review).delete()
    _RATINGS.add(
        *(
            ReviewRating(review=review, criterion_id=criteria[key], value=value)
            for key, value in values["ratings"].items()
        )
    )
    SpanMark.objects.bulk_create(SpanMark(review=review, **mark) for mark in values["marks"])
    SentenceSupport.objects.bulk_create(
        SentenceSupport(review=review, start=start, end=end, supported=supported)
        for start, end, supported in values["support"]
    )
    _REVISIONS.add(ReviewRevision(review=review, number=review.revision, data=values, at=now))


def _write(review: Review, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(review, name, value)
    review.revision += 1
    review.updated_at = timezone.now()
    if review._state.adding:
        _REVIEWS.add(review)
    else:
        review.save()


def _spend(review: Review, active_seconds: int) -> None:
    """Time goes on where nothing is typed; it makes no new revision."""
    if review.state == Review.State.DRAFT and active_seconds > review.active_seconds:
        review.active_seconds = active_seconds
        review.save(update_fields=["active_seconds"])


def _same(review: Review, values: dict[str, Any]) -> bool:
    return all(getattr(review, name) == value for name, value in values.items() if name != "active_seconds")


# ---------------------------------------------------------------- what may stand in it


def _checked(item: QueueItem, review: Review, answers: Answers, *, whole: bool) -> dict[str, Any]:
    """The columns to write. A review keeps the rubric version that it was begun with, whatever the queue asks now."""
    rubric = review.rubric_id if review.revision else answers.rubric or item.queue.rubric_id
    criteria = criteria_of(rubric)
    wrong = _out_of_range(criteria, answers)
    marks, support, unreadable = _marked(item, answers)
    if wrong := wrong | unreadable:
        raise InvalidInput("Some answers are out of range.", fields=wrong)
    edited, original = normalise(answers.edited_text), item.summary.text.strip()
    if edited == normalise(original):
        edited = original  # cleaned of what no person typed, it would count as an edit
    if whole and (wrong := _missing(criteria, answers, edited)):
        raise InvalidInput("Something is missing before this can be handed in.", fields=wrong)
    stars, verdict, derived = _overall(criteria, answers, whole=whole)
    return {
        "rubric_id": rubric,
        "stars": stars,
        "verdict": verdict,
        "ratings": dict(answers.ratings),
        "overall_from_ratings": derived,
        "edited_text": edited,
        "comment": normalise(answers.comment),
        "wants_retrain": answers.wants_retrain,
        "wants_refine": answers.wants_refine,
        "marks": [mark.to_dict() for mark in marks],
        "support": [[one.start, one.end, one.supported] for one in support],
        "active_seconds": max(review.active_seconds, min(answers.active_seconds, MOST_ACTIVE_SECONDS)),
    }


def _marked(item: QueueItem, answers: Answers) -> tuple[list[Mark], list[Support], dict[str, str]]:
    """Error spans and judged sentences, and by field what is wrong with them."""
    wrong: dict[str, str] = {}
    marks: list[Mark] = []
    support: list[Support] = []
    try:
        if answers.marks:
            source = item.summary.document.text
            marks = checked_marks(answers.marks, summary=item.summary.text, source=source)
    except UnreadableMarks as error:
        wrong[error.at("marks")] = str(error)
    try:
        support = checked_support(answers.support, summary=item.summary.text)
    except UnreadableMarks as error:
        wrong[error.at("support")] = str(error)
    return marks, support, wrong


def _overall(criteria: Sequence[Criterion], answers: Answers, *, whole: bool) -> tuple[int | None, str, bool]:
    """Stars, verdict, and whether both were derived. A draft derives only what the form says it derived."""
    stars, verdict = answers.stars, answers.verdict
    derived = answers.overall_from_ratings or (whole and stars is None and not verdict)
    if derived:
        stars, verdict = None, ""
    if not derived and not whole:
        return stars, verdict, False
    rated = all(criterion.key in answers.ratings for criterion in criteria)
    if stars is None and rated:
        stars = stars_of(answers.ratings.values())
    if not verdict and stars is not None:
        verdict = verdict_of(stars)
    return stars, verdict, derived


def _out_of_range(criteria: Sequence[Criterion], answers: Answers) -> dict[str, str]:
    """What may not even stand in a draft."""
    wrong = {}
    if not criteria:
        wrong["rubric"] = "There is no such version of the questions. Reload the page."
    if answers.stars is not None and not 1 <= answers.stars <= 5:
        wrong["stars"] = "From 1 to 5."
    if answers.verdict and answers.verdict not in Review.Verdict.values:
        wrong["verdict"] = "good, fair or poor."
    known = {criterion.key for criterion in criteria}
    for key, value in answers.ratings.items():
        if key not in known:
            wrong[key] = "Not a question of this rubric."
        elif not 1 <= value <= 5:
            wrong[key] = "From 1 to 5."
    if len(answers.edited_text) > LONGEST_EDIT_CHARACTERS:
        wrong["edited_text"] = f"Longer than {LONGEST_EDIT_CHARACTERS:,} characters."
    if len(answers.comment) > LONGEST_COMMENT_CHARACTERS:
        wrong["comment"] = f"Longer than {LONGEST_COMMENT_CHARACTERS:,} characters."
    return wrong


def _missing(criteria: Sequence[Criterion], answers: Answers, edited: str) -> dict[str, str]:
    wrong = {}
    for criterion in criteria:
        if criterion.key not in answers.ratings:
            wrong[criterion.key] = f"Rate {criterion.name.lower()}."
    if not edited:
        wrong["edited_text"] = "The corrected summary is empty; leave it as it was where nothing is wrong."
    return wrong
