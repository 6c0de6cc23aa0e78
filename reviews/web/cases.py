"""A behavioural case begun with one button: from a document, a summary, a complaint or a feedback example."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.cases.suggesting import suggested
from models_app.foundation.roles import allowed, require
from models_app.models import ClientFeedback
from models_app.texts.normalise import row_number
from models_app.web.cases import Suggestion, new_case_page
from models_app.web.pages import capability
from reviews.models import FeedbackExample, QueueItem, SourceDocument, Split, Summary
from reviews.queues.blindness import readable_examples

MOST_COMMENTS = 20
HEARD = "The assertions are a beginning, made from what was written and what was said of it. Change them as you like."
BY_HEART = (
    "Corrections of this document may be trained on, so a model may know its answer by heart. Assertions that change "
    "the article tell more here than a golden answer."
)


@require_safe
@capability("evaluate")
def document_case(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a new case with the article and a first set of assertions, by what `?summary=`, `?item=` or
    `?example=` names."""
    require(request.user, "view_documents")
    document = get_object_or_404(SourceDocument, pk=pk)
    told: Told = (f"document:{pk}", "", "", [])
    if (asked := _asked(request, "summary")) is not None:
        told = _of_summary(request, document, asked)
    elif (asked := _asked(request, "item")) is not None:
        told = _of_item(request, document, asked)
    elif (asked := _asked(request, "example")) is not None:
        told = _of_example(request, document, asked)
    origin, summary, corrected, comments = told
    assertions = suggested(article=document.text, summary=summary, corrected=corrected, comments=comments)
    hints = [HEARD if summary or corrected else "", BY_HEART if document.split == Split.TRAIN else ""]
    return new_case_page(
        request,
        Suggestion(
            article=document.text,
            title=document.title,
            domain=document.domain,
            origin=origin,
            assertions=assertions,
            hint=" ".join(filter(None, hints)),
        ),
    )


Told = tuple[
    str, str, str, list[str]
]  # where it is from, what was written, its correction, what was said of it


def _asked(request: HttpRequest, name: str) -> int | None:
    return (row_number(request.GET[name]) or 0) if name in request.GET else None


def _of_summary(request: HttpRequest, document: SourceDocument, pk: int) -> Told:
    summary = get_object_or_404(Summary, pk=pk, document=document)
    corrected, comments = _clients(request, summary)
    return f"summary:{pk}", summary.text, corrected, comments


def _of_item(request: HttpRequest, document: SourceDocument, pk: int) -> Told:
    """A complaint, mostly: the item's note has what clients said. What reviewers answered is not looked at."""
    require(request.user, "manage_queues")
    rows = QueueItem.objects.select_related("summary")
    item = get_object_or_404(rows, pk=pk, summary__document=document)
    corrected, comments = _clients(request, item.summary)
    return f"queueitem:{pk}", item.summary.text, corrected, [*comments, *([item.note] if item.note else [])]


def _of_example(request: HttpRequest, document: SourceDocument, pk: int) -> Told:
    require(request.user, "decide_feedback")
    rows = readable_examples(FeedbackExample.objects.select_related("summary"), request.user)
    example = get_object_or_404(rows, pk=pk, document=document)
    summary = example.rejected or (example.summary.text if example.summary else "")
    return f"feedbackexample:{pk}", summary, example.target, []


def _clients(request: HttpRequest, summary: Summary) -> tuple[str, list[str]]:
    """The newest correction by a client and what clients said, for those who decide on feedback."""
    if summary.request_id is None or not allowed(request.user, "decide_feedback"):
        return "", []
    rows = ClientFeedback.objects.filter(request=summary.request_id).order_by("-pk")[:MOST_COMMENTS]
    corrections = [row.edited_summary for row in rows if row.edited_summary]
    return next(iter(corrections), ""), [row.comment for row in rows if row.comment]


urlpatterns = [path("<int:pk>/case/", document_case, name="document_case")]
