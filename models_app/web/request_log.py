"""The line that each request leaves in the log: with the client's true address, without what opens doors."""

from __future__ import annotations

import re

import structlog
from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware

# A link that sets a password is a secret until it is used.
_SECRET = re.compile(r"(?<=^/accounts/link/)[^/]+")


class RequestLogMiddleware(RequestMiddleware):
    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        structlog.contextvars.bind_contextvars(ip=request.META.get("REMOTE_ADDR"))

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {_SECRET.sub('…', request.get_full_path())}"
