"""What the users of client programs say about summaries, and which of it goes to the review desk."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput
from models_app.models import ClientFeedback, InferenceRequest
from models_app.monitoring import metrics
from models_app.serving.summarizing import summary_hash
from models_app.texts.comment_classes import COMPLAINTS, classify_comment
from models_app.texts.normalise import normalise
from models_app.texts.sentiment import sentiment

FEW_STARS = 2


def give_feedback(
    *, request: InferenceRequest, stars: int, comment: str = "", edited_summary: str = "", wants: str = "none"
) -> ClientFeedback:
    """Keep it, with the comment's sentiment and class; let the desk look at the summary where it is asked for.

    Comments and edits quote the texts they are about: where those are not kept, neither are they.
    """
    if wants not in ClientFeedback.Wants.values:
        raise InvalidInput(
            "Nothing like that can be wanted.", fields={"wants": "Write none, retrain or refine."}
        )
    if not 1 <= stars <= 5:
        raise InvalidInput("Stars go from 1 to 5.", fields={"stars": "Write a whole number from 1 to 5."})
    comment, edited = normalise(comment), normalise(edited_summary)
    if edited and _is_the_summary(edited, request):
        edited = ""
    kept = settings.GALLEY_KEEP_REQUEST_TEXT and bool(request.text)
    tone = sentiment(comment) if comment else None
    feedback = ClientFeedback(
        request=request,
        stars=stars,
        comment=comment if kept else "",
        edited_summary=edited if kept else "",
        edited=bool(edited),
        wants=wants,
        sentiment=tone.label if tone else "",
        sentiment_score=tone.score if tone else None,
        category=classify_comment(comment).value if comment else "",
    )
    with transaction.atomic():
        feedback.save()
        if needs_review(feedback):
            _send_to_desk(feedback)
    metrics.client_feedback(stars)
    return feedback


def _is_the_summary(edited: str, request: InferenceRequest) -> bool:
    if request.summary_hash:
        return summary_hash(edited) == request.summary_hash
    return edited == normalise(request.summary)


def needs_review(feedback: ClientFeedback) -> bool:
    """Few stars, a complaint, a wish, or a correction to learn from. Without its text, which the settings may keep out,
    nobody could judge it."""
    if not feedback.request.text:
        return False
    return (
        feedback.stars <= FEW_STARS
        or feedback.category in COMPLAINTS
        or feedback.wants != ClientFeedback.Wants.NONE
        or bool(feedback.edited_summary)
    )


def _send_to_desk(feedback: ClientFeedback) -> None:
    """The desk's tables are not ours: a job of the other side takes it from here, once this is committed."""
    payload: dict[str, Any] = {"feedback": feedback.pk}
    jobs.enqueue(kind="review_requests", actor=None, subject=f"clientfeedback:{feedback.pk}", payload=payload)
