"""Reads for the pages of those who manage queues: plain rows, a known number of queries each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, F, Func, IntegerField, OuterRef, Prefetch, Q, QuerySet

from models_app.foundation.holders import holders
from reviews.lists.counted import Counted
from reviews.models import (
    Assignment,
    Criterion,
    QueueItem,
    QueueRule,
    Review,
    ReviewQueue,
    ReviewReturn,
    RubricVersion,
)
from reviews.queues.blindness import sees_answers
from reviews.queues.rules import params_of

#: The list of queues counts no further: an exact count of a million items would make it wait.
COUNTED = 2000
#: The list of one queue's items goes no further; what lies behind is found by its state or a person.
LISTED = 10_000
STATES = tuple(QueueItem.State.values)


def _counts(most: int, queue: int | None = None) -> dict[int, dict[str, int]]:
    """By queue and state, up to `most` each. 1 query."""
    queues = ReviewQueue.objects.order_by() if queue is None else ReviewQueue.objects.filter(pk=queue)
    rows = queues.values_list("pk", *(_up_to_most(state, most) for state in STATES))
    return {pk: dict(zip(STATES, counts, strict=True)) for pk, *counts in rows}


def _up_to_most(state: str, most: int) -> Func:
    """An array, since the ORM counts no rows of a part that ends after so many."""
    found = QueueItem.objects.filter(queue=OuterRef("pk"), state=state).order_by().values("pk")[:most]
    return Func(ArraySubquery(found), function="cardinality", output_field=IntegerField())


@dataclass(frozen=True)
class QueueRow:
    queue: ReviewQueue
    counts: dict[str, int]  # by state of item; up to COUNTED
    held: int
    rules: int

    def count(self, state: str) -> str:
        number = self.counts.get(state, 0)
        return f"{number:,}+" if number >= COUNTED else f"{number:,}"

    @property
    def order(self) -> str:
        """As it reads behind the kind."""
        return {"oldest": "oldest first", "priority": "by priority"}.get(self.queue.order, self.queue.order)

    @property
    def open(self) -> str:
        return self.count(QueueItem.State.OPEN)

    @property
    def done(self) -> str:
        return self.count(QueueItem.State.DONE)

    @property
    def disputed(self) -> int:
        return self.counts.get(QueueItem.State.DISPUTED, 0)

    @property
    def flagged(self) -> int:
        return self.counts.get(QueueItem.State.FLAGGED, 0)


def queues() -> list[QueueRow]:
    """Every queue, open ones first. 4 queries."""
    counts = _counts(COUNTED)
    held = dict(
        Assignment.objects.filter(state="held").order_by().values_list("queue").annotate(n=Count("pk"))
    )
    rules = dict(
        QueueRule.objects.filter(active=True).order_by().values_list("queue").annotate(n=Count("pk"))
    )
    return [
        QueueRow(queue, counts.get(queue.pk, {}), held.get(queue.pk, 0), rules.get(queue.pk, 0))
        for queue in ReviewQueue.objects.select_related("rubric").order_by("-active", "name")
    ]


# ---------------------------------------------------------------- one queue


@dataclass(frozen=True)
class ItemList:
    """`counts` by state and `whole` say "10,000+" where they were not counted further."""

    rows: Counted[QueueItem]
    counts: list[tuple[str, str]]
    whole: str


def items(queue: ReviewQueue, *, state: str = "", person: User | None = None) -> ItemList:
    """Items with their assignments and titles, the next ones first. 1 query (2 for a person), and 3 for each slice."""
    counts = _counts(LISTED, queue.pk).get(queue.pk, {})
    assignments = Assignment.objects.select_related("reviewer", "assigned_to").order_by("position")
    shown = (
        QueueItem.objects.select_related("summary__document")
        .defer("summary__document__text", "summary__document__reference")
        .prefetch_related(Prefetch("assignments", assignments))
    )
    states = [state] if state else list(STATES)
    if person is None:
        total = sum(counts.get(each, 0) for each in states)
        # state by state, so that each comes in the order of its index and none is sorted
        first, *others = (queue.items.filter(state=each).order_by() for each in states)
        found = first.union(*others, all=True) if others else first
    else:
        mine = Assignment.objects.filter(queue=queue).filter(Q(reviewer=person) | Q(assigned_to=person))
        found = queue.items.filter(state__in=states, pk__in=mine.values("item"))
        total = found.order_by()[:LISTED].count()
    whole = sum(counts.values())
    return ItemList(
        rows=Counted(
            found.order_by("-priority", "pk")[:LISTED], shown, min(total, LISTED), more=total >= LISTED
        ),
        counts=[(each, _up_to(counts.get(each, 0))) for each in STATES],
        whole=_up_to(whole),
    )


def _up_to(number: int) -> str:
    return f"{LISTED:,}+" if number >= LISTED else f"{number:,}"


@dataclass(frozen=True)
class PersonRow:
    person: User
    assigned: int  # free assignments that are kept for this person
    holds: list[Assignment] = field(default_factory=list)
    done: int = 0


def people_of(queue: ReviewQueue, reviewers: Sequence[User]) -> list[PersonRow]:
    """Who could review here, and what each has. 3 queries."""
    assigned = dict(
        Assignment.objects.filter(queue=queue, state="free", assigned_to__isnull=False)
        .order_by()
        .values_list("assigned_to")
        .annotate(n=Count("pk"))
    )
    holds: dict[int, list[Assignment]] = {}
    held = Assignment.objects.filter(queue=queue, state="held").select_related("item__summary__document")
    for assignment in held.defer("item__summary__document__text").order_by("claimed_at"):
        holds.setdefault(assignment.reviewer_id or 0, []).append(assignment)
    done = dict(
        Assignment.objects.filter(queue=queue, state="done")
        .order_by()
        .values_list("reviewer")
        .annotate(n=Count("pk"))
    )
    rows = [
        PersonRow(person, assigned.get(person.pk, 0), holds.get(person.pk, []), done.get(person.pk, 0))
        for person in reviewers
    ]
    return sorted(rows, key=lambda row: (-row.done, row.person.username))


def reviewers() -> list[User]:
    """Active people whose role lets them review, by name. 1 query."""
    return list(holders("review").order_by("username"))


@dataclass(frozen=True)
class RuleRow:
    rule: QueueRule
    words: str


def rules_of(queue: ReviewQueue) -> dict[str, RuleRow]:
    """By kind. 1 query."""
    return {rule.kind: RuleRow(rule, params_of(rule.kind, rule.params).words()) for rule in queue.rules.all()}


# ---------------------------------------------------------------- one item


@dataclass(frozen=True)
class ReviewRow:
    """`answers` is None while the asker could still be asked for the item and the queue hides peers' answers;
    `ratings` are theirs, (criterion's name, points) as the rubric orders them."""

    review: Review
    answers: Review | None
    ratings: list[tuple[str, int]]
    returned: ReviewReturn | None

    @property
    def submitted(self) -> datetime | None:
        return self.review.submitted_at


@dataclass(frozen=True)
class ItemPage:
    item: QueueItem
    assignments: list[Assignment]
    reviews: list[ReviewRow]
    hidden: bool
    free: int


def item_page(item: QueueItem, viewer: User) -> ItemPage:
    """At most 6 queries beside the item's own."""
    assignments = list(item.assignments.select_related("reviewer", "assigned_to").order_by("position"))
    seen = sees_answers(item=item, reader=viewer)
    submitted = (
        Review.objects.filter(item=item, state__in=["submitted", "returned"])
        .select_related("reviewer")
        .order_by(F("submitted_at").asc(nulls_last=True))
    )
    if seen:
        in_order = Prefetch("rubric__criteria", Criterion.objects.order_by("position"))
        submitted = submitted.select_related("rubric").prefetch_related(in_order)
    else:
        submitted = submitted.only("pk", "state", "late", "submitted_at", "reviewer__username", "item")
    open_returns = {
        returned.review_id: returned
        for returned in ReviewReturn.objects.filter(review__item=item, answered_at=None).select_related(
            "returned_by"
        )
    }
    reviews = [
        ReviewRow(
            review,
            review if seen else None,
            [
                (criterion.name, review.ratings[criterion.key])
                for criterion in review.rubric.criteria.all()
                if criterion.key in review.ratings
            ]
            if seen
            else [],
            open_returns.get(review.pk),
        )
        for review in submitted
    ]
    free = sum(
        assignment.state == Assignment.State.FREE and assignment.assigned_to_id is None
        for assignment in assignments
    )
    return ItemPage(item, assignments, reviews, hidden=not seen, free=free)


def rubric_versions() -> QuerySet[RubricVersion]:
    """Newest first, with questions and the queues that ask them."""
    return RubricVersion.objects.prefetch_related("criteria", "queues").order_by("-number")
