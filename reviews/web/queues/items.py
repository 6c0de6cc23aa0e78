"""One item, seen by those who manage queues."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.texts.normalise import one_line
from models_app.web.pages import user_of
from reviews.desk import assigning, claims, returns
from reviews.models import QueueItem, Review, ReviewReturn
from reviews.queues import queries
from reviews.web.queues.shared import manages, say


def _item(slug: str, pk: int) -> QueueItem:
    rows = QueueItem.objects.select_related("queue__rubric", "summary__document", "other")
    return get_object_or_404(rows, pk=pk, queue__slug=slug)


@require_safe
@manages
def item_page(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    return _item_page(request, _item(slug, pk))


def _item_page(
    request: HttpRequest, item: QueueItem, *, error: GalleyError | None = None, of: int = 0, typed: str = ""
) -> HttpResponse:
    context = {
        "queue": item.queue,
        "item": item,
        "document": item.summary.document,
        "found": queries.item_page(item, user_of(request)),
        "reviewers": queries.reviewers(),
        "error": error,
        "error_of": of,
        "typed": typed,
        "longest": ReviewReturn.LONGEST_COMMENT_CHARACTERS,
        "now": timezone.now(),
    }
    return render(request, "reviews/queues/item.html", context, status=error.status if error else 200)


@require_POST
@manages
def assign(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    item = _item(slug, pk)
    person = User.objects.filter(username=one_line(request.POST.get("person", ""))).first()
    try:
        if person is None:
            raise InvalidInput("Choose who is to review it.", fields={"person": "Choose a person."})
        assigning.assign(item=item, to=person, actor=request.user)
    except GalleyError as error:
        say(request, error)
    else:
        messages.success(
            request, f"{person.username} is asked for it first, and nobody else for that assignment."
        )
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def put_back(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    try:
        claims.put_back(item=_item(slug, pk), actor=request.user)
    except GalleyError as error:
        say(request, error)
    else:
        messages.success(request, "Put back: others are asked for it again.")
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def step_aside(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    try:
        claims.step_aside(item=_item(slug, pk), reviewer=user_of(request))
    except GalleyError as error:
        say(request, error)
    return redirect("queue_item", slug, pk)


@require_POST
@manages
def send_back(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    review = get_object_or_404(
        Review.objects.select_related("item", "reviewer"), pk=pk, item__queue__slug=slug
    )
    comment = request.POST.get("comment", "")
    try:
        returns.return_review(review=review, comment=comment, actor=request.user)
    except GalleyError as error:
        return _item_page(request, _item(slug, review.item_id), error=error, of=review.pk, typed=comment)
    messages.success(request, f"Sent back to {review.reviewer.username}.")
    return redirect("queue_item", slug, review.item_id)
