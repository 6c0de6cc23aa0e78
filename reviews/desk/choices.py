"""Choosing between two summaries of one article, blind: drafts, submits, corrections, taking back.

A person says left or right; which summary stands there is drawn for the seat, and kept in their `Preference` row from
the first look, so no form carries it. A choice on a test document that is handed in, corrected or taken back is a vote
on the two releases, appended in the same transaction (models_app/evaluation/people.py).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.evaluation.people import cast_vote
from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.texts.normalise import normalise
from reviews.desk.undo import ACCEPTED
from reviews.models import Preference, QueueItem, ReviewQueue, ReviewSlot, Split
from reviews.queues.seats import close_if_complete, close_seat, rank_seats, reopen_if_incomplete

LONGEST_REASON_CHARACTERS = 4000
MOST_ACTIVE_SECONDS = 8 * 3600

Answer = Literal["left", "right", "tie", "both bad", ""]
ANSWERS: tuple[Answer, ...] = ("left", "right", "tie", "both bad")
STRENGTHS = {1: "slightly better", 2: "clearly better", 3: "much better"}


@dataclass(frozen=True)
class Judgement:
    """What a person has entered so far, in terms of what they see. `strength` goes with left and right."""

    answer: str = ""
    strength: int | None = None
    reason: str = ""
    active_seconds: int = 0


class StaleChoice(StaleState):
    """Another tab saved or handed in meanwhile. `preference` is what is kept now."""

    def __init__(self, preference: Preference, code: str) -> None:
        super().__init__(
            "You have handed in another choice for this pair already. Leave it, or correct it."
            if code == "submitted"
            else "Another choice was saved in another tab or window. Reload to see it, or keep this one.",
            code=code,
        )
        self.preference = preference


def seen(preference: Preference) -> Judgement:
    """A kept choice in terms of what its person saw."""
    return Judgement(
        answer=_turned(preference.choice, preference.after_was_left),
        strength=preference.strength,
        reason=preference.reason,
        active_seconds=preference.active_seconds,
    )


def _turned(word: str, after_was_left: bool) -> str:
    """Left and right to before and after, and back."""
    pairs = {"left": "after", "right": "before"} if after_was_left else {"left": "before", "right": "after"}
    return (pairs | {there: here for here, there in pairs.items()}).get(word, word)


def save_choice(
    *, item: QueueItem, judgement: Judgement, reviewer: User, base_revision: int, overwrite: bool = False
) -> Preference:
    """Keep what was entered so far, also after the lease ran out. Saving the same again changes nothing.

    Raises StaleChoice where another tab saved since `base_revision`, unless `overwrite`, or has handed in; StaleState
    for a pair that was never mine; InvalidInput for what may not even stand in a draft.
    """
    require(reviewer, "review")
    with transaction.atomic():
        preference = _mine(item, reviewer)
        values = _checked(preference, judgement, whole=False)
        if _same(preference, values):
            return preference
        if preference.state == Preference.State.SUBMITTED:
            raise StaleChoice(preference, "submitted")
        if preference.revision != base_revision and not overwrite:
            raise StaleChoice(preference, "stale_draft")
        _write(preference, values)
    return preference


def choose(
    *, item: QueueItem, judgement: Judgement, reviewer: User, base_revision: int | None = None
) -> Preference:
    """Hand a choice in; it closes my own seat. Where the lease ran out and others took all seats, it is kept as a late
    one. The same choice again gives the one there is."""
    require(reviewer, "review")
    with transaction.atomic():
        item = _locked_item(item)
        preference = _mine(item, reviewer)
        values = _checked(preference, judgement, whole=True)
        if preference.state == Preference.State.SUBMITTED:
            if _same(preference, values):
                return preference
            raise StaleChoice(preference, "submitted")
        if (
            base_revision is not None
            and preference.revision != base_revision
            and not _same(preference, values)
        ):
            raise StaleChoice(preference, "stale_draft")
        preference.late = not close_seat(item=item, reviewer=reviewer)
        preference.state, preference.submitted_at = Preference.State.SUBMITTED, timezone.now()
        _write(preference, values)
        close_if_complete(item)
        _vote(item, preference, _PREFERRED[preference.choice])
        _record(preference, reviewer, "preference.submit", to_state="submitted")
    return preference


def revise_choice(
    *, item: QueueItem, judgement: Judgement, reviewer: User, base_revision: int | None = None
) -> Preference:
    """Correct a choice that I handed in; the audit trail keeps the earlier one."""
    require(reviewer, "review")
    with transaction.atomic():
        item = _locked_item(item)
        preference = _mine(item, reviewer)
        if preference.state != Preference.State.SUBMITTED:
            raise StaleState("This choice has not been handed in yet.")
        values = _checked(preference, judgement, whole=True)
        if _same(preference, values):
            return preference
        if base_revision is not None and preference.revision != base_revision:
            raise StaleChoice(preference, "stale_draft")
        before = {"choice": preference.choice, "strength": preference.strength}
        _write(preference, values)
        _vote(item, preference, _PREFERRED[preference.choice])
        _record(preference, reviewer, "preference.revise", before=before)
    return preference


def take_back(*, item: QueueItem, reviewer: User) -> Preference:
    """Undo my submit, for ten seconds: the choice is a draft again and the seat is mine. Raises StaleState later."""
    require(reviewer, "review")
    with transaction.atomic():
        item = _locked_item(item)
        preference = _mine(item, reviewer)
        if preference.state != Preference.State.SUBMITTED or preference.submitted_at is None:
            raise StaleState("This choice is not handed in.")
        if timezone.now() - preference.submitted_at > ACCEPTED:
            raise StaleState(
                "It can be taken back for ten seconds; after that it can be corrected.", code="too_late"
            )
        preference.state, preference.submitted_at = Preference.State.DRAFT, None
        preference.revision += 1
        preference.updated_at = timezone.now()
        preference.save()
        # The seat goes back to held in place: others may wait for the item, and claiming locks in another order.
        until = timezone.now() + timedelta(minutes=item.queue.lease_minutes)
        ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="done").update(
            state="held", lease_token=uuid.uuid4(), lease_until=until, claimed_at=timezone.now()
        )
        rank_seats(queue=item.queue, items=[item.pk])
        reopen_if_incomplete(item)
        _vote(item, preference, "withdrawn")
        _record(preference, reviewer, "preference.take_back", from_state="submitted", to_state="draft")
    return preference


# ---------------------------------------------------------------- whose it is


def _locked_item(item: QueueItem) -> QueueItem:
    """Locked first, as everywhere: of two last choices at once, the second sees the first and closes the item."""
    return (
        QueueItem.objects.select_for_update(of=("self",), no_key=True)
        .select_related("summary__release", "summary__document", "other__release", "queue")
        .get(pk=item.pk)
    )


def begin(*, item: QueueItem, reviewer: User) -> Preference | None:
    """My row of this pair, begun for whoever sits at it; None where neither is mine. It says on which side the summary
    after stands for me, whatever seat I get later."""
    require(reviewer, "review")
    if item.queue.kind != ReviewQueue.Kind.PAIRWISE:
        raise Refused("This item asks for a review, not for a choice.", code="not_pairwise")
    found = Preference.objects.filter(item=item, reviewer=reviewer).first()
    if found is None:
        seat = ReviewSlot.objects.filter(item=item, reviewer=reviewer, state="held").first()
        if seat is not None:
            found, _ = Preference.objects.get_or_create(
                item=item, reviewer=reviewer, defaults={"after_was_left": seat.swapped}
            )
    return found


def _mine(item: QueueItem, reviewer: User) -> Preference:
    found = begin(item=item, reviewer=reviewer)
    if found is None:
        raise StaleState(
            "You do not hold this pair, so nothing can be kept or handed in for it.", code="not_yours"
        )
    return Preference.objects.select_for_update().get(pk=found.pk)


# ---------------------------------------------------------------- what is kept


def _checked(preference: Preference, judgement: Judgement, *, whole: bool) -> dict[str, Any]:
    wrong = {}
    if judgement.answer not in (*ANSWERS, ""):
        wrong["answer"] = "left, right, tie or both bad."
    sided = judgement.answer in ("left", "right")
    if judgement.strength is not None and not (sided and judgement.strength in STRENGTHS):
        wrong["strength"] = "1 slightly, 2 clearly, 3 much better; only with left or right."
    if len(judgement.reason) > LONGEST_REASON_CHARACTERS:
        wrong["reason"] = f"Longer than {LONGEST_REASON_CHARACTERS:,} characters."
    if judgement.active_seconds < 0:
        wrong["active_seconds"] = "Not a time."
    if wrong:
        raise InvalidInput("Some answers are out of range.", fields=wrong)
    if whole and not judgement.answer:
        wrong["answer"] = "Which one is better?"
    if whole and sided and judgement.strength is None:
        wrong["strength"] = "How much better?"
    if wrong:
        raise InvalidInput("Something is missing before this can be handed in.", fields=wrong)
    return {
        "choice": _turned(judgement.answer, preference.after_was_left),
        "strength": judgement.strength,
        "reason": normalise(judgement.reason),
        "active_seconds": max(preference.active_seconds, min(judgement.active_seconds, MOST_ACTIVE_SECONDS)),
    }


def _same(preference: Preference, values: dict[str, Any]) -> bool:
    return all(
        getattr(preference, name) == value for name, value in values.items() if name != "active_seconds"
    )


def _write(preference: Preference, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(preference, name, value)
    preference.revision += 1
    preference.updated_at = timezone.now()
    preference.save()


def _record(preference: Preference, reviewer: User, action: str, **moved: Any) -> None:
    before = moved.pop("before", None)
    audit.record(
        actor=reviewer, action=action, subject=preference,
        data={
            "item": preference.item_id, "late": preference.late,
            "answer": {
                "choice": preference.choice, "strength": preference.strength, **({"before": before} if before else {}),
            },
        },
        **moved,
    )  # fmt: skip


_PREFERRED: dict[str, str] = {
    Preference.Choice.AFTER: "candidate",
    Preference.Choice.BEFORE: "baseline",
    Preference.Choice.TIE: "tie",
    Preference.Choice.BOTH_BAD: "both bad",
}


def _vote(item: QueueItem, preference: Preference, preferred: str) -> None:
    """On two releases, if these are two. Documents of training and validation say nothing about a model that may have
    learnt from them."""
    before, after = item.summary.release, item.other.release if item.other else None
    document = item.summary.document
    if before is None or after is None or before.pk == after.pk or document.split != Split.TEST:
        return
    cast_vote(
        candidate=after, baseline=before, document_hash=document.content_hash, origin=f"queueitem:{item.pk}",
        judge=preference.reviewer, preferred=preferred, candidate_left=preference.after_was_left,
    )  # fmt: skip
