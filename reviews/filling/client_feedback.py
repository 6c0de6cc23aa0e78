"""Weak summaries come back to the desk: what users of client programs found fault with, wished for, or corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from models_app.models import ClientFeedback, InferenceRequest
from models_app.texts.comment_classes import COMPLAINTS
from models_app.texts.comment_cues import CommentClass
from reviews.examples.proposals import propose_from_client
from reviews.ingest.documents import DocumentRow, content_hash, import_rows
from reviews.models import QueueItem, QueueRule, ReviewQueue, SourceDocument, Summary
from reviews.queues.assignments import rank_assignments
from reviews.queues.items import put_in_queue, takes
from reviews.queues.rules import Complaint, FewStars, Params, Wants, params_of

ORIGIN = "API"
_GRAVEST = [
    QueueItem.Reason.FEW_STARS,
    QueueItem.Reason.COMPLAINT,
    QueueItem.Reason.RETRAIN,
    QueueItem.Reason.REFINE,
]


@dataclass(frozen=True)
class Returned:
    """The result of one client's feedback. `said` is for people; numbers are null where nothing was made."""

    said: str
    document: int | None = None
    summary: int | None = None
    item: int | None = None
    example: int | None = None
    new_items: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def why(
    *, stars: int, category: str, wants: str, rules: Sequence[Params] = (FewStars(), Complaint(), Wants())
) -> tuple[QueueItem.Reason, int] | None:
    """The reason to look at a summary again, gravest first, and how urgent that is; None where none of the rules
    applies.

    Each missing star counts ten, a factual error fifteen, any other complaint or wish five.
    """
    wishes = {
        ClientFeedback.Wants.RETRAIN: QueueItem.Reason.RETRAIN,
        ClientFeedback.Wants.REFINE: QueueItem.Reason.REFINE,
    }
    reasons = []
    for rule in rules:
        match rule:
            case FewStars() if stars <= rule.at_most:
                reasons.append(QueueItem.Reason.FEW_STARS)
            case Complaint() if category in rule.classes:
                reasons.append(QueueItem.Reason.COMPLAINT)
            case Wants() if wants in wishes and getattr(rule, wants):
                reasons.append(wishes[ClientFeedback.Wants(wants)])
    if not reasons:
        return None
    grave = 15 if category == CommentClass.FACTUAL_ERROR else 5 if category in COMPLAINTS else 0
    return min(reasons, key=_GRAVEST.index), 10 * (5 - stars) + grave + (5 if wants in wishes else 0)


def bring_back(*, feedback: ClientFeedback, queues: Sequence[ReviewQueue] | None = None) -> Returned:
    """Put the summary into the queues whose rules ask for it (of these, else of all), and a client's correction among
    the feedback examples.

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
    wanted = _wanted(feedback, queues)
    if not wanted and not feedback.edited_summary:
        return Returned("No queue's rules ask for it, and there is no correction: nothing to do.")
    with transaction.atomic():
        document, refusal = _document(request)
        if document is None:
            return Returned(f"The text was not taken as a document: {refusal}")
        summary = _summary(request, document)
        there = set(QueueItem.objects.filter(summary=summary, other=None).values_list("pk", flat=True))
        items = [
            _queued(summary, feedback, *found) for found in wanted if takes(queue=found[0], document=document)
        ]
        example = (
            propose_from_client(summary=summary, corrected=feedback.edited_summary, by=request.client)
            if feedback.edited_summary
            else None
        )
    done = [
        "put into the queue" if items else "",
        "its correction was proposed as an example" if example else "",
    ]
    return Returned(
        said=" and ".join(part for part in done if part).capitalize() + ".",
        document=document.pk,
        summary=summary.pk,
        item=items[0].pk if items else None,
        example=example.pk if example else None,
        new_items=sum(item.pk not in there for item in items),
    )


def _wanted(
    feedback: ClientFeedback, queues: Sequence[ReviewQueue] | None
) -> list[tuple[ReviewQueue, QueueItem.Reason, int]]:
    """Which queues want the summary, why, and how urgently."""
    rows = QueueRule.objects.filter(
        active=True, kind__in=[kind.kind for kind in (FewStars, Complaint, Wants)],
        queue__active=True, queue__kind__in=ReviewQueue.AT_DESK,
    )  # fmt: skip
    if queues is not None:
        rows = rows.filter(queue__in=queues)
    by_queue: dict[ReviewQueue, list[Params]] = {}
    for rule in rows.select_related("queue").order_by("queue", "pk"):
        by_queue.setdefault(rule.queue, []).append(params_of(rule.kind, rule.params))
    found = []
    for queue, rules in by_queue.items():
        reason = why(stars=feedback.stars, category=feedback.category, wants=feedback.wants, rules=rules)
        if reason is not None:
            found.append((queue, *reason))
    return found


def take_in(request: InferenceRequest) -> Summary | None:
    """The answer to a client's request as a summary of a document, made unless it is there; None where its text is no
    article that may be taken in."""
    with transaction.atomic():
        document, _ = _document(request)
        return None if document is None else _summary(request, document)


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
            "confidence": request.confidence,
            "truncated": "truncated" in request.flags,
        },
    )
    return summary


def _queued(
    summary: Summary, feedback: ClientFeedback, queue: ReviewQueue, reason: QueueItem.Reason, priority: int
) -> QueueItem:
    """In the queue once; another complaint about the same summary adds its words and makes it more urgent."""
    item = put_in_queue(
        summary=summary,
        queue_slug=queue.slug,
        reason=reason,
        priority=priority,
        note=feedback.comment,
        actor=None,
    )
    item = QueueItem.objects.locked().select_related("queue").get(pk=item.pk)
    if feedback.comment and feedback.comment not in item.note:
        item.note = f"{item.note}\n\n{feedback.comment}".strip()
        item.save(update_fields=["note"])
    if priority > item.priority:
        item.priority = priority
        item.save(update_fields=["priority"])
        rank_assignments(queue=item.queue, items=[item.pk])
    return item
