from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from models_app.models.jobs import RUN_MOVES, RunState


class TrainingRun(models.Model):
    """A fine-tuning. `phase` says where it is, `state` how it stands or ended, `reason` what to tell the user."""

    State = RunState
    MOVES = RUN_MOVES

    name = models.CharField(max_length=120)
    snapshot = models.ForeignKey(
        "models_app.DatasetSnapshot", on_delete=models.PROTECT, related_name="training_runs"
    )
    base_model = models.ForeignKey(
        "models_app.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="trainings"
    )
    base = models.CharField(
        max_length=200, help_text="model:ID, starter, a local directory, or a Hugging Face name"
    )
    prompt_version = models.ForeignKey("models_app.PromptVersion", on_delete=models.PROTECT, related_name="+")
    recipe = models.JSONField()
    recipe_digest = models.CharField(max_length=64)
    seed = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    eta_seconds = models.FloatField(null=True, blank=True)
    device = models.CharField(max_length=40, blank=True)
    summary = models.JSONField(default=dict, help_text="seconds, best step, losses, speed, memory")
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "base", "prompt_version", "recipe_digest"],
                condition=Q(state__in=["queued", "running"]),
                name="training_pressed_twice_is_one_run",
            )
        ]

    def __str__(self) -> str:
        return f"training {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.RUNNING)


class TrainingMetric(models.Model):
    run = models.ForeignKey(TrainingRun, on_delete=models.PROTECT, related_name="metrics")
    step = models.PositiveIntegerField()
    epoch = models.FloatField(default=0)
    loss = models.FloatField(null=True)
    validation_loss = models.FloatField(null=True)
    learning_rate = models.FloatField(null=True)
    tokens_per_second = models.FloatField(null=True)
    examples_per_second = models.FloatField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["run", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="training_metric_step")]
