from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class RubricVersion(models.Model):
    """The questions a review answers. Immutable: a change is a new version."""

    number = models.PositiveIntegerField(unique=True)
    instructions = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"rubric {self.number}"


class Criterion(models.Model):
    """One scale of 1–5 with a worded point for each value."""

    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="criteria")
    key = models.SlugField(max_length=40)
    name = models.CharField(max_length=60)
    question = models.CharField(max_length=200)
    anchors = models.JSONField(help_text="five strings, for 1 to 5")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["rubric", "position"]
        constraints = [models.UniqueConstraint(fields=["rubric", "key"], name="criterion_key_once")]


class ReviewQueue(models.Model):
    class Kind(models.TextChoices):
        RATE_AND_EDIT = "rate and edit"
        PAIRWISE = "pairwise"

    class Order(models.TextChoices):
        OLDEST = "oldest"
        PRIORITY = "priority"
        RANDOM = "random"

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.RATE_AND_EDIT)
    description = models.CharField(max_length=300, blank=True)
    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="queues")
    reviews_per_item = models.PositiveSmallIntegerField(default=1)
    lease_minutes = models.PositiveSmallIntegerField(default=30)
    blind = models.BooleanField(
        default=True, help_text="reviewers see neither the model nor each other's answers"
    )
    order = models.CharField(max_length=10, choices=Order, default=Order.PRIORITY)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(reviews_per_item__range=(1, 20)), name="queue_reviews_per_item"
            ),
            models.CheckConstraint(condition=Q(lease_minutes__range=(1, 1440)), name="queue_lease_minutes"),
        ]

    def __str__(self) -> str:
        return self.name


class QueueItem(models.Model):
    class Reason(models.TextChoices):
        NEW = "new draft"
        FEW_STARS = "few stars"
        COMPLAINT = "complaint"
        RETRAIN = "retraining wanted"
        REFINE = "better prompt wanted"
        MANUAL = "put in by hand"

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        SET_ASIDE = "set aside"

    queue = models.ForeignKey(ReviewQueue, on_delete=models.PROTECT, related_name="items")
    summary = models.ForeignKey("reviews.Summary", on_delete=models.PROTECT, related_name="queue_items")
    reason = models.CharField(max_length=24, choices=Reason, default=Reason.NEW)
    note = models.TextField(
        blank=True, help_text="e.g. the client's comment; shown after the review when blind"
    )
    priority = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["queue", "-priority", "id"]
        indexes = [
            models.Index(fields=["queue", "-priority", "id"], condition=Q(state="open"), name="item_open"),
        ]
        constraints = [models.UniqueConstraint(fields=["queue", "summary"], name="item_once_per_queue")]


class ReviewSlot(models.Model):
    """One seat at an item. Claimed by one conditional UPDATE; a submit carries the lease token."""

    class State(models.TextChoices):
        FREE = "free"
        HELD = "held"
        DONE = "done"

    item = models.ForeignKey(QueueItem, on_delete=models.PROTECT, related_name="slots")
    queue = models.ForeignKey(ReviewQueue, on_delete=models.PROTECT, related_name="slots")
    position = models.PositiveSmallIntegerField(default=0)
    priority = models.SmallIntegerField(default=0, help_text="the item's, kept here for the claim's index")
    state = models.CharField(max_length=6, choices=State, default=State.FREE)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="review_slots"
    )
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["item", "position"]
        indexes = [
            models.Index(fields=["queue", "-priority", "item"], condition=Q(state="free"), name="slot_free"),
            models.Index(fields=["queue", "lease_until"], condition=Q(state="held"), name="slot_held"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["item", "position"], name="slot_position"),
            models.UniqueConstraint(
                fields=["item", "reviewer"],
                condition=Q(reviewer__isnull=False),
                name="slot_once_per_reviewer",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state="free", reviewer__isnull=True, lease_token__isnull=True)
                    | Q(
                        state="held",
                        reviewer__isnull=False,
                        lease_token__isnull=False,
                        lease_until__isnull=False,
                    )
                    | Q(state="done", reviewer__isnull=False)
                ),
                name="slot_state_whole",
            ),
        ]


class Skip(models.Model):
    """A reviewer passed an item by: later, not for me, or a bad item."""

    class Meaning(models.TextChoices):
        LATER = "later"
        NOT_FOR_ME = "not for me"
        BAD_ITEM = "bad item"

    item = models.ForeignKey(QueueItem, on_delete=models.PROTECT, related_name="skips")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    meaning = models.CharField(max_length=12, choices=Meaning)
    reason = models.TextField(blank=True)
    until = models.DateTimeField(null=True, blank=True, help_text="for 'later': not before")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "reviewer"], name="skip_once")]
