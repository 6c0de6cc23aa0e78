"""The life of an answer at a desk: a draft that saves itself, submitted, corrected, undone for a moment.

A review and a choice between two summaries live it alike, so it is told once, by `Answering`; what an answer holds, how
it is checked and what follows from it say `reviews/desk/reviews.py` and `reviews/desk/choices.py`.

Order of locks everywhere: the item, then the answer, then the assignment. Of two last submits at once, the second sees
the first and closes the item.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Value
from django.db.models.functions import Now
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import NotFound, StaleState
from models_app.foundation.roles import require
from reviews.desk.statements import held_assignment, locked_answer, locked_item
from reviews.desk.undo import ACCEPTED
from reviews.models import Answer, Assignment, QueueItem
from reviews.queues.assignments import (
    close_assignment,
    close_if_complete,
    rank_assignments,
    reopen_if_incomplete,
)


class Entered(Protocol):
    """What a person has entered so far, or all of it."""

    @property
    def active_seconds(self) -> int: ...


Row = TypeVar("Row", bound=Answer)
Given = TypeVar("Given", bound=Entered)


class StaleDraft(StaleState):
    """Another tab saved after this one had loaded. `answer` is what is saved now."""

    code = "stale_draft"

    def __init__(self, answer: Any) -> None:
        super().__init__(answer.CHANGED_ELSEWHERE)
        self.answer = answer


class AlreadySubmitted(StaleState):
    """It was submitted, with other answers. `answer` is what was submitted."""

    code = "submitted"

    def __init__(self, answer: Any) -> None:
        super().__init__(answer.SUBMITTED_OTHERWISE)
        self.answer = answer


class Answering(ABC, Generic[Row, Given]):
    """One kind of answer. The use cases come first, then what each kind says for itself."""

    rows: type[Row]
    #: What is read with the item while it is locked.
    with_item: tuple[str, ...]

    # ------------------------------------------------------------ the use cases

    def save_draft(
        self, *, item: QueueItem, answers: Given, reviewer: User, base_revision: int, overwrite: bool = False
    ) -> Row:
        """Keep what was entered so far, also after the lease ran out. Saving the same again makes no new revision.

        `base_revision` is the revision that the form was loaded or last saved with (0 for none). Raises StaleDraft
        where another tab saved since, unless `overwrite`; AlreadySubmitted; InvalidInput for what may not even stand in
        a draft; StaleState for an item that was never mine.
        """
        require(reviewer, "review")
        with transaction.atomic():
            row = self._locked(item, reviewer)
            if row is None and self.begin(item=item, reviewer=reviewer):
                row = self._locked(item, reviewer)
            if row is None:
                raise _not_yours(self.rows)
            values = self._checked(row, answers, whole=False)
            if _same(row, values):
                _spend(row, values["active_seconds"])
                return row
            if row.state != Answer.State.DRAFT:
                raise AlreadySubmitted(row)
            if row.revision != base_revision and not overwrite:
                raise StaleDraft(row)
            _write(row, values)
        return row

    def submit(
        self, *, item: QueueItem, answers: Given, reviewer: User, base_revision: int | None = None
    ) -> Row:
        """Submit an answer; the whole of it is checked here, whatever the page did.

        It closes my own assignment to this item, of which the table holds at most one, so it cannot close anybody
        else's. Where the lease ran out and others took all of them, finished work is kept as an extra, late answer. A
        second submit of the same gives the answer there is, of something else it raises AlreadySubmitted. Raises
        InvalidInput naming each field that is missing or wrong, StaleDraft where another tab saved since
        `base_revision`, StaleState for an item that was never mine.
        """
        require(reviewer, "review")
        try:
            with transaction.atomic():
                item = self._locked_item(item)
                row = self._locked(item, reviewer) or self._just_begun(item, reviewer)
                return self._submitted(item, row, answers, base_revision)
        except IntegrityError as error:
            if not broke(error, f"{self.rows._meta.model_name}_once_per_person"):
                raise
            # another tab's first save came in between
            raise StaleDraft(self.rows._default_manager.get(item=item, reviewer=reviewer)) from error

    def revise(
        self, *, item: QueueItem, answers: Given, reviewer: User, base_revision: int | None = None
    ) -> Row:
        """Correct what I submitted; the earlier answer stays on record. One that was sent back to me is submitted again
        with it, also where I changed nothing."""
        require(reviewer, "review")
        with transaction.atomic():
            item = self._locked_item(item)
            row = self._locked(item, reviewer)
            if row is None:
                raise _not_yours(self.rows)
            if row.state not in Answer.ANSWERED:
                raise StaleState(row.NOT_SUBMITTED)
            returned = row.state == Answer.State.RETURNED
            values = self._checked(row, answers, whole=True)
            if _same(row, values) and not returned:
                return row
            if base_revision is not None and row.revision != base_revision:
                raise StaleDraft(row)
            before = self.told(row)
            row.state = Answer.State.SUBMITTED
            self.derive(row, values)
            _write(row, values)
            self.forget(row)
            self.keep(row, values)
            close_if_complete(item)
            self.follow(item, row, first=False)
            moved = {"from_state": "returned", "to_state": "submitted"} if returned else {}
            _record(row, "revise", self.told(row, before), **moved)
        return row

    def take_back(self, *, item: QueueItem, reviewer: User) -> Row:
        """Undo my submit of a moment ago: the answer is a draft again, and the assignment mine. What was submitted
        stays on record. Raises StaleState where that was longer ago, or others have built on it."""
        require(reviewer, "review")
        with transaction.atomic():
            item = self._locked_item(item)
            row = self._locked(item, reviewer)
            if row is None:
                raise _not_yours(self.rows)
            if row.state != Answer.State.SUBMITTED or row.submitted_at is None:
                raise StaleState(row.NOTHING_TO_UNDO)
            if timezone.now() - row.submitted_at > ACCEPTED:
                raise StaleState(row.TOO_LATE_TO_UNDO)
            self.refuse_undo(item, row)
            self.forget(row)
            row.state, row.submitted_at, row.late = Answer.State.DRAFT, None, False
            _write(row, {})  # a tab that still shows what was submitted is stale
            _hold_again(item, reviewer)
            rank_assignments(queue=item.queue, items=[item.pk])
            reopen_if_incomplete(item)
            self.follow_undo(item, row)
            _record(row, "take_back", self.told(row), from_state="submitted", to_state="draft")
        return row

    def begin(self, *, item: QueueItem, reviewer: User) -> Row | None:
        """My answer to this item, begun if the item is assigned to me; None where neither is mine. Somebody else needed
        the item after my lease ran out: my answer is still there."""
        require(reviewer, "review")
        self.refuse_other_items(item)
        mine = self.rows._default_manager.filter(item=item, reviewer=reviewer)
        found = mine.first()
        if found is None and (assignment := _held(item, reviewer)) is not None:
            # another tab may be as fast
            self.rows._default_manager.bulk_create(
                [self.begun(item, assignment, reviewer)], ignore_conflicts=True
            )
            found = mine.first()
        return found

    # ------------------------------------------------------------ how it is done

    def _submitted(self, item: QueueItem, row: Row, answers: Given, base_revision: int | None) -> Row:
        values = self._checked(row, answers, whole=True)
        if row.state in Answer.ANSWERED:
            if _same(row, values):
                return row
            raise AlreadySubmitted(row)
        if base_revision is not None and row.revision != base_revision and not _same(row, values):
            raise StaleDraft(row)
        first = row.submitted_at is None and row.revision <= 1
        self.derive(row, values)
        row.late = not close_assignment(item=item, reviewer=row.reviewer)
        row.state = Answer.State.SUBMITTED
        row.submitted_at = now = timezone.now()
        _write(row, values, now)
        self.keep(row, values)
        close_if_complete(item)
        self.follow(item, row, first=first)
        _record(row, "submit", self.told(row), to_state="submitted")
        return row

    def _locked_item(self, item: QueueItem) -> QueueItem:
        found = locked_item(item.pk, related=self.with_item)
        if found is None:
            raise NotFound("There is no such item.")
        self.refuse_other_items(found)
        return found

    def _locked(self, item: QueueItem, reviewer: User) -> Row | None:
        row = locked_answer(self.rows, item=item, reviewer=reviewer)
        if row is not None:
            row.item, row.reviewer = item, reviewer  # as the caller has loaded them
        return row

    def _just_begun(self, item: QueueItem, reviewer: User) -> Row:
        """An answer of which nothing was saved before. The assignment stays mine while it is submitted."""
        assignment = held_assignment(item=item, reviewer=reviewer)
        if assignment is None:
            raise _not_yours(self.rows)
        return self.begun(item, assignment, reviewer)

    def _checked(self, row: Row, answers: Given, *, whole: bool) -> dict[str, Any]:
        spent = min(answers.active_seconds, Answer.MOST_ACTIVE_SECONDS)
        return {
            **self.checked(row, answers, whole=whole),
            "active_seconds": max(row.active_seconds, spent),
        }

    # ------------------------------------------------------------ what each kind says

    @abstractmethod
    def refuse_other_items(self, item: QueueItem) -> None:
        """Raise Refused for an item that asks for another kind of answer."""

    @abstractmethod
    def begun(self, item: QueueItem, assignment: Assignment, reviewer: User) -> Row:
        """An empty answer of this assignment's holder, not saved yet."""

    @abstractmethod
    def checked(self, row: Row, answers: Given, *, whole: bool) -> dict[str, Any]:
        """The columns to write. Raises InvalidInput for what is out of range and, of a `whole` answer, missing."""

    @abstractmethod
    def follow(self, item: QueueItem, row: Row, *, first: bool) -> None:
        """What else changes once it counts, or counts otherwise. `first`: nothing followed from it before."""

    @abstractmethod
    def follow_undo(self, item: QueueItem, row: Row) -> None:
        """What else changes once it counts no more."""

    def derive(self, row: Row, values: dict[str, Any]) -> None:
        """Columns that are computed of the others when it is submitted."""

    def keep(self, row: Row, values: dict[str, Any]) -> None:
        """Rows beside it of what was submitted."""

    def forget(self, row: Row) -> None:
        """Those that hold no longer."""

    def refuse_undo(self, item: QueueItem, row: Row) -> None:
        """Raise StaleState where others have built on it."""

    def told(self, row: Row, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the audit trail keeps of it."""
        return {}


def _held(item: QueueItem, reviewer: User) -> Assignment | None:
    return Assignment.objects.filter(item=item, reviewer=reviewer, state=Assignment.State.HELD).first()


def _hold_again(item: QueueItem, reviewer: User) -> None:
    """In place: others may wait for the item, and claiming locks in another order."""
    Assignment.objects.filter(item=item, reviewer=reviewer, state=Assignment.State.DONE).update(
        state=Assignment.State.HELD,
        lease_token=uuid.uuid4(),
        lease_until=Now() + Value(timedelta(minutes=item.queue.lease_minutes)),
        claimed_at=Now(),
    )


def _not_yours(rows: type[Answer]) -> StaleState:
    return StaleState(rows.NOT_YOURS, code="not_yours")


def _write(row: Answer, values: dict[str, Any], now: datetime | None = None) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.revision += 1
    row.updated_at = now or timezone.now()
    row.save()


def _same(row: Answer, values: dict[str, Any]) -> bool:
    """Whether this is what stands in it already, whatever the time spent on it."""
    return all(getattr(row, name) == value for name, value in values.items() if name != "active_seconds")


def _spend(row: Answer, active_seconds: int) -> None:
    """Time goes on where nothing is typed; it makes no new revision."""
    if row.state == Answer.State.DRAFT and active_seconds > row.active_seconds:
        row.active_seconds = active_seconds
        row.save(update_fields=["active_seconds"])


def _record(row: Answer, act: str, told: dict[str, Any], **moved: str) -> None:
    audit.record(
        actor=row.reviewer, action=f"{row._meta.model_name}.{act}", subject=row,
        data={"item": row.item_id, "revision": row.revision, "late": row.late, **told}, **moved,
    )  # fmt: skip
