"""Choosing between two summaries of one article, blind.

A person says left or right; which summary stands there is drawn for the assignment, and kept in their `Preference` row
from the first look, so no form carries it. A choice on a test document that is submitted, corrected or taken back is a
vote on the two releases, appended in the same transaction (models_app/evaluation/people.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from models_app.evaluation.people import cast_vote
from models_app.foundation.errors import InvalidInput, Refused
from models_app.texts.normalise import normalise
from reviews.desk.answers import Answering
from reviews.models import Assignment, Preference, QueueItem, ReviewQueue, Split
from reviews.models.answers import INCOMPLETE, OUT_OF_RANGE

SIDES = ("left", "right")
ANSWERS = (*SIDES, "tie", "both bad")


@dataclass(frozen=True)
class Judgement:
    """What a person has entered so far, in terms of what they see. `strength` goes with left and right."""

    answer: str = ""
    strength: int | None = None
    reason: str = ""
    active_seconds: int = 0


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


class _Choices(Answering[Preference, Judgement]):
    rows = Preference
    with_item = ("summary__release", "summary__document", "other__release")

    def refuse_other_items(self, item: QueueItem) -> None:
        if item.queue.kind != ReviewQueue.Kind.PAIRWISE:
            raise Refused("This item asks for a review, not for a choice.", code="not_pairwise")

    def begun(self, item: QueueItem, assignment: Assignment, reviewer: User) -> Preference:
        """It says on which side the summary after stands for this person, whatever assignment they get later."""
        return Preference(item=item, reviewer=reviewer, after_was_left=assignment.swapped)

    def checked(self, row: Preference, answers: Judgement, *, whole: bool) -> dict[str, Any]:
        wrong, sided = {}, answers.answer in SIDES
        if answers.answer not in (*ANSWERS, ""):
            wrong["answer"] = "left, right, tie or both bad."
        if answers.strength is not None and not sided:
            wrong["strength"] = Preference.UNKNOWN_STRENGTH
        if wrong := wrong | Preference.out_of_range(
            strength=answers.strength, reason=answers.reason, active_seconds=answers.active_seconds
        ):
            raise InvalidInput(OUT_OF_RANGE, fields=wrong)
        if whole and not answers.answer:
            raise InvalidInput(INCOMPLETE, fields={"answer": "Which one is better?"})
        if whole and sided and answers.strength is None:
            raise InvalidInput(INCOMPLETE, fields={"strength": "How much better?"})
        return {
            "choice": _turned(answers.answer, row.after_was_left),
            "strength": answers.strength,
            "reason": normalise(answers.reason),
        }

    def follow(self, item: QueueItem, row: Preference, *, first: bool) -> None:
        _vote(item, row, _PREFERRED[row.choice])

    def follow_undo(self, item: QueueItem, row: Preference) -> None:
        _vote(item, row, "withdrawn")

    def told(self, row: Preference, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Shown to nobody who may be asked the same (models_app/foundation/audit.py)."""
        answer: dict[str, Any] = {"choice": row.choice, "strength": row.strength}
        return {"answer": {**answer, "before": before["answer"]} if before else answer}


CHOICES = _Choices()
begin, save_choice, choose = CHOICES.begin, CHOICES.save_draft, CHOICES.submit
revise_choice, take_back = CHOICES.revise, CHOICES.take_back


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
