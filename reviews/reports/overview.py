"""What waits at each stage of the loop: for the navigation (one query a page) and for the home page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Avg, Count
from django.db.models.expressions import RawSQL
from django.utils import timezone

from models_app.foundation.roles import allowed
from models_app.models import ClientFeedback, Comparison, DatasetSnapshot, Deployment, TrainingRun
from models_app.monitoring.traffic import Traffic, Window, traffic
from models_app.serving.readiness import readiness
from reviews.desk import claims
from reviews.lists.compiled import Statement, compiled
from reviews.models import FeedbackExample, PromptSuggestion, Review
from reviews.notifications.notices import COUNTED
from reviews.queues.blindness import readable_examples, readable_suggestions

# Counting stops here: nobody needs to know whether 100 or 40,000 wait, and every page counts them.
ENOUGH = 100

_WAITING = f"""
SELECT ({claims.WAITING_AT_DESKS.format(kinds="'rate and edit', 'prompt trial'")}),
       ({claims.WAITING_AT_DESKS.format(kinds="'pairwise'")}),
       (SELECT count(*) FROM ({{feedback}}) x),
       (SELECT count(*) FROM ({{suggestions}}) x),
       (SELECT count(*) FROM models_app_trainingrun WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM models_app_release WHERE state = 'awaiting approval'),
       (SELECT count(*) FROM models_app_job WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_notification
                               WHERE user_id = %(user)s AND read_at IS NULL LIMIT %(counted)s) x),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_queueitem WHERE state = 'disputed' LIMIT %(enough)s) x)
"""  # nosec B608 (made of constants of ours; values are parameters)


@dataclass(frozen=True)
class Waiting:
    """Counts up to ENOUGH."""

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
    """1 query, once the user's rights are read.

    What waits at the desks is counted as they count it, and nothing is that its own list would not show.
    """
    statement = _statement(allowed(user, "review"), ENOUGH)
    whose = {"user": user.pk, "reviewer": user.pk, "reader": user.pk}
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.values | whose)
        return Waiting(*cursor.fetchone())


@dataclass(frozen=True)
class _Anybody:
    """Stands for the reader in a statement that the ORM makes once: for every page it would take 5 to 13 ms."""

    reviews: bool
    is_active = True
    pk = RawSQL("%%(reader)s", [])

    def has_perm(self, capability: str) -> bool:
        return self.reviews


@cache
def _statement(reviews: bool, enough: int) -> Statement:
    reader: Any = _Anybody(reviews)
    proposed = readable_examples(FeedbackExample.objects.filter(state="proposed"), reader)
    suggested = readable_suggestions(PromptSuggestion.objects.filter(state="open"), reader)
    feedback = compiled(proposed.order_by().values("pk")[:enough], "feedback")
    suggestions = compiled(suggested.order_by().values("pk")[:enough], "suggestions")
    return Statement(
        _WAITING.format(feedback=feedback.text, suggestions=suggestions.text),
        {"enough": enough, "counted": COUNTED, **feedback.values, **suggestions.values},
    )


def shown(count: int) -> str:
    return f"{ENOUGH - 1:,}+" if count >= ENOUGH else f"{count:,}"


def estimated_rows(*tables: str) -> dict[str, int]:
    """Rows of whole tables: exact while they are small, PostgreSQL's estimate once counting would take long."""
    counts = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, reltuples::bigint FROM pg_class WHERE relname = ANY(%s)", [list(tables)]
        )
        estimates = dict(cursor.fetchall())
        for table in tables:
            if estimates.get(table, -1) > 50_000:
                counts[table] = int(estimates[table])
            else:
                # Our own tables' names, and quoted.
                cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # nosec B608
                counts[table] = cursor.fetchone()[0]
    return counts


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
