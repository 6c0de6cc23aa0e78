"""Reviews: stars, verdict and ratings of one summary, its errors marked, and a correction that lies over it.

What is submitted teaches (reviews/examples), may differ from what others say (reviews/quality), and stays on record as
a revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.texts.comment_classes import classify_comment
from models_app.texts.normalise import normalise
from models_app.texts.sentiment import sentiment
from reviews.desk.answers import Answering
from reviews.examples.proposals import propose_from_review
from reviews.models import (
    Adjudication,
    Assignment,
    Criterion,
    FeedbackExample,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewRating,
    ReviewReturn,
    ReviewRevision,
    SentenceSupport,
    SpanMark,
)
from reviews.models.answers import INCOMPLETE, OFF_SCALE, OUT_OF_RANGE, POINTS
from reviews.quality import adjudication
from reviews.queues.overall import stars_of, verdict_of
from reviews.queues.rubrics import criteria_of, unknown_questions
from reviews.texts.marks import Mark, Support, UnreadableMarks, checked_marks, checked_support


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


class _Reviews(Answering[Review, Answers]):
    """Stars and verdict that nobody gave are what the ratings come to (reviews/queues/overall.py)."""

    rows = Review
    with_item = ("summary__document",)

    def refuse_other_items(self, item: QueueItem) -> None:
        if item.queue.kind == ReviewQueue.Kind.PAIRWISE:
            raise Refused("This item asks which of two texts is better, not for a review.", code="pairwise")

    def begun(self, item: QueueItem, assignment: Assignment, reviewer: User) -> Review:
        return Review(item=item, summary=item.summary, reviewer=reviewer, rubric_id=item.queue.rubric_id)

    def checked(self, row: Review, answers: Answers, *, whole: bool) -> dict[str, Any]:
        """A review keeps the rubric version that it was begun with, whatever the queue asks now."""
        rubric = row.rubric_id if row.revision else answers.rubric or row.item.queue.rubric_id
        criteria, summary = criteria_of(rubric), row.item.summary
        marks, support, unreadable = _marked(row.item, answers)
        if wrong := _out_of_range(criteria, answers) | unreadable:
            raise InvalidInput(OUT_OF_RANGE, fields=wrong)
        edited, original = normalise(answers.edited_text), summary.text.strip()
        if edited == normalise(original):
            edited = original  # cleaned of what no person typed, it would count as an edit
        if whole and (wrong := _missing(criteria, answers, edited)):
            raise InvalidInput(INCOMPLETE, fields=wrong)
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
        }

    def derive(self, row: Review, values: dict[str, Any]) -> None:
        comment = values["comment"]
        tone = sentiment(comment) if comment else None
        row.sentiment, row.sentiment_score = (tone.label, tone.score) if tone else ("", None)
        row.category = classify_comment(comment) if comment else ""

    def keep(self, row: Review, values: dict[str, Any]) -> None:
        criteria = {criterion.key: criterion.pk for criterion in criteria_of(row.rubric_id)}
        ReviewRating.objects.bulk_create(
            ReviewRating(review=row, criterion_id=criteria[key], value=value)
            for key, value in values["ratings"].items()
        )
        SpanMark.objects.bulk_create(SpanMark(review=row, **mark) for mark in values["marks"])
        SentenceSupport.objects.bulk_create(
            SentenceSupport(review=row, start=start, end=end, supported=supported)
            for start, end, supported in values["support"]
        )
        ReviewRevision.objects.create(review=row, number=row.revision, data=values, at=row.updated_at)

    def forget(self, row: Review) -> None:
        for rows in (ReviewRating, SpanMark, SentenceSupport):
            rows.objects.filter(review=row).delete()

    def follow(self, item: QueueItem, row: Review, *, first: bool) -> None:
        if not first:
            ReviewReturn.objects.filter(review=row, answered_at=None).update(answered_at=timezone.now())
        row.summary = item.summary  # as it was loaded with the item
        propose_from_review(review=row, first=first)
        adjudication.keep_in_step(item=item)

    def refuse_undo(self, item: QueueItem, row: Review) -> None:
        if row.revisions.filter(at__gt=row.submitted_at).exists():
            raise StaleState("You have corrected this review since. Correct it again where it is wrong.")
        if FeedbackExample.objects.filter(Q(state="approved") | ~Q(decided_by=None), review=row).exists():
            raise StaleState("Somebody has decided on your correction already. Correct the review instead.")
        if Adjudication.objects.filter(item=item).exists():
            raise StaleState("This item has a final answer already.")
        if item.state in (QueueItem.State.DONE, QueueItem.State.DISPUTED):
            later = Review.objects.filter(
                item=item, state=Review.State.SUBMITTED, submitted_at__gt=row.submitted_at
            )
            if later.exclude(pk=row.pk).exists():
                raise StaleState("Somebody else has finished this item since. Correct the review instead.")

    def follow_undo(self, item: QueueItem, row: Review) -> None:
        """Examples that nobody has decided on go."""
        FeedbackExample.objects.filter(review=row, decided_by=None).exclude(state="approved").delete()
        if QueueItem.objects.filter(pk=item.pk, state=QueueItem.State.OPEN).exists():
            # an open item is in no dispute: what the others' reviews teach is held no more
            FeedbackExample.objects.filter(review__item=item, state=FeedbackExample.State.HELD).update(
                state=FeedbackExample.State.PROPOSED
            )
        adjudication.keep_in_step(item=item)


REVIEWS = _Reviews()
save_draft, submit_review, revise_review = REVIEWS.save_draft, REVIEWS.submit, REVIEWS.revise
take_back = REVIEWS.take_back


# ---------------------------------------------------------------- what may stand in it


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
    wrong = {} if criteria else {"rubric": "There is no such version of the questions. Reload the page."}
    off_scale = {key: OFF_SCALE for key, value in answers.ratings.items() if value not in POINTS}
    columns = Review.out_of_range(
        stars=answers.stars,
        verdict=answers.verdict,
        edited_text=answers.edited_text,
        comment=answers.comment,
        active_seconds=answers.active_seconds,
    )
    return wrong | off_scale | unknown_questions(criteria, answers.ratings) | columns


def _missing(criteria: Sequence[Criterion], answers: Answers, edited: str) -> dict[str, str]:
    wrong = {}
    for criterion in criteria:
        if criterion.key not in answers.ratings:
            wrong[criterion.key] = f"Rate {criterion.name.lower()}."
    if not edited:
        wrong["edited_text"] = "The corrected summary is empty; leave it as it was where nothing is wrong."
    return wrong
