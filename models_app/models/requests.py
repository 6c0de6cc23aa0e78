from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone


class InferenceRequest(models.Model):
    """One call of the API, whatever the outcome. Users and sessions are kept as keyed hashes only."""

    kept = False  # no column: whether the slot had written the summary before, for an equal text

    class Outcome(models.TextChoices):
        OK = "ok"
        OVERLOADED = "overloaded"
        UNAVAILABLE = "unavailable"
        TIMEOUT = "timeout"
        ERROR = "error"
        ABANDONED = "abandoned"  # the client closed the connection before it was answered

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    release = models.ForeignKey("models_app.Release", null=True, on_delete=models.PROTECT, related_name="+")
    model_version = models.ForeignKey(
        "models_app.ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    arm = models.CharField(max_length=10, default="live")
    token_key = models.CharField(
        max_length=25, blank=True, help_text="first characters of the token, not the token"
    )
    client = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    user_hash = models.CharField(max_length=32, blank=True)
    session_hash = models.CharField(max_length=32, blank=True)
    title = models.CharField(max_length=300, blank=True)
    domain = models.CharField(max_length=40, blank=True)
    text = models.TextField(blank=True, help_text="empty where the setting says that texts are not kept")
    text_hash = models.CharField(max_length=64, help_text="keyed: `foundation.fingerprints`")
    summary = models.TextField(blank=True, help_text="empty where texts are not kept")
    summary_hash = models.CharField(
        max_length=64, blank=True, help_text="keyed, of a summary that is not kept"
    )
    input_words = models.PositiveIntegerField(default=0)
    summary_words = models.PositiveIntegerField(default=0)
    max_words = models.PositiveIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    queue_ms = models.FloatField(null=True)
    confidence = models.FloatField(
        null=True, help_text="0–1, the model's own: the mean probability of its tokens"
    )
    outcome = models.CharField(max_length=12, choices=Outcome)
    error = models.CharField(max_length=300, blank=True)
    flags = models.JSONField(default=list, help_text="e.g. truncated, unsupported_number")
    created_at = models.DateTimeField(default=timezone.now)
    logged_at = models.DateTimeField(
        db_default=Now(),
        editable=False,
        help_text="later where the database was away: `monitoring.rollups` goes by it",
    )

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["logged_at"], name="request_logged"),
            models.Index(fields=["-created_at"], name="request_created"),
            models.Index(fields=["release", "-created_at"], name="request_release_created"),
        ]


class IdempotencyKey(models.Model):
    """An answer already given for a client's `Idempotency-Key`; a repeat gets the same answer.

    The key and the body are kept as keyed hashes: clients make keys of texts, too.
    """

    token_key = models.CharField(max_length=25)
    key = models.CharField(max_length=100)
    path = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True, help_text="null while the first call runs")
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token_key", "key"], name="idempotency_key_once")]


class ClientFeedback(models.Model):
    """What the user of a client application said about a summary."""

    class Wants(models.TextChoices):
        NONE = "none"
        RETRAIN = "retrain"
        REFINE = "refine"

    request = models.ForeignKey(InferenceRequest, on_delete=models.PROTECT, related_name="feedback")
    stars = models.PositiveSmallIntegerField()
    comment = models.TextField(blank=True)
    edited_summary = models.TextField(blank=True)
    edited = models.BooleanField(default=False, help_text="whether they wrote another one, kept or not")
    wants = models.CharField(max_length=10, choices=Wants, default=Wants.NONE)
    sentiment = models.CharField(max_length=10, blank=True)
    sentiment_score = models.FloatField(null=True)
    category = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(stars__range=(1, 5)), name="client_feedback_stars")]
