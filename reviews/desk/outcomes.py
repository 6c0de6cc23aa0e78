"""What became of my work: each review and prompt suggestion followed to the model that learnt from it.

Plain rows out, a known number of queries each, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from models_app.foundation import audit, jobs
from models_app.foundation.errors import NotFound, Refused
from models_app.foundation.roles import require
from models_app.models import ExampleScore, Job, ModelVersion, Release, SnapshotExample, TrainingRun
from models_app.models.releases import live_release
from models_app.releases.hands import training_lineage
from reviews.examples.references import where_used
from reviews.models import (
    Adjudication,
    FeedbackExample,
    PromptSuggestion,
    QueueItem,
    Review,
    ReviewReturn,
    ReviewRevision,
    Split,
    Summary,
)
from reviews.prompts.trying import tells_model
from reviews.quality.gold import Judged, judge

MOST_ASKED_AT_ONCE = 3
DEADLINE_SECONDS = 900
#: What a list of my reviews can be narrowed to.
STATES = {
    "": "All",
    "waits": "Wait for a decision",
    "accepted": "Accepted",
    "declined": "Declined",
    "evaluation": "Evaluation data",
    "learnt": "In training data",
    "live": "Learnt by the live model",
    "returned": "Sent back",
    "adjudicated": "Resolved by adjudication",
}
#: A narrowed list goes no further back: finding every one of tens of thousands would make the page wait.
NARROWED = 1000
_MINE = (Review.State.SUBMITTED, Review.State.RETURNED)
_UNDECIDED = (FeedbackExample.State.PROPOSED, FeedbackExample.State.HELD)


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
class LiveText:
    """What the live model writes of the same article. `text` is None while nobody has asked it; `waits` while it is
    being written."""

    text: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class MyReview:
    review: Review
    demonstration: FeedbackExample | None
    preference: FeedbackExample | None
    road: Road | None  # the one that went furthest
    other_snapshots: int
    returned: ReviewReturn | None  # the last time it was sent back
    adjudication: Adjudication | None
    judged: list[Judged] | None  # of a gold item, against the known answer
    test_sets: Sequence[int]  # in which my text is a reference
    live: LiveText | None  # None where it may not be shown, or nothing is live

    @property
    def edited(self) -> bool:
        return self.review.edited_text.strip() != self.review.summary.text.strip()

    @property
    def for_evaluation(self) -> bool:
        """It judges models; nothing is learnt from it, and nobody declined it."""
        return self.review.summary.document.split == Split.TEST

    @property
    def right(self) -> int:
        return sum(question.holds for question in self.judged or [])

    @property
    def live_is_mine(self) -> bool:
        return self.live is not None and (self.live.text or "").strip() == self.review.edited_text.strip()

    @property
    def live_is_draft(self) -> bool:
        return self.live is not None and (self.live.text or "").strip() == self.review.summary.text.strip()


def my_reviews(reviewer: User, state: str = "") -> QuerySet[Review]:
    """What I submitted, newest first; `state` one of STATES. At most 3 queries for the narrowing itself."""
    rows = Review.objects.filter(reviewer=reviewer, state__in=_MINE)
    examples = FeedbackExample.objects.filter(review=OuterRef("pk"))
    if state == "waits":
        rows = rows.filter(Exists(examples.filter(state__in=_UNDECIDED)))
    elif state == "accepted":
        rows = rows.filter(Exists(examples.filter(state=FeedbackExample.State.APPROVED)))
    elif state == "declined":
        declined = examples.filter(state=FeedbackExample.State.DECLINED)
        rows = rows.filter(Exists(declined)).exclude(
            Q(summary__document__split=Split.TEST)  # nobody declined those: they judge models
            | Exists(examples.exclude(state=FeedbackExample.State.DECLINED))
        )
    elif state == "evaluation":
        rows = rows.filter(summary__document__split=Split.TEST)
    elif state == "learnt":
        rows = rows.filter(Exists(_in_snapshots(examples)))
    elif state == "live":
        rows = rows.filter(Exists(examples.filter(pk__in=_learnt_by_live())))
    elif state == "returned":
        rows = rows.filter(
            Q(state=Review.State.RETURNED) | Exists(ReviewReturn.objects.filter(review=OuterRef("pk")))
        )
    elif state == "adjudicated":
        rows = rows.filter(Exists(Adjudication.objects.filter(item=OuterRef("item"))))
    return (
        rows.select_related("summary__document", "summary__gold", "item__queue")
        .defer("summary__document__text", "summary__document__reference")
        .order_by("-submitted_at", "-pk")
    )


def _in_snapshots(examples: QuerySet[FeedbackExample]) -> QuerySet[FeedbackExample]:
    named = examples.annotate(
        row=Concat(Value("feedback:"), Cast("pk", CharField()), output_field=CharField())
    )
    frozen = SnapshotExample.objects.filter(
        document_hash=OuterRef("document__content_hash"),  # the index
        origin=OuterRef("row"),
    )
    return named.filter(Exists(frozen))


def _learnt_by_live() -> list[int]:
    """Feedback examples in the training data of the live model and its ancestors."""
    live = live_release()
    if live is None:
        return []
    origins = SnapshotExample.objects.filter(
        snapshot__in={run.snapshot_id for run in training_lineage(live)}, origin__startswith="feedback:"
    ).values_list("origin", flat=True)
    return [int(origin.removeprefix("feedback:")) for origin in origins]


def with_what_became(reviews: Sequence[Review]) -> list[MyReview]:
    """12 queries, however many reviews."""
    examples: dict[int, dict[str, FeedbackExample]] = {}
    for example in FeedbackExample.objects.filter(review__in=reviews).order_by("pk"):
        if example.review_id is not None:  # a declined one gives way to a later one of its kind
            examples.setdefault(example.review_id, {})[example.kind] = example
    roads = _roads(
        [example.pk for kinds in examples.values() for example in kinds.values()],
        {review.summary.document.content_hash for review in reviews},
    )
    returned = {row.review_id: row for row in ReviewReturn.objects.filter(review__in=reviews).order_by("pk")}
    final = {
        row.item_id: row
        for row in Adjudication.objects.filter(item__in=[review.item_id for review in reviews])
    }
    judged = _judged(reviews)
    live = _live_texts(reviews)
    used = where_used(reviews)
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
                returned=returned.get(review.pk),
                adjudication=final.get(review.item_id),
                judged=judged.get(review.pk),
                test_sets=used.get(review.pk, ()),
                live=live.get(review.pk),
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


def _judged(reviews: Sequence[Review]) -> dict[int, list[Judged]]:
    """Gold items against their known answer, by what was submitted first. 1 query."""
    gold = {
        review.pk: known
        for review in reviews
        if review.item.reason == QueueItem.Reason.GOLD
        and (known := getattr(review.summary, "gold", None)) is not None
        and known.active
    }
    first: dict[int, Mapping[str, object]] = {}
    for revision in ReviewRevision.objects.filter(review__in=gold).order_by("review", "number"):
        first.setdefault(revision.review_id, revision.data)
    return {pk: judge(known, first[pk]) for pk, known in gold.items() if pk in first}


# ---------------------------------------------------------------- the live model beside my edit


def _live_texts(reviews: Sequence[Review]) -> dict[int, LiveText]:
    """Drafts of the live release, else what it wrote when it was evaluated. 4 queries."""
    live = live_release()
    shown = [review for review in reviews if tells_model(review.item)]
    documents = {review.summary.document_id for review in shown}
    key = live.pk if live is not None else None
    drafts = dict(
        Summary.objects.filter(
            document__in=documents, release=key or 0, source=Summary.Source.BATCH
        ).values_list("document", "text")
    )
    outputs = dict(
        ExampleScore.objects.filter(
            run__release=key or 0,
            run__state="succeeded",
            example__document_hash__in={review.summary.document.content_hash for review in shown},
        )
        .order_by("run")
        .values_list("example__document_hash", "output")
    )
    keys = {_asked_key(key or 0, document): document for document in documents}
    asked = set(
        Job.objects.filter(unique_key__in=keys, state__in=Job.ACTIVE).values_list("unique_key", flat=True)
    )
    if live is None:
        return {}
    waiting = {keys[unique_key] for unique_key in asked}
    return {
        review.pk: LiveText(
            drafts.get(review.summary.document_id, outputs.get(review.summary.document.content_hash)),
            waits=review.summary.document_id in waiting,
        )
        for review in shown
    }


def _asked_key(release: int, document: int) -> str:
    return f"live-text:{release}:{document}"


def my_review(*, pk: int, reviewer: User) -> MyReview:
    """One of mine. Raises NotFound."""
    review = my_reviews(reviewer).filter(pk=pk).first()
    if review is None:
        raise NotFound("There is no such review of yours.")
    return with_what_became([review])[0]


def ask_live(*, review: int, reviewer: User, deliver: bool = True) -> Job:
    """Let the queue write the live model's summary of an article that I reviewed. Asked twice, one job does it."""
    require(reviewer, "review")
    row = my_review(pk=review, reviewer=reviewer)
    if not tells_model(row.review.item):
        raise Refused("This item's model is still hidden, so the live model's text is not shown beside it.")
    live = live_release()
    if live is None:
        raise Refused("Nothing is live, so there is no model to ask.")
    if row.live is not None and row.live.text is not None:
        raise Refused("The live model has written it already. Reload the page.")
    document = row.review.summary.document_id
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=reviewer.pk)
        mine = Job.objects.filter(
            requested_by=reviewer, unique_key__startswith="live-text:", state__in=Job.ACTIVE
        )
        if mine.exclude(unique_key=_asked_key(live.pk, document)).count() >= MOST_ASKED_AT_ONCE:
            raise Refused(f"{MOST_ASKED_AT_ONCE} texts are being written for you. Wait for one of them.")
        job = jobs.enqueue(
            kind="generate_summaries", actor=reviewer, subject=f"release:{live.pk}",
            payload={"documents": [document], "release": live.pk, "queue": ""},
            unique_key=_asked_key(live.pk, document), deadline_seconds=DEADLINE_SECONDS, deliver=deliver,
        )  # fmt: skip
        audit.record(
            actor=reviewer, action="summaries.start", subject=live,
            data={"documents": 1, "queue": "", "job": job.pk},
        )  # fmt: skip
    return job


# ---------------------------------------------------------------- my prompt suggestions


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
