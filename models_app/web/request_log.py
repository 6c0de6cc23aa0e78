"""The line that each request leaves in the log: with the client's true address, without what opens doors."""

from __future__ import annotations

import re
from collections.abc import Awaitable

import structlog
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

# A link that sets a password is a secret until it is used.
_SECRET = re.compile(r"(?<=^/accounts/link/)[^/]+")


class RequestLogMiddleware(RequestMiddleware):
    """No line for metrics, which a monitoring system reads every few seconds; health checks do not come so far."""

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if request.path == "/metrics":
            return self.get_response(request)
        return super().__call__(request)

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        structlog.contextvars.bind_contextvars(ip=request.META.get("REMOTE_ADDR"))

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {_SECRET.sub('…', request.get_full_path())}"
