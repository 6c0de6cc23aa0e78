"""My feedback: each of my reviews and prompt suggestions, and what became of it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from models_app.web.pages import capability, paginate
from reviews import queries

PER_PAGE = 20


@require_GET
@capability("review")
def index(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)  # nosec B101 (for the types: the middleware lets nobody else in)
    reviews, suggestions = queries.my_reviews(request.user), queries.my_suggestions(request.user)
    context: dict[str, Any] = {"shown": "reviews"}
    if request.GET.get("list") == "suggestions":
        page = paginate(request, suggestions, PER_PAGE)
        context |= {"shown": "suggestions", "rows": queries.with_releases(list(page))}
        context |= {"suggestion_count": page.paginator.count, "review_count": reviews.count()}
    else:
        page = paginate(request, reviews, PER_PAGE)
        context["rows"] = queries.with_what_became(list(page))
        context |= {"review_count": page.paginator.count, "suggestion_count": suggestions.count()}
    return render(request, "reviews/my_feedback.html", {**context, "page": page})


urlpatterns = [path("", index, name="my_feedback")]
