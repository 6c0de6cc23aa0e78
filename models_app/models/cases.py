from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class CaseSet(models.Model):
    """A collection of behavioural cases. What is in it, its newest version says."""

    LONGEST_NAME = 80
    LONGEST_REASON = 300
    MOST_CASES = 500

    name = models.CharField(max_length=LONGEST_NAME, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CaseSetVersion(models.Model):
    """The set after a change, with the reason. Append-only."""

    case_set = models.ForeignKey(CaseSet, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    cases = models.PositiveIntegerField(help_text="how many it has")
    digest = models.CharField(max_length=64, help_text="over all its cases")
    reason = models.TextField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["case_set", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["case_set", "number"], name="case_set_version_number"),
            models.CheckConstraint(
                condition=Q(number__gte=1, cases__lte=CaseSet.MOST_CASES), name="case_set_version_size"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="case_set_version_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.case_set.name} version {self.number}"


class CaseVersionQuerySet(models.QuerySet["CaseVersion"]):
    def of(self, version: CaseSetVersion) -> CaseVersionQuerySet:
        """The cases of a version of their set, in order of their numbers."""
        newest = (
            self.model._default_manager.filter(
                set_version__case_set=version.case_set_id, set_version__number__lte=version.number
            )
            .order_by("number", "-set_version__number")
            .distinct("number")
        )
        return self.filter(pk__in=newest.values("pk"), retired=False).order_by("number")


class CaseVersion(models.Model):
    """A case as one version of its set wrote it: an article, and what its summary has to satisfy. Append-only; the
    newest row of a number holds, and a row that retires the case ends it."""

    LONGEST_TITLE = 300
    LONGEST_ORIGIN = 60

    set_version = models.ForeignKey(CaseSetVersion, on_delete=models.PROTECT, related_name="changes")
    number = models.PositiveIntegerField(help_text="of the case within its set; it keeps it")
    title = models.CharField(max_length=LONGEST_TITLE, blank=True)
    domain = models.CharField(max_length=40, blank=True)
    article = models.TextField()
    assertions = models.JSONField(help_text="as `cases.assertions` reads them")
    must_pass = models.BooleanField(default=False, help_text="its failure alone fails the release")
    digest = models.CharField(max_length=64, help_text="over all of the above")
    origin = models.CharField(
        max_length=LONGEST_ORIGIN, blank=True, help_text="what it was made from, e.g. document:17"
    )
    retired = models.BooleanField(default=False)

    objects = CaseVersionQuerySet.as_manager()

    class Meta:
        ordering = ["set_version", "number"]
        constraints = [
            models.UniqueConstraint(fields=["set_version", "number"], name="case_version_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="case_version_number"),
        ]

    def __str__(self) -> str:
        return f"case {self.number}"


class CaseRun(models.Model):
    """One release on one version of a set. Its results never change; it is finished once, when all are there."""

    release = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="case_runs")
    set_version = models.ForeignKey(CaseSetVersion, on_delete=models.PROTECT, related_name="runs")
    signature = models.CharField(max_length=100, help_text="versions of what judges it")
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True, help_text="over all results, once it is finished")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["release", "set_version", "signature"], name="case_run_once"),
            models.CheckConstraint(
                condition=Q(finished_at=None, digest="") | Q(finished_at__isnull=False) & ~Q(digest=""),
                name="case_run_finished_has_digest",
            ),
        ]

    def __str__(self) -> str:
        return f"case run {self.pk}"


class CaseResult(models.Model):
    """What a release wrote for a case and whether it holds. Append-only."""

    class Verdict(models.TextChoices):
        PASS = "pass"
        FAIL = "fail"
        UNDECIDED = "undecided"

    run = models.ForeignKey(CaseRun, on_delete=models.PROTECT, related_name="results")
    case = models.ForeignKey(CaseVersion, on_delete=models.PROTECT, related_name="results")
    output = models.TextField(blank=True)
    changed = models.JSONField(
        default=dict, help_text="by the key of each change, the changed article's summary"
    )
    verdict = models.CharField(max_length=10, choices=Verdict)
    findings = models.JSONField(help_text="of each assertion: outcome, words")

    class Meta:
        ordering = ["run", "case"]
        constraints = [
            models.UniqueConstraint(fields=["run", "case"], name="case_result_once"),
            models.CheckConstraint(
                condition=Q(verdict__in=["pass", "fail", "undecided"]), name="case_result_verdict"
            ),
        ]
