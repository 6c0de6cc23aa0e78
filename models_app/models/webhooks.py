from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from models_app.models.audit import AuditEvent


class WebhookEndpoint(models.Model):
    """An address of another program that is told of events. It is disabled and never deleted: what it was told stays.

    The secret that deliveries are signed with is not here: it follows from the installation's key and `salt`
    (webhooks/signing.py).
    """

    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2000)
    events = models.JSONField(default=list, help_text="names of webhooks/catalogue.py")
    salt = models.CharField(max_length=64)
    secret_digest = models.CharField(max_length=64, help_text="by which a changed key is noticed")
    previous_salt = models.CharField(max_length=64, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True)
    after_event = models.PositiveBigIntegerField(
        default=0, help_text="number in the audit trail up to which it was looked at"
    )
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="attempts in a row that failed")
    paused_until = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField(default=timezone.now)
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["disabled_at", "name", "pk"]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(models.Model):
    """One thing that one endpoint is told. Its words never change; an ended one stays as it ended."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given up"

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    key = models.UUIDField(default=uuid.uuid4, unique=True)
    event = models.CharField(max_length=60)
    audit_event = models.ForeignKey(AuditEvent, null=True, on_delete=models.PROTECT, related_name="+")
    replay_of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replays")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    body = models.TextField()
    made_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    first_tried_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="of one that was given up")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["endpoint", "due_at"], condition=Q(state="waiting"), name="webhook_delivery_due"
            ),
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_of"),
            models.Index(fields=["endpoint", "state", "-id"], name="webhook_delivery_ended"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "audit_event"],
                condition=Q(replay_of=None, audit_event__isnull=False),
                name="webhook_told_once",
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", ended_at=None)
                | (~Q(state="waiting") & Q(ended_at__isnull=False)),
                name="webhook_delivery_ends_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"


class WebhookAttempt(models.Model):
    """One try at a delivery and its outcome. Append-only."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.PROTECT, related_name="tries")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    address = models.CharField(max_length=50, blank=True, help_text="that was connected to")
    status = models.PositiveSmallIntegerField(null=True, help_text="none: no answer came")
    words = models.CharField(max_length=300)
    answer = models.TextField(blank=True, help_text="the first 4 KiB of the answer's body")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="webhook_attempt_once"),
        ]
