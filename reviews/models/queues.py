from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils import timezone

from reviews.models.answers import POINTS
from reviews.models.reviews import Preference, Review

# From the least to the most.
REVIEWS_PER_ITEM = (1, 20)
OVERLAP_PERCENT = (0, 100)
LEASE_MINUTES = (1, 24 * 60)
GOLD_PERCENT = (0, 50)
DISPUTE_POINTS = (0, POINTS[-1] - POINTS[0])


class RubricVersion(models.Model):
    """The questions a review answers. Immutable: a change is a new version."""

    LONGEST_INSTRUCTIONS_CHARACTERS = 4000
    MOST_CRITERIA = 12

    number = models.PositiveIntegerField(unique=True)
    instructions = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"rubric {self.number}"


class Criterion(models.Model):
    """One scale of 1–5 with a worded point for each value."""

    LONGEST_NAME_CHARACTERS = 60
    LONGEST_QUESTION_CHARACTERS = 200
    LONGEST_ANCHOR_CHARACTERS = 200

    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="criteria")
    key = models.SlugField(max_length=40)
    name = models.CharField(max_length=LONGEST_NAME_CHARACTERS)
    question = models.CharField(max_length=LONGEST_QUESTION_CHARACTERS)
    anchors = models.JSONField(help_text="five strings, for 1 to 5")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["rubric", "position"]
        constraints = [models.UniqueConstraint(fields=["rubric", "key"], name="criterion_key_once")]


class ReviewQueue(models.Model):
    class Kind(models.TextChoices):
        RATE_AND_EDIT = "rate and edit"
        PAIRWISE = "pairwise"
        PROMPT_TRIAL = "prompt trial"

    #: At the review desk: one summary each, to rate and correct, in a prompt trial once another prompt was tried on it.
    AT_DESK = (Kind.RATE_AND_EDIT, Kind.PROMPT_TRIAL)

    class Order(models.TextChoices):
        OLDEST = "oldest"
        PRIORITY = "priority"
        RANDOM = "random"
        CONFIDENCE = "lowest confidence"
        DISAGREEMENT = "most disagreement"

    LONGEST_NAME_CHARACTERS = 100
    LONGEST_DESCRIPTION_CHARACTERS = 300

    name = models.CharField(max_length=LONGEST_NAME_CHARACTERS, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.RATE_AND_EDIT)
    description = models.CharField(max_length=LONGEST_DESCRIPTION_CHARACTERS, blank=True)
    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="queues")
    reviews_per_item = models.PositiveSmallIntegerField(default=1)
    overlap_percent = models.PositiveSmallIntegerField(
        default=100, help_text="share of the items that get all those reviews; the others get one"
    )
    lease_minutes = models.PositiveSmallIntegerField(default=30)
    blind_to_peers = models.BooleanField(default=True, help_text="reviewers do not see each other's answers")
    blind_to_model = models.BooleanField(default=True, help_text="reviewers do not see which model wrote it")
    order = models.CharField(max_length=20, choices=Order, default=Order.PRIORITY)
    calibration = models.BooleanField(
        default=False, help_text="a round on gold items: answers are explained, nothing is learnt from them"
    )
    gold_percent = models.PositiveSmallIntegerField(
        default=0, help_text="share of gold items mixed unannounced into each reviewer's work"
    )
    dispute_points = models.PositiveSmallIntegerField(
        default=2, help_text="reviewers that far apart are a dispute to be settled; 0: never"
    )
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(gold_percent__range=GOLD_PERCENT), name="queue_gold_percent"),
            models.CheckConstraint(
                condition=Q(dispute_points__range=DISPUTE_POINTS), name="queue_dispute_points"
            ),
            models.CheckConstraint(
                condition=Q(reviews_per_item__range=REVIEWS_PER_ITEM), name="queue_reviews_per_item"
            ),
            models.CheckConstraint(
                condition=Q(lease_minutes__range=LEASE_MINUTES), name="queue_lease_minutes"
            ),
            models.CheckConstraint(
                condition=Q(overlap_percent__range=OVERLAP_PERCENT), name="queue_overlap_percent"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class QueueItemQuerySet(QuerySet["QueueItem"]):
    def locked(self) -> QueueItemQuerySet:
        """For changes of an item, its assignments or its answers: the item is locked first, everywhere. What
        refers to it by a foreign key may still come in."""
        return self.select_for_update(of=("self",), no_key=True)


class QueueItem(models.Model):
    class Reason(models.TextChoices):
        NEW = "new draft"
        FEW_STARS = "few stars"
        COMPLAINT = "complaint"
        RETRAIN = "retraining wanted"
        REFINE = "better prompt wanted"
        MANUAL = "put in by hand"
        CHECK = "flagged by a check"
        SHARE = "random share"
        DRIFT = "drift"
        GOLD = "gold item"
        COMPARISON = "comparison"
        IMPORTED = "imported"

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        FLAGGED = "flagged"
        DISPUTED = "disputed"  # all reviews are in and differ; waits for a final answer

    queue = models.ForeignKey(
        ReviewQueue, on_delete=models.PROTECT, related_name="items", db_index=False
    )  # item_by_state
    summary = models.ForeignKey("reviews.Summary", on_delete=models.PROTECT, related_name="queue_items")
    other = models.ForeignKey(
        "reviews.Summary",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="pairs",
        db_index=False,  # item_other
        help_text="pairwise: the summary after, of the same document; `summary` is the one before",
    )
    reason = models.CharField(max_length=24, choices=Reason, default=Reason.NEW)
    note = models.TextField(
        blank=True, help_text="e.g. the client's comment; shown after the review when blind"
    )
    priority = models.SmallIntegerField(default=0)
    wanted_reviews = models.PositiveSmallIntegerField(
        default=1, help_text="one of its queue's two numbers, drawn when it came in"
    )
    confidence = models.FloatField(
        null=True,
        blank=True,
        help_text="0–1, the model's in its summary; lowest first where the queue says so",
    )
    disagreement = models.FloatField(
        null=True, blank=True, help_text="0–1, between the reviews so far; most first where the queue says so"
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now)

    objects = QueueItemQuerySet.as_manager()

    class Meta:
        ordering = ["queue", "-priority", "id"]
        indexes = [
            models.Index(fields=["queue", "state", "-priority", "id"], name="item_by_state"),
            models.Index(fields=["-disagreement", "id"], condition=Q(state="disputed"), name="item_disputed"),
            models.Index(fields=["other"], condition=Q(other__isnull=False), name="item_other"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "summary"], condition=Q(other=None), name="item_once_per_queue"
            ),
            models.UniqueConstraint(
                fields=["queue", "summary", "other"],
                condition=Q(other__isnull=False),
                name="pair_once_per_queue",
            ),
            models.CheckConstraint(
                condition=Q(other=None) | ~Q(other=models.F("summary")), name="pair_of_two"
            ),
            models.CheckConstraint(
                condition=Q(wanted_reviews__range=REVIEWS_PER_ITEM), name="item_wanted_reviews"
            ),
            models.CheckConstraint(
                condition=Q(confidence=None) | Q(confidence__range=(0, 1)), name="item_confidence"
            ),
            models.CheckConstraint(
                condition=Q(disagreement=None) | Q(disagreement__range=(0, 1)), name="item_disagreement"
            ),
        ]


class AssignmentQuerySet(QuerySet["Assignment"]):
    """Who may take which assignment: claims, assignments, every count of what waits, pages and API ask here.

    People are given by their primary key, or by an expression that stands for it.
    """

    def open_to(self, person: Any, *, unless: QuerySet[Skip] | None = None) -> AssignmentQuerySet:
        """Assignments that this person may have once they are `free` or their holder's time is `over`: at open items,
        and `left_to` them. Whether the queue is open is asked by those who give assignments out."""
        return self.left_to(person, unless=unless).filter(item__state=QueueItem.State.OPEN)

    def left_to(self, person: Any, *, unless: QuerySet[Skip] | None = None) -> AssignmentQuerySet:
        """For anybody or assigned to this person, at items that they neither sit at, nor have answered, nor skipped.

        `unless` says which skips count: those that hold now, where it is not given.
        """
        # one NOT over all of them: PostgreSQL plans look-ups then, instead of searching for the best of many joins
        closed = Q()
        for rows in closings_of_items(Skip.objects.that_hold() if unless is None else unless):
            closed |= Q(Exists(rows.filter(item=OuterRef("item"), reviewer=person)))
        return self.filter(~closed, Q(assigned_to=None) | Q(assigned_to=person))

    def free(self) -> AssignmentQuerySet:
        return self.filter(state=Assignment.State.FREE)

    def anybodys(self) -> AssignmentQuerySet:
        return self.filter(assigned_to=None)

    def held_by(self, person: Any) -> AssignmentQuerySet:
        return self.filter(state=Assignment.State.HELD, reviewer=person)

    def over(self) -> AssignmentQuerySet:
        """Held, but the lease ran out or the holder was deactivated. Others get them once they need them; those that
        are not needed, since fewer reviews are wanted by now, go."""
        inactive = User.objects.filter(pk=OuterRef("reviewer"), is_active=False)
        return self.filter(Q(lease_until__lt=Now()) | Exists(inactive), state=Assignment.State.HELD)

    def needed(self) -> AssignmentQuerySet:
        """Without those of items that have more than are wanted by now."""
        assignments = Assignment.objects.filter(item=OuterRef("item")).order_by().values("item")
        number = Subquery(assignments.annotate(number=Count("pk")).values("number"))
        return self.filter(Q(item__reason=QueueItem.Reason.GOLD) | Q(item__wanted_reviews__gte=number))

    def in_order(self) -> AssignmentQuerySet:
        """As the queue gives them out."""
        return self.order_by("rank", "item_id", "position")


def closings_of_items(skips: QuerySet[Skip]) -> tuple[QuerySet[Any, Any], ...]:
    """Rows with an `item` and a `reviewer`, each of which closes that item to that person."""
    return (
        Assignment.objects.filter(reviewer__isnull=False),
        Review.objects.filter(state__in=Review.ANSWERED),
        Preference.objects.filter(state=Preference.State.SUBMITTED),
        skips,
    )


class Assignment(models.Model):
    """One place at an item. Claimed by one conditional UPDATE; a submit carries the lease token.

    Assignments are made and taken by the hundred thousand, and each index is written each time: there are those that
    some query needs, and no index of a foreign key beside them."""

    class State(models.TextChoices):
        FREE = "free"
        HELD = "held"
        DONE = "done"

    item = models.ForeignKey(QueueItem, on_delete=models.PROTECT, related_name="assignments", db_index=False)
    queue = models.ForeignKey(
        ReviewQueue, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    position = models.PositiveSmallIntegerField(default=0)
    priority = models.SmallIntegerField(default=0, help_text="the item's")
    rank = models.FloatField(
        default=0, help_text="least first, whatever the queue's order is; kept here for the claim's index"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="assigned_assignments",
        db_index=False,
        help_text="only this person can claim it",
    )
    swapped = models.BooleanField(
        default=False, help_text="pairwise: the summary after stands on the left for this assignment"
    )
    state = models.CharField(max_length=6, choices=State, default=State.FREE)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="review_assignments",
        db_index=False,
    )
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["item", "position"]
        indexes = [
            models.Index(
                fields=["queue", "rank", "item"],
                condition=Q(state="free", assigned_to__isnull=True),
                name="assignment_by_rank",
            ),
            models.Index(
                fields=["assigned_to", "queue", "rank", "item"],
                condition=Q(state="free", assigned_to__isnull=False),
                name="assignment_assigned",
            ),
            models.Index(fields=["queue", "lease_until"], condition=Q(state="held"), name="assignment_held"),
            models.Index(fields=["queue", "reviewer"], condition=Q(state="done"), name="assignment_done"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["item", "position"], name="assignment_position"),
            models.UniqueConstraint(
                fields=["reviewer", "item"],
                condition=Q(reviewer__isnull=False),
                name="assignment_once_per_reviewer",
            ),
            models.UniqueConstraint(
                fields=["assigned_to", "item"],
                condition=Q(assigned_to__isnull=False),
                name="assignment_once_per_assignee",
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
                name="assignment_state_whole",
            ),
        ]


class SkipQuerySet(QuerySet["Skip"]):
    def that_hold(self) -> SkipQuerySet:
        """The item is not offered to that person now."""
        return self.filter(Q(until=None) | Q(until__gt=Now()))

    def for_good(self) -> SkipQuerySet:
        """Nor assigned to them."""
        return self.filter(until=None)

    def beyond_recall(self) -> SkipQuerySet:
        """Nor given to them where they open the very item: an answer of theirs would not stand by itself."""
        return self.filter(Q(saw_others=True) | Q(meaning=Skip.Meaning.HAD_A_HAND))


class Skip(models.Model):
    """A reviewer snoozed, skipped or flagged an item; or it is a pair that is not theirs to judge."""

    class Meaning(models.TextChoices):
        SNOOZE = "later", "Later"
        SKIP = "not for me", "Not For Me"
        FLAG = "bad item", "Bad Item"
        HAD_A_HAND = "had a hand"  # in the release that the pair is about (reviews/queues/judges.py)

    #: What a person can say, at the desk and by program.
    SAID = {"snooze": Meaning.SNOOZE, "skip": Meaning.SKIP, "flag": Meaning.FLAG}
    LONGEST_REASON_CHARACTERS = 2000

    # What a person is told where they cannot.
    SAY_WHAT_TO_DO = "Say what to do with it."
    SAY_WHAT_IS_WRONG = "Say what is wrong with the item."
    TOO_LONG = "The reason is too long."
    NOT_HELD = "You no longer have this item checked out."

    item = models.ForeignKey(QueueItem, on_delete=models.PROTECT, related_name="skips")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    meaning = models.CharField(max_length=12, choices=Meaning)
    reason = models.TextField(blank=True)
    until = models.DateTimeField(null=True, blank=True, help_text="for 'later': not before")
    saw_others = models.BooleanField(
        default=False,
        help_text="has seen what others think of it, so that no assignment at it can be theirs any more",
    )
    at = models.DateTimeField(default=timezone.now)

    objects = SkipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "reviewer"], name="skip_once"),
            models.CheckConstraint(
                condition=models.Q(saw_others=False) | models.Q(until=None), name="skip_saw_others_for_good"
            ),
        ]


class QueueRule(models.Model):
    """Fills a queue by itself. `params` by kind: see reviews/queues/rules.py."""

    class Kind(models.TextChoices):
        FEW_STARS = "few stars"
        COMPLAINT = "complaint"
        WANTS = "retraining or a better prompt wanted"
        CHECK = "flagged by a check"
        SHARE = "random share"
        DRIFT = "drift"

    queue = models.ForeignKey(ReviewQueue, on_delete=models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=40, choices=Kind)
    params = models.JSONField(default=dict)
    place = models.JSONField(
        default=dict, help_text="how far it has looked: last summary, feedback and time of request"
    )
    active = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    last_run_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["queue", "id"]
        constraints = [models.UniqueConstraint(fields=["queue", "kind"], name="rule_once_per_queue")]
