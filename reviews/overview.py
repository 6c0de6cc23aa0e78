"""What waits at each stage of the loop: for the navigation (one query a page) and for the home page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Avg, Count
from django.utils import timezone

from models_app.models import ClientFeedback, Comparison, DatasetSnapshot, Deployment, TrainingRun
from models_app.monitoring.traffic import Traffic, Window, traffic
from models_app.serving.readiness import readiness
from reviews.models import Review
from reviews.notices import COUNTED

# Counting stops here: nobody needs to know whether 100 or 40,000 wait, and every page counts them.
ENOUGH = 100

# Queue by queue from the indexes of seats that can be had, so that it ends with the hundredth: where few or none are
# left, no other seats are looked at.
_OPEN_TO_ME = """NOT EXISTS (SELECT 1 FROM {answers} answer
                              WHERE answer.item_id = slot.item_id AND answer.reviewer_id = %(user)s
                                AND answer.state IN ('submitted', 'returned'))
             AND NOT EXISTS (SELECT 1 FROM reviews_skip s
                              WHERE s.item_id = slot.item_id AND s.reviewer_id = %(user)s
                                AND (s.until IS NULL OR s.until > now()))
             AND EXISTS (SELECT 1 FROM reviews_queueitem item WHERE item.id = slot.item_id AND item.state = 'open')"""
_SEATS = f"""(SELECT count(*) FROM (
          SELECT 1 FROM reviews_reviewqueue queue CROSS JOIN LATERAL (
             (SELECT 1 FROM reviews_reviewslot slot
               WHERE slot.queue_id = queue.id AND slot.state = 'free' AND slot.assigned_to_id IS NULL
                 AND {_OPEN_TO_ME} ORDER BY slot.rank, slot.item_id LIMIT %(enough)s)
             UNION ALL
             (SELECT 1 FROM reviews_reviewslot slot
               WHERE slot.queue_id = queue.id AND slot.state = 'free' AND slot.assigned_to_id = %(user)s
                 AND {_OPEN_TO_ME} ORDER BY slot.rank, slot.item_id LIMIT %(enough)s)
             UNION ALL
             (SELECT 1 FROM reviews_reviewslot slot
               WHERE slot.queue_id = queue.id AND slot.state = 'held'
                 AND (slot.reviewer_id = %(user)s
                      OR slot.lease_until < now() AND coalesce(slot.assigned_to_id, %(user)s) = %(user)s)
                 AND {_OPEN_TO_ME} LIMIT %(enough)s)) seat
           WHERE queue.active AND queue.kind IN ({{kinds}})
           LIMIT %(enough)s) x)"""  # nosec B608
_WAITING = f"""
SELECT {_SEATS.format(kinds="'rate and edit', 'prompt trial'", answers="reviews_review")},
       {_SEATS.format(kinds="'pairwise'", answers="reviews_preference")},
       (SELECT count(*) FROM (SELECT 1 FROM reviews_feedbackexample WHERE state = 'proposed' LIMIT %(enough)s) x),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_promptsuggestion WHERE state = 'open' LIMIT %(enough)s) x),
       (SELECT count(*) FROM models_app_trainingrun WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM models_app_release WHERE state = 'awaiting approval'),
       (SELECT count(*) FROM models_app_job WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_notification
                               WHERE user_id = %(user)s AND read_at IS NULL LIMIT %(counted)s) x),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_queueitem WHERE state = 'disputed' LIMIT %(enough)s) x)
"""  # nosec B608 (made of constants of this module; values are parameters)


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
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"user": user.pk, "enough": ENOUGH, "counted": COUNTED})
        return Waiting(*cursor.fetchone())


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
