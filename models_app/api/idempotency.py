"""`Idempotency-Key`: who does not know whether a request arrived sends it again and gets the same answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api.authentication import token_of
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.fingerprints import fingerprint
from models_app.models import IdempotencyKey

KEPT = timedelta(hours=24)
HEADERS = ("X-Release", "X-Model-Version", "Location")

PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Any text of up to 100 characters, new for each request. The same key with the same body gets the "
    "same answer for 24 hours; with another body, 422; while the first request still runs, 409. Where "
    "`GALLEY_KEEP_REQUEST_TEXT` is `no`, a summary is answered once: the same key again gets 409 `answer_not_kept`.",
)


class InProgress(Refused):
    """The first request with this key has not been answered yet."""

    code = "in_progress"


class AnswerNotKept(Refused):
    """It was answered, with texts that are not kept: nothing is computed twice, and nothing can be said again."""

    code = "answer_not_kept"


def idempotent(post: Callable[..., Response]) -> Callable[..., Response]:
    """For a view's `post`. Answers of 2xx are kept; after an error the same key may be tried again."""

    @wraps(post)
    def guarded(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return post(view, request, *args, **kwargs)
        row, kept = _begin(request, key)
        if kept is not None:
            return kept
        try:
            answer = post(view, request, *args, **kwargs)
        except BaseException:
            row.delete()
            raise
        row.status = answer.status_code
        row.answer = _to_keep(view, answer)
        row.save(update_fields=["status", "answer"])
        return answer

    return guarded


def _begin(request: Request, key: str) -> tuple[IdempotencyKey, Response | None]:
    """Claim the key, or find the answer that it has. Raises InvalidInput, InProgress."""
    if len(key) > 100 or not key.isprintable():
        raise InvalidInput(
            "The Idempotency-Key has to be 1 to 100 printable characters.", code="idempotency_key"
        )
    now = timezone.now()
    IdempotencyKey.objects.filter(created_at__lt=now - KEPT).delete()
    token_key = token_of(request).token_key
    key = fingerprint("idempotency key", key)
    body_hash = fingerprint("idempotent body", json.dumps(request.data, sort_keys=True))
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(
                token_key=token_key, key=key, path=request.path[:200], body_hash=body_hash
            ), None
    except IntegrityError:
        row = IdempotencyKey.objects.filter(token_key=token_key, key=key).first()
    if row is None:  # the first request has just failed and given the key back
        raise InProgress("The first request with this Idempotency-Key has just ended. Send it again.")
    if row.path != request.path[:200] or row.body_hash != body_hash:
        raise InvalidInput(
            "This Idempotency-Key was used for another request. Use a new one for each.",
            code="idempotency_key",
        )
    if row.status is None:
        return _take_over(row), None
    return row, _again(row)


def _to_keep(view: Any, answer: Response) -> dict[str, Any]:
    """The answer, or which one it was: a view says by `answer_quotes_texts` what the setting may forbid to keep."""
    if getattr(view, "answer_quotes_texts", False) and not settings.GALLEY_KEEP_REQUEST_TEXT:
        return {"withheld": answer.data["id"]}
    return {
        "data": answer.data,
        "headers": {name: answer[name] for name in HEADERS if answer.has_header(name)},
    }


def _again(row: IdempotencyKey) -> Response:
    """Raises AnswerNotKept."""
    kept: dict[str, Any] = row.answer or {}
    if "withheld" in kept:
        raise AnswerNotKept(
            f"This request was answered, as {kept['withheld']}, and the answer is not kept: this installation keeps "
            "no texts of requests. Ask again with a new Idempotency-Key."
        )
    answer = Response(kept["data"], status=row.status)
    for name, value in kept["headers"].items():
        answer[name] = value
    answer["Idempotent-Replayed"] = "true"
    return answer


def _take_over(row: IdempotencyKey) -> IdempotencyKey:
    """The first request is under way, unless its process died: no request takes longer than the setting says."""
    now = timezone.now()
    dead = now - timedelta(seconds=settings.GALLEY_REQUEST_SECONDS + 30)
    taken = IdempotencyKey.objects.filter(pk=row.pk, status=None, created_at__lt=dead).update(created_at=now)
    if not taken:
        raise InProgress(
            "The first request with this Idempotency-Key is still running. Try again in a moment."
        )
    return row
