from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Rater(models.Model):
    """Marks an account that stands for somebody whose ratings were imported: it cannot sign in, nor work here."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="rater")
    created_at = models.DateTimeField(default=timezone.now)
