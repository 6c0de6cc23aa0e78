from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class PasswordLink(models.Model):
    """The right to set one person's password once. The secret is in the link alone; here is its hash."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="password_links"
    )
    digest = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(used_at=None, voided_at=None), name="password_link_one_open"
            )
        ]


class Tries(models.Model):
    """How often something was tried wrongly (or is being tried) since `began_at`; see foundation/tries.py."""

    what = models.CharField(max_length=20)
    account = models.CharField(max_length=170)
    address = models.CharField(max_length=50, blank=True, help_text="or 'everywhere': from all addresses")
    began_at = models.DateTimeField()
    count = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["what", "account", "address"], name="tries_of_one")]
        indexes = [models.Index(fields=["began_at"], name="tries_began_at")]
