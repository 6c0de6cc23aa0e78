"""What a release is judged by, what the gates found, and what was waived. None of it is rewritten."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

USER = settings.AUTH_USER_MODEL
#: Gates that a policy may allow waivers of. Whether a release is what was judged, learnt from its test, gives personal
#: data away or is unsafe nobody waives.
WAIVABLE = ("data_quality", "primary", "guards", "forgetting", "slices", "cases", "speed", "preference")
LONGEST_WAIVER = timedelta(days=365)


class GatePolicy(models.Model):
    """A version of an environment's policy; the one with the highest number holds. `settings` without a section or a
    field means what the code gives it: the first version, which comes with Galley, has none."""

    environment = models.ForeignKey(
        "models_app.Environment", on_delete=models.PROTECT, related_name="policies"
    )
    number = models.PositiveIntegerField()
    settings = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, help_text="over the settings")
    reason = models.TextField()
    made_by = models.ForeignKey(USER, null=True, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["environment", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "number"], name="policy_number"),
            models.CheckConstraint(condition=~Q(reason=""), name="policy_has_reason"),
        ]

    def __str__(self) -> str:
        return f"policy {self.number} of {self.environment}"


class GateRun(models.Model):
    """A release judged once, on one comparison, by one version of the policy."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    class Verdict(models.TextChoices):
        PASS = "pass"
        FAIL = "fail"
        INCONCLUSIVE = "inconclusive"
        ERROR = "error"

    MOVES = {
        "queued": ("running", "failed"),
        "running": ("finished", "failed"),
    }
    ACTIVE = (State.QUEUED, State.RUNNING)

    release = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="gate_runs")
    comparison = models.ForeignKey(
        "models_app.Comparison", on_delete=models.PROTECT, related_name="gate_runs"
    )
    policy = models.ForeignKey(GatePolicy, on_delete=models.PROTECT, related_name="runs")
    policy_digest = models.CharField(
        max_length=64, help_text="over the policy as it was applied, with what the code gives"
    )
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    digest = models.CharField(max_length=64, blank=True, help_text="over what was judged and all results")
    reason = models.TextField(blank=True, help_text="why it failed")
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_by = models.ForeignKey(USER, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["release"],
                condition=Q(state__in=["queued", "running"]),
                name="gate_run_one_active_per_release",
            ),
            models.CheckConstraint(
                condition=Q(state="finished", finished_at__isnull=False) & ~Q(verdict="") & ~Q(digest="")
                | ~Q(state="finished") & Q(verdict="", digest=""),
                name="gate_run_finished_has_verdict",
            ),
        ]

    def __str__(self) -> str:
        return f"gate run {self.pk}"


class GateResult(models.Model):
    """One row of a gate: what `models_app.gates.results.Result` has."""

    run = models.ForeignKey(GateRun, on_delete=models.PROTECT, related_name="results")
    position = models.PositiveIntegerField()
    gate = models.CharField(max_length=30)
    name = models.CharField(max_length=120, blank=True)
    verdict = models.CharField(max_length=12, choices=GateRun.Verdict)
    words = models.TextField()
    need = models.TextField()
    method = models.TextField()
    estimate = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    n = models.PositiveIntegerField(null=True)
    unit = models.CharField(max_length=40, blank=True)
    evidence = models.CharField(max_length=200, blank=True, help_text="e.g. comparison:12")

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "gate", "name"], name="gate_result_once"),
            models.UniqueConstraint(fields=["run", "position"], name="gate_result_position"),
            models.CheckConstraint(
                condition=Q(verdict__in=["pass", "fail", "inconclusive", "error"]), name="gate_result_verdict"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gate} {self.name}".strip()


class Waiver(models.Model):
    """Two people let a release pass a gate that it does not pass, for a reason and a time. It is about one result, by
    its digest: another finding needs another waiver. Asked, then agreed to; ended once, and never gone."""

    release = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="waivers")
    gate = models.CharField(max_length=30)
    name = models.CharField(max_length=120, blank=True)
    result = models.ForeignKey(GateResult, on_delete=models.PROTECT, related_name="waivers")
    result_digest = models.CharField(
        max_length=64, help_text="over what was found, whenever it is found again"
    )
    reason = models.TextField()
    asked_by = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    agreed_by = models.ForeignKey(USER, null=True, on_delete=models.PROTECT, related_name="+")
    agreed_at = models.DateTimeField(null=True)
    agreed_reason = models.TextField(blank=True)
    ended_by = models.ForeignKey(USER, null=True, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "gate", "name"],
                condition=Q(ended_at__isnull=True),
                name="waiver_one_open_per_row",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="waiver_has_reason"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("asked_at")) & Q(expires_at__lte=F("asked_at") + LONGEST_WAIVER),
                name="waiver_expires",
            ),
            models.CheckConstraint(condition=Q(gate__in=WAIVABLE), name="waiver_of_what_may_be_waived"),
            models.CheckConstraint(
                condition=Q(agreed_by=None, agreed_at=None, agreed_reason="")
                | Q(agreed_by__isnull=False, agreed_at__isnull=False)
                & ~Q(agreed_reason="")
                & ~Q(agreed_by=F("asked_by")),
                name="waiver_of_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"waiver {self.pk}"
