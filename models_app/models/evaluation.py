from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from models_app.models.jobs import RUN_MOVES, RunState


class EvaluationRun(models.Model):
    """One release on one evaluation set, with the artefact, prompt and decoding that would be served."""

    State = RunState
    MOVES = RUN_MOVES

    release = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="evaluations")
    evaluation_set = models.ForeignKey(
        "models_app.EvaluationSet", on_delete=models.PROTECT, related_name="runs"
    )
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    signature = models.CharField(
        max_length=300, help_text="what scores it: metric, options, versions; fixed once a document is scored"
    )
    means = models.JSONField(default=dict)
    seconds = models.FloatField(null=True, blank=True)
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "evaluation_set", "signature"],
                condition=Q(state__in=["queued", "running", "succeeded"]),
                name="evaluation_once",
            ),
            # what the scores' foreign key points to
            models.UniqueConstraint(fields=["id", "signature"], name="evaluation_signature"),
        ]

    def __str__(self) -> str:
        return f"evaluation {self.pk}"


class ExampleScore(models.Model):
    """What one release wrote for one test document, and its scores (ROUGE as fractions 0–1, F-measure).

    `run` and `signature` together are a foreign key too (migration 0016): no run has scores of two signatures.
    """

    run = models.ForeignKey(EvaluationRun, on_delete=models.PROTECT, related_name="scores")
    example = models.ForeignKey("models_app.EvaluationExample", on_delete=models.PROTECT, related_name="+")
    signature = models.CharField(max_length=300, help_text="what computed these scores; the run's own")
    output = models.TextField(blank=True)
    rouge1 = models.FloatField()
    rouge2 = models.FloatField()
    rougeL = models.FloatField()  # noqa: N815 (the metric is called so)
    rougeLsum = models.FloatField()  # noqa: N815
    summary_words = models.PositiveIntegerField()
    length_ratio = models.FloatField()
    repetition = models.FloatField()
    copied_share = models.FloatField()
    unsupported_numbers = models.PositiveIntegerField()
    unsupported_names = models.PositiveIntegerField()
    latency_ms = models.FloatField(null=True)
    truncated = models.BooleanField(default=False)
    finish = models.CharField(max_length=10, blank=True)

    class Meta:
        ordering = ["run", "example"]
        constraints = [models.UniqueConstraint(fields=["run", "example"], name="score_once")]


class Comparison(models.Model):
    """Before against after on the same documents. Immutable once finished."""

    candidate = models.ForeignKey(
        EvaluationRun, on_delete=models.PROTECT, related_name="comparisons_as_candidate"
    )
    baseline = models.ForeignKey(
        EvaluationRun, on_delete=models.PROTECT, related_name="comparisons_as_baseline"
    )
    lead = models.ForeignKey(EvaluationRun, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    n = models.PositiveIntegerField()
    primary_metric = models.CharField(max_length=20, default="rouge2")
    terms = models.JSONField(default=dict, help_text="primary metric and margins that it was made by")
    verdict = models.CharField(max_length=20)
    sentence = models.TextField(help_text="the verdict in words")
    seed = models.PositiveIntegerField()
    resamples = models.PositiveIntegerField()
    signature = models.CharField(max_length=300)
    digest = models.CharField(max_length=64, help_text="over both runs' outputs and scores, seed, resamples")
    reading = models.JSONField(
        default=dict, help_text="worst, typical and best documents, and how all differences spread"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["candidate", "baseline", "seed", "resamples", "terms"], name="comparison_once"
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=["improved", "not worse", "worse", "inconclusive"]),
                name="comparison_verdict",
            ),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"


class ComparisonResult(models.Model):
    """One metric on one slice; ROUGE in points 0–100. `against` is 'baseline' or 'lead'."""

    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="results")
    against = models.CharField(max_length=10, default="baseline")
    metric = models.CharField(max_length=30)
    slice = models.CharField(max_length=100, default="all")
    n = models.PositiveIntegerField()
    before = models.FloatField()
    after = models.FloatField()
    delta = models.FloatField()
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    p = models.FloatField(null=True)
    mde = models.FloatField(null=True, help_text="smallest difference seen with 80 % power")
    margin = models.FloatField(default=0, help_text="a smaller loss than this counts as not worse")
    verdict = models.CharField(max_length=20)
    more_needed = models.PositiveIntegerField(null=True, help_text="further documents that would settle it")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "against", "metric", "slice"], name="comparison_result_once"
            )
        ]


class HumanVote(models.Model):
    """What one person said of two releases' summaries of one test document, blind. Append-only: a correction is
    another row, and the last row of a person and document holds. A document whose two summaries are the same has one
    row of nobody."""

    class Preferred(models.TextChoices):
        CANDIDATE = "candidate"
        BASELINE = "baseline"
        TIE = "tie"
        BOTH_BAD = "both bad"
        WITHDRAWN = "withdrawn"
        IDENTICAL = "identical"

    candidate = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="+")
    baseline = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="+")
    document_hash = models.CharField(max_length=64)
    origin = models.CharField(max_length=60, help_text="e.g. queueitem:17")
    judge = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    preferred = models.CharField(max_length=10, choices=Preferred)
    candidate_left = models.BooleanField(null=True, help_text="on which side of the page the candidate stood")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["candidate", "baseline", "id"], name="vote_by_releases")]
        constraints = [
            models.UniqueConstraint(
                fields=["candidate", "baseline", "document_hash"],
                condition=Q(preferred="identical"),
                name="vote_identical_once",
            ),
            models.CheckConstraint(condition=~Q(candidate=models.F("baseline")), name="vote_of_two"),
            models.CheckConstraint(
                condition=Q(preferred="identical", judge=None, candidate_left=None)
                | Q(
                    preferred__in=["candidate", "baseline", "tie", "both bad", "withdrawn"],
                    judge__isnull=False,
                    candidate_left__isnull=False,
                ),
                name="vote_of_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"vote {self.pk}"
