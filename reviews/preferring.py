"""Reads for the pairwise desk: plain rows out, a known number of queries each."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Count

from reviews import queueing
from reviews.models import Preference, ReviewQueue
from reviews.queries import QueueRow, start_of_today


def pairs_for(reviewer: User) -> list[QueueRow]:
    """Active pairwise queues, those where something waits first. 3 queries."""
    waiting = queueing.waiting(reviewer=reviewer)
    done = done_today(reviewer)
    queues = ReviewQueue.objects.filter(active=True, kind=ReviewQueue.Kind.PAIRWISE)
    rows = [QueueRow(queue, waiting.get(queue.pk, 0), done.get(queue.pk, 0)) for queue in queues]
    return sorted(rows, key=lambda row: (row.waiting == 0, row.queue.name))


def done_today(reviewer: User) -> dict[int, int]:
    """My choices handed in since midnight, by queue. 1 query."""
    rows = (
        Preference.objects.filter(
            reviewer=reviewer, state=Preference.State.SUBMITTED, submitted_at__gte=start_of_today()
        )
        .values("item__queue")
        .annotate(n=Count("pk"))
        .order_by()
    )
    return {row["item__queue"]: row["n"] for row in rows}


def choices_of(reviewer: User, limit: int = 20) -> list[Preference]:
    """What I handed in last, newest first. 1 query."""
    return list(
        Preference.objects.filter(reviewer=reviewer, state=Preference.State.SUBMITTED)
        .select_related("item__queue", "item__summary__document")
        .defer("item__summary__text", "item__summary__document__text", "item__summary__document__reference")
        .order_by("-submitted_at")[:limit]
    )
