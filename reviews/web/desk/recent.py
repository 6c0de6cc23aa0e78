"""Back through my last reviews, and forward again to where I was. `back` is the item that was left for it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET

from models_app.web.pages import is_fragment, user_of
from reviews.desk import queries
from reviews.web.desk.form_values import row_id
from reviews.web.desk.requests import back_to, desk_view


@desk_view(require_GET)
def recent(request: HttpRequest) -> HttpResponse:
    context = {
        "rows": queries.recent_of(user_of(request)),
        "back": back_to(request),
        "here": row_id(request.GET, "here"),
        "most": queries.RECENT,
    }
    page = "reviews/desk/_recent.html" if is_fragment(request) else "reviews/desk/recent.html"
    return render(request, page, context)


def _to(item: int, back: int | None) -> HttpResponse:
    where = reverse("desk_item", args=[item])
    return HttpResponseRedirect(f"{where}?back={back}" if back not in (None, item) else where)


@desk_view(require_GET)
def older(request: HttpRequest) -> HttpResponse:
    """`than`: the item I look at. From one that is not submitted: the newest."""
    than, back = row_id(request.GET, "than"), back_to(request)
    items = [row.item_id for row in queries.recent_of(user_of(request))]
    if not items:
        messages.info(request, "You have not submitted a review yet.")
        return _to(than, back) if than is not None else redirect("desk")
    if than not in items:
        return _to(items[0], back if back is not None else than)
    after = items.index(than) + 1
    if after == len(items):
        messages.info(
            request, f"This is the oldest of your last {queries.RECENT}. My feedback has all of them."
        )
        return _to(than, back)
    return _to(items[after], back)


@desk_view(require_GET)
def newer(request: HttpRequest) -> HttpResponse:
    """`than`: the item I look at. From the newest: to where I was."""
    than, back = row_id(request.GET, "than"), back_to(request)
    items = [row.item_id for row in queries.recent_of(user_of(request))]
    at = items.index(than) if than in items else 0
    if at:
        return _to(items[at - 1], back)
    return redirect("desk_item", pk=back) if back is not None else redirect("desk")


urlpatterns = [
    path("", recent, name="desk_recent"),
    path("older/", older, name="desk_older"),
    path("newer/", newer, name="desk_newer"),
]
