"""My feedback: each of my reviews and prompt suggestions, and what became of it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from models_app.foundation.errors import Refused
from models_app.web.pages import capability, is_fragment, paginate, user_of
from reviews.desk import outcomes

PER_PAGE = 20


@never_cache
@require_GET
@capability("review")
def index(request: HttpRequest) -> HttpResponse:
    reviewer = user_of(request)
    state = request.GET.get("state", "")
    state = state if state in outcomes.STATES else ""
    all_of_mine, suggestions = outcomes.my_reviews(reviewer), outcomes.my_suggestions(reviewer)
    context: dict[str, Any] = {"shown": "reviews", "state": state, "states": outcomes.STATES}
    if request.GET.get("list") == "suggestions":
        page = paginate(request, suggestions, PER_PAGE)
        context |= {"shown": "suggestions", "rows": outcomes.with_releases(list(page))}
        context |= {"suggestion_count": page.paginator.count, "review_count": all_of_mine.count()}
    else:
        reviews = outcomes.my_reviews(reviewer, state)[: outcomes.NARROWED] if state else all_of_mine
        page = paginate(request, reviews, PER_PAGE)
        context["rows"] = outcomes.with_what_became(list(page))
        context["narrowed"] = (
            page.paginator.count if state and page.paginator.count == outcomes.NARROWED else 0
        )
        context["review_count"] = all_of_mine.count() if state else page.paginator.count
        context["suggestion_count"] = suggestions.count()
    return render(request, "reviews/desk/my_feedback.html", {**context, "page": page})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@capability("review")
def live(request: HttpRequest, pk: int) -> HttpResponse:
    """What the live model writes of this article; a POST asks it."""
    context: dict[str, Any] = {"asked": True}
    if request.method == "POST":
        try:
            outcomes.ask_live(review=pk, reviewer=user_of(request))
        except Refused as error:
            if not is_fragment(request):
                messages.warning(request, error.message)
            context["failed"] = error.message
        else:
            if not is_fragment(request):
                messages.info(request, "The live model is asked. Look again in a moment.")
    if not is_fragment(request):
        return redirect("my_feedback")
    context["row"] = outcomes.my_review(pk=pk, reviewer=user_of(request))
    return render(request, "reviews/desk/_my_live.html", context)


urlpatterns = [
    path("", index, name="my_feedback"),
    path("<int:pk>/live/", live, name="my_feedback_live"),
]
