"""Weak summaries come back to the desk: what users of client programs found fault with, wished for, or corrected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from models_app.models import ClientFeedback, InferenceRequest
from models_app.monitoring.comment_classes import COMPLAINTS
from models_app.monitoring.comment_cues import CommentClass
from reviews.feedback import propose_from_client
from reviews.intake import DocumentRow, content_hash, import_rows
from reviews.models import QueueItem, ReviewSlot, SourceDocument, Summary
from reviews.queueing import put_in_queue

QUEUE = "weak-outputs"
ORIGIN = "API"
FEW_STARS = 2


@dataclass(frozen=True)
class Returned:
    """What came of one client's feedback. `said` is for people; numbers are null where nothing was made."""

    said: str
    document: int | None = None
    summary: int | None = None
    item: int | None = None
    example: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def why(*, stars: int, category: str, wants: str) -> tuple[QueueItem.Reason, int] | None:
    """The reason to look at a summary again, gravest first, and how urgent that is; None where there is none.

    Each missing star counts ten, a factual error fifteen, any other complaint or wish five.
    """
    complaint = category in COMPLAINTS
    wishes = {
        ClientFeedback.Wants.RETRAIN: QueueItem.Reason.RETRAIN,
        ClientFeedback.Wants.REFINE: QueueItem.Reason.REFINE,
    }
    if stars <= FEW_STARS:
        reason = QueueItem.Reason.FEW_STARS
    elif complaint:
        reason = QueueItem.Reason.COMPLAINT
    elif wants in wishes:
        reason = wishes[ClientFeedback.Wants(wants)]
    else:
        return None
    grave = 15 if category == CommentClass.FACTUAL_ERROR else 5 if complaint else 0
    return reason, 10 * (5 - stars) + grave + (5 if wants in wishes else 0)


def bring_back(*, feedback: ClientFeedback) -> Returned:
    """Put the summary into the queue of weak outputs, and a client's correction among the feedback examples.

    Doing it twice changes nothing. What cannot be done is said in the result: a text that was not kept cannot be
    judged by anybody.
    """
    request = feedback.request
    if not request.text or not request.summary:
        return Returned(
            "The text of this request was not kept (GALLEY_KEEP_REQUEST_TEXT), so nobody can review it."
            if not request.text
            else "This request got no summary, so there is nothing to review."
        )
    wanted = why(stars=feedback.stars, category=feedback.category, wants=feedback.wants)
    if wanted is None and not feedback.edited_summary:
        return Returned("Neither few stars nor a complaint, a wish or a correction: nothing to do.")
    with transaction.atomic():
        document, refusal = _document(request)
        if document is None:
            return Returned(f"The text was not taken as a document: {refusal}")
        summary = _summary(request, document)
        item = _queued(summary, feedback, *wanted) if wanted else None
        example = (
            propose_from_client(summary=summary, corrected=feedback.edited_summary)
            if feedback.edited_summary
            else None
        )
    done = [
        "put into the queue" if item else "",
        "its correction was proposed as an example" if example else "",
    ]
    return Returned(
        said=" and ".join(part for part in done if part).capitalize() + ".",
        document=document.pk,
        summary=summary.pk,
        item=item.pk if item else None,
        example=example.pk if example else None,
    )


def _document(request: InferenceRequest) -> tuple[SourceDocument | None, str]:
    """The article, taken in unless it is there already; or None and why it is refused."""
    digest = content_hash(request.text)
    known = SourceDocument.objects.filter(content_hash=digest).first()
    if known is not None:
        return known, ""
    row = DocumentRow(text=request.text, title=request.title, domain=request.domain)
    report = import_rows(rows=[row], origin=ORIGIN, actor=None)
    document = SourceDocument.objects.filter(content_hash=digest).first()
    return document, " ".join(refusal.reason for refusal in report.refused)


def _summary(request: InferenceRequest, document: SourceDocument) -> Summary:
    summary, _ = Summary.objects.get_or_create(
        request_id=request.pk,
        defaults={
            "document": document,
            "release_id": request.release_id,
            "model_version_id": request.model_version_id,
            "prompt_version_id": request.prompt_version_id,
            "text": request.summary,
            "words": request.summary_words,
            "decoding": {"max_words": request.max_words} if request.max_words else {},
            "source": Summary.Source.API,
            "latency_ms": request.latency_ms,
            "truncated": "truncated" in request.flags,
        },
    )
    return summary


def _queued(summary: Summary, feedback: ClientFeedback, reason: QueueItem.Reason, priority: int) -> QueueItem:
    """In the queue once; another complaint about the same summary adds its words and makes it more urgent."""
    item = put_in_queue(
        summary=summary, queue_slug=QUEUE, reason=reason, priority=priority, note=feedback.comment, actor=None
    )
    item = QueueItem.objects.select_for_update(no_key=True).get(pk=item.pk)
    if feedback.comment and feedback.comment not in item.note:
        item.note = f"{item.note}\n\n{feedback.comment}".strip()
        item.save(update_fields=["note"])
    if priority > item.priority:
        item.priority = priority
        item.save(update_fields=["priority"])
        ReviewSlot.objects.filter(item=item).update(priority=Greatest(F("priority"), priority))
    return item
