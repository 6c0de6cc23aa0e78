"""`/metrics`, for Prometheus: with a token of the scope metrics:read, or from this machine itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from models_app.api.authentication import HasScope
from models_app.api.views import ApiView
from models_app.monitoring import metrics

LOOPBACK = ("127.0.0.1", "::1")
# A proxy on this machine makes every request come from here; it says so in one of these.
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")


class HasScopeOrIsLocal(HasScope):
    def has_permission(self, request: Request, view: Any) -> bool:
        return super().has_permission(request, view) or _is_local(request)


def _is_local(request: Request) -> bool:
    forwarded = any(header in request.headers for header in FORWARDED)
    return request.auth is None and request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded


class MetricsView(ApiView):
    scope = "metrics:read"
    permission_classes = [HasScopeOrIsLocal]
    throttle_classes = []

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Whatever Prometheus accepts, it understands this."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        body, content_type = metrics.text()
        return HttpResponse(body, content_type=content_type)
