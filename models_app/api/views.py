"""What every view of the API shares: a request id on the answer, its time counted, its errors in the schema."""

from __future__ import annotations

import time
from typing import Any

import structlog
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.monitoring import metrics


class ErrorDetailSerializer(serializers.Serializer):
    code = serializers.CharField(help_text="for programs")
    message = serializers.CharField(help_text="for people")
    fields = serializers.DictField(  # type: ignore[assignment]  # the API's word for it
        child=serializers.CharField(), required=False, help_text="what is wrong with which field"
    )


class ErrorSerializer(serializers.Serializer):
    error = ErrorDetailSerializer()


def failure(
    description: str, code: str, message: str, fields: dict[str, str] | None = None
) -> OpenApiResponse:
    """An error answer in the schema, with an example."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = fields
    return OpenApiResponse(ErrorSerializer, description, [OpenApiExample(code, value={"error": error})])


UNAUTHORIZED = failure(
    "The token is missing, unknown, expired or revoked.", "authentication_failed", "Invalid token."
)
FORBIDDEN = failure(
    "The token lacks the scope.", "permission_denied", "The token lacks the scope summaries:write."
)
NOT_FOUND = failure("There is no such thing, or it is not yours.", "not_found", "There is nothing here.")
THROTTLED = failure(
    "Too many requests of this token; `Retry-After` says when to go on.",
    "throttled",
    "Request was throttled. Expected available in 7 seconds.",
)
TOO_LARGE = failure("More than 5 MB.", "too_large", "The request has more than 5 MB.")
IN_PROGRESS = failure(
    "The first request with this Idempotency-Key still runs.",
    "in_progress",
    "The first request with this Idempotency-Key is still running. Try again in a moment.",
)


class ForgivingJSONParser(JSONParser):
    """Nesting too deep for the parser is the client's mistake too."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply") from None


class ApiView(APIView):
    parser_classes = [ForgivingJSONParser]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        answer = super().dispatch(request, *args, **kwargs)
        metrics.api_request(
            method=request.method or "",
            view=type(self).__name__,
            status=answer.status_code,
            seconds=time.perf_counter() - began,
        )
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        if request_id:
            answer["X-Request-ID"] = str(request_id)
        answer["Cache-Control"] = "no-store"
        return answer
