"""Who sees which conversation, and under which names.

A queue that is blind to peers would be blind no more if a thread told one reviewer what another thinks. Therefore, in
such a queue, a conversation on an item is between the person who began it and the managers; once the item is
done, its reviewers see it too, without each other's names. People who review an item count as its reviewers until it
is done, whatever else they may do; and a manager who has read others' conversations on it is not asked to review it
any more.
In other queues every reviewer sees all of it, with names.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from django.contrib.auth.models import User
from django.db.models import F, Q, QuerySet
from django.db.models.lookups import IsNull

from models_app.foundation.errors import NotFound, Refused
from models_app.foundation.holders import holders
from models_app.foundation.roles import allowed
from models_app.models import PromptVersion
from reviews.desk import claims
from reviews.models import Assignment, Preference, QueueItem, Review, Thread

EDITABLE = timedelta(minutes=15)
SOMEBODY = "a reviewer"
PROMPT_READERS = ("review", "edit_prompts", "view_models")
PROMPT_WRITERS = ("review", "edit_prompts")


class Standing(Enum):
    """What somebody may see of the conversations on one thing."""

    NONE = "nothing"
    OWN = "their own, and the managers' answers in them"
    UNNAMED = "all, without reviewers' names"
    READING = "all, with names, without taking part"
    NAMED = "all, with names"
    MANAGER = "all, with names, and they may resolve"

    @property
    def sees_names(self) -> bool:
        return self in (Standing.READING, Standing.NAMED, Standing.MANAGER)


def standing(*, user: User, about: QueueItem | PromptVersion) -> Standing:
    """At most 2 queries (the item's queue has to be there)."""
    if isinstance(about, PromptVersion):
        return _standing_at_prompt(user)
    manages, reviews = allowed(user, "manage_queues"), allowed(user, "review")
    if not about.queue.blind_to_peers:
        return Standing.MANAGER if manages else Standing.NAMED if reviews else Standing.NONE
    done = about.state == QueueItem.State.DONE
    if manages and (done or not _works_on(user, about)):
        return Standing.MANAGER
    if not reviews:
        return Standing.NONE
    return Standing.UNNAMED if done and _submitted(user, about) else Standing.OWN


def _standing_at_prompt(user: User) -> Standing:
    if allowed(user, "edit_prompts"):
        return Standing.MANAGER
    if any(allowed(user, name) for name in PROMPT_WRITERS):
        return Standing.NAMED
    return Standing.READING if any(allowed(user, name) for name in PROMPT_READERS) else Standing.NONE


def _works_on(user: User, item: QueueItem) -> bool:
    return (
        Assignment.objects.filter(item=item, reviewer=user)
        .values("pk")
        .union(
            Review.objects.filter(item=item, reviewer=user).values("pk"),
            Preference.objects.filter(item=item, reviewer=user).values("pk"),
            all=True,
        )
        .exists()
    )


def _submitted(user: User, item: QueueItem) -> bool:
    return (
        Review.objects.filter(item=item, reviewer=user, state=Review.State.SUBMITTED)
        .values("pk")
        .union(
            Preference.objects.filter(item=item, reviewer=user, state=Preference.State.SUBMITTED).values(
                "pk"
            ),
            all=True,
        )
        .exists()
    )


def may_open(*, user: User, about: QueueItem | PromptVersion, standing: Standing) -> bool:
    """In a blind queue only those who work on the item, and managers, begin a conversation about it."""
    if standing is Standing.OWN:
        assert isinstance(about, QueueItem)  # nosec B101 (prompts have no such standing)
        return _works_on(user, about)
    return standing in (Standing.UNNAMED, Standing.NAMED, Standing.MANAGER)


def threads_of(*, user: User, about: QueueItem | PromptVersion, standing: Standing) -> QuerySet[Thread]:
    if standing is Standing.NONE:
        return Thread.objects.none()
    rows = (
        Thread.objects.filter(prompt_version=about)
        if isinstance(about, PromptVersion)
        else Thread.objects.filter(item=about)
    )
    return rows.filter(opened_by=user) if standing is Standing.OWN else rows


def about_of(thread: Thread) -> QueueItem | PromptVersion:
    about = thread.item or thread.prompt_version
    assert about is not None  # nosec B101 (a constraint of the table)
    return about


def visible_thread(*, pk: int, user: User) -> tuple[Thread, Standing]:
    """Raises NotFound also where there is one that this person may not see."""
    thread = (
        Thread.objects.select_related(
            "item__queue", "item__summary__document", "prompt_version__prompt", "opened_by"
        )
        .filter(pk=pk)
        .first()
    )
    if thread is not None:
        place = standing(user=user, about=about_of(thread))
        if place is not Standing.NONE and (place is not Standing.OWN or thread.opened_by_id == user.pk):
            return thread, place
    raise NotFound("There is no such conversation, or it is not yours to see.")


def may_see(*, user: User, thread: Thread) -> bool:
    place = standing(user=user, about=about_of(thread))
    if place is Standing.OWN:
        return thread.opened_by_id == user.pk
    return place is not Standing.NONE


# ---------------------------------------------------------------- who may be named


def managers(about: QueueItem | PromptVersion) -> QuerySet[User]:
    capability = "edit_prompts" if isinstance(about, PromptVersion) else "manage_queues"
    return holders(capability)


def mentionable(*, user: User, about: QueueItem | PromptVersion, standing: Standing) -> QuerySet[User]:
    """Whom a writer of this standing may name: nobody learns from it who else reviews the item.

    Managers of a blind queue are all offered, so that the list does not tell which of them reviews the item; that one
    is not told, and finds the conversation once the item is done."""
    if isinstance(about, PromptVersion):
        return holders(*PROMPT_READERS)
    if standing is Standing.MANAGER and about.queue.blind_to_peers:
        openers = Thread.objects.filter(item=about).values("opened_by")
        people = holders("manage_queues").values("pk")
        if about.state == QueueItem.State.DONE:
            reviewers = Review.objects.filter(item=about, state=Review.State.SUBMITTED).values("reviewer")
            return User.objects.filter(
                Q(pk__in=people) | Q(pk__in=openers) | Q(pk__in=reviewers), is_active=True
            )
        return User.objects.filter(Q(pk__in=people) | Q(pk__in=openers), is_active=True)
    if about.queue.blind_to_peers:
        return holders("manage_queues")
    return holders("review", "manage_queues")


def read(*, user: User, about: QueueItem | PromptVersion) -> tuple[Standing, QuerySet[Thread]]:
    """The open ones first, in the order they were begun. A manager leaves a blind item to others by reading theirs.

    Raises NotFound where somebody has no part in it."""
    place = standing(user=user, about=about)
    if place is Standing.NONE:
        raise NotFound("There is no conversation here for you.")
    if isinstance(about, QueueItem):
        place = left_to_others(user, about, place)
    rows = threads_of(user=user, about=about, standing=place)
    rows = rows.select_related("opened_by", "resolved_by")
    return place, rows.order_by(IsNull(F("resolved_at"), True).desc(), "pk")


def left_to_others(user: User, item: QueueItem, place: Standing) -> Standing:
    """What may be read, once the item is left to others where that is its price."""
    blind = item.queue.blind_to_peers and item.state != QueueItem.State.DONE
    if not blind or place is not Standing.MANAGER or not allowed(user, "review"):
        return place
    if not Thread.objects.filter(item=item).exclude(opened_by=user).exists():
        return place
    try:
        claims.step_aside(item=item, reviewer=user)
    except Refused:  # taken in this very moment
        return Standing.OWN
    return place


def may_resolve(*, thread: Thread, user: User, standing: Standing) -> bool:
    if standing in (Standing.NONE, Standing.READING):
        return False
    return standing is Standing.MANAGER or thread.opened_by_id == user.pk


def name_for(*, writer: User, by_manager: bool, reader: User, standing: Standing) -> str:
    """Under which name somebody appears to somebody else."""
    if writer.pk == reader.pk:
        return "you"
    return writer.get_username() if by_manager or standing.sees_names else SOMEBODY
