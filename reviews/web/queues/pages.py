"""All review queues, and the items of one."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from models_app.web.pages import paginate
from reviews.queues import queries
from reviews.web.queues.shared import manages, queue_of


@require_safe
@manages
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "reviews/queues/index.html", {"rows": queries.queues()})


@require_safe
@manages
def queue_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = queue_of(slug)
    state = request.GET.get("state", "")
    if state not in queries.STATES:
        state = ""
    name = request.GET.get("person", "").strip()
    person = User.objects.filter(username=name).first() if name else None
    found = queries.items(queue, state=state, person=person)
    context = {
        "queue": queue,
        "tab": "items",
        "page": paginate(request, [] if name and person is None else found.rows, 50),
        "state": state,
        "person": name,
        "found": found,
        "now": timezone.now(),
    }
    return render(request, "reviews/queues/queue.html", context)
