"""What training data and test documents have in common, and which public sets are known. None of it is rewritten."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone


class LeakageCheck(models.Model):
    """The texts that a lineage learnt from, compared with a test set: once for the texts as they are, by their digests,
    whichever releases are judged on them."""

    training_digest = models.CharField(
        max_length=64, help_text="over all rows of its snapshots and its prompts"
    )
    test_digest = models.CharField(
        max_length=64, help_text="over all texts of the test set as they were read"
    )
    method = models.CharField(max_length=60)
    evaluation_set = models.ForeignKey(
        "models_app.EvaluationSet", on_delete=models.PROTECT, related_name="leakage_checks"
    )
    snapshots = models.JSONField(default=list, help_text="ids, ascending")
    prompt_versions = models.JSONField(default=list, help_text="ids, ascending")
    training_rows = models.PositiveIntegerField()
    texts = models.PositiveIntegerField(help_text="different ones of the rows and prompts")
    documents = models.PositiveIntegerField(help_text="of the test set")
    too_short = models.PositiveIntegerField(help_text="references that say too little to be looked for")
    flagged = models.PositiveIntegerField(help_text="test documents with a finding")
    digest = models.CharField(max_length=64, help_text="over what was compared and found")
    seconds = models.FloatField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["training_digest", "test_digest", "method"], name="leakage_check_once"
            )
        ]

    def __str__(self) -> str:
        return f"leakage check {self.pk}"


class LeakageFinding(models.Model):
    """A text of a test document and one that was learnt from, of which one has half of the other or more."""

    class HeldOut(models.TextChoices):
        ARTICLE = "article"
        REFERENCE = "reference"

    class Learnt(models.TextChoices):
        DOCUMENT = "same document"
        ARTICLE = "article"
        SUMMARY = "summary"
        DRAFT = "rejected draft"
        PROMPT = "prompt"
        PASSAGE = "passage of the prompt"

    check_run = models.ForeignKey(LeakageCheck, on_delete=models.PROTECT, related_name="findings")
    position = models.PositiveIntegerField()
    example = models.ForeignKey("models_app.EvaluationExample", on_delete=models.PROTECT, related_name="+")
    held_out = models.CharField(max_length=10, choices=HeldOut)
    reference = models.PositiveIntegerField(default=0, help_text="which of its references, from 0")
    learnt = models.CharField(max_length=24, choices=Learnt)
    row = models.ForeignKey(
        "models_app.SnapshotExample", null=True, on_delete=models.PROTECT, related_name="+"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    share = models.FloatField(help_text="of one in the other, 0–1")
    words = models.PositiveIntegerField(help_text="in common, about")
    held_out_excerpt = models.TextField()
    learnt_excerpt = models.TextField()

    class Meta:
        ordering = ["check_run", "position"]
        indexes = [models.Index(fields=["check_run", "example"], name="leakage_by_document")]
        constraints = [
            models.UniqueConstraint(fields=["check_run", "position"], name="leakage_finding_position"),
            models.CheckConstraint(condition=Q(share__range=(0.5, 1)), name="leakage_finding_share"),
            models.CheckConstraint(
                condition=Q(row__isnull=False, prompt_version=None)
                | Q(row=None, prompt_version__isnull=False),
                name="leakage_finding_of_one",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.learnt} like {self.held_out} of {self.example_id}"


class CleanComparison(models.Model):
    """A comparison on those of its documents that a leakage check found nothing like; ROUGE in points 0–100."""

    comparison = models.ForeignKey(
        "models_app.Comparison", on_delete=models.PROTECT, related_name="clean_comparisons"
    )
    check_run = models.ForeignKey(LeakageCheck, on_delete=models.PROTECT, related_name="+")
    n = models.PositiveIntegerField(help_text="documents that were left")
    left_out = models.PositiveIntegerField()
    results = models.JSONField(help_text="by metric, as ComparisonResult has them")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "check_run"], name="clean_comparison_once")
        ]

    def __str__(self) -> str:
        return f"{self.comparison} on {self.n} clean documents"


class FingerprintSet(models.Model):
    """A known set of public texts, as fingerprints: no text of it is kept."""

    name = models.CharField(max_length=120)
    note = models.CharField(max_length=300, blank=True)
    method = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    rows = models.PositiveIntegerField()
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    loaded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="fingerprint_set_name"),
            models.CheckConstraint(condition=Q(rows__gt=0), name="fingerprint_set_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name


class TextFingerprint(models.Model):
    """What a text is recognised by: its lowest hashes (models_app/texts/public_sets.py)."""

    of = models.ForeignKey(FingerprintSet, on_delete=models.PROTECT, related_name="fingerprints")
    position = models.PositiveIntegerField(help_text="of its row")
    role = models.CharField(max_length=10, choices=LeakageFinding.HeldOut)
    shingles = models.PositiveIntegerField()
    sketch = models.BinaryField()

    class Meta:
        ordering = ["of", "position", "role"]
        constraints = [
            models.UniqueConstraint(fields=["of", "position", "role"], name="fingerprint_position"),
            models.CheckConstraint(condition=Q(shingles__gt=0), name="fingerprint_of_words"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}"


class PublicOccurrence(models.Model):
    """Which documents of a test set occur in a known public set; looked up once for the texts as they are."""

    of = models.ForeignKey(FingerprintSet, on_delete=models.PROTECT, related_name="occurrences")
    evaluation_set = models.ForeignKey("models_app.EvaluationSet", on_delete=models.PROTECT, related_name="+")
    test_digest = models.CharField(max_length=64)
    documents = models.JSONField(help_text="[position in the test set, share] of each, the first one first")
    count = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["of", "-id"]
        constraints = [models.UniqueConstraint(fields=["of", "test_digest"], name="public_occurrence_once")]

    def __str__(self) -> str:
        return f"{self.count} in {self.of}"


class DeclaredTraining(models.Model):
    """Somebody says what a model that came from elsewhere was trained on."""

    model_version = models.ForeignKey(
        "models_app.ModelVersion", on_delete=models.PROTECT, related_name="declared_training"
    )
    name = models.CharField(max_length=120, help_text="of the set")
    fingerprints = models.ForeignKey(
        FingerprintSet, null=True, on_delete=models.PROTECT, related_name="declared_by"
    )
    note = models.CharField(max_length=300, blank=True)
    declared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    declared_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["model_version", "id"]
        constraints = [
            models.UniqueConstraint(Lower("name"), "model_version", name="declared_training_once"),
            models.CheckConstraint(condition=~Q(name=""), name="declared_training_named"),
        ]

    def __str__(self) -> str:
        return self.name
