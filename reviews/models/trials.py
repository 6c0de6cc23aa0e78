from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class PromptTrial(models.Model):
    """A prompt tried on articles by the live model, beside what the live prompt writes. Its job writes the results."""

    class Purpose(models.TextChoices):
        PLAYGROUND = "playground"
        #: Does this prompt write better where reviewers found the live one failing?
        FAILURES = "mending", "Mending"

    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.PLAYGROUND)
    release = models.ForeignKey(
        "models_app.Release",
        on_delete=models.PROTECT,
        related_name="+",
        help_text="live when it was asked for",
    )
    based_on = models.ForeignKey("models_app.PromptVersion", on_delete=models.PROTECT, related_name="+")
    system = models.TextField(blank=True)
    template = models.TextField()
    suggestion = models.ForeignKey(
        "reviews.PromptSuggestion", null=True, blank=True, on_delete=models.PROTECT, related_name="trials"
    )
    queue = models.ForeignKey(
        "reviews.ReviewQueue", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    report = models.JSONField(default=dict, help_text="what all results together say, once they are in")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["requested_by", "-id"], name="trial_by_user")]

    def __str__(self) -> str:
        return f"trial {self.pk}"


class PromptTrialResult(models.Model):
    """One article of a trial. Empty until its turn comes; ROUGE as fractions 0–1, F-measure, against `target`."""

    class Target(models.TextChoices):
        CORRECTION = "correction"  # a reviewer's, of a draft of this document
        REFERENCE = "reference"

    trial = models.ForeignKey(PromptTrial, on_delete=models.CASCADE, related_name="results")
    position = models.PositiveSmallIntegerField()
    document = models.ForeignKey("reviews.SourceDocument", on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(
        "reviews.Review", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    target = models.TextField(blank=True)
    target_kind = models.CharField(max_length=10, choices=Target, blank=True)
    live_text = models.TextField(blank=True)
    live_kept = models.BooleanField(
        default=False, help_text="written before by this release, not for the trial"
    )
    tried_text = models.TextField(blank=True)
    tried_seconds = models.FloatField(null=True, blank=True)
    read_share = models.FloatField(
        null=True, blank=True, help_text="part of the article that the model read with it, where it was cut"
    )
    error = models.TextField(blank=True)
    live_scores = models.JSONField(
        default=dict,
        help_text="rouge1, rouge2, rougeLsum where there is a target; unsupported numbers and names",
    )
    tried_scores = models.JSONField(default=dict)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["trial", "position"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "position"], name="trial_position"),
            models.UniqueConstraint(fields=["trial", "document"], name="trial_document_once"),
            models.CheckConstraint(
                condition=Q(target="", target_kind="") | (~Q(target="") & ~Q(target_kind="")),
                name="trial_target_whole",
            ),
        ]
