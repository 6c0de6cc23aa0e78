"""Reads for the pairwise desk: plain rows out, a known number of queries each."""

from __future__ import annotations

from django.contrib.auth.models import User

from reviews.desk import queries
from reviews.desk.queries import QueueRow, queue_rows
from reviews.models import Preference, ReviewQueue


def pairs_for(reviewer: User) -> list[QueueRow]:
    """Active pairwise queues, those where something waits first. 3 queries."""
    queues = ReviewQueue.objects.filter(active=True, kind=ReviewQueue.Kind.PAIRWISE)
    return queue_rows(queues, reviewer, Preference)


def done_today(reviewer: User) -> dict[int, int]:
    """My choices submitted since midnight, by queue. 1 query."""
    return queries.done_today(reviewer, Preference)


def choices_of(reviewer: User, limit: int = 20) -> list[Preference]:
    """What I submitted last, newest first. 1 query."""
    return list(
        Preference.objects.filter(reviewer=reviewer, state=Preference.State.SUBMITTED)
        .select_related("item__queue", "item__summary__document")
        .defer("item__summary__text", "item__summary__document__text", "item__summary__document__reference")
        .order_by("-submitted_at")[:limit]
    )
