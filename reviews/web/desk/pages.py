"""The review desk: choosing a queue, and the desk itself."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from models_app.foundation.errors import GalleyError
from models_app.ml.prompting import VARIABLES
from models_app.web.pages import user_of
from reviews.desk import claims, queries
from reviews.desk.answers import AlreadySubmitted, StaleDraft
from reviews.desk.claims import Lease
from reviews.desk.keys import Desk
from reviews.desk.reviews import Answers
from reviews.discussion import panel
from reviews.models import Grounding, QueueItem, Review, ReviewQueue, ReviewReturn, Skip
from reviews.prompts.trying import at_hand, live_prompt, why_not
from reviews.queues import statements
from reviews.queues.rubrics import criteria_of
from reviews.texts.marks import ERROR_TYPES, SEVERITIES
from reviews.texts.spans import sentences
from reviews.web.desk.answers import VERDICTS, saved_answers
from reviews.web.desk.form_values import scales
from reviews.web.desk.key_sheet import key_sheet
from reviews.web.desk.lease import claimed
from reviews.web.desk.onwards import RATE_AND_EDIT, undo_offered
from reviews.web.desk.placed_text import placed_paragraphs
from reviews.web.desk.requests import back_to, desk_view


def item_of(pk: int) -> QueueItem:
    return get_object_or_404(QueueItem.objects.select_related("queue__rubric", "summary__document"), pk=pk)


@desk_view(require_GET)
def index(request: HttpRequest) -> HttpResponse:
    reviewer = user_of(request)
    context = {
        "rows": queries.queues_for(reviewer),
        "drafts": queries.drafts_of(reviewer),
        "returned": queries.returned_to(reviewer),
        "assigned": queries.assigned_to(reviewer),
    }
    if reviewer.has_perm("models_app.manage_queues"):
        context["flagged"] = queries.flagged()
    return render(request, "reviews/desk/index.html", context)


@desk_view(require_GET)
def next_item(request: HttpRequest, slug: str) -> HttpResponse:
    queue = get_object_or_404(ReviewQueue, slug=slug)
    if queue.kind == ReviewQueue.Kind.PAIRWISE:
        return redirect("pairwise_next", queue.slug)
    lease = claimed(request, queue, ReviewQueue.Kind.RATE_AND_EDIT)
    if lease is None:
        return _nothing_left(request, queue)
    return desk(request, lease.assignment.item, lease)


def _nothing_left(request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    reviewer = user_of(request)
    rows = queries.queues_for(reviewer)
    done = next((row.done_today for row in rows if row.queue.pk == queue.pk), 0)
    others = [row for row in rows if row.waiting and row.queue.pk != queue.pk]
    context = {
        "queue": queue,
        "others": others,
        "done": done,
        "drafts": queries.drafts_of(reviewer, 5),
        "undo": undo_offered(request, RATE_AND_EDIT),
        **key_sheet(reviewer, Desk.RATE_AND_EDIT),
    }
    return render(request, "reviews/desk/empty.html", context)


@desk_view(require_GET)
def item_page(request: HttpRequest, pk: int) -> HttpResponse:
    """This very item: mine to review, mine to correct, mine to submit late, or somebody else's."""
    item = item_of(pk)
    if item.queue.kind == ReviewQueue.Kind.PAIRWISE:
        return redirect("pairwise_item", item.pk)
    lease = claims.hold(item=item, reviewer=user_of(request))
    review = Review.objects.filter(item=item, reviewer=user_of(request)).first()
    if lease is None and review is None:
        left = claims.saw_others(item=item, reviewer=user_of(request))
        context = {"item": item, "queue": item.queue, "left": left}
        return render(request, "reviews/desk/taken.html", context, status=409)
    return desk(request, item, lease)


def desk(
    request: HttpRequest,
    item: QueueItem,
    lease: Lease | None,
    *,
    typed: Answers | None = None,
    error: GalleyError | None = None,
) -> HttpResponse:
    """The desk; with `typed` as the browser sent it and why it was refused, for browsers without script."""
    reviewer = user_of(request)
    review = Review.objects.filter(item=item, reviewer=reviewer).first()
    begun = review if review is not None and review.revision else None
    saved = saved_answers(begun, item)
    shown = typed or saved
    rubric = begun.rubric_id if begun else item.queue.rubric_id
    errors = {name.partition(".")[0]: text for name, text in error.fields.items()} if error else {}
    done = queries.done_today(reviewer).get(item.queue_id, 0)
    waiting = statements.items_waiting(reviewer=reviewer, queue=item.queue).get(item.queue_id, 0)
    no_trial = why_not(item.summary.document)
    context = {
        "item": item,
        "queue": item.queue,
        "document": item.summary.document,
        "summary": item.summary,
        "paragraphs": placed_paragraphs(item.summary.document.text),
        "summary_paragraphs": placed_paragraphs(item.summary.text),
        "lease": lease,
        "review": begun,
        "submitted": begun is not None and begun.state in Review.ANSWERED,
        "returned": _return_of(begun),
        "answers": shown,
        "revision": begun.revision if begun else 0,
        "rubric": rubric,
        "scales": scales(criteria_of(rubric), shown.ratings, errors),
        "marks_json": json.dumps([mark.to_dict() for mark in shown.marks]),
        "support_json": json.dumps([[one.start, one.end, one.supported] for one in shown.support]),
        "grounding_json": json.dumps(_grounding(item)),
        "error_types": list(enumerate(ERROR_TYPES, start=1)),
        "severities": list(enumerate(SEVERITIES, start=1)),
        "verdicts": VERDICTS,
        "longest": {
            "edit": Review.LONGEST_EDIT_CHARACTERS,
            "comment": Review.LONGEST_COMMENT_CHARACTERS,
            "skip": Skip.LONGEST_REASON_CHARACTERS,
        },
        "errors": errors,
        "error": error,
        "conflict": isinstance(error, StaleDraft | AlreadySubmitted),
        "already": isinstance(error, AlreadySubmitted),
        "done": done,
        "whole": done + waiting,
        "waiting": waiting,
        "more": waiting >= statements.COUNTED,
        "prompt": live_prompt() if not no_trial and (lease or at_hand(item=item, user=reviewer)) else None,
        "no_trial": no_trial,
        "variables": VARIABLES,
        "kept_share": _kept_share(item),
        "talk": panel.drawer(item=item, user=reviewer),
        "undo": undo_offered(request, RATE_AND_EDIT),
        "back": back_to(request),
        **key_sheet(reviewer, Desk.RATE_AND_EDIT),
    }
    return render(request, "reviews/desk/item.html", context, status=error.status if error else 200)


def _return_of(review: Review | None) -> ReviewReturn | None:
    """Why it was sent back, while that waits for a correction."""
    if review is None or review.state != Review.State.RETURNED:
        return None
    return review.returns.filter(answered_at=None).select_related("returned_by").first()


def _kept_share(item: QueueItem) -> float | None:
    """Which part of the article the model read, where it was cut."""
    summary = item.summary
    if not summary.truncated or not summary.total_tokens or summary.kept_tokens is None:
        return None
    return summary.kept_tokens / summary.total_tokens


def _grounding(item: QueueItem) -> dict[str, Any]:
    """The summary's sentences, with what supports them once that has been computed; it never is here."""
    grounding = Grounding.objects.filter(summary=item.summary_id).first()
    if grounding is not None:
        return {"linked": True, "sentences": grounding.data["sentences"]}
    spans = sentences(item.summary.text)
    return {
        "linked": False,
        "sentences": [{"start": start, "end": end, "links": [], "unsupported": []} for start, end in spans],
    }


@desk_view(require_POST)
def put_back(request: HttpRequest, pk: int) -> HttpResponse:
    item = item_of(pk)
    claims.put_back(item=item, actor=request.user)
    messages.success(request, "Put back: others are asked for it again.")
    return redirect("desk")


urlpatterns = [
    path("", index, name="desk"),
    path("item/<int:pk>/", item_page, name="desk_item"),
    path("item/<int:pk>/put-back/", put_back, name="desk_put_back"),
    path("<slug:slug>/", next_item, name="desk_next"),
]
