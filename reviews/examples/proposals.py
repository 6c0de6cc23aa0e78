"""Feedback examples are proposed: by reviews, adjudications, clients, and the references of documents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from models_app.foundation import audit, locks
from models_app.foundation.roles import require
from models_app.texts.normalise import normalise
from reviews.examples.decisions import CORRECTED_SINCE, TEST_SPLIT, decide
from reviews.models import (
    Adjudication,
    FeedbackExample,
    QueueItem,
    Review,
    SourceDocument,
    Split,
    Summary,
)

LEAST_WORDS = 5
_REFERENCES_LOCK = 0x5EF5
_PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+|(?<!\d)(?:\d[ -]?){13,16}(?!\d)")


def _objection(document: SourceDocument, target: str) -> str:
    """Why Galley itself declines an example, or nothing."""
    return TEST_SPLIT if document.split == Split.TEST else unfit(target)


def unfit(target: str) -> str:
    """Why a text is neither learnt from nor measured against, or nothing."""
    if len(target.split()) < LEAST_WORDS:
        return f"Too short to learn from: fewer than {LEAST_WORDS} words."
    if _PERSONAL.search(target):
        return "Contains what looks like an e-mail address or a card number."
    return ""


def _proposal(document: SourceDocument, target: str, **fields: Any) -> FeedbackExample:
    objection = _objection(document, target)
    return FeedbackExample(
        document=document,
        target=target,
        state="declined" if objection else "proposed",
        reason=objection,
        decided_at=timezone.now() if objection else None,
        **fields,
    )


def _propose(document: SourceDocument, target: str, **fields: Any) -> FeedbackExample:
    example = _proposal(document, target, **fields)
    example.save()
    return example


def propose_from_review(*, review: Review, first: bool = False) -> list[FeedbackExample]:
    """A submitted review's examples: the corrected text, or the text as it was where it was found good; and the
    correction as preferred to the draft. A corrected review replaces what is not yet decided, and takes back what was
    approved with another text: somebody has to decide on it again. Nothing is learnt from gold items and calibration
    rounds; the final answer for an item stands above its reviews. `first`: nothing was proposed from it before."""
    if review.item.reason == QueueItem.Reason.GOLD or review.item.queue.calibration:
        return []
    document, draft = review.summary.document, review.summary.text.strip()
    target = review.edited_text.strip()
    edited = target != draft
    examples = []
    with transaction.atomic(savepoint=False):
        mine = FeedbackExample.objects.filter(review=review)
        # an item that is open has no final answer
        closed = review.item.state != QueueItem.State.OPEN
        if closed and Adjudication.objects.filter(item=review.item_id).exists():
            return []
        decided: set[str] = set()
        if not first and mine.exists():
            mine.filter(Q(state__in=["proposed", "held"]) | Q(state="declined", decided_by=None)).delete()
            for outdated in mine.filter(state="approved").exclude(target=target):
                decide(outdated, "declined", review.reviewer, CORRECTED_SINCE)
            decided = set(mine.filter(target=target).values_list("kind", flat=True))
        common = {
            "review": review,
            "summary": review.summary,
            "origin": "review",
            "created_by": review.reviewer,
        }
        if (edited or review.verdict == Review.Verdict.GOOD) and "demonstration" not in decided:
            examples.append(_proposal(document, target, kind="demonstration", **common))
        if edited and "preference" not in decided:
            examples.append(_proposal(document, target, kind="preference", rejected=draft, **common))
        FeedbackExample.objects.bulk_create(examples)
    return examples


def propose_from_adjudication(*, adjudication: Adjudication) -> list[FeedbackExample]:
    """The final answer for a disputed item, in place of what its reviews would teach."""
    summary = adjudication.item.summary
    target, draft = adjudication.edited_text.strip(), summary.text.strip()
    common: dict[str, Any] = {
        "adjudication": adjudication, "summary": summary, "origin": "adjudication",
        "created_by": adjudication.adjudicator,
    }  # fmt: skip
    examples = []
    with transaction.atomic():
        if target != draft or adjudication.verdict == Review.Verdict.GOOD:
            examples.append(_propose(summary.document, target, kind="demonstration", **common))
        if target != draft:
            examples.append(_propose(summary.document, target, kind="preference", rejected=draft, **common))
    return examples


def propose_from_client(*, summary: Summary, corrected: str, by: User | None) -> FeedbackExample | None:
    """A correction that came through the API, as a demonstration to be decided on. None where it was proposed before,
    or changes nothing. `by` is the person of the token: what it sends, they wrote."""
    target = normalise(corrected)
    if not target or target == normalise(summary.text):
        return None
    with transaction.atomic():
        # two deliveries of one feedback must not propose it twice
        Summary.objects.select_for_update(no_key=True).get(pk=summary.pk)
        if FeedbackExample.objects.filter(summary=summary, origin="client", target=target).exists():
            return None
        return _propose(
            summary.document, target, kind="demonstration", origin="client", summary=summary, created_by=by
        )


def propose_from_references(
    *, documents: Iterable[SourceDocument], actor: Any | None
) -> list[FeedbackExample]:
    """Reference summaries as demonstrations, for documents of training and validation that have one. What was
    proposed before with the same text, whatever was decided, is not proposed again."""
    require(actor, "import_documents")
    wanted = [
        document for document in documents if document.split != Split.TEST and document.reference.strip()
    ]
    with transaction.atomic():
        locks.alone(_REFERENCES_LOCK)  # two at once must not propose the same twice
        known = set(
            FeedbackExample.objects.filter(document__in=wanted, origin="reference").values_list(
                "document", "target"
            )
        )
        examples = [
            _proposal(document, target, kind="demonstration", origin="reference", created_by=actor)
            for document in wanted
            if (document.pk, target := document.reference.strip()) not in known
        ]
        FeedbackExample.objects.bulk_create(examples, batch_size=1000)
        if examples:
            audit.record(
                actor=actor,
                action="feedback.propose_references",
                subject="feedback",
                data={"count": len(examples)},
            )
    return examples
