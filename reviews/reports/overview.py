"""What waits at each stage of the loop: for the navigation (two queries a page) and for the home page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count
from django.utils import timezone

from models_app.foundation.roles import allowed
from models_app.models import ClientFeedback, Comparison, DatasetSnapshot, Deployment, TrainingRun
from models_app.monitoring.traffic import Traffic, Window, traffic
from models_app.serving.readiness import readiness
from reviews.models import Review
from reviews.queues.statements import items_waiting_at_desks
from reviews.reports.statements import ENOUGH, estimated_rows, waiting_elsewhere


@dataclass(frozen=True)
class Waiting:
    """Counts up to ENOUGH; what waits at the desks up to where the desks count."""

    review: int
    pairs: int
    feedback: int
    suggestions: int
    training: int
    approval: int
    jobs: int
    unread: int  # notifications, up to notices.COUNTED
    disputes: int


def waiting(user: Any) -> Waiting:
    """2 queries, once the user's rights are read.

    What waits at the desks is counted as they count it, and nothing is that its own list would not show.
    """
    elsewhere = waiting_elsewhere(user=user, reviews=allowed(user, "review"))
    return Waiting(**items_waiting_at_desks(reviewer=user)._asdict(), **elsewhere._asdict())


def shown(count: int) -> str:
    return f"{ENOUGH - 1:,}+" if count >= ENOUGH else f"{count:,}"


@dataclass(frozen=True)
class Overview:
    """The home page's figures."""

    waiting: Waiting
    documents: int
    summaries: int
    examples: int
    snapshots: int
    newest_snapshot: DatasetSnapshot | None
    running: TrainingRun | None
    training_runs: int
    comparisons: int
    newest_comparison: Comparison | None
    live: Deployment | None
    ready: bool
    readiness: str
    stars: float | None
    stars_n: int
    traffic: Traffic
    reviews_this_week: int
    reviewers_this_week: int


def overview(user: Any) -> Overview:
    """A fixed number of queries, whatever the size of the tables."""
    now = timezone.now()
    rows = estimated_rows(
        "reviews_sourcedocument", "reviews_summary", "reviews_feedbackexample", "models_app_datasetsnapshot",
        "models_app_trainingrun", "models_app_comparison",
    )  # fmt: skip
    ours = Review.objects.filter(state="submitted", imported_from=None)
    week = ours.filter(submitted_at__gte=now - timedelta(days=7)).aggregate(
        n=Count("pk"), people=Count("reviewer", distinct=True)
    )
    stars = ClientFeedback.objects.filter(created_at__gte=now - timedelta(days=30)).aggregate(
        n=Count("pk"), mean=Avg("stars")
    )
    ready, sentence = readiness()
    return Overview(
        waiting=waiting(user),
        documents=rows["reviews_sourcedocument"],
        summaries=rows["reviews_summary"],
        examples=rows["reviews_feedbackexample"],
        snapshots=rows["models_app_datasetsnapshot"],
        newest_snapshot=DatasetSnapshot.objects.first(),
        running=TrainingRun.objects.filter(state__in=("queued", "running")).order_by("pk").first(),
        training_runs=rows["models_app_trainingrun"],
        comparisons=rows["models_app_comparison"],
        newest_comparison=Comparison.objects.select_related("candidate", "baseline").first(),
        live=Deployment.objects.filter(live_to=None).select_related("release__model_version").first(),
        ready=ready,
        readiness=sentence,
        stars=stars["mean"],
        stars_n=stars["n"],
        traffic=traffic(Window(now - timedelta(hours=24), now)),
        reviews_this_week=week["n"],
        reviewers_this_week=week["people"],
    )
