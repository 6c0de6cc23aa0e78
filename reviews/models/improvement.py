from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class ImprovementRequest(models.Model):
    """A person, or Galley itself at a threshold, asks for retraining or for another prompt. It keeps what spoke for it
    when it was opened; what it led to is followed from the training run or the prompt version that answers it."""

    class Kind(models.TextChoices):
        RETRAINING = "retraining"
        PROMPT = "prompt"

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        WITHDRAWN = "withdrawn"

    class Trigger(models.TextChoices):
        PERSON = "person"
        CORRECTIONS = "corrections"
        QUALITY = "quality"

    MOVES = {"open": ("accepted", "declined", "withdrawn"), "accepted": ("declined",)}
    LONGEST_REASON = 2000

    kind = models.CharField(max_length=10, choices=Kind)
    trigger = models.CharField(max_length=11, choices=Trigger, default=Trigger.PERSON)
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    reason = models.TextField()
    evidence = models.JSONField(help_text="what spoke for it when it was opened (reviews.improvement.facts)")
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="nobody: Galley",
    )
    opened_at = models.DateTimeField(default=timezone.now)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision = models.TextField(blank=True, help_text="why it was accepted, declined or withdrawn")
    training_run = models.ForeignKey(
        "models_app.TrainingRun", null=True, on_delete=models.PROTECT, related_name="improvement_requests"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", null=True, on_delete=models.PROTECT, related_name="improvement_requests"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=Q(state="open"), name="improvement_one_open_of_a_kind"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="improvement_has_reason"),
            models.CheckConstraint(
                condition=Q(kind="retraining", prompt_version=None) | Q(kind="prompt", training_run=None),
                name="improvement_answered_by_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(training_run=None, prompt_version=None) | Q(state__in=["accepted", "declined"]),
                name="improvement_answered_once_accepted",
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None) | ~Q(state="open") & Q(decided_at__isnull=False),
                name="improvement_decided_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} request {self.pk}"


class ImprovementVote(models.Model):
    """One person says that a request is worth it; once, and for good."""

    request = models.ForeignKey(ImprovementRequest, on_delete=models.PROTECT, related_name="votes")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["request", "person"], name="improvement_vote_once_per_person")
        ]
