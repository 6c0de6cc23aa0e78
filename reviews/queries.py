"""Reads for pages that span tables: plain rows out, a known number of queries each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, QuerySet
from django.utils import timezone

from models_app.models import ModelVersion, Release, SnapshotExample, TrainingRun
from reviews import queueing
from reviews.models import FeedbackExample, PromptSuggestion, QueueItem, Review, ReviewQueue, Skip

# ---------------------------------------------------------------- the desk


@dataclass(frozen=True)
class QueueRow:
    queue: ReviewQueue
    waiting: int
    done_today: int

    @property
    def more(self) -> bool:
        return self.waiting >= queueing.COUNTED


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
    """Active queues to rate and edit, those where something waits first. 3 queries."""
    waiting = queueing.waiting(reviewer=reviewer)
    done = done_today(reviewer)
    queues = ReviewQueue.objects.filter(active=True, kind=ReviewQueue.Kind.RATE_AND_EDIT).select_related(
        "rubric"
    )
    rows = [QueueRow(queue, waiting.get(queue.pk, 0), done.get(queue.pk, 0)) for queue in queues]
    return sorted(rows, key=lambda row: (row.waiting == 0, row.queue.name))


def done_today(reviewer: User) -> dict[int, int]:
    """My reviews handed in since midnight, by queue. 1 query."""
    rows = (
        Review.objects.filter(
            reviewer=reviewer, state=Review.State.SUBMITTED, submitted_at__gte=start_of_today()
        )
        .values("item__queue")
        .annotate(n=Count("pk"))
        .order_by()
    )
    return {row["item__queue"]: row["n"] for row in rows}


def drafts_of(reviewer: User, limit: int = 20) -> list[DraftRow]:
    """What I began and have not handed in, newest first. 1 query."""
    rows = (
        Review.objects.filter(reviewer=reviewer, state=Review.State.DRAFT, revision__gt=0)
        .order_by("-updated_at")
        .values_list("pk", "item", "summary__document__title", "item__queue__name", "updated_at")[:limit]
    )
    return [DraftRow(*row) for row in rows]


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
    """My last reviews that I handed in, newest first. 1 query."""
    rows = (
        Review.objects.filter(
            reviewer=reviewer,
            state__in=[Review.State.SUBMITTED, Review.State.RETURNED],
            item__queue__kind=ReviewQueue.Kind.RATE_AND_EDIT,
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
    return [RecentRow(*row) for row in rows]  # type: ignore[arg-type]  # what was handed in has stars and a time


@dataclass(frozen=True)
class FlaggedRow:
    item_id: int
    title: str
    queue: str
    reason: str
    by: str
    at: datetime


def set_aside(limit: int = 50) -> list[FlaggedRow]:
    """Items that reviewers flagged, newest first. 1 query."""
    rows = (
        Skip.objects.filter(meaning=Skip.Meaning.BAD_ITEM, item__state=QueueItem.State.SET_ASIDE)
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


# ---------------------------------------------------------------- what became of my work


@dataclass(frozen=True)
class Place:
    """A snapshot, training run, model version or release that something of mine went into."""

    id: int
    name: str
    state: str = ""


@dataclass(frozen=True)
class Road:
    """How far an example came: into which snapshot, from there into which run, model version and release."""

    snapshot: Place
    training: Place | None = None
    model: Place | None = None
    release: Place | None = None

    @property
    def length(self) -> tuple[int, int, int]:
        stops = (self.training, self.model, self.release)
        live = self.release is not None and self.release.state == Release.State.LIVE
        return (sum(stop is not None for stop in stops), int(live), self.snapshot.id)


@dataclass(frozen=True)
class MyReview:
    review: Review
    demonstration: FeedbackExample | None
    preference: FeedbackExample | None
    road: Road | None  # the one that went furthest
    other_snapshots: int

    @property
    def edited(self) -> bool:
        return self.review.edited_text.strip() != self.review.summary.text.strip()


def my_reviews(reviewer: User) -> QuerySet[Review]:
    """What I handed in, newest first."""
    return (
        Review.objects.filter(reviewer=reviewer, state=Review.State.SUBMITTED)
        .select_related("summary__document", "item__queue")
        .defer("summary__document__text", "summary__document__reference")
        .order_by("-submitted_at", "-pk")
    )


def with_what_became(reviews: Sequence[Review]) -> list[MyReview]:
    """4 queries, however many reviews."""
    examples: dict[int, dict[str, FeedbackExample]] = {}
    for example in FeedbackExample.objects.filter(review__in=reviews).order_by("pk"):
        if example.review_id is not None:  # a declined one gives way to a later one of its kind
            examples.setdefault(example.review_id, {})[example.kind] = example
    roads = _roads(
        [example.pk for kinds in examples.values() for example in kinds.values()],
        {review.summary.document.content_hash for review in reviews},
    )
    rows = []
    for review in reviews:
        kinds = examples.get(review.pk, {})
        mine = [road for example in kinds.values() for road in roads.get(example.pk, [])]
        rows.append(
            MyReview(
                review=review,
                demonstration=kinds.get(FeedbackExample.Kind.DEMONSTRATION),
                preference=kinds.get(FeedbackExample.Kind.PREFERENCE),
                road=max(mine, key=lambda road: road.length, default=None),
                other_snapshots=max(0, len({road.snapshot.id for road in mine}) - 1),
            )
        )
    return rows


def _roads(examples: Sequence[int], document_hashes: Collection[str]) -> dict[int, list[Road]]:
    """By example: every way onwards. 3 queries."""
    frozen = list(
        SnapshotExample.objects.filter(
            document_hash__in=document_hashes,  # the index
            origin__in=[f"feedback:{example}" for example in examples],
        )
        .order_by("pk")
        .values_list("origin", "snapshot", "snapshot__name")
    )
    snapshots = {snapshot for _, snapshot, _ in frozen}
    runs = TrainingRun.objects.filter(snapshot__in=snapshots).select_related("model_version").order_by("pk")
    by_snapshot: dict[int, list[tuple[Place, Place | None]]] = {}
    for run in runs:
        model: ModelVersion | None = getattr(run, "model_version", None)
        by_snapshot.setdefault(run.snapshot_id, []).append(
            (Place(run.pk, run.name, run.state), Place(model.pk, model.name) if model else None)
        )
    models = {made.id for onwards in by_snapshot.values() for _, made in onwards if made}
    releases: dict[int, list[Place]] = {}
    for release in Release.objects.filter(model_version__in=models).order_by("pk"):
        releases.setdefault(release.model_version_id, []).append(
            Place(release.pk, str(release), release.state)
        )
    roads: dict[int, list[Road]] = {}
    for origin, snapshot, name in frozen:
        ways = roads.setdefault(int(origin.removeprefix("feedback:")), [])
        start = Place(snapshot, name)
        ways.append(Road(start))
        for training, made in by_snapshot.get(snapshot, []):
            last: list[Place | None] = [*releases.get(made.id, [])] if made else []
            ways.extend(Road(start, training, made, release) for release in last or [None])
    return roads


@dataclass(frozen=True)
class MySuggestion:
    suggestion: PromptSuggestion
    releases: list[Place]


def my_suggestions(reviewer: User) -> QuerySet[PromptSuggestion]:
    return (
        PromptSuggestion.objects.filter(suggested_by=reviewer)
        .select_related("document", "based_on__prompt", "adopted_as__prompt")
        .defer("document__text", "document__reference")
        .order_by("-pk")
    )


def with_releases(suggestions: Sequence[PromptSuggestion]) -> list[MySuggestion]:
    """1 query."""
    versions = {suggestion.adopted_as_id for suggestion in suggestions if suggestion.adopted_as_id}
    releases: dict[int, list[Place]] = {}
    for release in Release.objects.filter(prompt_version__in=versions).order_by("pk"):
        releases.setdefault(release.prompt_version_id, []).append(
            Place(release.pk, str(release), release.state)
        )
    return [
        MySuggestion(suggestion, releases.get(suggestion.adopted_as_id or 0, []))
        for suggestion in suggestions
    ]
