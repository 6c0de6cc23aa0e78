"""`POST /api/v1/summaries/`, the plain way: before Django, for requests that need nothing of what Django does.

Of a request as client libraries write it (JSON, a token that is known, fields of their types, no Idempotency-Key) this
answers as `SummariesView` does, in less than half of its time and without asking the database. Whatever is not plain
goes on to Django untouched: it decides, and it words the refusals. What both decide stands in one place: `summarize`,
`TokenThrottle`, `errors.handle`. `tests/api/test_plain.py` asks both ways the same and compares.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from csp.constants import HEADER as CSP
from csp.utils import build_policy
from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.core.handlers.wsgi import WSGIRequest
from django.http.request import split_domain_port, validate_host
from django.urls import reverse
from django.utils import timezone
from django_structlog.app_settings import app_settings
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, Throttled

from models_app.api import errors
from models_app.api.authentication import USED_EVERY, TokenThrottle
from models_app.api.fields import LONGEST_TEXT
from models_app.api.summaries import FEWEST_WORDS, LONGEST, MOST_WORDS, SummariesView, data_of, headers_of
from models_app.foundation import addresses
from models_app.foundation.errors import Unavailable
from models_app.models import ApiToken
from models_app.monitoring import metrics
from models_app.serving.keeping import Keeper, KnownToken
from models_app.serving.summarizing import summarize

log = structlog.get_logger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Any]

JSON = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
UNCHECKED = (
    "The database does not answer, and this token is not among those that are known without it. Try again in a "
    "moment."
)
MOST_NOTED = 10_000  # tokens


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class NotPlain(Exception):
    """Django is to answer."""


class PlainSummaries:
    """A WSGI application in front of Django's."""

    def __init__(self, django: Application, keeper: Keeper) -> None:
        self._django = django
        self._keeper = keeper
        self._path = reverse("api_summaries")
        self._headers = _headers_of_every_answer()
        self._used: dict[str, datetime] = {}

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == self._path and environ["REQUEST_METHOD"] == "POST":
            # In no turn (foundation/turns.py): it computes for a millisecond, and waiting in line is a fifth of that.
            answer = self._answer(environ)
            if answer is not None:
                start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
                return [answer.body]
        return self._django(environ, start_response)

    # ---------------------------------------------------------------- one request

    def _answer(self, environ: Environ) -> Answer | None:
        """None where Django is to answer."""
        began = time.perf_counter()
        known, degraded = self._keeper.known(), self._keeper.degraded()
        if known is None:
            return None
        try:
            digest = _digest(environ)
            token = known.tokens.get(digest)
            if not degraded and (token is None or _is_over(token)):
                return None
            request_id = _request_id(environ)
            asked = _asked(environ)
        except NotPlain:
            return None
        structlog.contextvars.bind_contextvars(
            request_id=request_id, ip=_address(environ), user_id=token.user_id if token else None
        )
        try:
            status, data, headers = self._decide(
                asked, digest, token, away=bool(degraded), gone=environ.get("galley.client_is_gone")
            )
            log.log(_level_of(status), "request_finished", code=status, request=f"POST {self._path}")
        except Exception as error:
            return _failed(environ, error)
        finally:
            structlog.contextvars.clear_contextvars()
        if degraded := self._keeper.degraded():  # it may have begun meanwhile
            headers["X-Galley-Degraded"] = degraded
        body = _json(data)
        headers |= {"X-Request-ID": request_id, "Content-Length": str(len(body))}
        if _is_secure(environ):
            headers["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
        metrics.api_request(
            method="POST", view=SummariesView.__name__, status=status, seconds=time.perf_counter() - began
        )
        return Answer(status, [*self._headers, *headers.items()], body)

    def _decide(
        self,
        asked: dict[str, Any],
        digest: str,
        token: KnownToken | None,
        *,
        away: bool,
        gone: Callable[[], bool] | None,
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, data, headers). Raises what no client can do anything about."""
        try:
            if token is None:
                raise Unavailable(UNCHECKED)
            if _is_over(token):
                raise _invalid_token()
            throttle = TokenThrottle()
            if not throttle.allow(token.key):
                raise Throttled(throttle.wait())
            if not away:
                self._note_use(digest, token)
            row = summarize(**asked, client_id=token.user_id, token_key=token.key, gone=gone)
        except Exception as error:
            refusal = errors.handle(error, {})
            if refusal is None:
                raise
            headers = {name: value for name, value in refusal.items() if name != "Content-Type"}
            return refusal.status_code, refusal.data, headers
        return 201, data_of(row), headers_of(row)

    def _note_use(self, digest: str, token: KnownToken) -> None:
        """Once a minute, as the authentication does."""
        now = timezone.now()
        noted = self._used.get(digest, token.used_at)
        if noted is not None and now - noted < USED_EVERY:
            return
        if len(self._used) >= MOST_NOTED:
            self._used.clear()
        self._used[digest] = now
        ApiToken.objects.filter(pk=digest).update(last_used_at=now)


# ---------------------------------------------------------------- what is plain


def _digest(environ: Environ) -> str:
    """Of the token. Raises NotPlain."""
    kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind != "Token" or not (token.isascii() and token.replace("_", "").isalnum()):
        raise NotPlain
    digest: str = hash_token(token)
    return digest


def _request_id(environ: Environ) -> str:
    """A proxy's, or a new one. Raises NotPlain."""
    given: str | None = environ.get("HTTP_X_REQUEST_ID")
    if not given:
        return str(uuid.uuid4())
    if not (given.isascii() and given.isprintable()):
        raise NotPlain
    return given


def _asked(environ: Environ) -> dict[str, Any]:
    """What the serializer would make of the body; all of it is read, and there again for Django. Raises NotPlain."""
    length = environ.get("CONTENT_LENGTH", "")
    if (
        environ.get("SCRIPT_NAME")
        or environ.get("QUERY_STRING")
        or "HTTP_IDEMPOTENCY_KEY" in environ
        or "HTTP_X_CORRELATION_ID" in environ
        or environ.get("CONTENT_TYPE", "").lower() not in JSON
        or not _takes_json(environ.get("HTTP_ACCEPT", "*/*"))
        or not _host_is_allowed(_host(environ), tuple(settings.ALLOWED_HOSTS))
        or not (length.isascii() and length.isdigit())
        or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    ):
        raise NotPlain
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    try:
        said = _decoder.decode(body.decode())
    except (ValueError, RecursionError):
        raise NotPlain from None
    return _fields(said)


def _fields(said: Any) -> dict[str, Any]:
    """Values of the types that the schema says. Raises NotPlain."""
    if type(said) is not dict or not _is_text(said.get("text"), LONGEST_TEXT) or not said["text"]:
        raise NotPlain
    asked = {"text": said["text"]}
    for name, longest in LONGEST.items():
        asked[name] = said.get(name, "")
        if not _is_text(asked[name], longest):
            raise NotPlain
    asked["max_words"] = words = said.get("max_words")
    if words is not None and (type(words) is not int or not FEWEST_WORDS <= words <= MOST_WORDS):
        raise NotPlain
    return asked


def _is_text(value: Any, longest: int) -> bool:
    return type(value) is str and len(value) <= longest


def _not_json(constant: str) -> Any:
    raise NotPlain


_decoder = json.JSONDecoder(parse_constant=_not_json)


@lru_cache(maxsize=256)
def _takes_json(accept: str) -> bool:
    """Where it weighs what it takes, Django's negotiation is asked."""
    return ";" not in accept and bool(
        {"*/*", "application/json"} & {one.strip() for one in accept.split(",")}
    )


def _host(environ: Environ) -> str:
    """As Django finds it."""
    if "HTTP_HOST" in environ:
        return str(environ["HTTP_HOST"])
    return str(environ["SERVER_NAME"])


@lru_cache(maxsize=256)
def _host_is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    name, _ = split_domain_port(host)
    return bool(name) and validate_host(name, allowed)


def _is_over(token: KnownToken) -> bool:
    return token.expiry is not None and token.expiry <= timezone.now()


def _invalid_token() -> AuthenticationFailed:
    refusal = AuthenticationFailed("Invalid token.")
    refusal.auth_header = "Token"  # type: ignore[attr-defined]  # where DRF's views put it
    return refusal


# ---------------------------------------------------------------- answers


def _address(environ: Environ) -> str:
    return addresses.client_address(
        peer=environ.get("REMOTE_ADDR", ""),
        forwarded=environ.get("HTTP_X_FORWARDED_FOR", ""),
        trusted=settings.GALLEY_TRUSTED_PROXIES,
    )


def _json(data: Any) -> bytes:
    """As DRF's renderer writes it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def _headers_of_every_answer() -> list[tuple[str, str]]:
    """Those that Django's middleware gives this view's answers."""
    return [
        ("Content-Type", "application/json"),
        ("Allow", "POST, OPTIONS"),
        ("Cache-Control", "private, no-store"),
        ("Vary", "Cookie"),
        *_safe_headers(),
    ]


def _safe_headers() -> list[tuple[str, str]]:
    return [
        (CSP, build_policy()),
        ("X-Frame-Options", settings.X_FRAME_OPTIONS),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", settings.SECURE_REFERRER_POLICY),
        ("Cross-Origin-Opener-Policy", settings.SECURE_CROSS_ORIGIN_OPENER_POLICY),
    ]


def _is_secure(environ: Environ) -> bool:
    """As Django sees it; where it is, browsers are told to stay with it."""
    if not settings.SECURE_HSTS_SECONDS:
        return False
    name, value = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    return str(environ.get(name, "")).split(",")[0].strip() == value


def _level_of(status: int) -> int:
    """As the middleware's line for each request has it."""
    levels = {
        2: app_settings.STATUS_2XX_LOG_LEVEL,
        4: app_settings.STATUS_4XX_LOG_LEVEL,
        5: app_settings.STATUS_5XX_LOG_LEVEL,
    }
    return int(levels[status // 100])


def _failed(environ: Environ, error: Exception) -> Answer:
    """What Django answers, and logs, of a mistake of ours."""
    response = response_for_exception(WSGIRequest(environ), error)
    return Answer(response.status_code, [*response.items(), *_safe_headers()], response.content)
