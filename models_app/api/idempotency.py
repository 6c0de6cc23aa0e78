"""`Idempotency-Key`: who does not know whether a request arrived sends it again and gets the same answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import connection
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.api.authentication import token_of
from models_app.api.kept_answers import expired
from models_app.foundation import locks
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.fingerprints import fingerprint
from models_app.models import IdempotencyKey

HEADERS = ("X-Release", "X-Model-Version", "X-Kept-Answer", "Location")

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
    """For a view's `post`. Answers of 2xx are kept; after an error the same key may be tried again.

    Who answers holds a lock of the database's session, so that a process that is killed gives its key back in the same
    moment: a row without an answer whose lock is free belongs to nobody any more.
    """

    @wraps(post)
    def guarded(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return post(view, request, *args, **kwargs)
        if len(key) > 100 or not key.isprintable():
            raise InvalidInput(
                "The Idempotency-Key has to be 1 to 100 printable characters.", code="idempotency_key"
            )
        asked = _Asked(
            token_key=token_of(request).token_key,
            key=fingerprint("idempotency key", key),
            path=request.path[:200],
            body_hash=fingerprint("idempotent body", json.dumps(request.data, sort_keys=True)),
        )
        with _alone(asked):
            row, kept = _begin(asked)
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


@dataclass(frozen=True)
class _Asked:
    """What one request asks for under which key."""

    token_key: str
    key: str
    path: str
    body_hash: str

    @property
    def lock(self) -> int:
        return locks.number_of(f"idempotency {self.token_key} {self.key}")


@contextmanager
def _alone(asked: _Asked) -> Iterator[None]:
    """Raises InProgress where another request with the key is being answered."""
    if not locks.try_for_session(asked.lock):
        _kept(asked)  # another body is told so before it waits for an answer that is not its own
        raise InProgress(
            "The first request with this Idempotency-Key is still running. Try again in a moment."
        )
    session = connection.connection
    try:
        yield
    finally:
        # Where the session is gone, its lock is gone with it.
        if connection.connection is session and not session.closed:
            locks.release(asked.lock)


def _begin(asked: _Asked) -> tuple[IdempotencyKey, Response | None]:
    """The key's row, and the answer that it has. Raises InvalidInput. Nobody else holds the key."""
    expired().filter(token_key=asked.token_key, key=asked.key).delete()
    row = _kept(asked)
    if row is None:
        return IdempotencyKey.objects.create(**asdict(asked)), None
    if row.status is None:  # the process that had begun is dead
        return row, None
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


def _kept(asked: _Asked) -> IdempotencyKey | None:
    row = (
        IdempotencyKey.objects.filter(token_key=asked.token_key, key=asked.key)
        .exclude(pk__in=expired())
        .first()
    )
    if row is not None and (row.path, row.body_hash) != (asked.path, asked.body_hash):
        raise InvalidInput(
            "This Idempotency-Key was used for another request. Use a new one for each.",
            code="idempotency_key",
        )
    return row
