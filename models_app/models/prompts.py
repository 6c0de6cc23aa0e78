from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Prompt(models.Model):
    """A line of prompt versions. Encoder–decoders take a prefix, instruct models a system and a user template."""

    class Kind(models.TextChoices):
        PREFIX = "prefix"
        CHAT = "chat"

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PromptVersion(models.Model):
    """Immutable. `template` has declared variables in braces: {text}, and {title}, {domain}, {max_words}."""

    LONGEST_CHARACTERS = 8000
    LONGEST_NOTE = 300

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    system = models.TextField(blank=True)
    template = models.TextField()
    note = models.CharField(max_length=LONGEST_NOTE, blank=True)
    digest = models.CharField(max_length=64)
    authors = models.JSONField(
        default=list, help_text="ids of the users whose words it is, where others suggested it"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["prompt", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "number"], name="prompt_version_number"),
            models.UniqueConstraint(fields=["prompt", "digest"], name="prompt_version_digest"),
            models.CheckConstraint(condition=Q(template__contains="{text}"), name="prompt_version_has_text"),
        ]

    def __str__(self) -> str:
        return f"{self.prompt.name} v{self.number}"
