from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import BigIntegerField, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from models_app.models import Job


class ImportQuerySet(models.QuerySet[Any]):
    def newest_first(self) -> Self:
        """With the report's figures instead of the report, which may be long."""
        figures = {
            "read": "read",
            "imported": "imported",
            "repeated": self.model.REPEATED,
            "refused": "refused_count",
        }
        counts = {
            f"rows_{name}": Cast(KT(f"report__{key}"), BigIntegerField()) for name, key in figures.items()
        }
        return self.select_related("job", "imported_by").defer("report").annotate(**counts).order_by("-pk")

    def not_looked_at(self) -> Self:
        """Nor imported."""
        return self.exclude(report__has_any_keys=["sample", "read"])

    def waiting_for(self, upload: str) -> Self:
        """Those that still need this file."""
        return self.filter(upload=upload).not_imported()

    def not_imported(self) -> Self:
        return self.exclude(report__has_key="read")

    def left_since(self, before: datetime) -> Self:
        """Not imported, with a file (or one that could not be read) that nobody touched since then: it was submitted,
        or the last attempt to import it failed, earlier."""
        idle = Q(job=None) | ~Q(job__state__in=Job.ACTIVE)
        has_file = ~Q(upload="") | Q(report__has_key="refused")
        touched = self.alias(touched=Coalesce("finished_at", "created_at"))
        return touched.filter(idle, has_file, touched__lt=before).not_imported()


class Import(models.Model):
    """A file or data set to be imported, once, by a job: first it is looked at, then somebody confirms what its columns
    are, then its rows come in, all that are right or none.

    Its report has "sample" once it was looked at, "read" once it is in, "refused" alone where it could not be read.
    """

    class Status(models.TextChoices):
        LOOKING = "looking"
        READY = "ready"
        IMPORTING = "importing"
        IMPORTED = "imported"
        FAILED = "failed"
        CANCELLED = "cancelled"

    RUNNING = (Status.LOOKING, Status.IMPORTING)

    #: What its report calls the number of rows that were there already.
    REPEATED: ClassVar[str]

    name = models.CharField(max_length=200)
    options = models.JSONField(
        default=dict, help_text="what to read, what its columns are, and what is said of all rows"
    )
    report = models.JSONField(default=dict, help_text="a sample of the rows, then what was done with them")
    upload = models.CharField(max_length=300, blank=True, help_text="stored file, relative to GALLEY_HOME")
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ImportQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-id"]

    @property
    def is_imported(self) -> bool:
        facts = self.__dict__  # of a row of `newest_first` without asking the database for its report
        return facts["rows_read"] is not None if "rows_read" in facts else "read" in self.report

    @property
    def sample(self) -> dict[str, Any]:
        """What was seen of it; empty before it was looked at, and once it is in."""
        found: dict[str, Any] = self.report.get("sample", {})
        return found

    @property
    def status(self) -> Status:
        job = self.job
        if self.is_imported:
            return self.Status.IMPORTED
        looked = job is None or bool(job.payload.get("look"))
        if job is None or (job.state == Job.State.SUCCEEDED and looked):
            return self.Status.READY
        if job.is_active:
            return self.Status.LOOKING if looked else self.Status.IMPORTING
        return self.Status.CANCELLED if job.state == Job.State.CANCELLED else self.Status.FAILED


class ImportBatch(Import):
    """A file or data set of documents."""

    REPEATED = "duplicates"


class RatingImport(Import):
    """A file of ratings, edits or choices that people gave elsewhere."""

    REPEATED = "repeated"
