from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class ModelVersion(models.Model):
    """A set of learned weights with its tokenizer, as an immutable artefact. 'Live' is a deployment, not a column."""

    name = models.CharField(max_length=120)
    family = models.CharField(max_length=30, help_text="t5, bart, …, llama; or 'lead' for leading sentences")
    architecture = models.CharField(max_length=80)
    base = models.CharField(
        max_length=200, help_text="what it was made from: starter, a name, a directory's name"
    )
    artefact = models.CharField(
        max_length=300, blank=True, help_text="directory, relative to the artefact store"
    )
    digest = models.CharField(max_length=64, unique=True)
    engine = models.CharField(max_length=20, help_text="lead, ctranslate2 or transformers: what serves it")
    precision = models.CharField(max_length=12, blank=True)
    parameters = models.BigIntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)
    manifest = models.JSONField(default=dict)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    training_run = models.OneToOneField(
        "models_app.TrainingRun",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="model_version",
    )
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"model {self.pk} · {self.name}"
