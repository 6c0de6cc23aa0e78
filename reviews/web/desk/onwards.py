"""From one item to the next, at either desk: on after a submit or a skip, with the way back offered for a moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from models_app.foundation.errors import StaleState
from models_app.web.pages import user_of
from reviews.desk import claims
from reviews.desk.undo import OFFERED, take_back_skip
from reviews.models import Preference, QueueItem, Review, ReviewQueue, ReviewSlot, Skip
from reviews.web.desk.form_values import integer
from reviews.web.desk.lease import renewed
from reviews.web.desk.requests import go_to, wants_json


@dataclass(frozen=True)
class Routes:
    """What differs between the desks on this way: the names of their pages, and what is handed in there."""

    index: str
    next: str
    item: str
    undo: str
    handed_in: type[Review] | type[Preference]


RATE_AND_EDIT = Routes("desk", "desk_next", "desk_item", "desk_undo", Review)
PAIRWISE = Routes("pairwise", "pairwise_next", "pairwise_item", "pairwise_take_back", Preference)

PASSED = {
    Skip.Meaning.LATER: "Put off: it comes back to you in two hours.",
    Skip.Meaning.NOT_FOR_ME: "Left to others: you will not be asked again.",
    Skip.Meaning.BAD_ITEM: "Flagged and set aside. An engineer will look at it.",
}


def desk_of(item: QueueItem) -> Routes:
    return PAIRWISE if item.queue.kind == ReviewQueue.Kind.PAIRWISE else RATE_AND_EDIT


def draft_saved(request: HttpRequest, item: QueueItem, revision: int) -> HttpResponse:
    """Saving keeps the seat as well. Without script: the 'Save draft' button."""
    if wants_json(request) or request.POST.get("quiet"):  # a page that goes away can set no header
        return JsonResponse({"revision": revision, "held": renewed(request, item)})
    messages.success(request, "Your draft is saved.")
    return redirect(desk_of(item).item, pk=item.pk)


def onwards(request: HttpRequest, item: QueueItem, message: str) -> HttpResponse:
    """To the next item, with the way back offered for a moment."""
    desk, queue = desk_of(item), item.queue
    url = reverse(desk.next, args=[queue.slug]) if queue.active else reverse(desk.index)
    if wants_json(request):
        undo = {"url": reverse(desk.undo, args=[item.pk]), "seconds": int(OFFERED.total_seconds())}
        return go_to(request, url, message, undo=undo)
    return go_to(request, f"{url}?undo={item.pk}", message)


def pass_by(
    request: HttpRequest, item: QueueItem, seat: tuple[ReviewSlot, uuid.UUID], reason: str
) -> HttpResponse:
    """Later, not for me, or flagged."""
    slot, token = seat
    meaning = request.POST.get("meaning", "")
    claims.skip(slot=slot, token=token, meaning=meaning, reason=reason, reviewer=user_of(request))
    return onwards(request, item, PASSED[Skip.Meaning(meaning)])


def undo_offered(request: HttpRequest, desk: Routes) -> dict[str, Any] | None:
    """What was handed in or passed by on the page before, while it can be taken back."""
    item = integer(request.GET, "undo")
    if item is None:
        return None
    reviewer, since = user_of(request), timezone.now() - OFFERED
    handed_in = desk.handed_in.objects.filter(
        item=item, reviewer=reviewer, state="submitted", submitted_at__gt=since
    )
    at, said = handed_in.values_list("submitted_at", flat=True).first(), "Handed in."
    if at is None:
        passed = Skip.objects.filter(
            item=item, reviewer=reviewer, at__gt=since, meaning__in=Skip.SAID
        ).first()
        if passed is None:
            return None
        at, said = passed.at, PASSED[Skip.Meaning(passed.meaning)]
    left = (at - since).total_seconds()
    return {"url": reverse(desk.undo, args=[item]), "said": said, "seconds": max(1, round(left))}


def undo(
    request: HttpRequest, item: QueueItem, take_back_submit: Callable[[], object] | None
) -> HttpResponse:
    """Take back what I handed in, or without `take_back_submit` what I passed by, a moment ago, and open it again."""
    desk = desk_of(item)
    try:
        if take_back_submit is not None:
            take_back_submit()
            said = "Taken back: it is a draft again."
        else:
            take_back_skip(item=item, reviewer=user_of(request))
            said = "Taken back: the item is yours again."
    except StaleState as error:
        if wants_json(request):
            raise
        messages.error(request, error.message)
        return redirect(desk.item, pk=item.pk) if take_back_submit is not None else redirect(desk.index)
    return go_to(request, reverse(desk.item, args=[item.pk]), said)
