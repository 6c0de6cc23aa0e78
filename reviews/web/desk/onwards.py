"""From one item to the next, at either desk: on after a submit or a skip, with the way back offered for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from models_app.web.pages import user_of
from reviews.desk.undo import OFFERED
from reviews.models import Answer, Preference, QueueItem, Review, ReviewQueue, Skip
from reviews.web.desk.form_values import integer
from reviews.web.desk.requests import go_to, wants_json


@dataclass(frozen=True)
class Routes:
    """What differs between the desks on this way: the names of their pages, and what is submitted there."""

    index: str
    next: str
    item: str
    undo: str
    submitted: type[Answer]


RATE_AND_EDIT = Routes("desk", "desk_next", "desk_item", "desk_undo", Review)
PAIRWISE = Routes("pairwise", "pairwise_next", "pairwise_item", "pairwise_take_back", Preference)

SKIPPED = {
    Skip.Meaning.SNOOZE: "Snoozed: it comes back to you in two hours.",
    Skip.Meaning.SKIP: "Skipped: others get it, and you are not asked again.",
    Skip.Meaning.FLAG: "Flagged. An engineer will look at it.",
}


def desk_of(item: QueueItem) -> Routes:
    return PAIRWISE if item.queue.kind == ReviewQueue.Kind.PAIRWISE else RATE_AND_EDIT


def onwards(request: HttpRequest, item: QueueItem, message: str) -> HttpResponse:
    """To the next item, with the way back offered for a moment."""
    desk, queue = desk_of(item), item.queue
    url = reverse(desk.next, args=[queue.slug]) if queue.active else reverse(desk.index)
    if wants_json(request):
        undo = {"url": reverse(desk.undo, args=[item.pk]), "seconds": int(OFFERED.total_seconds())}
        return go_to(request, url, message, undo=undo)
    return go_to(request, f"{url}?undo={item.pk}", message)


def undo_offered(request: HttpRequest, desk: Routes) -> dict[str, Any] | None:
    """What was submitted or skipped on the page before, while it can be taken back."""
    item = integer(request.GET, "undo")
    if item is None:
        return None
    reviewer, since = user_of(request), timezone.now() - OFFERED
    submitted = desk.submitted._default_manager.filter(
        item=item, reviewer=reviewer, state=Answer.State.SUBMITTED, submitted_at__gt=since
    )
    at, said = submitted.values_list("submitted_at", flat=True).first(), "Submitted."
    if at is None:
        skipped = Skip.objects.filter(item=item, reviewer=reviewer, at__gt=since, meaning__in=SKIPPED).first()
        if skipped is None:
            return None
        at, said = skipped.at, SKIPPED[Skip.Meaning(skipped.meaning)]
    left = (at - since).total_seconds()
    return {"url": reverse(desk.undo, args=[item]), "said": said, "seconds": max(1, round(left))}
