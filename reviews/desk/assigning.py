"""Assignments for particular people: by hand, spread evenly, and taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import allowed, require
from reviews.desk.claims import free_expired
from reviews.desk.spreading import Wish, spread
from reviews.models import Assignment, Notification, Preference, QueueItem, Review, ReviewQueue, Skip
from reviews.models.queues import closings_of_items
from reviews.notifications.notices import notify
from reviews.queues.assignments import own_queue

MOST_ITEMS = 20_000
MOST_PEOPLE = 100


def assign(*, item: QueueItem, to: User, actor: Any | None) -> Assignment:
    """Keep one open assignment of this item for one person. Raises Refused if none is open, or who could not take
    it."""
    require(actor, "manage_queues")
    _may_review(to)
    with transaction.atomic():
        queue = item.queue
        own_queue(queue.pk)
        item = QueueItem.objects.locked().get(pk=item.pk)
        if item.state != QueueItem.State.OPEN:
            raise Refused(f"This item is {item.state}; nobody can be asked for it.")
        assignments = Assignment.objects.filter(item=item)
        if item.pk in _closed_to([item.pk], [to])[to.pk]:
            raise Refused(
                f"{to.get_username()} has answered this item, has it checked out or assigned, or left it to others."
            )
        free_expired(assignments)
        assignment = assignments.open_to(to, unless=Skip.objects.for_good()).free().anybodys().first()
        if assignment is None:
            raise Refused("Every assignment at this item is taken, done or meant for somebody.")
        Assignment.objects.filter(pk=assignment.pk).update(assigned_to=to)
        _tell(to, queue, 1)
        audit.record(
            actor=actor,
            action="item.assign",
            subject=item,
            data={"to": to.get_username(), "assignment": assignment.pk},
        )
    assignment.assigned_to = to
    return assignment


def assign_evenly(
    *, queue: ReviewQueue, people: Sequence[User], most: int | None = None, actor: Any | None
) -> dict[int, int]:
    """Spread the open assignments of the queue over these people, in the queue's order, at most `most` assignments in
    all.

    Those who have fewer assigned assignments here get more, so that all come to hold the same. Nobody gets two
    assignments at one item, nor one that they answered, hold or left to others. Returns new assignments by person.
    """
    require(actor, "manage_queues")
    people = list({person.pk: person for person in people}.values())
    if not people:
        raise InvalidInput("Choose who is to review.", fields={"people": "Choose at least one person."})
    if len(people) > MOST_PEOPLE:
        raise InvalidInput("Too many people.", fields={"people": f"At most {MOST_PEOPLE} at once."})
    if most is not None and not 1 <= most <= MOST_ITEMS:
        raise InvalidInput("That many cannot be assigned.", fields={"most": f"From 1 to {MOST_ITEMS:,}."})
    for person in people:
        _may_review(person)
    with transaction.atomic():
        own_queue(queue.pk)
        free = list(
            Assignment.objects.filter(queue=queue, item__state=QueueItem.State.OPEN)
            .free()
            .anybodys()
            .in_order()
            .values_list("pk", "item")[: most or MOST_ITEMS]
        )
        has = Counter(
            Assignment.objects.filter(queue=queue, state="free", assigned_to__in=people).values_list(
                "assigned_to", flat=True
            )
        )
        closed = _closed_to([item for _, item in free], people)
        wishes = [Wish(person.pk, has[person.pk], frozenset(closed[person.pk])) for person in people]
        chosen = spread(free, wishes)
        for pk, assignments in chosen.items():
            Assignment.objects.filter(pk__in=assignments, state="free").update(assigned_to=pk)
        counts = {pk: len(assignments) for pk, assignments in chosen.items()}
        for person in people:
            if counts[person.pk]:
                _tell(person, queue, counts[person.pk])
        audit.record(
            actor=actor, action="queue.assign", subject=queue,
            data={person.get_username(): counts[person.pk] for person in people},
        )  # fmt: skip
    return counts


def unassign(*, queue: ReviewQueue, person: User, actor: Any | None) -> int:
    """Free assignments that were kept for this person are anybody's again. Returns how many."""
    require(actor, "manage_queues")
    with transaction.atomic():
        own_queue(queue.pk)
        count = Assignment.objects.filter(queue=queue, assigned_to=person, state="free").update(
            assigned_to=None
        )
        if count:
            audit.record(
                actor=actor, action="queue.unassign", subject=queue,
                data={"of": person.get_username(), "assignments": count},
            )  # fmt: skip
    return count


def free_assignment(*, assignment: Assignment, actor: Any | None, reason: str = "") -> None:
    """Take a held assignment from its holder, whatever the lease says, or a kept one from whom it is meant for. What
    was typed stays as a draft and can be submitted late."""
    require(actor, "manage_queues")
    with transaction.atomic():
        row = Assignment.objects.select_related("reviewer", "assigned_to").filter(pk=assignment.pk).first()
        if row is None:
            raise StaleState("This assignment is not needed any more.")
        of = row.reviewer or row.assigned_to
        freed = free_expired(Assignment.objects.filter(pk=row.pk), whatever_the_lease=True)
        kept = Assignment.objects.filter(pk=row.pk, state="free", assigned_to__isnull=False).update(
            assigned_to=None
        )
        if of is None or not (freed or kept):
            raise StaleState("Nobody has this assignment any more.")
        audit.record(
            actor=actor, action="item.free_assignment", subject=f"queueitem:{row.item_id}", reason=reason.strip(),
            data={"row": row.pk, "of": of.get_username()},
        )  # fmt: skip


def free_all_of(*, person: User, actor: Any | None) -> int:
    """Everything this person holds or was to do goes to others: they were deactivated, or may no longer review."""
    if not allowed(actor, "manage_people"):
        require(actor, "manage_queues")
    with transaction.atomic():
        held = free_expired(Assignment.objects.filter(reviewer=person), whatever_the_lease=True)
        kept = Assignment.objects.filter(assigned_to=person, state="free").update(assigned_to=None)
        if held or kept:
            audit.record(
                actor=actor, action="assignments.free", subject=f"user:{person.pk}",
                data={"of": person.get_username(), "held": held, "assigned": kept},
            )  # fmt: skip
    return held + kept


def free_lost() -> int:
    """Look for people who hold assignments or are to have some and may not review any more, or have answered the item
    already. Called every minute."""
    waiting = Assignment.objects.filter(
        Q(state="held") | Q(state="free", assigned_to__isnull=False)
    ).values_list("reviewer", "assigned_to")
    people = {person for pair in waiting.distinct() for person in pair if person is not None}
    return _free_those_of_people_who_answered() + sum(
        free_all_of(person=person, actor=None)
        for person in User.objects.filter(pk__in=people)
        if not allowed(person, "review")
    )


def _free_those_of_people_who_answered() -> int:
    """Where late work came in at the instant in which its author was given an assignment of the same item: it would
    wait for ever."""

    def answered(by: str) -> Q:
        mine = {"item": OuterRef("item"), "reviewer": OuterRef(by), "state": "submitted"}
        return Q(Exists(Review.objects.filter(**mine))) | Q(Exists(Preference.objects.filter(**mine)))

    with transaction.atomic():
        held = free_expired(
            Assignment.objects.filter(answered("reviewer"), state="held"), whatever_the_lease=True
        )
        kept = Assignment.objects.filter(
            answered("assigned_to"), state="free", assigned_to__isnull=False
        ).update(assigned_to=None)
    return held + kept


def _tell(person: User, queue: ReviewQueue, assignments: int) -> None:
    items = "1 item is" if assignments == 1 else f"{assignments:,} items are"
    notify(
        user=person, kind=Notification.Kind.ASSIGNED, url=reverse("desk"), subject=queue,
        text=f"{items} for you in the queue {queue.name}.",
    )  # fmt: skip


def _may_review(person: User) -> None:
    if not allowed(person, "review"):
        raise InvalidInput(
            f"{person.get_username()} may not review.",
            fields={"people": f"{person.get_username()} is not active or has no role that reviews."},
        )


def _closed_to(items: Sequence[int], people: Sequence[User]) -> dict[int, set[int]]:
    """By person: those of the items that this person answered, holds, was given, or left to others for good."""
    closed: dict[int, set[int]] = {person.pk: set() for person in people}
    for rows in closings_of_items(Skip.objects.for_good()):
        theirs = rows.filter(item__in=items, reviewer__in=people).order_by()
        for person, item in theirs.values_list("reviewer", "item"):
            closed[person].add(item)
    kept = Assignment.objects.filter(item__in=items, assigned_to__in=people)
    for person, item in kept.order_by().values_list("assigned_to", "item"):
        closed[person].add(item)
    return closed
