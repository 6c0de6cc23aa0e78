from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from reviews.models.answers import Answer, at_most, once_per_person, points, those_imported, whole_once_given
from reviews.texts.marks import ERROR_TYPES, LONGEST_NOTE_CHARACTERS, SEVERITIES, SIDES


class Review(Answer):
    """One person's answer to one summary. A correction lies over the summary."""

    class Verdict(models.TextChoices):
        GOOD = "good"
        FAIR = "fair"
        POOR = "poor"

    #: From the worst to the best.
    VERDICTS = (Verdict.POOR, Verdict.FAIR, Verdict.GOOD)
    LONGEST_EDIT_CHARACTERS = 400_000
    LONGEST_COMMENT_CHARACTERS = 10_000

    CHANGED_ELSEWHERE = (
        "This review was changed in another tab or window. Nothing of either is lost: take the newer draft, "
        "or keep this one."
    )
    SUBMITTED_OTHERWISE = (
        "You have submitted this review already, with other answers. Leave it as it is, or correct it with "
        "these."
    )
    NOT_YOURS = "You do not have this item checked out, so nothing can be saved or submitted for it."
    NOT_SUBMITTED = "This review has not been submitted yet."
    NOTHING_TO_UNDO = "This review is not submitted, so there is nothing to take back."
    TOO_LATE_TO_UNDO = "Too late to take it back. You can still correct it: the earlier answers are kept."

    summary = models.ForeignKey("reviews.Summary", on_delete=models.PROTECT, related_name="reviews")
    rubric = models.ForeignKey("reviews.RubricVersion", on_delete=models.PROTECT, related_name="+")
    stars = models.PositiveSmallIntegerField(null=True, blank=True, validators=points())
    verdict = models.CharField(
        max_length=4, choices=Verdict, blank=True, error_messages={"invalid_choice": "good, fair or poor."}
    )
    ratings = models.JSONField(
        default=dict, help_text="draft values by criterion key; submitted ones are ReviewRating"
    )
    overall_from_ratings = models.BooleanField(
        default=False, help_text="stars and verdict were derived from the ratings, nobody chose them"
    )
    marks = models.JSONField(
        default=list, help_text="draft error spans, as in SpanMark; submitted ones are SpanMark rows"
    )
    support = models.JSONField(
        default=list,
        help_text="draft [start, end, supported] of the summary's sentences; submitted ones are rows",
    )
    edited_text = models.TextField(
        blank=True,
        validators=[at_most(LONGEST_EDIT_CHARACTERS)],
        help_text="the corrected summary; equal to it where nothing was wrong",
    )
    comment = models.TextField(blank=True, validators=[at_most(LONGEST_COMMENT_CHARACTERS)])
    wants_retrain = models.BooleanField(default=False)
    wants_refine = models.BooleanField(default=False)
    sentiment = models.CharField(max_length=10, blank=True)
    sentiment_score = models.FloatField(null=True)
    category = models.CharField(max_length=30, blank=True)

    class Meta(Answer.Meta):
        indexes = [
            # with all that lists and counts of one person's reviews ask: the rows themselves are wide
            models.Index(
                fields=["reviewer", "-submitted_at", "-id"],
                include=["item", "state", "imported_from"],
                name="review_by_reviewer",
            ),
            those_imported("review"),
            models.Index(fields=["-submitted_at"], condition=Q(state="submitted"), name="review_submitted"),
        ]
        constraints = [
            once_per_person("review"),
            whole_once_given("review", Q(stars__isnull=False) & ~Q(verdict="") & ~Q(edited_text="")),
            models.CheckConstraint(
                condition=Q(stars__isnull=True) | Q(stars__range=(1, 5)), name="review_stars"
            ),
        ]


def same(words: Iterable[str]) -> list[tuple[str, str]]:
    """Choices that are shown as they are kept."""
    return [(word, word) for word in words]


class ReviewRating(models.Model):
    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="rating_rows")
    criterion = models.ForeignKey("reviews.Criterion", on_delete=models.PROTECT, related_name="+")
    value = models.PositiveSmallIntegerField(validators=points())

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


class SpanMark(models.Model):
    """An error that a reviewer marked, on the summary as the model wrote it or in its source.

    `start` and `end` count Unicode code points of that text, end exclusive, whatever a browser counts in.
    """

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="span_marks")
    side = models.CharField(max_length=8, choices=same(SIDES), default=SIDES[0])
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    quote = models.TextField(help_text="the marked text, so that an export needs no offsets")
    error_type = models.CharField(max_length=24, choices=same(ERROR_TYPES))
    severity = models.CharField(max_length=8, choices=same(SEVERITIES), default="major")
    note = models.CharField(max_length=LONGEST_NOTE_CHARACTERS, blank=True)
    suggested = models.BooleanField(
        default=False, help_text="suggested from the edit, confirmed by the reviewer"
    )

    class Meta:
        ordering = ["review", "side", "start", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["review", "side", "start", "end", "error_type"], name="mark_once"
            ),
            models.CheckConstraint(condition=Q(start__lt=models.F("end")), name="mark_not_empty"),
        ]


class SentenceSupport(models.Model):
    """Whether the source supports one sentence of the summary as the model wrote it (offsets as in SpanMark)."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="sentence_support")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    supported = models.BooleanField()

    class Meta:
        ordering = ["review", "start"]
        constraints = [
            models.UniqueConstraint(fields=["review", "start"], name="support_once"),
            models.CheckConstraint(condition=Q(start__lt=models.F("end")), name="support_not_empty"),
        ]


class Grounding(models.Model):
    """Which source sentences support each sentence of a summary best; `reviews.queues.grounding` computes it."""

    summary = models.OneToOneField("reviews.Summary", on_delete=models.PROTECT, related_name="grounding")
    method = models.CharField(max_length=60, help_text="name and version of what computed it")
    data = models.JSONField(help_text="sentences with their links, and names and numbers the source lacks")
    computed_at = models.DateTimeField(default=timezone.now)


class ReviewReturn(models.Model):
    """A review sent back to its reviewer with a comment."""

    LONGEST_COMMENT_CHARACTERS = 2000

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="returns")
    returned_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    comment = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True, blank=True, help_text="when it was corrected")

    class Meta:
        ordering = ["review", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(comment=""), name="return_has_comment"),
            models.UniqueConstraint(fields=["review"], condition=Q(answered_at=None), name="return_one_open"),
        ]


class Preference(Answer):
    """One person's blind choice between the two summaries of a pairwise item. Sides are resolved when it is kept."""

    class Choice(models.TextChoices):
        BEFORE = "before"  # item.summary
        AFTER = "after"  # item.other
        TIE = "tie"
        BOTH_BAD = "both bad"

    class Strength(models.IntegerChoices):
        SLIGHTLY = 1, "slightly better"
        CLEARLY = 2, "clearly better"
        MUCH = 3, "much better"

    LONGEST_REASON_CHARACTERS = 4000
    UNKNOWN_STRENGTH = "1 slightly, 2 clearly, 3 much better; only with left or right."

    CHANGED_ELSEWHERE = (
        "Another choice was saved in another tab or window. Reload to see it, or keep this one."
    )
    SUBMITTED_OTHERWISE = "You have submitted another choice for this pair already. Leave it, or correct it."
    NOT_YOURS = "You do not have this pair checked out, so nothing can be saved or submitted for it."
    NOT_SUBMITTED = "This choice has not been submitted yet."
    NOTHING_TO_UNDO = "This choice is not submitted."
    TOO_LATE_TO_UNDO = "It can be taken back for ten seconds; after that it can be corrected."

    choice = models.CharField(max_length=8, choices=Choice, blank=True)
    strength = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        choices=Strength,
        error_messages={"invalid_choice": UNKNOWN_STRENGTH},
        help_text="none for a tie or both bad",
    )
    reason = models.TextField(blank=True, validators=[at_most(LONGEST_REASON_CHARACTERS)])
    after_was_left = models.BooleanField(default=False)

    class Meta(Answer.Meta):
        indexes = [
            models.Index(fields=["reviewer", "-submitted_at"], name="preference_by_reviewer"),
            those_imported("preference"),
        ]
        constraints = [
            once_per_person("preference"),
            whole_once_given("preference", ~Q(choice="")),
            models.CheckConstraint(
                condition=Q(strength=None) | Q(strength__range=(1, 3), choice__in=["before", "after"]),
                name="preference_strength",
            ),
        ]


class Adjudication(models.Model):
    """The final answer to an item whose reviewers differ."""

    item = models.OneToOneField("reviews.QueueItem", on_delete=models.PROTECT, related_name="adjudication")
    adjudicator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    stars = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=4, choices=Review.Verdict)
    ratings = models.JSONField(default=dict, help_text="1–5 by criterion key")
    rubric = models.ForeignKey("reviews.RubricVersion", on_delete=models.PROTECT, related_name="+")
    edited_text = models.TextField()
    explanation = models.TextField(blank=True)
    reviews = models.JSONField(default=list, help_text="ids and revisions of the reviews it settles")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(stars__range=(1, 5)), name="adjudication_stars"),
            models.CheckConstraint(condition=~Q(edited_text=""), name="adjudication_has_text"),
        ]


class GoldAnswer(models.Model):
    """The known right answer to a summary, with the reason; reviewers meet it unannounced or in a calibration round."""

    summary = models.OneToOneField("reviews.Summary", on_delete=models.PROTECT, related_name="gold")
    rubric = models.ForeignKey("reviews.RubricVersion", on_delete=models.PROTECT, related_name="+")
    stars = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=4, choices=Review.Verdict)
    ratings = models.JSONField(default=dict, help_text="1–5 by criterion key")
    tolerance = models.PositiveSmallIntegerField(default=1, help_text="points off that still count as right")
    explanation = models.TextField()
    active = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(stars__range=(1, 5)), name="gold_stars"),
            models.CheckConstraint(condition=~Q(explanation=""), name="gold_has_explanation"),
        ]


class AgreementReport(models.Model):
    """Agreement of reviewers over one window, computed in the queue where there are too many reviews for a page."""

    days = models.PositiveSmallIntegerField(unique=True, help_text="the window back from then; 0: everything")
    data = models.JSONField()
    reviews = models.PositiveIntegerField(help_text="reviews of items that more than one person reviewed")
    seconds = models.FloatField()
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["days"]


class ProgressFigures(models.Model):
    """Figures of the page Progress that take long to count, as `reviews.reports.progress` counted them last."""

    name = models.CharField(max_length=20, unique=True)
    rows = models.JSONField(encoder=DjangoJSONEncoder)
    at = models.DateTimeField()


class DeskPreferences(models.Model):
    """How one person wants the desk: keys by action (only those that differ from the defaults), single keys or not."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="desk_preferences"
    )
    keys = models.JSONField(default=dict)
    single_keys = models.BooleanField(default=True)
    updated_at = models.DateTimeField(default=timezone.now)


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

    LONGEST_REASON_CHARACTERS = 300

    class Kind(models.TextChoices):
        DEMONSTRATION = "demonstration"
        PREFERENCE = "preference"

    class Origin(models.TextChoices):
        REVIEW = "review"
        REFERENCE = "reference"
        CLIENT = "client"
        ADJUDICATION = "adjudication"

    class State(models.TextChoices):
        PROPOSED = "proposed"
        HELD = "held"  # its item is disputed; nobody decides on it before that is resolved
        APPROVED = "approved"
        DECLINED = "declined"

    kind = models.CharField(max_length=14, choices=Kind)
    origin = models.CharField(max_length=12, choices=Origin)
    document = models.ForeignKey(
        "reviews.SourceDocument", on_delete=models.PROTECT, related_name="feedback_examples"
    )
    summary = models.ForeignKey(
        "reviews.Summary", null=True, blank=True, on_delete=models.PROTECT, related_name="feedback_examples"
    )
    review = models.ForeignKey(
        Review, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    adjudication = models.ForeignKey(
        Adjudication, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    target = models.TextField()
    rejected = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    reason = models.CharField(max_length=LONGEST_REASON_CHARACTERS, blank=True)
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
                fields=["adjudication", "kind"],
                condition=Q(adjudication__isnull=False),
                name="example_once_per_adjudication",
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
