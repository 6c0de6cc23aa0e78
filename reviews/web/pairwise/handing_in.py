"""A choice between two summaries: saved while it is made, handed in, corrected, passed by, taken back."""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from models_app.foundation.errors import InvalidInput
from models_app.web.pages import user_of
from reviews.desk import claims
from reviews.desk.choices import StaleChoice, choose, revise_choice, save_choice, take_back
from reviews.models import Preference
from reviews.web.desk.lease import seat_of, sign_of_life
from reviews.web.desk.onwards import draft_saved, onwards, pass_by, undo
from reviews.web.desk.requests import base_revision, desk_view, go_to, wants_json
from reviews.web.pairwise.judgements import in_words, judgement_of
from reviews.web.pairwise.pages import page, pair_of


@desk_view(require_POST)
def save(request: HttpRequest, pk: int) -> HttpResponse:
    item = pair_of(pk)
    kept = save_choice(
        item=item,
        judgement=judgement_of(request.POST),
        reviewer=user_of(request),
        base_revision=base_revision(request) or 0,
        overwrite=bool(request.POST.get("overwrite")),
    )
    return draft_saved(request, item, kept.revision)


@desk_view(require_POST)
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    return sign_of_life(request, pair_of(pk))


@desk_view(require_POST)
def submit(request: HttpRequest, pk: int) -> HttpResponse:
    item = pair_of(pk)
    typed = judgement_of(request.POST)
    try:
        kept = choose(
            item=item,
            judgement=typed,
            reviewer=user_of(request),
            base_revision=base_revision(request),
        )
    except (InvalidInput, StaleChoice) as error:
        if wants_json(request):
            raise
        lease = claims.hold(item=item, reviewer=user_of(request))
        return page(request, item, lease, typed=typed, error=error)
    message = f"Handed in: {in_words(typed)}."
    if kept.late:
        message += " Others had finished this pair meanwhile, so yours is kept as an extra choice."
    return onwards(request, item, message)


@desk_view(require_POST)
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what I handed in."""
    item = pair_of(pk)
    typed = judgement_of(request.POST)
    try:
        revise_choice(
            item=item,
            judgement=typed,
            reviewer=user_of(request),
            base_revision=base_revision(request),
        )
    except (InvalidInput, StaleChoice) as error:
        if wants_json(request):
            raise
        return page(request, item, None, typed=typed, error=error)
    return go_to(request, reverse("pairwise"), f"Corrected: {in_words(typed)}.")


@desk_view(require_POST)
def undo_pair(request: HttpRequest, pk: int) -> HttpResponse:
    item, reviewer = pair_of(pk), user_of(request)
    mine = Preference.objects.filter(item=item, reviewer=reviewer, state=Preference.State.SUBMITTED)
    return undo(request, item, partial(take_back, item=item, reviewer=reviewer) if mine.exists() else None)


@desk_view(require_POST)
def pass_pair_by(request: HttpRequest, pk: int) -> HttpResponse:
    """Later, not for me, or flagged. What was typed is kept as a draft first."""
    item = pair_of(pk)
    seat = seat_of(request.POST, item)
    if request.POST.get("choice") or request.POST.get("reason", "").strip():
        save_choice(
            item=item,
            judgement=judgement_of(request.POST),
            reviewer=user_of(request),
            base_revision=base_revision(request) or 0,
        )
    return pass_by(request, item, seat, request.POST.get("why", ""))


urlpatterns = [
    path("item/<int:pk>/draft/", save, name="pairwise_save"),
    path("item/<int:pk>/keep/", keep, name="pairwise_keep"),
    path("item/<int:pk>/submit/", submit, name="pairwise_submit"),
    path("item/<int:pk>/correct/", correct, name="pairwise_correct"),
    path("item/<int:pk>/take-back/", undo_pair, name="pairwise_take_back"),
    path("item/<int:pk>/pass/", pass_pair_by, name="pairwise_pass"),
]
