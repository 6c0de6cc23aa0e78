from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from models_app import doors


class AuditEvent(models.Model):
    """Who did what, when, why. Append-only: the database refuses UPDATE, DELETE and TRUNCATE."""

    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(
        max_length=150, help_text="kept as text; 'galley' is the installation itself"
    )
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=100)
    from_state = models.CharField(max_length=30, blank=True)
    to_state = models.CharField(max_length=30, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    door = models.CharField(
        max_length=10, choices=[*doors.WORDS.items()], help_text="unrecorded: before doors were written down"
    )
    door_which = models.CharField(
        max_length=100, blank=True, help_text="which page, token, command, job, process or program"
    )
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject", "-id"], name="audit_subject"),
            models.Index(fields=["action", "-id"], name="audit_action"),
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["door", "door_which", "-id"], name="audit_door"),
        ]
        constraints = [
            models.CheckConstraint(
                name="audit_door_known",
                condition=Q(door__in=list(doors.Kind)),
            )
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.subject}"
