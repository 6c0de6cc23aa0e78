"""What speaks for retraining or another prompt now, and what stands in its way: figures, no opinions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Avg, CharField, Count, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from models_app.models import ClientFeedback, Deployment, Release, SnapshotExample
from models_app.models.releases import live_release
from models_app.training.lineage import made_from
from reviews.examples.snapshots import Selection, approved_demonstrations, preview_snapshot
from reviews.models import ImprovementRequest, PromptSuggestion, Review

RETRAINING, PROMPT = ImprovementRequest.Kind.RETRAINING, ImprovementRequest.Kind.PROMPT
#: Clients' stars up to here are a complaint.
FEW_STARS = 2
#: A mean of fewer reviews says nothing.
LEAST_REVIEWS = 30


@dataclass(frozen=True)
class Facts:
    """All since the live release went live, but for the pairs, which are all there are. `stars` is the mean of its
    reviews, 1–5; None where there is none."""

    release: int | None
    since: str
    train_pairs: int
    validation_pairs: int
    least_pairs: int
    new_pairs: int
    reviews: int
    stars: float | None
    ask_for_retraining: int
    ask_for_a_prompt: int
    client_answers: int
    client_stars: float | None
    complaints: int
    open_suggestions: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Facts:
        return cls(**{one.name: values[one.name] for one in fields(cls)})


def facts_now(reviewed_since: datetime | None = None) -> Facts:
    """`reviewed_since`: what people said before it is left out."""
    live = live_release()
    since = max(filter(None, (_since(live), reviewed_since)), default=None)
    preview = preview_snapshot(Selection())
    reviews = _reviews(live, since).aggregate(
        n=Count("pk"), retrain=Count("pk", filter=Q(wants_retrain=True)),
        refine=Count("pk", filter=Q(wants_refine=True)), stars=Avg("stars"),
    )  # fmt: skip
    clients = _clients(live, since).aggregate(
        n=Count("pk"), complaints=Count("pk", filter=Q(stars__lte=FEW_STARS)),
        retrain=Count("pk", filter=Q(wants=ClientFeedback.Wants.RETRAIN)),
        refine=Count("pk", filter=Q(wants=ClientFeedback.Wants.REFINE)), stars=Avg("stars"),
    )  # fmt: skip
    return Facts(
        release=live.pk if live else None,
        since=since.isoformat() if since else "",
        train_pairs=preview.train,
        validation_pairs=preview.validation,
        least_pairs=settings.GALLEY_MIN_TRAINING_EXAMPLES,
        new_pairs=new_pairs(live).count(),
        reviews=reviews["n"],
        stars=reviews["stars"],
        ask_for_retraining=reviews["retrain"] + clients["retrain"],
        ask_for_a_prompt=reviews["refine"] + clients["refine"],
        client_answers=clients["n"],
        client_stars=clients["stars"],
        complaints=clients["complaints"],
        open_suggestions=PromptSuggestion.objects.filter(state=PromptSuggestion.State.OPEN).count(),
    )


def new_pairs(live: Release | None) -> QuerySet[Any]:
    """Approved corrections that the live model, and what it was made from, has not been trained on."""
    rows = approved_demonstrations(Selection())
    if live is None:
        return rows
    versions = made_from(live.model_version_id).versions
    snapshots = [run.snapshot_id for version in versions if (run := version.training_run) is not None]
    if not snapshots:
        return rows
    known = SnapshotExample.objects.filter(snapshot__in=snapshots, origin=OuterRef("as_origin"))
    named = rows.annotate(as_origin=Concat(Value("feedback:"), Cast("pk", CharField())))
    return named.filter(~Exists(known))


def obstacle(kind: str, facts: Facts) -> str:
    """Why a request of this kind can't be carried out now, with the numbers; empty where it can."""
    if kind == PROMPT:
        return ""
    if facts.train_pairs < facts.least_pairs:
        pairs = f"Only {facts.train_pairs:,} usable pair{'' if facts.train_pairs == 1 else 's'}"
        return (
            f"{pairs}: a training run needs {facts.least_pairs:,} (GALLEY_MIN_TRAINING_EXAMPLES) before it could teach "
            "anything that can be told from noise. Approve more feedback examples first."
        )
    if not facts.validation_pairs:
        return (
            "No usable pair is in the validation split, so nothing would say when to stop training. Approve a "
            "correction of a validation document first."
        )
    if not facts.new_pairs:
        return (
            "Nothing new: the live model has been trained on all "
            f"{facts.train_pairs + facts.validation_pairs:,} usable pairs already."
        )
    return ""


def in_words(kind: str, facts: Facts) -> list[str]:
    """What speaks for it, one sentence a fact."""
    where = f"release {facts.release}" if facts.release else "what was live"
    lines = []
    if kind == RETRAINING:
        lines.append(
            f"{facts.train_pairs:,} usable training pairs and {facts.validation_pairs:,} for validation; "
            f"{facts.new_pairs:,} of them are new to the live model."
        )
    else:
        lines.append(f"Prompt suggestions of reviewers that wait for a decision: {facts.open_suggestions:,}.")
    asks = facts.ask_for_retraining if kind == RETRAINING else facts.ask_for_a_prompt
    what = "needs retraining" if kind == RETRAINING else "has a prompt problem"
    lines.append(f"Reviews and client answers that say that {where} {what}: {asks:,}.")
    if facts.stars is not None:
        lines.append(
            f"Reviewers give {where} {facts.stars:.2f} stars of 5 ({_things(facts.reviews, 'review')})."
        )
    if facts.client_stars is not None:
        lines.append(
            f"Clients give it {facts.client_stars:.2f} stars of 5 ({_things(facts.client_answers, 'answer')}; "
            f"{facts.complaints:,} with at most {FEW_STARS})."
        )
    return lines


def _things(count: int, one: str) -> str:
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _since(live: Release | None) -> datetime | None:
    if live is None:
        return None
    return Deployment.objects.filter(release=live, live_to=None).values_list("live_from", flat=True).first()


def _reviews(live: Release | None, since: datetime | None) -> QuerySet[Review]:
    """Of what the live release wrote, given here."""
    if live is None or since is None:
        return Review.objects.none()
    return Review.objects.filter(
        state=Review.State.SUBMITTED, imported_from=None, summary__release=live, submitted_at__gte=since
    )


def _clients(live: Release | None, since: datetime | None) -> QuerySet[ClientFeedback]:
    if live is None or since is None:
        return ClientFeedback.objects.none()
    return ClientFeedback.objects.filter(request__release=live, created_at__gte=since)
