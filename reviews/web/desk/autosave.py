"""While somebody works on an item: the draft saved, error labels suggested for it, the seat kept."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from models_app.foundation.errors import StaleState
from models_app.web.pages import user_of
from reviews.desk.reviews import save_draft
from reviews.models import Review, ReviewSlot
from reviews.texts.error_labels import suggest as suggest_labels
from reviews.web.desk.answers import answers_of
from reviews.web.desk.lease import sign_of_life
from reviews.web.desk.onwards import draft_saved
from reviews.web.desk.pages import item_of
from reviews.web.desk.requests import base_revision, desk_view

#: Of more, labels would keep others waiting: the article is read once, the correction each time.
MOST_ARTICLE_WORDS, MOST_EDITED_CHARACTERS = 50_000, 48_000


@desk_view(require_POST)
def save(request: HttpRequest, pk: int) -> HttpResponse:
    item = item_of(pk)
    review = save_draft(
        item=item,
        answers=answers_of(request.POST),
        reviewer=user_of(request),
        base_revision=base_revision(request) or 0,
        overwrite=bool(request.POST.get("overwrite")),
    )
    return draft_saved(request, item, review.revision)


@desk_view(require_POST)
def labels(request: HttpRequest, pk: int) -> HttpResponse:
    """Which errors the correction as it stands suggests. For whoever works on the item; nothing is kept."""
    item = item_of(pk)
    if not Review.objects.filter(item=item, reviewer=user_of(request)).exists() and not (
        ReviewSlot.objects.filter(item=item, reviewer=user_of(request)).exists()
    ):
        raise StaleState("You do not hold this item.", code="not_yours")
    document, edited = item.summary.document, request.POST.get("edited_text", "").replace("\r\n", "\n")
    if document.words > MOST_ARTICLE_WORDS or len(edited) > MOST_EDITED_CHARACTERS:
        return JsonResponse({"labels": []})
    changes = suggest_labels(source=document.text, draft=item.summary.text, edited=edited)
    return JsonResponse({"labels": [asdict(change.label) for change in changes if change.label]})


@desk_view(require_POST)
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    return sign_of_life(request, item_of(pk))


urlpatterns = [
    path("item/<int:pk>/draft/", save, name="desk_save"),
    path("item/<int:pk>/labels/", labels, name="desk_labels"),
    path("item/<int:pk>/keep/", keep, name="desk_keep"),
]
