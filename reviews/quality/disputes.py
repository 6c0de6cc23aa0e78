"""What the pages about disputes show: those that wait, those that are resolved, and one with all its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from reviews.models import (
    Adjudication,
    Assignment,
    Criterion,
    FeedbackExample,
    QueueItem,
    Review,
    ReviewQueue,
)
from reviews.quality.adjudication import counting_reviews, disputed, rubric_asked

LETTERS = "ABCDEFGHIJKLMNOPQRST"


def waiting_disputes(actor: User) -> QuerySet[QueueItem]:
    """Those that differ most first; `mine` where this person had a part in it and may not resolve it."""
    return (
        QueueItem.objects.filter(state=QueueItem.State.DISPUTED)
        .select_related("queue", "summary__document")
        .defer("summary__document__text", "summary__document__reference")
        .annotate(mine=ExpressionWrapper(_part_of(actor), output_field=BooleanField()))
        .order_by("-disagreement", "pk")
    )


def _part_of(actor: User) -> Q:
    """The same rule as `adjudication.objection`, for lists."""
    return Q(
        Exists(Review.objects.filter(item=OuterRef("pk"), reviewer=actor))
        | Exists(Assignment.objects.filter(item=OuterRef("pk"), reviewer=actor))
        | Exists(
            FeedbackExample.objects.filter(summary=OuterRef("summary"), created_by=actor, adjudication=None)
        )
    )


@dataclass(frozen=True)
class DisputeRow:
    item: QueueItem
    reasons: list[str]
    reviews: int
    mine: bool


def with_reasons(items: Sequence[QueueItem]) -> list[DisputeRow]:
    """1 query, however many items."""
    given: dict[int, list[Review]] = {}
    for review in Review.objects.filter(item__in=items, state__in=["submitted", "returned"]):
        given.setdefault(review.item_id, []).append(review)
    return [
        DisputeRow(
            item, disputed(item, given.get(item.pk, [])), len(given.get(item.pk, [])), getattr(item, "mine", False)
        )
        for item in items
    ]  # fmt: skip


def next_dispute(actor: User) -> QueueItem | None:
    return waiting_disputes(actor).exclude(_part_of(actor)).first()


def resolved() -> QuerySet[Adjudication]:
    """The latest first."""
    return (
        Adjudication.objects.select_related("item__queue", "item__summary__document", "adjudicator")
        .defer("item__summary__document__text", "item__summary__document__reference")
        .order_by("-at", "-pk")
    )


def dispute_queues() -> QuerySet[ReviewQueue]:
    """Queues where several people review one item."""
    return ReviewQueue.objects.filter(active=True, calibration=False, kind__in=ReviewQueue.AT_DESK).order_by(
        "name"
    )


@dataclass(frozen=True)
class AnswerColumn:
    """One reviewer's answer; `name` is a letter where the queue is blind to peers."""

    letter: str
    name: str
    review: Review
    edited: bool


@dataclass(frozen=True)
class QuestionLine:
    """What each reviewer gave to one question, in the order of the columns."""

    key: str
    name: str
    values: list[int | str]
    apart: int

    @property
    def wide(self) -> bool:
        return self.apart >= 2


@dataclass(frozen=True)
class Dispute:
    columns: list[AnswerColumn]
    lines: list[QuestionLine]
    reasons: list[str]
    criteria: list[Criterion]


def dispute_of(item: QueueItem, resolved_by: int | None = None) -> Dispute:
    """By the questions that its reviews answered, or those of the rubric that resolved it. 2 queries."""
    reviews = counting_reviews(item)
    draft = item.summary.text.strip()
    columns = [
        AnswerColumn(
            letter,
            letter if item.queue.blind_to_peers else review.reviewer.get_username(),
            review,
            review.edited_text.strip() != draft,
        )
        for letter, review in zip(LETTERS, reviews, strict=False)
    ]
    rubric = resolved_by or rubric_asked(item, reviews)
    criteria = list(Criterion.objects.filter(rubric=rubric).select_related("rubric"))
    lines = [
        _line(criterion.key, criterion.name, [review.ratings.get(criterion.key, "–") for review in reviews])
        for criterion in criteria
    ]
    places = [Review.VERDICTS.index(review.verdict) for review in reviews]
    lines.append(
        QuestionLine("verdict", "Overall", [review.verdict for review in reviews], max(places) - min(places))
    )
    lines.append(_line("stars", "Stars", [review.stars or "–" for review in reviews]))
    return Dispute(columns, lines, disputed(item, reviews), criteria)


def _line(key: str, name: str, values: list[int | str]) -> QuestionLine:
    points = [value for value in values if isinstance(value, int)]
    return QuestionLine(key, name, values, max(points) - min(points) if points else 0)
