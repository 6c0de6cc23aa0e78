"""Seats for particular people: by hand, spread evenly, and taken back."""

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
from reviews.models import Notification, Preference, QueueItem, Review, ReviewQueue, ReviewSlot, Skip
from reviews.models.queues import closings_of_items
from reviews.notifications.notices import notify
from reviews.queues import seats as seating

MOST_ITEMS = 20_000
MOST_PEOPLE = 100


def assign(*, item: QueueItem, to: User, actor: Any | None) -> ReviewSlot:
    """Keep one free seat of this item for one person. Raises Refused where there is none, or who could not take it."""
    require(actor, "manage_queues")
    _may_review(to)
    with transaction.atomic():
        queue = item.queue
        seating.own_queue(queue.pk)
        item = QueueItem.objects.select_for_update(no_key=True).get(pk=item.pk)
        if item.state != QueueItem.State.OPEN:
            raise Refused(f"This item is {item.state}; nobody can be asked for it.")
        seats = ReviewSlot.objects.filter(item=item)
        if item.pk in _closed_to([item.pk], [to])[to.pk]:
            raise Refused(
                f"{to.get_username()} has answered this item, holds it, has it assigned, or left it to others."
            )
        free_expired(seats)
        seat = seats.open_to(to, unless=Skip.objects.for_good()).free().anybodys().first()
        if seat is None:
            raise Refused("Every seat at this item is taken, done or meant for somebody.")
        ReviewSlot.objects.filter(pk=seat.pk).update(assigned_to=to)
        _tell(to, queue, 1)
        audit.record(
            actor=actor, action="item.assign", subject=item, data={"to": to.get_username(), "seat": seat.pk}
        )
    seat.assigned_to = to
    return seat


def assign_evenly(
    *, queue: ReviewQueue, people: Sequence[User], most: int | None = None, actor: Any | None
) -> dict[int, int]:
    """Spread the free seats of the queue over these people, in the queue's order, at most `most` seats in all.

    Those who have fewer assigned seats here get more, so that all come to hold the same. Nobody gets two seats at one
    item, nor one that they answered, hold or left to others. Returns new seats by person.
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
        seating.own_queue(queue.pk)
        free = list(
            ReviewSlot.objects.filter(queue=queue, item__state=QueueItem.State.OPEN)
            .free()
            .anybodys()
            .in_order()
            .values_list("pk", "item")[: most or MOST_ITEMS]
        )
        has = Counter(
            ReviewSlot.objects.filter(queue=queue, state="free", assigned_to__in=people).values_list(
                "assigned_to", flat=True
            )
        )
        closed = _closed_to([item for _, item in free], people)
        wishes = [Wish(person.pk, has[person.pk], frozenset(closed[person.pk])) for person in people]
        chosen = spread(free, wishes)
        for pk, seats in chosen.items():
            ReviewSlot.objects.filter(pk__in=seats, state="free").update(assigned_to=pk)
        counts = {pk: len(seats) for pk, seats in chosen.items()}
        for person in people:
            if counts[person.pk]:
                _tell(person, queue, counts[person.pk])
        audit.record(
            actor=actor, action="queue.assign", subject=queue,
            data={person.get_username(): counts[person.pk] for person in people},
        )  # fmt: skip
    return counts


def unassign(*, queue: ReviewQueue, person: User, actor: Any | None) -> int:
    """Free seats that were kept for this person are anybody's again. Returns how many."""
    require(actor, "manage_queues")
    with transaction.atomic():
        seating.own_queue(queue.pk)
        count = ReviewSlot.objects.filter(queue=queue, assigned_to=person, state="free").update(
            assigned_to=None
        )
        if count:
            audit.record(
                actor=actor, action="queue.unassign", subject=queue,
                data={"of": person.get_username(), "seats": count},
            )  # fmt: skip
    return count


def release_seat(*, slot: ReviewSlot, actor: Any | None, reason: str = "") -> None:
    """Take a held seat from its holder, whatever the lease says, or a kept one from whom it is meant for. What was
    typed stays as a draft and can be handed in late."""
    require(actor, "manage_queues")
    with transaction.atomic():
        seat = ReviewSlot.objects.select_related("reviewer", "assigned_to").filter(pk=slot.pk).first()
        if seat is None:
            raise StaleState("This seat is not needed any more.")
        of = seat.reviewer or seat.assigned_to
        freed = free_expired(ReviewSlot.objects.filter(pk=seat.pk), whatever_the_lease=True)
        kept = ReviewSlot.objects.filter(pk=seat.pk, state="free", assigned_to__isnull=False).update(
            assigned_to=None
        )
        if of is None or not (freed or kept):
            raise StaleState("Nobody holds this seat any more.")
        audit.record(
            actor=actor, action="item.release_seat", subject=f"queueitem:{seat.item_id}", reason=reason.strip(),
            data={"seat": seat.pk, "of": of.get_username()},
        )  # fmt: skip


def release_all_of(*, person: User, actor: Any | None) -> int:
    """Everything this person holds or was to do goes to others: for whoever was deactivated or may no longer review."""
    if not allowed(actor, "manage_people"):
        require(actor, "manage_queues")
    with transaction.atomic():
        held = free_expired(ReviewSlot.objects.filter(reviewer=person), whatever_the_lease=True)
        kept = ReviewSlot.objects.filter(assigned_to=person, state="free").update(assigned_to=None)
        if held or kept:
            audit.record(
                actor=actor, action="seats.release", subject=f"user:{person.pk}",
                data={"of": person.get_username(), "held": held, "assigned": kept},
            )  # fmt: skip
    return held + kept


def release_lost() -> int:
    """Look for people who hold seats or are to have some and may not review any more, or have answered the item
    already. Called every minute."""
    waiting = ReviewSlot.objects.filter(
        Q(state="held") | Q(state="free", assigned_to__isnull=False)
    ).values_list("reviewer", "assigned_to")
    people = {person for pair in waiting.distinct() for person in pair if person is not None}
    return _release_of_those_who_answered() + sum(
        release_all_of(person=person, actor=None)
        for person in User.objects.filter(pk__in=people)
        if not allowed(person, "review")
    )


def _release_of_those_who_answered() -> int:
    """Where late work came in at the instant in which its author was given a seat of the same item: it would wait for
    ever."""

    def answered(by: str) -> Q:
        mine = {"item": OuterRef("item"), "reviewer": OuterRef(by), "state": "submitted"}
        return Q(Exists(Review.objects.filter(**mine))) | Q(Exists(Preference.objects.filter(**mine)))

    with transaction.atomic():
        held = free_expired(
            ReviewSlot.objects.filter(answered("reviewer"), state="held"), whatever_the_lease=True
        )
        kept = ReviewSlot.objects.filter(
            answered("assigned_to"), state="free", assigned_to__isnull=False
        ).update(assigned_to=None)
    return held + kept


def _tell(person: User, queue: ReviewQueue, seats: int) -> None:
    items = "1 item is" if seats == 1 else f"{seats:,} items are"
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
    kept = ReviewSlot.objects.filter(item__in=items, assigned_to__in=people)
    for person, item in kept.order_by().values_list("assigned_to", "item"):
        closed[person].add(item)
    return closed
