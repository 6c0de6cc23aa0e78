"""Handing a review in, correcting it, passing the item by, and taking that back."""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from models_app.foundation.errors import InvalidInput
from models_app.web.pages import user_of
from reviews.desk import claims
from reviews.desk.reviews import AlreadySubmitted, StaleDraft, revise_review, save_draft, submit_review
from reviews.desk.undo import take_back
from reviews.models import Review
from reviews.web.desk.answers import answers_of, touched
from reviews.web.desk.lease import seat_of
from reviews.web.desk.onwards import onwards, pass_by, undo
from reviews.web.desk.pages import desk, item_of
from reviews.web.desk.requests import back_to, base_revision, desk_view, go_to, wants_json


@desk_view(require_POST)
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    item = item_of(pk)
    typed = answers_of(request.POST)
    try:
        review = submit_review(
            item=item,
            answers=typed,
            reviewer=user_of(request),
            base_revision=base_revision(request),
        )
    except (InvalidInput, StaleDraft, AlreadySubmitted) as error:
        if wants_json(request):
            raise
        lease = claims.hold(item=item, reviewer=user_of(request))
        return desk(request, item, lease, typed=typed, error=error)
    message = "Handed in."
    if review.late:
        message = "Handed in. Others had finished this item meanwhile, so yours is kept as an extra review."
    if item.queue.calibration:
        # to the known answer, beside the one just handed in
        return go_to(request, reverse("gold_answer", args=[review.pk]), message)
    return onwards(request, item, message)


@desk_view(require_POST)
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what I handed in."""
    item = item_of(pk)
    review = get_object_or_404(
        Review.objects.select_related("item__queue", "item__summary"), item=item, reviewer=request.user
    )
    typed = answers_of(request.POST)
    try:
        revise_review(
            review=review,
            answers=typed,
            reviewer=user_of(request),
            base_revision=base_revision(request),
        )
    except (InvalidInput, StaleDraft) as error:
        if wants_json(request):
            raise
        return desk(request, item, None, typed=typed, error=error)
    message = "Corrected. What you had handed in before is kept as an earlier revision."
    back = back_to(request)
    to = reverse("desk_item", args=[back]) if back is not None else reverse("my_feedback")
    return go_to(request, to, message)


@desk_view(require_POST)
def pass_item_by(request: HttpRequest, pk: int) -> HttpResponse:
    """Later, not for me, or flagged. What was typed is kept as a draft first."""
    item = item_of(pk)
    seat = seat_of(request.POST, item)
    if "edited_text" in request.POST:
        answers = answers_of(request.POST)
        if touched(answers, item):
            save_draft(
                item=item,
                answers=answers,
                reviewer=user_of(request),
                base_revision=base_revision(request) or 0,
            )
    return pass_by(request, item, seat, request.POST.get("reason", ""))


@desk_view(require_POST)
def undo_item(request: HttpRequest, pk: int) -> HttpResponse:
    item, reviewer = item_of(pk), user_of(request)
    review = Review.objects.filter(item=item, reviewer=reviewer, state=Review.State.SUBMITTED).first()
    return undo(request, item, partial(take_back, review=review, reviewer=reviewer) if review else None)


urlpatterns = [
    path("item/<int:pk>/submit/", submit, name="desk_submit"),
    path("item/<int:pk>/correct/", correct, name="desk_correct"),
    path("item/<int:pk>/pass/", pass_item_by, name="desk_pass"),
    path("item/<int:pk>/undo/", undo_item, name="desk_undo"),
]
