from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class RatingImport(models.Model):
    """A file of ratings, edits or choices that people gave elsewhere, with its report."""

    name = models.CharField(max_length=200)
    upload = models.CharField(max_length=300, blank=True, help_text="stored file, relative to GALLEY_HOME")
    options = models.JSONField(default=dict, help_text="see reviews.rating_import.Options")
    report = models.JSONField(default=dict, help_text="a sample of the file, then what came of its rows")
    job = models.OneToOneField(
        "models_app.Job", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]


class Rater(models.Model):
    """Marks an account that stands for somebody whose ratings were imported: it cannot sign in, nor work here."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="rater")
    created_at = models.DateTimeField(default=timezone.now)
