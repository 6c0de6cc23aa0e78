"""Notifications: the list, and the bell in the head of every page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import path
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from models_app.foundation.errors import InvalidInput
from models_app.web.pages import paginate, user_of
from reviews.models import Notification
from reviews.notifications import notices

PER_PAGE = 30


@never_cache
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    rows = Notification.objects.filter(user=user_of(request))
    unread = request.GET.get("show") == "unread"
    if unread:
        rows = rows.filter(read_at=None)
    page = paginate(request, rows.order_by("-at", "-pk"), PER_PAGE)
    newest = page.object_list[0].at if page.object_list else None
    context = {
        "page": page,
        "only_unread": unread,
        "waiting": notices.unread_count(user_of(request)),
        # what this page has shown: nothing that comes while it is read
        "up_to": newest.isoformat() if newest is not None and page.number == 1 else "",
    }
    return render(request, "reviews/notifications/index.html", context)


@never_cache
@require_GET
def bell(request: HttpRequest) -> HttpResponse:
    """Asked now and then by every open page: 1 query, and no answer where the count is still the one shown."""
    count = notices.unread_count(user_of(request))
    if request.GET.get("shown") == str(count):
        return HttpResponse(status=204)
    return HttpResponse(render_to_string("partials/_bell.html", {"unread": count}))


@never_cache
@require_GET
def follow(request: HttpRequest, pk: int) -> HttpResponse:
    """To what it is about; it counts as read from then on."""
    return redirect(notices.open_notification(pk=pk, user=user_of(request)))


@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    try:
        up_to = parse_datetime(request.POST.get("up_to", ""))
    except ValueError:
        up_to = None
    if up_to is None or up_to.tzinfo is None:
        raise InvalidInput("Reload the page: it does not say what it has shown.", fields={"up_to": "A time."})
    count = notices.mark_all_read(user=user_of(request), up_to=up_to)
    messages.success(request, f"{count} marked as read." if count else "Nothing was unread.")
    return redirect("notifications")


urlpatterns = [
    path("", index, name="notifications"),
    path("bell/", bell, name="notifications_bell"),
    path("read/", read_all, name="notifications_read"),
    path("<int:pk>/", follow, name="notification"),
]
