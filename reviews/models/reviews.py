from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Review(models.Model):
    """One person's answer to one item: a draft that autosaves, then submitted. A correction lies over the summary."""

    class State(models.TextChoices):
        DRAFT = "draft"
        SUBMITTED = "submitted"
        WITHDRAWN = "withdrawn"

    class Verdict(models.TextChoices):
        GOOD = "good"
        FAIR = "fair"
        POOR = "poor"

    item = models.ForeignKey("reviews.QueueItem", on_delete=models.PROTECT, related_name="reviews")
    summary = models.ForeignKey("reviews.Summary", on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    rubric = models.ForeignKey("reviews.RubricVersion", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    stars = models.PositiveSmallIntegerField(null=True, blank=True)
    verdict = models.CharField(max_length=4, choices=Verdict, blank=True)
    ratings = models.JSONField(
        default=dict, help_text="draft values by criterion key; submitted ones are ReviewRating"
    )
    edited_text = models.TextField(
        blank=True, help_text="the corrected summary; equal to it where nothing was wrong"
    )
    comment = models.TextField(blank=True)
    wants_retrain = models.BooleanField(default=False)
    wants_refine = models.BooleanField(default=False)
    sentiment = models.CharField(max_length=10, blank=True)
    sentiment_score = models.FloatField(null=True)
    category = models.CharField(max_length=30, blank=True)
    active_seconds = models.PositiveIntegerField(default=0)
    late = models.BooleanField(
        default=False, help_text="handed in after somebody else had finished the item; kept"
    )
    revision = models.PositiveIntegerField(
        default=0, help_text="grows with every save; a stale tab is told so"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    submitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["reviewer", "-submitted_at"], name="review_by_reviewer"),
            models.Index(fields=["-submitted_at"], condition=Q(state="submitted"), name="review_submitted"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["item", "reviewer"], name="review_once_per_person"),
            models.CheckConstraint(
                condition=Q(stars__isnull=True) | Q(stars__range=(1, 5)), name="review_stars"
            ),
            models.CheckConstraint(
                condition=~Q(state="submitted")
                | (Q(stars__isnull=False, submitted_at__isnull=False) & ~Q(verdict="") & ~Q(edited_text="")),
                name="review_submitted_is_whole",
            ),
        ]


class ReviewRating(models.Model):
    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="rating_rows")
    criterion = models.ForeignKey("reviews.Criterion", on_delete=models.PROTECT, related_name="+")
    value = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["review", "criterion"], name="rating_once"),
            models.CheckConstraint(condition=Q(value__range=(1, 5)), name="rating_value"),
        ]


class ReviewRevision(models.Model):
    """Each submit as it was, for ever."""

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    data = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["review", "number"]
        constraints = [models.UniqueConstraint(fields=["review", "number"], name="revision_number")]


class PromptSuggestion(models.Model):
    """A prompt that a reviewer changed and tried on an article, kept for the ML engineer."""

    class State(models.TextChoices):
        OPEN = "open"
        ADOPTED = "adopted"
        DECLINED = "declined"

    suggested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    review = models.ForeignKey(
        Review, null=True, blank=True, on_delete=models.PROTECT, related_name="suggestions"
    )
    document = models.ForeignKey("reviews.SourceDocument", on_delete=models.PROTECT, related_name="+")
    based_on = models.ForeignKey("models_app.PromptVersion", on_delete=models.PROTECT, related_name="+")
    system = models.TextField(blank=True)
    template = models.TextField()
    output = models.TextField(blank=True, help_text="what the live model wrote with it")
    note = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=300, blank=True)
    adopted_as = models.ForeignKey(
        "models_app.PromptVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]


class FeedbackExample(models.Model):
    """What a review, a client's correction or a reference teaches: document → wanted text. Proposed, then decided."""

    class Kind(models.TextChoices):
        DEMONSTRATION = "demonstration"
        PREFERENCE = "preference"

    class Origin(models.TextChoices):
        REVIEW = "review"
        REFERENCE = "reference"
        CLIENT = "client"

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        DECLINED = "declined"

    kind = models.CharField(max_length=14, choices=Kind)
    origin = models.CharField(max_length=10, choices=Origin)
    document = models.ForeignKey(
        "reviews.SourceDocument", on_delete=models.PROTECT, related_name="feedback_examples"
    )
    summary = models.ForeignKey(
        "reviews.Summary", null=True, blank=True, on_delete=models.PROTECT, related_name="feedback_examples"
    )
    review = models.ForeignKey(
        Review, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    target = models.TextField()
    rejected = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    reason = models.CharField(max_length=300, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="example_state")]
        constraints = [
            models.UniqueConstraint(
                fields=["review", "kind"],
                condition=Q(review__isnull=False) & ~Q(state="declined"),
                name="example_once_per_review",
            ),
            models.UniqueConstraint(
                fields=["document"],
                condition=Q(kind="demonstration", state="approved"),
                name="example_one_demonstration_per_document",
            ),
            models.CheckConstraint(condition=~Q(target=""), name="example_has_target"),
            models.CheckConstraint(
                condition=~Q(kind="preference") | ~Q(rejected=""), name="example_preference_has_loser"
            ),
        ]
