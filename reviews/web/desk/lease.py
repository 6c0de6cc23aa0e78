"""The assignment at an item, as pages and forms carry it: claimed, shown by its token, kept alive. For both desks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta

from django.http import HttpRequest, JsonResponse

from models_app.foundation.errors import StaleState
from models_app.texts.normalise import row_number
from models_app.web.pages import user_of
from reviews.desk import claims
from reviews.desk.claims import Lease
from reviews.models import Assignment, QueueItem, ReviewQueue
from reviews.web.desk.form_values import integer

#: How long the item that is fetched ahead stays mine without activity.
AHEAD = timedelta(minutes=3)


def claimed(request: HttpRequest, queue: ReviewQueue, kind: ReviewQueue.Kind) -> Lease | None:
    """The item that I have checked out in this queue, else the next one. `?ahead=ID`: the one after that, which the
    script fetches."""
    reviewer, ahead = user_of(request), row_number(request.GET.get("ahead", ""))
    if ahead is not None:
        return claims.claim_next(queue=queue, reviewer=reviewer, kind=kind, but_not=ahead, lease=AHEAD)
    return claims.claim_next(queue=queue, reviewer=reviewer, kind=kind)


def assignment_of(values: Mapping[str, str], item: QueueItem) -> tuple[Assignment, uuid.UUID]:
    """The assignment that the form was given. Raises StaleState where it carries none."""
    number = integer(values, "assignment")
    try:
        token = uuid.UUID(values.get("token", ""))
    except ValueError as error:
        raise StaleState("This page holds no assignment at the item. Open it again.") from error
    assignment = Assignment.objects.select_related("queue", "item").filter(pk=number or 0, item=item).first()
    if assignment is None:
        raise StaleState("This page holds no assignment at the item. Open it again.")
    return assignment, token


def renewed(request: HttpRequest, item: QueueItem, lease: timedelta | None = None) -> bool:
    try:
        assignment, token = assignment_of(request.POST, item)
        claims.renew_lease(assignment=assignment, token=token, reviewer=user_of(request), lease=lease)
    except StaleState:
        return False
    return True


def sign_of_life(request: HttpRequest, item: QueueItem) -> JsonResponse:
    """The assignment stays mine; the one fetched ahead only for a little while."""
    return JsonResponse({"held": renewed(request, item, AHEAD if request.POST.get("ahead") else None)})
