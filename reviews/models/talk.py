from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Thread(models.Model):
    """A conversation about an item, a stretch of its summary or source, or a prompt version.

    `start` and `end` count Unicode code points of that text, end exclusive, as in SpanMark.
    """

    class Side(models.TextChoices):
        SUMMARY = "summary"
        SOURCE = "source"

    item = models.ForeignKey(
        "reviews.QueueItem", null=True, blank=True, on_delete=models.PROTECT, related_name="threads"
    )
    prompt_version = models.ForeignKey(
        "models_app.PromptVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    side = models.CharField(max_length=8, choices=Side, blank=True)
    start = models.PositiveIntegerField(null=True, blank=True)
    end = models.PositiveIntegerField(null=True, blank=True)
    quote = models.TextField(blank=True)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(item__isnull=False, prompt_version=None)
                | Q(item=None, prompt_version__isnull=False, side=""),
                name="thread_about_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(side="", start=None, end=None, quote="")
                | (Q(side__in=["summary", "source"], start__isnull=False, end__gt=F("start")) & ~Q(quote="")),
                name="thread_span_whole",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at=None, resolved_by=None)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="thread_resolved_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"conversation {self.pk}"


class Comment(models.Model):
    thread = models.ForeignKey(Thread, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    by_manager = models.BooleanField(
        default=False, help_text="written as a manager of the queue, so that its name may always be shown"
    )
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["thread", "id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="comment_has_text")]


class Mention(models.Model):
    """Somebody who was named with @ in a comment."""

    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, related_name="mentions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comment", "user"], name="mention_once")]


class Notification(models.Model):
    """Told in the page. While it is unread, more of its kind about the same subject renews it."""

    class Kind(models.TextChoices):
        MENTION = "mention"
        REPLY = "reply"
        QUESTION = "question"
        RESOLVED = "resolved"
        RETURNED = "returned"
        ASSIGNED = "assigned"
        ADJUDICATED = "adjudicated"
        CALIBRATION = "calibration"
        SUGGESTION = "suggestion"
        TRIAL = "trial"
        EXPORT = "export"
        IMPORT = "import"
        REQUEST = "request"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=12, choices=Kind)
    subject = models.CharField(max_length=100, help_text="e.g. thread:3")
    text = models.CharField(max_length=300)
    url = models.CharField(max_length=300, help_text="a path of this site")
    times = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["user", "-at", "-id"], name="notification_by_user")]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind", "subject"], condition=Q(read_at=None), name="notification_unread_once"
            ),
            models.CheckConstraint(
                condition=Q(url__startswith="/") & ~Q(url__startswith="//"), name="notification_url_is_ours"
            ),
        ]
