from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, QuerySet
from django.utils import timezone

#: The environment whose live release answers clients and writes drafts.
PRODUCTION = "production"


class Environment(models.Model):
    """Where releases go live; rules of approval belong to it, not to the release."""

    name = models.CharField(max_length=40, unique=True)
    approvals_required = models.PositiveSmallIntegerField(default=2)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(approvals_required__gte=1), name="environment_asks_for_an_approval"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Release(models.Model):
    """Model version + prompt version + decoding settings: what is evaluated, approved and deployed. Immutable
    but for its state; ended releases are not revived, a retry is a new release."""

    class State(models.TextChoices):
        DRAFT = "draft"
        EVALUATING = "evaluating"
        BLOCKED = "blocked"
        NEEDS_EVIDENCE = "needs evidence"
        AWAITING = "awaiting approval"
        CHANGES = "changes requested"
        REJECTED = "rejected"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn"
        APPROVED = "approved"
        WARMING = "warming"
        CANARY = "canary"
        HELD = "held"
        BAKING = "baking"
        LIVE = "live"
        FAILED = "failed"
        SUPERSEDED = "superseded"
        ROLLED_BACK = "rolled back"

    MOVES = {
        "draft": ("evaluating", "withdrawn", "warming"),
        # submitted again, with another comparison
        "evaluating": ("evaluating", "blocked", "needs evidence", "awaiting approval", "withdrawn"),
        "blocked": ("evaluating", "withdrawn"),
        "needs evidence": ("evaluating", "withdrawn"),
        "awaiting approval": (
            "evaluating",
            "changes requested",
            "approved",
            "rejected",
            "expired",
            "withdrawn",
        ),
        "changes requested": ("evaluating", "expired", "withdrawn"),
        # back to approval where what it was approved on no longer holds; approved, where a freeze has begun
        "approved": ("warming", "awaiting approval", "withdrawn"),
        "warming": ("canary", "live", "failed", "rolled back", "awaiting approval", "approved"),
        "canary": ("held", "baking", "rolled back", "awaiting approval"),
        "held": ("canary", "baking", "rolled back", "awaiting approval"),
        "baking": ("live", "held", "rolled back", "awaiting approval"),
        "live": ("superseded", "rolled back"),
        "superseded": ("live", "rolled back"),
    }
    #: Submitted, and submitted again, by its requester where it is one of these.
    SUBMITTABLE = (
        "draft",
        "evaluating",
        "blocked",
        "needs evidence",
        "awaiting approval",
        "changes requested",
    )
    #: Neither ended nor ever live: one of the same content at a time.
    ON_ITS_WAY = (*SUBMITTABLE, "approved", "warming", "canary", "held", "baking")
    #: A share of the traffic comes to it, or all of it for a while, and it can lose it again by itself.
    ROLLING_OUT = ("canary", "held", "baking")
    ENDED = ("rejected", "expired", "withdrawn", "failed", "rolled back")

    class Origin(models.TextChoices):
        INITIAL = "initial"
        RETRAINING = "retraining"
        PROMPT = "prompt"
        DECODING = "decoding"
        BASELINE = "baseline"

    model_version = models.ForeignKey(
        "models_app.ModelVersion", on_delete=models.PROTECT, related_name="releases"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", on_delete=models.PROTECT, related_name="releases"
    )
    decoding = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, db_index=True, help_text="over model, prompt and decoding")
    origin = models.CharField(max_length=12, choices=Origin)
    state = models.CharField(max_length=20, choices=State, default=State.DRAFT)
    reason = models.TextField(blank=True)
    note = models.CharField(max_length=300, blank=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="releases")
    comparison = models.ForeignKey(
        "models_app.Comparison", null=True, blank=True, on_delete=models.PROTECT, related_name="releases"
    )
    evidence = models.JSONField(default=dict, help_text="what the approver decides on")
    evidence_digest = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    submitted_at = models.DateTimeField(null=True, blank=True)
    requester_reason = models.TextField(blank=True, help_text="why it should go live, as it was submitted")
    decide_by = models.DateTimeField(
        null=True,
        blank=True,
        help_text="when it expires; by the database's clock, as is what it is compared with",
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["digest", "environment"],
                # Not "live": what becomes live again by a rollback must never collide with a draft of the same content.
                condition=Q(
                    state__in=[
                        "draft",
                        "evaluating",
                        "blocked",
                        "needs evidence",
                        "awaiting approval",
                        "changes requested",
                        "approved",
                        "warming",
                        "canary",
                        "held",
                        "baking",
                    ]
                ),
                name="release_one_open_per_content",
            ),
            models.UniqueConstraint(
                fields=["environment"], condition=Q(state="live"), name="release_one_live_per_environment"
            ),
        ]

    def __str__(self) -> str:
        return f"release {self.pk}"


class Approval(models.Model):
    """A person's decision, bound to the digest of the evidence. Never edited; voided once, when that changes."""

    class Decision(models.TextChoices):
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"
        CHANGES = "changes", "asked for changes"

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="approvals")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=10, choices=Decision)
    reason = models.TextField()
    evidence_digest = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "approver"],
                condition=Q(voided_at__isnull=True),
                name="approval_once_per_person",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="approval_has_reason"),
        ]


class ReleaseComment(models.Model):
    """What somebody says about a release to all who see it. Never edited: decisions are taken on it."""

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="release_comment_says_something")]


class Incident(models.Model):
    """A release was put live in an emergency, by one approver. Open until another person has reviewed it."""

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="incidents")
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    reason = models.TextField(help_text="why it could not wait")
    evidence_digest = models.CharField(max_length=64, help_text="what its approval is bound to")
    skipped = models.JSONField(default=list, help_text="in words, what was not waited for")
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    review = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="incident_has_reason"),
            models.CheckConstraint(
                condition=Q(reviewed_by=None, reviewed_at=None, review="")
                | Q(reviewed_by__isnull=False, reviewed_at__isnull=False) & ~Q(review=""),
                name="incident_is_reviewed_with_words",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by=None) | ~Q(reviewed_by=F("opened_by")),
                name="incident_is_reviewed_by_another_person",
            ),
            models.UniqueConstraint(
                fields=["release", "evidence_digest"], name="incident_once_for_the_same_evidence"
            ),
        ]

    def __str__(self) -> str:
        return f"incident {self.pk}"


class Deployment(models.Model):
    """Which release was live in which environment from when to when; intervals never overlap."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="deployments")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="deployments")
    live_from = models.DateTimeField(default=timezone.now)
    live_to = models.DateTimeField(null=True, blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    end_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-live_from"]
        constraints = [
            # The embedded PostgreSQL has no btree_gist, so equality of the environment is said as overlap of ranges.
            ExclusionConstraint(
                name="deployment_one_live_at_a_time",
                expressions=[
                    (
                        Func(
                            F("environment_id"), F("environment_id"), models.Value("[]"), function="int8range"
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (Func(F("live_from"), F("live_to"), function="tstzrange"), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(live_to__isnull=True) | Q(live_to__gte=F("live_from")), name="deployment_interval"
            ),
        ]


class Route(models.Model):
    """Where the router sends requests of an environment. One row each; `epoch` grows with every switch."""

    environment = models.OneToOneField(Environment, on_delete=models.PROTECT, related_name="route")
    release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    canary = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    canary_weight = models.PositiveSmallIntegerField(default=0, help_text="percent of the requests")
    epoch = models.PositiveBigIntegerField(default=0)
    salt = models.CharField(max_length=64)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(canary=None, canary_weight=0) | Q(canary__isnull=False, canary_weight__lte=100),
                name="route_canary_has_weight",
            ),
        ]


def live_releases() -> QuerySet[Release]:
    """Live is the release that the route of its environment leads to: the router sends every request there.

    A release that warms up is not live yet, and the one before stays live until the switch; after a rollback, what was
    gone back to is. The state "live" and the open `Deployment` tell the same, since a switch changes all three in one
    transaction; by themselves they decide nothing.
    """
    return Release.objects.filter(pk__in=Route.objects.filter(release__isnull=False).values("release"))


def live_release(environment: str = PRODUCTION) -> Release | None:
    """What is live there, with its model and prompt; None where nothing is."""
    return (
        live_releases()
        .filter(environment__name=environment)
        .select_related("model_version", "prompt_version__prompt", "environment")
        .first()
    )


def live_deployment(environment: str = PRODUCTION) -> Deployment | None:
    """Since when the live release is live, and who made it so."""
    return (
        Deployment.objects.filter(environment__name=environment, live_to=None)
        .select_related(
            "release__model_version", "release__prompt_version__prompt", "environment", "started_by"
        )
        .first()
    )


class Slot(models.Model):
    """A serving process with one release in it, as the serving supervisor last saw it."""

    class State(models.TextChoices):
        STARTING = "starting"
        READY = "ready"
        FAILED = "failed"
        STOPPED = "stopped"

    release = models.OneToOneField(Release, on_delete=models.PROTECT, related_name="slot")
    state = models.CharField(max_length=10, choices=State, default=State.STARTING)
    address = models.CharField(max_length=200, blank=True, help_text="Unix socket")
    pid = models.PositiveIntegerField(null=True, blank=True)
    reason = models.TextField(blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    rss_bytes = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
