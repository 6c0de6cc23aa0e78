from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from knox.models import AbstractAuthToken

CAPABILITIES: dict[str, str] = {
    "review": "Review summaries, suggest prompts",
    "view_documents": "See documents and summaries",
    "import_documents": "Import documents, let summaries be drafted, fill queues",
    "decide_feedback": "Approve or decline feedback examples",
    "freeze_snapshot": "Freeze dataset snapshots",
    "edit_prompts": "Make prompt versions, adopt or decline suggestions",
    "view_models": "See snapshots, runs, models, comparisons, releases",
    "train": "Register models, start and cancel training runs",
    "evaluate": "Start evaluations and comparisons",
    "submit_release": "Compose releases and submit them for approval",
    "approve_release": "Approve or reject releases",
    "edit_policy": "Edit the policy that releases are judged by",
    "deploy": "Start, hold and roll back deployments",
    "view_monitoring": "See monitoring, jobs and deployments",
    "manage_jobs": "Cancel anybody's jobs, try again",
    "view_audit": "Read the audit trail",
    "own_tokens": "Make API tokens for oneself and one's service accounts",
    "manage_tokens": "See and revoke anybody's API tokens",
    "manage_webhooks": "Make and change webhooks, see and repeat what they were told",
    "manage_queues": "Make and change review queues and rubrics",
    "manage_people": "Make accounts, give roles, end sessions",
}


class Capability(models.Model):
    """Carries the permissions; it has no rows and no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = list(CAPABILITIES.items())


class ServiceAccount(models.Model):  # type: ignore[django-manager-missing]  # knox types none for tokens
    """The name under which a person lets a program work: its tokens come and go, the name stays.

    It is no user. It has no password, no role and no session, and whatever its tokens do, its owner does: `actor`,
    `reviewer`, `requested_by` and every other column that names somebody name the owner. So nothing that counts hands,
    assignments or reviews of a person has to know of service accounts.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="service_accounts"
    )
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint("owner", Lower("name"), name="service_account_name_once")]

    def __str__(self) -> str:
        return self.name


# What programs need that serve readers or watch: nothing that is done with these counts as anybody's judgement.
PROGRAM_SCOPES = ("summaries:write", "feedback:write", "metrics:read")


class ApiToken(AbstractAuthToken):
    """A token of the REST API: hashed at rest, scoped, expiring, revocable. Rows are kept for the record, and the
    database refuses to change whose a token is and what it may do.

    `user` is the person whose rights it has and in whose name it acts, also where it belongs to a service account.
    `created_by` is the same person, or nobody where the command line made it.
    """

    SCOPES = {
        "summaries:write": "Ask for summaries and read them",
        "feedback:write": "Send feedback on summaries",
        "documents:read": "Read documents",
        "documents:write": "Upload documents",
        "reviews:write": "Review as yourself: claim items, submit or skip them",
        "comments:write": "Read and write comments on items and prompt versions, as yourself",
        "exports:write": "Ask for exports and fetch them",
        "training:write": "Start training runs",
        "evaluations:write": "Start evaluations and comparisons",
        "releases:read": "Read releases, their evidence and gates, and the runs and comparisons behind them",
        "releases:submit": "Compose releases, submit them for approval, and withdraw them",
        "releases:deploy": "Start approved releases, and go back to an earlier one",
        "metrics:read": "Read Prometheus metrics",
    }

    name = models.CharField(max_length=100)
    scopes = models.JSONField(default=list)
    service_account = models.ForeignKey(
        ServiceAccount, null=True, blank=True, on_delete=models.PROTECT, related_name="tokens"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="tokens_created"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(
                name="token_made_by_whose_it_is",
                condition=Q(revoked_at__isnull=False)
                | Q(created_by__isnull=False, created_by=F("user"))
                | Q(
                    created_by=None,
                    scopes__contained_by=list(PROGRAM_SCOPES),
                ),
            )
        ]
