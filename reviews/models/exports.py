from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Export(models.Model):
    """A file that somebody asked for: a job writes it, it is kept for a while, and the same person fetches it."""

    class Kind(models.TextChoices):
        REVIEWS = "reviews"
        RATINGS = "ratings"
        SPANS = "spans"
        EDITS = "edits"
        PREFERENCES = "preferences"
        SFT = "sft"
        CHAT = "chat"
        DPO = "dpo"

    class Format(models.TextChoices):
        JSONL = "jsonl"
        CSV = "csv"
        DATASETS = "datasets"

    kind = models.CharField(max_length=12, choices=Kind)
    format = models.CharField(max_length=10, choices=Format, default=Format.JSONL)
    options = models.JSONField(
        default=dict, help_text="the whole request; see reviews.exports.request.Request"
    )
    queue = models.ForeignKey(
        "reviews.ReviewQueue", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    file = models.CharField(max_length=300, blank=True, help_text="relative to GALLEY_HOME")
    rows = models.PositiveBigIntegerField(null=True, blank=True)
    bytes = models.PositiveBigIntegerField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the file")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="exports"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["requested_by", "-id"], name="export_by_person"),
            models.Index(
                fields=["expires_at"],
                condition=Q(removed_at=None, finished_at__isnull=False),
                name="export_expiring",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at=None)
                | (
                    ~Q(file="")
                    & ~Q(digest="")
                    & Q(rows__isnull=False, bytes__isnull=False, expires_at__isnull=False)
                ),
                name="export_finished_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.pk} ({self.kind})"
