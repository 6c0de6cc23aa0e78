"""The API's one error shape: {"error": {"code", "message", "fields"?}}."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from models_app.foundation.errors import GalleyError, TooLarge, Unavailable
from models_app.foundation.unavailability import unavailable

_WHOLE = "non_field_errors"  # DRF's word


def flatten(detail: Any, prefix: str = "") -> dict[str, str]:
    """DRF's nested error details as {"field.0.name": "message"}."""
    if isinstance(detail, dict):
        items = [(_place(prefix, str(key)), value) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(value, dict | list) for value in detail):
        items = [(f"{prefix}.{i}" if prefix else str(i), value) for i, value in enumerate(detail) if value]
    else:
        text = " ".join(str(value) for value in detail) if isinstance(detail, list) else str(detail)
        return {prefix or _WHOLE: text}
    return {name: text for key, value in items for name, text in flatten(value, key).items()}


def _place(prefix: str, key: str) -> str:
    """What is wrong with a list as a whole is wrong with its field."""
    return f"{prefix}.{key}" if prefix and key != _WHOLE else prefix or key


def body(code: str, message: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": _encodable(message)}
    if fields:
        error["fields"] = {_encodable(name): _encodable(said) for name, said in fields.items()}
    return {"error": error}


def _encodable(text: str) -> str:
    """What a request said is quoted in its error, and JSON can say halves of characters, which no encoding has."""
    return text.encode("utf-8", errors="replace").decode()


def handle(exception: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler."""
    if isinstance(exception, RequestDataTooBig):
        exception = TooLarge(f"The request has more than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE >> 20} MB.")
    exception = unavailable(exception) or exception
    if isinstance(exception, GalleyError):
        refusal = Response(body(exception.code, exception.message, exception.fields), status=exception.status)
        if isinstance(exception, Unavailable):
            refusal["Retry-After"] = str(exception.retry_after)
        return refusal
    handled = exception_handler(exception, context)
    if handled is None:
        return None
    answer = handled
    if isinstance(exception, exceptions.ValidationError):
        fields = flatten(exception.detail)
        answer.status_code = 422
        answer.data = body("invalid", "Some fields are wrong: " + ", ".join(sorted(fields)) + ".", fields)
    elif isinstance(exception, Http404 | PermissionDenied):
        code = "not_found" if isinstance(exception, Http404) else "forbidden"
        answer.data = body(code, "There is nothing here." if code == "not_found" else "This is not allowed.")
    elif isinstance(exception, exceptions.APIException):
        answer.data = body(str(exception.get_codes()), str(exception.detail))
    return answer
