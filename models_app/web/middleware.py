"""What every page request passes: health probes, sign-in, and errors turned into pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware as DjangoLoginRequired
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict

from models_app import doors
from models_app.foundation import addresses, turns
from models_app.foundation.errors import GalleyError
from models_app.foundation.postgresql.base import within
from models_app.foundation.unavailability import is_away, took_too_long, unavailable
from models_app.web import error_pages

log = structlog.get_logger(__name__)
Handler = Callable[[HttpRequest], HttpResponse]
NUL = "\x00"
#: An answer within two seconds, with or without the database.
READY_SECONDS = 1.5


class HealthMiddleware:
    """`/healthz`: this process answers. `/readyz`: summaries can be served. Both before hosts and sessions are looked
    at, so that probes need neither."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"status": "ok"})
        if request.path == "/readyz":
            return self._ready()
        return self.get_response(request)

    def _ready(self) -> HttpResponse:
        from models_app.serving.outage import outage
        from models_app.serving.readiness import readiness, readiness_without_database

        try:
            if outage.lasts:
                return self._without_database(*readiness_without_database())
            with within(READY_SECONDS):
                ready, detail = readiness()
            state = "ready" if ready else "loading"
        except (DatabaseError, InterfaceError) as error:
            if is_away(error) or took_too_long(error):
                return self._without_database(*readiness_without_database())
            log.error("whether summaries can be served could not be asked", exc_info=error)
            ready, state = False, "unavailable"
            detail = "The database refused what was asked of it; the log of this process says more."
        return self._said(ready, state, detail)

    def _without_database(self, ready: bool, detail: str) -> HttpResponse:
        return self._said(ready, "degraded" if ready else "unavailable", detail)

    def _said(self, ready: bool, state: str, detail: str) -> HttpResponse:
        answer = JsonResponse({"status": state, "detail": detail}, status=200 if ready else 503)
        if not ready:
            answer["Retry-After"] = "2"
            # Probes come every second while a model loads: a state, not an error worth a line each.
            answer._has_been_logged = True  # type: ignore[attr-defined]
        return answer


class TurnsMiddleware:
    """Requests of a process come in turns (foundation/turns.py); health probes do not wait for one."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with turns.requests.turn():
            return self.get_response(request)


class ClientAddressMiddleware:
    """`REMOTE_ADDR` becomes the client's own address, which limits, sessions and logs then share."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = addresses.client_address(
            peer=request.META.get("REMOTE_ADDR", ""),
            forwarded=request.META.get("HTTP_X_FORWARDED_FOR", ""),
            trusted=settings.GALLEY_TRUSTED_PROXIES,
        )
        request.META["REMOTE_ADDR"] = address
        token = addresses.current.set(address)
        try:
            return self.get_response(request)
        finally:
            addresses.current.reset(token)


class NotStoredMiddleware:
    """What a signed-in person sees is kept by no browser and no proxy: after signing out, *Back* shows nothing."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        user: Any = request.user  # the API's calls may have none
        if user is not None and user.is_authenticated:
            answer["Cache-Control"] = "private, no-store"
        return answer


class DoorMiddleware:
    """What a request does comes by the page that is asked for; the API's authentication knows the token."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with doors.through(doors.Kind.PAGE):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        """The page's name, not its address: some addresses are secrets."""
        if request.resolver_match is not None:
            doors.known_to_be(doors.Kind.PAGE, request.resolver_match.view_name)


class LoginRequiredMiddleware(DjangoLoginRequired):
    """Django's, and htmx requests of an ended session are sent to the sign-in page as a whole."""

    def handle_no_permission(  # type: ignore[override]  # the stubs know redirects only
        self, request: HttpRequest, view_func: Callable[..., HttpResponse]
    ) -> HttpResponse:
        if request.headers.get("HX-Request") == "true":
            here = request.headers.get("HX-Current-URL", "/")
            answer = HttpResponse(status=401)
            answer["HX-Redirect"] = redirect_to_login(here, self.get_login_url(view_func)).url
            return answer
        return super().handle_no_permission(request, view_func)


class NulMiddleware:
    """PostgreSQL's texts have no NUL. An address with one is refused: no browser writes it. From a form it is taken
    out, as other control characters are later (`texts.normalise`): people paste from anywhere. The API's bodies are
    read by its serializers."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if NUL in request.path or _has_nul(request.GET):
            error = GalleyError("The address holds a NUL, which is in no text.", code="bad_request")
            return error_pages.galley_error(request, error)
        if request.method == "POST" and not request.path.startswith("/api/") and _has_nul(request.POST):
            request.POST = _without_nul(request.POST)  # type: ignore[assignment]
        return None


def _has_nul(values: QueryDict) -> bool:
    return any(NUL in text for name, texts in values.lists() for text in (name, *texts))


def _without_nul(values: QueryDict) -> QueryDict:
    cleaned = QueryDict(mutable=True, encoding=values.encoding)
    for name, texts in values.lists():
        for text in texts:
            cleaned.appendlist(name.replace(NUL, ""), text.replace(NUL, ""))
    cleaned._mutable = False
    return cleaned


class ErrorPagesMiddleware:
    """Turns the use cases' errors into pages, and into messages where htmx asked."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, GalleyError) and not request.path.startswith("/api/"):
            return error_pages.galley_error(request, exception)
        return None


class DatabaseAwayMiddleware:
    """Innermost, so that an outage is answered before others write a traceback for each request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        missing = unavailable(exception)
        return error_pages.without_database(request, missing) if missing else None
