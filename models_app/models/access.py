from __future__ import annotations

from django.conf import settings
from django.db import models
from knox.models import AbstractAuthToken

from models_app.foundation.roles import CAPABILITIES


class Capability(models.Model):
    """Carries the permissions of `foundation.roles`; it has no rows and no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = list(CAPABILITIES.items())


class ApiToken(AbstractAuthToken):
    """A token of the REST API: hashed at rest, scoped, expiring, revocable. Rows are kept for the record."""

    SCOPES = {
        "summaries:write": "Ask for summaries and read them",
        "feedback:write": "Send feedback on summaries",
        "documents:read": "Read documents",
        "documents:write": "Hand in documents",
        "reviews:write": "Review as yourself: claim items, hand them in, pass them by",
        "comments:write": "Read and write comments on items and prompt versions, as yourself",
        "exports:write": "Ask for exports and fetch them",
        "releases:read": "Read releases and their evidence",
        "releases:submit": "Submit releases for approval",
        "metrics:read": "Read Prometheus metrics",
    }

    name = models.CharField(max_length=100)
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="tokens_created"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]
