"""What every answer at a desk has: whose it is, of which item, whether it is submitted, how often it was saved."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

OUT_OF_RANGE = "Some answers are out of range."
INCOMPLETE = "Something is missing before this can be submitted."
#: Of stars, and of every question of a rubric.
POINTS = range(1, 6)
OFF_SCALE = "From 1 to 5."


def at_most(characters: int) -> MaxLengthValidator:
    return MaxLengthValidator(characters, f"Longer than {characters:,} characters.")


def points() -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(POINTS[0], OFF_SCALE), MaxValueValidator(POINTS[-1], OFF_SCALE)]


class Answer(models.Model):
    """One person's answer to one item: a draft that saves itself, then submitted (reviews/desk/answers.py)."""

    class State(models.TextChoices):
        DRAFT = "draft"
        SUBMITTED = "submitted"
        RETURNED = "returned"  # a review sent back with a comment; waits for its reviewer's correction

    #: Submitted, whether or not it was sent back since.
    ANSWERED = (State.SUBMITTED, State.RETURNED)
    MOST_ACTIVE_SECONDS = 8 * 3600

    # What its person is told where it cannot be kept as they want.
    CHANGED_ELSEWHERE: ClassVar[str]
    SUBMITTED_OTHERWISE: ClassVar[str]
    NOT_YOURS: ClassVar[str]
    NOT_SUBMITTED: ClassVar[str]
    NOTHING_TO_UNDO: ClassVar[str]
    TOO_LATE_TO_UNDO: ClassVar[str]

    item = models.ForeignKey(
        "reviews.QueueItem", on_delete=models.PROTECT, related_name="%(class)ss", db_index=False
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="%(class)ss", db_index=False
    )
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    active_seconds = models.PositiveIntegerField(default=0, validators=[MinValueValidator(0, "Not a time.")])
    late = models.BooleanField(
        default=False, help_text="submitted after somebody else had finished the item; kept"
    )
    revision = models.PositiveIntegerField(
        default=0, help_text="grows with every save; a stale tab is told so"
    )
    imported_from = models.ForeignKey(
        "reviews.RatingImport",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="%(class)ss",
        db_index=False,
        help_text="given elsewhere; nobody's work here",
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    submitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        ordering: ClassVar[list[str]] = ["-id"]

    @classmethod
    def out_of_range(cls, **values: Any) -> dict[str, str]:
        """By column what its own rules refuse, also in a draft."""
        wrong = {}
        for name, value in values.items():
            try:
                cls._meta.get_field(name).clean(value, None)  # type: ignore[union-attr]
            except ValidationError as error:
                wrong[name] = error.messages[0]
        return wrong


def once_per_person(answer: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["item", "reviewer"], name=f"{answer}_once_per_person")


def whole_once_given(answer: str, whole: Q) -> models.CheckConstraint:
    """A draft may be anything; what counts has a time and all its parts."""
    return models.CheckConstraint(
        condition=~Q(state__in=Answer.ANSWERED) | (whole & Q(submitted_at__isnull=False)),
        name=f"{answer}_submitted_is_whole",
    )


def those_imported(answer: str) -> models.Index:
    return models.Index(
        fields=["imported_from"], condition=Q(imported_from__isnull=False), name=f"{answer}_imported"
    )
