"""Error labels that the correction as it stands suggests, while somebody works on an item."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from models_app.foundation.errors import StaleState
from models_app.web.pages import user_of
from reviews.models import Assignment, Review
from reviews.texts.error_labels import suggest as suggest_labels
from reviews.web.desk.pages import item_of
from reviews.web.desk.requests import desk_view

#: Of more, labels would keep others waiting: the article is read once, the correction each time.
MOST_ARTICLE_WORDS, MOST_EDITED_CHARACTERS = 50_000, 48_000


@desk_view(require_POST)
def labels(request: HttpRequest, pk: int) -> HttpResponse:
    """Which errors the correction as it stands suggests. For people who work on the item; nothing is kept."""
    item = item_of(pk)
    if not Review.objects.filter(item=item, reviewer=user_of(request)).exists() and not (
        Assignment.objects.filter(item=item, reviewer=user_of(request)).exists()
    ):
        raise StaleState("You do not have this item checked out.", code="not_yours")
    document, edited = item.summary.document, request.POST.get("edited_text", "").replace("\r\n", "\n")
    if document.words > MOST_ARTICLE_WORDS or len(edited) > MOST_EDITED_CHARACTERS:
        return JsonResponse({"labels": []})
    changes = suggest_labels(source=document.text, draft=item.summary.text, edited=edited)
    return JsonResponse({"labels": [asdict(change.label) for change in changes if change.label]})


urlpatterns = [path("item/<int:pk>/labels/", labels, name="desk_labels")]
