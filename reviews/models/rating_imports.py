from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from reviews.models.documents import HandedIn


class RatingImport(HandedIn):
    """A file of ratings, edits or choices that people gave elsewhere, with its report."""

    options = models.JSONField(default=dict, help_text="see reviews.external_ratings.imports.Options")
    report = models.JSONField(default=dict, help_text="a sample of the file, then what came of its rows")


class Rater(models.Model):
    """Marks an account that stands for somebody whose ratings were imported: it cannot sign in, nor work here."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="rater")
    created_at = models.DateTimeField(default=timezone.now)
