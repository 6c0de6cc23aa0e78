from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.utils import timezone


class DatasetSnapshot(models.Model):
    """Immutable training data. Same selection, same digest."""

    name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 over the canonical rows")
    selection = models.JSONField(default=dict, help_text="how the rows were chosen")
    train_rows = models.PositiveIntegerField()
    validation_rows = models.PositiveIntegerField()
    curators = models.JSONField(default=list, help_text="ids of the users whose decisions shaped the rows")
    directory = models.CharField(
        max_length=300, help_text="files with their manifest, relative to GALLEY_HOME"
    )
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"snapshot {self.pk}"


class SnapshotExample(models.Model):
    """One row, as plain values: later changes of documents or reviews do not reach it."""

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.PROTECT, related_name="examples")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=10)
    document_hash = models.CharField(max_length=64, db_index=True)
    origin = models.CharField(max_length=60, help_text="e.g. feedback:17")
    domain = models.CharField(max_length=40, blank=True)
    title = models.CharField(max_length=300, blank=True)
    source = models.TextField()
    target = models.TextField()
    rejected = models.TextField(blank=True, help_text="the draft that lost, for preference pairs")

    class Meta:
        ordering = ["snapshot", "position"]
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "position"], name="snapshot_position"),
            models.CheckConstraint(
                condition=Q(split__in=["train", "validation"]), name="snapshot_keeps_test_out"
            ),
            models.CheckConstraint(condition=~Q(source="") & ~Q(target=""), name="snapshot_row_has_texts"),
        ]


class EvaluationSet(models.Model):
    """Frozen test documents with references. Everything that is compared is compared on one of these."""

    class Words(models.TextChoices):
        LATIN = "latin"
        UNICODE = "unicode"

    name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True)
    rows = models.PositiveIntegerField()
    most_references = models.PositiveSmallIntegerField(
        default=1, help_text="that a document of it has; scores are the best over a document's references"
    )
    words = models.CharField(
        max_length=10,
        choices=Words,
        default=Words.LATIN,
        help_text="what ROUGE counts on it: words of a–z and 0–9, or of any script",
    )
    selection = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(words__in=["latin", "unicode"]), name="evaluation_set_words")
        ]

    def __str__(self) -> str:
        return f"test set {self.pk}"


class EvaluationExample(models.Model):
    evaluation_set = models.ForeignKey(EvaluationSet, on_delete=models.PROTECT, related_name="examples")
    position = models.PositiveIntegerField()
    document_hash = models.CharField(max_length=64, db_index=True)
    origin = models.CharField(max_length=60, help_text="e.g. document:17")
    domain = models.CharField(max_length=40, blank=True)
    fields = models.JSONField(
        default=dict,
        help_text="language, origin, licence, group and what else it came with: slices are cut by it",
    )
    title = models.CharField(max_length=300, blank=True)
    source = models.TextField()
    reference = models.TextField(help_text="the first one")
    all_references = models.JSONField(
        default=list,
        help_text="each reference with its text and where it came from; empty where there is one that was imported",
    )

    class Meta:
        ordering = ["evaluation_set", "position"]
        constraints = [
            models.CheckConstraint(
                condition=Q(all_references=[]) | Q(reference=KT("all_references__0__text")),
                name="evaluation_first_reference",
            ),
            models.UniqueConstraint(fields=["evaluation_set", "position"], name="evaluation_position"),
            models.UniqueConstraint(
                fields=["evaluation_set", "document_hash"], name="evaluation_document_once"
            ),
        ]

    @property
    def texts(self) -> list[str]:
        """Its references, the first one first."""
        return [row["text"] for row in self.all_references] or [self.reference]
