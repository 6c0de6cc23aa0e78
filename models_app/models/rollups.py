from __future__ import annotations

from django.db import models
from django.db.models import Q


class RequestRollup(models.Model):
    """What the requests of one minute, hour or day (of UTC) add up to, of all together or of one release's.

    `monitoring.rollups` writes it from the log: minutes from requests, hours from minutes, days from hours.
    """

    class Span(models.TextChoices):
        MINUTE = "minute"
        HOUR = "hour"
        DAY = "day"

    span = models.CharField(max_length=6, choices=Span)
    at = models.DateTimeField(help_text="its beginning")
    release = models.ForeignKey(
        "models_app.Release",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="null: of all requests",
    )
    requests = models.PositiveBigIntegerField()
    answered = models.PositiveBigIntegerField()
    busiest = models.PositiveIntegerField(help_text="requests of its busiest minute")
    latency_ms = models.FloatField(help_text="sum over answered requests, as all sums here")
    latencies = models.JSONField(help_text="answered requests by bucket: `monitoring.histograms`")
    input_words = models.PositiveBigIntegerField()
    input_squares = models.DecimalField(max_digits=30, decimal_places=0)
    summary_words = models.PositiveBigIntegerField()
    summary_squares = models.DecimalField(max_digits=30, decimal_places=0)
    outcomes = models.JSONField()
    domains = models.JSONField()
    flags = models.JSONField()
    users = models.BinaryField(help_text="a sketch of distinct ones: `monitoring.sketches`")
    sessions = models.BinaryField(help_text="likewise")

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(
                fields=["span", "release", "at"], name="request_rollup_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(span__in=["minute", "hour", "day"]), name="request_rollup_span"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.span} from {self.at}"


class RollupProgress(models.Model):
    """One row: the requests that were logged until then are in the rollups, those logged later are not."""

    logged_until = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="rollup_progress_one_row")]

    def __str__(self) -> str:
        return f"until {self.logged_until}"
