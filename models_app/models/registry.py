from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
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
    weights_digest = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="over the weights alone, whatever file they lie in",
    )
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


class WeightTensor(models.Model):
    """What one tensor of a model version is recognised by (models_app/ml/fingerprints.py). Append-only."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="tensors")
    position = models.PositiveIntegerField(help_text="the largest first")
    size = models.BigIntegerField(help_text="elements")
    digest = models.CharField(max_length=64)
    sketch = models.BinaryField(help_text="64 values, float32, little-endian; empty for smaller tensors")
    telling = models.BooleanField(help_text="false for constants, which say nothing")

    class Meta:
        ordering = ["version", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="tensor_position"),
            models.CheckConstraint(condition=Q(size__gt=0), name="tensor_not_empty"),
        ]


class WeightMatch(models.Model):
    """The weights of `version` were recognised as made from those of `of`, so its lineage counts too. Append-only.

    `of` is the parent of `version`, unless `of` was registered later: such as the model whose checkpoint it is.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="recognised_as")
    of = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="recognised_in")
    closeness = models.FloatField(help_text="how much of the weights is the same, 0–1")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "of"], name="weight_match_once"),
            models.CheckConstraint(condition=~Q(version=F("of")), name="weight_match_of_two"),
            models.CheckConstraint(condition=Q(closeness__range=(0, 1)), name="weight_match_closeness"),
        ]
