"""How both desks are asked: by a browser's form or by their script, and only by reviewers.

The buttons work without script: plain posts and redirects. A script asks for JSON (`Accept: application/json`) and
then gets every answer, refusals too, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.cache import never_cache

from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import require
from models_app.web.pages import View
from reviews.web.desk.form_values import integer, row_id


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def error_json(error: GalleyError, **more: Any) -> JsonResponse:
    body = {"code": error.code, "message": error.message, "fields": error.fields, **more}
    return JsonResponse({"error": body}, status=error.status)


def desk_view(*methods: Callable[[View], View]) -> Callable[[View], View]:
    """For reviewers; never kept by browsers, since each look may show another item."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                require(request.user, "review")
                return view(request, *args, **kwargs)
            except GalleyError as error:
                if wants_json(request):
                    return error_json(error)
                raise

        guarded: View = answering
        for method in methods:
            guarded = method(guarded)
        return never_cache(guarded)

    return decorate


def back_to(request: HttpRequest) -> int | None:
    """The item that somebody left to look at an earlier review, and comes back to."""
    values = request.POST if request.method == "POST" else request.GET
    return row_id(values, "back")


def base_revision(request: HttpRequest) -> int | None:
    """The revision that the page was given: nothing saved since then is to be lost."""
    return integer(request.POST, "base_revision")


def go_to(request: HttpRequest, url: str, message: str, **more: Any) -> HttpResponse:
    """Done, said in words, and where to go on: told to a script, followed by a browser."""
    if "undo" not in more:  # the offer of a way back says it itself
        messages.success(request, message)
    if wants_json(request):
        return JsonResponse({"next": url, "message": message, **more})
    return HttpResponseRedirect(url)
