"""Putting summaries into a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotFound, Refused
from models_app.foundation.roles import require
from reviews.models import QueueItem, ReviewQueue, SourceDocument, Split, Summary
from reviews.queues.assignments import fit_assignments, share_queue
from reviews.queues.grounding import start_linking


def put_in_queue(
    *,
    summary: Summary,
    queue_slug: str,
    reason: str,
    priority: int = 0,
    note: str = "",
    actor: Any | None,
) -> QueueItem:
    """An assignment for each wanted review of this summary. One that is in the queue already is left as it is."""
    require(actor, "import_documents")
    if reason not in QueueItem.Reason.values:
        raise InvalidInput(
            "Say why it is put into the queue.", fields={"reason": ", ".join(QueueItem.Reason.values)}
        )
    queue = ReviewQueue.objects.filter(slug=queue_slug).first()
    if queue is None:
        raise NotFound(f"There is no review queue {queue_slug!r}.")
    if not takes(queue=queue, document=summary.document):
        raise Refused(
            f"Document {summary.document_id} is a test document: no prompt is tried on it, so it is in no queue for "
            "trying prompts.",
            code="test_document",
        )
    with transaction.atomic():
        share_queue(queue.pk)
        queue.refresh_from_db()  # it may just have been changed
        item, made = QueueItem.objects.get_or_create(
            queue=queue,
            summary=summary,
            other=None,
            defaults={"reason": reason, "priority": priority, "note": note, "confidence": summary.confidence},
        )
        if made:
            fit_assignments(queue=queue, items=[item.pk])
            item.refresh_from_db(fields=["wanted_reviews"])
            if actor is not None:  # what jobs put in by the thousand, they record once
                audit.record(actor=actor, action="item.queue", subject=item, data={"queue": queue.slug})
                start_linking()
    return item


def takes(*, queue: ReviewQueue, document: SourceDocument) -> bool:
    """Test documents are in no queue whose reviewers try prompts."""
    return queue.kind != ReviewQueue.Kind.PROMPT_TRIAL or document.split != Split.TEST


@dataclass(frozen=True)
class Entry:
    """A summary to put in, and what to note about it."""

    summary: int
    note: str = ""


def put_many(
    *, queue: ReviewQueue, entries: Sequence[Entry], reason: str, priority: int = 0, actor: Any | None
) -> int:
    """`put_in_queue` for many summaries, in a handful of statements. Returns how many were not in the queue before;
    the caller records that."""
    require(actor, "import_documents")
    notes = {entry.summary: entry.note for entry in entries}
    if not notes:
        return 0
    with transaction.atomic():
        share_queue(queue.pk)
        queue.refresh_from_db()
        there = queue.items.filter(summary__in=notes, other=None).values_list("summary", flat=True)
        wanted = sorted(set(notes) - set(there))
        if queue.kind == ReviewQueue.Kind.PROMPT_TRIAL:
            tests = Summary.objects.filter(pk__in=wanted, document__split=Split.TEST)
            wanted = sorted(set(wanted) - set(tests.values_list("pk", flat=True)))
        confidence = dict(Summary.objects.filter(pk__in=wanted).values_list("pk", "confidence"))
        QueueItem.objects.bulk_create(
            (
                QueueItem(
                    queue=queue,
                    summary_id=pk,
                    reason=reason,
                    priority=priority,
                    note=notes[pk],
                    confidence=confidence[pk],
                )
                for pk in wanted
            ),
            batch_size=1000,
            ignore_conflicts=True,  # somebody else may just have put one in; both then wait for each other's commit
        )
        made = list(
            queue.items.filter(summary__in=wanted, other=None, assignments=None).values_list("pk", flat=True)
        )
        if made:
            fit_assignments(queue=queue, items=made)
            start_linking()
    return len(made)
