"""Proposed feedback examples are approved or declined, one by one or many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import require
from models_app.texts.normalise import one_line
from reviews.models import (
    FeedbackExample,
    Split,
)

TEST_SPLIT = (
    "Test document: it judges models, so nothing is learnt from it. "
    "Once its item is resolved, the correction can be a reference in a test set."
)

CORRECTED_SINCE = "The reviewer corrected this review since; the newer text is decided on its own."
DISPUTED = "Its reviewers differ: it waits until somebody has resolved the dispute."


def approve_example(*, example: FeedbackExample, actor: Any | None, reason: str = "") -> FeedbackExample:
    """Let it into future snapshots. Test documents and second demonstrations of one document are refused."""
    require(actor, "decide_feedback")
    if example.document.split == Split.TEST:
        raise Refused(TEST_SPLIT, code="test_split")
    return decide(example, "approved", actor, reason)


def decline_example(*, example: FeedbackExample, actor: Any | None, reason: str) -> FeedbackExample:
    """Keep it out of future snapshots; its author sees the reason."""
    require(actor, "decide_feedback")
    reason = one_line(reason)
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "The reviewer is shown it."})
    return decide(example, "declined", actor, reason)


def decide(example: FeedbackExample, state: str, actor: Any | None, reason: str) -> FeedbackExample:
    before = example.state
    if before == state:
        return example
    if before == FeedbackExample.State.HELD:
        raise Refused(DISPUTED, code="disputed")
    try:
        with transaction.atomic():
            changed = FeedbackExample.objects.filter(pk=example.pk, state=before).update(
                state=state,
                reason=reason[: FeedbackExample.LONGEST_REASON_CHARACTERS],
                decided_by=actor,
                decided_at=timezone.now(),
            )
            if not changed:
                raise StaleState(f"Example {example.pk} has been decided meanwhile.")
            audit.record(
                actor=actor, action=f"feedback.{state}", subject=f"feedbackexample:{example.pk}",
                from_state=before, to_state=state, reason=reason,
            )  # fmt: skip
    except IntegrityError as error:
        raise Refused(_why_not_two(error)) from error
    example.refresh_from_db()
    return example


def _why_not_two(error: IntegrityError) -> str:
    if broke(error, "example_once_per_review"):
        return "The reviewer has corrected this review since. Decide on the newer text instead."
    return (
        "This document has an approved demonstration already. Decline that one first if this is the better."
    )


def approve_examples(*, examples: Sequence[FeedbackExample], actor: Any | None) -> tuple[int, list[str]]:
    """Approve many; returns how many and, for the others, why not."""
    require(actor, "decide_feedback")
    return _each(examples, lambda example: approve_example(example=example, actor=actor))


def decline_examples(
    *, examples: Sequence[FeedbackExample], actor: Any | None, reason: str
) -> tuple[int, list[str]]:
    """Decline many for one reason; returns how many and, for the others, why not."""
    require(actor, "decide_feedback")
    return _each(examples, lambda example: decline_example(example=example, actor=actor, reason=reason))


def _each(
    examples: Sequence[FeedbackExample], decide: Callable[[FeedbackExample], Any]
) -> tuple[int, list[str]]:
    decided, refusals = 0, []
    for example in examples:
        try:
            decide(example)
            decided += 1
        except Refused as refusal:
            refusals.append(f"Example {example.pk}: {refusal.message}")
    return decided, refusals
