"""Disputes: those that wait, and the page where somebody without a part in one gives the final answer."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.texts.normalise import row_number
from models_app.web.pages import capability, paginate, user_of
from reviews.models import Adjudication, QueueItem, Review, ReviewQueue
from reviews.quality import disputes
from reviews.quality.adjudication import POINTS_WORDS, Ruling, objection, resolve_dispute, set_dispute_points
from reviews.quality.disputes import Dispute
from reviews.queues.rubrics import LONGEST_EXPLANATION_CHARACTERS
from reviews.web.desk.answers import VERDICTS
from reviews.web.desk.form_values import integer, ratings_of, scales
from reviews.web.desk.placed_text import paragraphs

PER_PAGE = 20
SEEN = "seen-"
POINTS = [
    (0, "never"),
    (1, "1 point apart"),
    (2, "2 points apart"),
    (3, "3 points apart"),
    (4, "4 points apart"),
]


@never_cache
@require_safe
@capability("manage_queues")
def index(request: HttpRequest) -> HttpResponse:
    waiting = disputes.waiting_disputes(user_of(request))
    context: dict[str, Any] = {"tab": "disputes", "points": POINTS, "queues": disputes.dispute_queues()}
    if request.GET.get("show") == "resolved":
        page = paginate(request, disputes.resolved(), PER_PAGE)
        context |= {"shown": "resolved", "page": page, "disputes": waiting.count()}
    else:
        page = paginate(request, waiting, PER_PAGE)
        context |= {"shown": "waiting", "page": page, "disputes": page.paginator.count}
        context["rows"] = disputes.with_reasons(list(page))
    return render(request, "reviews/quality/disputes.html", context)


def _item(pk: int) -> QueueItem:
    return get_object_or_404(QueueItem.objects.select_related("queue__rubric", "summary__document"), pk=pk)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("manage_queues")
def dispute(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(pk)
    made = Adjudication.objects.select_related("adjudicator").filter(item=item).first()
    if made is None and item.state != QueueItem.State.DISPUTED:
        messages.info(
            request, "That item is not in dispute: its reviewers agree, or reviews are still wanted."
        )
        return redirect("disputes")
    if request.method == "POST" and made is None and not request.POST.get("take"):
        return _resolve(request, item)
    found = disputes.dispute_of(item, made.rubric_id if made else None)
    if made is not None:
        return render(
            request, "reviews/quality/dispute_resolved.html", _context(item, found) | {"made": made}
        )
    return _screen(request, item, found, _taken(request, item, found))


def _taken(request: HttpRequest, item: QueueItem, found: Dispute) -> Ruling:
    """An empty form, or one with somebody's answers in it; what was typed as explanation stays."""
    wanted = request.POST.get("take", "")
    explanation = request.POST.get("explanation", "")
    for column in found.columns:
        if column.letter == wanted:
            review = column.review
            return Ruling(review.stars, review.verdict, review.ratings, review.edited_text, explanation)
    return Ruling(None, "", {}, item.summary.text, explanation)


def _ruling(request: HttpRequest) -> Ruling:
    errors: dict[str, str] = {}
    ruling = Ruling(
        stars=integer(request.POST, "stars", errors),
        verdict=request.POST.get("verdict", "").strip(),
        ratings=ratings_of(request.POST, errors),
        edited_text=request.POST.get("edited_text", ""),
        explanation=request.POST.get("explanation", ""),
    )
    if errors:
        raise InvalidInput("Some answers are no numbers.", fields=errors)
    return ruling


def _seen(request: HttpRequest) -> dict[int, int]:
    found = {}
    for name in request.POST:
        review = name.removeprefix(SEEN)
        if name.startswith(SEEN) and (number := row_number(review)) is not None:
            found[number] = integer(request.POST, name) or 0
    return found


def _resolve(request: HttpRequest, item: QueueItem) -> HttpResponse:
    actor = user_of(request)
    ruling: Ruling | None = None
    try:
        ruling = _ruling(request)
        resolve_dispute(item=item, ruling=ruling, seen=_seen(request), actor=actor)
    except GalleyError as error:
        if not isinstance(error, InvalidInput) and error.code != "stale":
            raise
        item = _item(item.pk)
        if item.state != QueueItem.State.DISPUTED:
            raise
        found = disputes.dispute_of(item)
        return _screen(request, item, found, ruling or _taken(request, item, found), error=error)
    following = disputes.next_dispute(actor)
    messages.success(
        request, "Resolved. Its reviewers see the outcome, and what you wrote waits as a feedback example."
    )
    return redirect("dispute", following.pk) if following else redirect("disputes")


def _context(item: QueueItem, found: Dispute) -> dict[str, Any]:
    return {
        "item": item,
        "queue": item.queue,
        "document": item.summary.document,
        "summary": item.summary,
        "paragraphs": paragraphs(item.summary.document.text),
        "summary_paragraphs": paragraphs(item.summary.text),
        "found": found,
        "both": found.columns[:2] if len(found.columns) == 2 else [],
    }


def _screen(
    request: HttpRequest, item: QueueItem, found: Dispute, ruling: Ruling, *, error: GalleyError | None = None
) -> HttpResponse:
    errors = error.fields if error else {}
    context = _context(item, found) | {
        "ruling": ruling,
        "verdicts": VERDICTS,
        "longest": Review.LONGEST_EDIT_CHARACTERS,
        "longest_explanation": LONGEST_EXPLANATION_CHARACTERS,
        "scales": scales(found.criteria, ruling.ratings, errors),
        "errors": errors,
        "error": error,
        "objection": objection(item=item, actor=user_of(request)),
    }
    return render(request, "reviews/quality/dispute.html", context, status=error.status if error else 200)


@require_POST
@capability("manage_queues")
def points(request: HttpRequest, pk: int) -> HttpResponse:
    queue = get_object_or_404(ReviewQueue, pk=pk)
    wanted = integer(request.POST, "points")
    if wanted is None:
        raise InvalidInput("Say how many points apart are a dispute.", fields={"points": POINTS_WORDS})
    set_dispute_points(queue=queue, points=wanted, actor=request.user)
    messages.success(request, f"Saved for {queue.name}. It counts for what is submitted from now on.")
    return redirect("disputes")


urlpatterns = [
    path("", index, name="disputes"),
    path("<int:pk>/", dispute, name="dispute"),
    path("queues/<int:pk>/", points, name="dispute_points"),
]
