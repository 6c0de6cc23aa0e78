"""Reads for pages that span tables: plain rows out, a known number of queries each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, F, OuterRef, Q
from django.utils import timezone

from reviews.models import Assignment, Preference, QueueItem, Review, ReviewQueue, ReviewReturn, Skip
from reviews.queues import statements

# ---------------------------------------------------------------- the desk


@dataclass(frozen=True)
class QueueRow:
    queue: ReviewQueue
    waiting: int
    done_today: int

    @property
    def more(self) -> bool:
        return self.waiting >= statements.COUNTED


@dataclass(frozen=True)
class DraftRow:
    review_id: int
    item_id: int
    title: str
    queue: str
    updated_at: datetime


def start_of_today() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def queues_for(reviewer: User) -> list[QueueRow]:
    """Active queues of the review desk, those where something waits first. 3 queries."""
    queues = ReviewQueue.objects.filter(active=True, kind__in=ReviewQueue.AT_DESK).select_related("rubric")
    return queue_rows(queues, reviewer, Review)


def queue_rows(
    queues: Iterable[ReviewQueue], reviewer: User, answer: type[Review | Preference]
) -> list[QueueRow]:
    waiting = statements.items_waiting(reviewer=reviewer)
    done = done_today(reviewer, answer)
    rows = [QueueRow(queue, waiting.get(queue.pk, 0), done.get(queue.pk, 0)) for queue in queues]
    return sorted(rows, key=lambda row: (row.waiting == 0, row.queue.name))


def done_today(reviewer: User, answer: type[Review | Preference] = Review) -> dict[int, int]:
    """My answers submitted since midnight, by queue. 1 query."""
    submitted = answer.objects.filter(
        reviewer=reviewer, state=answer.State.SUBMITTED, submitted_at__gte=start_of_today()
    )
    rows = submitted.values("item__queue").annotate(n=Count("pk")).order_by()
    return {row["item__queue"]: row["n"] for row in rows}


def drafts_of(reviewer: User, limit: int = 20) -> list[DraftRow]:
    """What I began and have neither submitted nor left to others for good since, newest first. 1 query."""
    left = Skip.objects.filter(
        item=OuterRef("item"), reviewer=reviewer, until=None, at__gte=OuterRef("updated_at")
    )
    rows = (
        Review.objects.filter(~Exists(left), reviewer=reviewer, state=Review.State.DRAFT, revision__gt=0)
        .order_by("-updated_at")
        .values_list("pk", "item", "summary__document__title", "item__queue__name", "updated_at")[:limit]
    )
    return [DraftRow(*row) for row in rows]


@dataclass(frozen=True)
class ReturnedRow:
    item_id: int
    title: str
    queue: str
    comment: str
    by: str
    at: datetime


def returned_to(reviewer: User) -> list[ReturnedRow]:
    """My reviews that were sent back and wait for my correction, the longest waiting first. 1 query."""
    rows = (
        ReviewReturn.objects.filter(
            review__reviewer=reviewer, review__state=Review.State.RETURNED, answered_at=None
        )
        .order_by("at")
        .values_list(
            "review__item", "review__summary__document__title", "review__item__queue__name", "comment",
            "returned_by__username", "at",
        )
    )  # fmt: skip
    return [ReturnedRow(*row) for row in rows]


@dataclass(frozen=True)
class AssignedRow:
    item_id: int
    title: str
    queue: str


def assigned_to(reviewer: User, limit: int = 20) -> list[AssignedRow]:
    """Items kept for me that I have not answered, in the order they are given out. 1 query."""
    rows = (
        Assignment.objects.filter(
            assigned_to=reviewer, state__in=[Assignment.State.FREE, Assignment.State.HELD],
            item__state=QueueItem.State.OPEN, queue__active=True, queue__kind__in=ReviewQueue.AT_DESK,
        )
        .order_by("queue__name", "rank", "item")
        .values_list("item", "item__summary__document__title", "queue__name")[:limit]
    )  # fmt: skip
    return [AssignedRow(*row) for row in rows]


#: How far back the desk's own keys go; my feedback has all of them.
RECENT = 20


@dataclass(frozen=True)
class RecentRow:
    item_id: int
    title: str
    queue: str
    stars: int
    verdict: str
    submitted_at: datetime
    state: str
    edited: bool
    revisions: int


def recent_of(reviewer: User) -> list[RecentRow]:
    """Recent reviews that I submitted, newest first. 1 query."""
    rows = (
        Review.objects.filter(
            reviewer=reviewer,
            state__in=[Review.State.SUBMITTED, Review.State.RETURNED],
            item__queue__kind__in=ReviewQueue.AT_DESK,
        )
        .annotate(
            edited=ExpressionWrapper(~Q(edited_text=F("summary__text")), BooleanField()),
            corrections=Count("revisions"),
        )
        .order_by("-submitted_at", "-pk")
        .values_list(
            "item", "summary__document__title", "item__queue__name", "stars", "verdict", "submitted_at",
            "state", "edited", "corrections",
        )[:RECENT]
    )  # fmt: skip
    return [RecentRow(*row) for row in rows]  # type: ignore[arg-type]  # what was submitted has stars and a time


@dataclass(frozen=True)
class FlaggedRow:
    item_id: int
    title: str
    queue: str
    reason: str
    by: str
    at: datetime


def flagged(limit: int = 50) -> list[FlaggedRow]:
    """Items that reviewers flagged, newest first. 1 query."""
    rows = (
        Skip.objects.filter(meaning=Skip.Meaning.FLAG, item__state=QueueItem.State.FLAGGED)
        .order_by("-at")
        .values_list(
            "item",
            "item__summary__document__title",
            "item__queue__name",
            "reason",
            "reviewer__username",
            "at",
        )[:limit]
    )
    return [FlaggedRow(*row) for row in rows]
