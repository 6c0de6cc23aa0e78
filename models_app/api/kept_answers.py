"""How long an answer is kept for its `Idempotency-Key`."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import IdempotencyKey

KEPT = timedelta(hours=24)


def expired() -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT)


def forget_expired() -> int:
    """They quote summaries: they go also where no further request comes. Called every hour; returns how many."""
    return expired().delete()[0]
