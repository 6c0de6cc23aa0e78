"""Error pages. For htmx the message comes as a fragment that the page shows in its message area."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from models_app.foundation.errors import GalleyError, TooManyTries, Unavailable
from models_app.foundation.unavailability import unavailable


def _wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({"error": {"code": code, "message": message}}, status=status)
    if request.headers.get("HX-Request") == "true":
        answer = render(request, "partials/_error_message.html", {"message": message}, status=status)
        answer["HX-Retarget"] = "#messages"
        answer["HX-Reswap"] = "innerHTML"
        return answer
    template = f"{status}.html" if status in (400, 403, 404, 429, 500, 503) else "400.html"
    return render(request, template, {"message": message, "status": status}, status=status)


def galley_error(request: HttpRequest, error: GalleyError) -> HttpResponse:
    answer = _answer(request, error.status, error.code, error.message)
    if isinstance(error, TooManyTries | Unavailable):
        answer["Retry-After"] = str(error.retry_after)
    return answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "bad_request", "This request could not be understood.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "forbidden", "Your role does not allow this. Ask an administrator.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "not_found", "There is nothing here.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Of any error that nothing else has answered; it is the one being handled."""
    if missing := unavailable(sys.exc_info()[1]):
        return without_database(request, missing)
    return _answer(request, 500, "server_error", "Something went wrong on our side. It has been logged.")


def without_database(request: HttpRequest, error: Unavailable) -> HttpResponse:
    """Nothing of the page's frame, which asks the database who reads it and what waits."""
    answer: HttpResponse
    if _wants_json(request):
        answer = JsonResponse({"error": {"code": error.code, "message": error.message}}, status=error.status)
    elif request.headers.get("HX-Request") == "true":
        text = render_to_string("partials/_error_message.html", {"message": error.message})
        answer = HttpResponse(text, status=error.status)
        answer["HX-Retarget"] = "#messages"
        answer["HX-Reswap"] = "innerHTML"
    else:
        text = render_to_string("503.html", {"message": error.message})
        answer = HttpResponse(text, status=error.status)
    answer["Retry-After"] = str(error.retry_after)
    answer["Cache-Control"] = "no-store"
    # `unavailable` has logged a line; Django would add a traceback for each request.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
