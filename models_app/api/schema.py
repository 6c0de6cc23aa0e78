"""How the OpenAPI schema describes our tokens, and what any call may fail with. Loaded by `models_app.api.urls`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from models_app.models import ApiToken


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "models_app.api.authentication.ScopedTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        scopes = "\n".join(f"- `{name}`: {meaning}" for name, meaning in ApiToken.SCOPES.items())
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token gly_…`, made on the page API tokens. A token has scopes:\n\n" + scopes,
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        return {self.name: []}


# ---------------------------------------------------------------- what any call may be answered with

_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
# status: (when, code, message). Operations say more of those that mean something of their own.
_EVERYWHERE = {
    400: (
        "The request cannot be read.",
        "parse_error",
        "JSON parse error - Expecting value: line 1 column 1",
    ),
    401: ("The token is missing, unknown, expired or revoked.", "authentication_failed", "Invalid token."),
    403: (
        "The token lacks the scope, or its owner the right.",
        "permission_denied",
        "The token lacks the scope summaries:write.",
    ),
    406: (
        "`Accept` asks for something that there is not.",
        "not_acceptable",
        "Could not satisfy the request Accept header.",
    ),
    429: (
        "Too many requests of this token; `Retry-After` says when to go on.",
        "throttled",
        "Request was throttled. Expected available in 7 seconds.",
    ),
    503: (
        "The database or what would answer is away for a moment; `Retry-After` says when to try again.",
        "unavailable",
        "The database does not answer. Try again in a moment.",
    ),
}
_OF_THINGS = {404: ("There is no such thing, or it is not yours.", "not_found", "There is nothing here.")}
_OF_CHANGES = {
    409: (
        "A rule forbids it in the present state, or the first request with this Idempotency-Key still runs.",
        "refused",
        "The first request with this Idempotency-Key is still running. Try again in a moment.",
    ),
    413: ("More than 5 MB.", "too_large", "The request has more than 5 MB."),
    415: ("Bodies are JSON.", "unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
}
_OF_INPUT = {422: ("Some fields are wrong.", "invalid", "Some fields are wrong: text.")}


def with_failures(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: every operation has the failures that any call may end in, in the one error shape."""
    for operations in result["paths"].values():
        for method, operation in operations.items():
            failures = dict(_EVERYWHERE)
            named = {one["in"] for one in operation.get("parameters", ())}
            if "path" in named or _is_in_pages(operation):
                failures |= _OF_THINGS
            if method != "get":
                failures |= _OF_CHANGES
            if named & {"query", "header"} or "requestBody" in operation:
                failures |= _OF_INPUT
            responses = operation["responses"]
            for status, (when, code, message) in failures.items():
                responses.setdefault(str(status), _failure(when, code, message))
            for later in ("429", "503"):
                responses[later].setdefault("headers", _RETRY)
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _is_in_pages(operation: dict[str, Any]) -> bool:
    """A page beyond the last one is not found."""
    return any(one["name"] == "page" for one in operation.get("parameters", ()))


def _failure(when: str, code: str, message: str) -> dict[str, Any]:
    example = {"value": {"error": {"code": code, "message": message}}}
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": {code: example}}
    return {"description": when, "content": {"application/json": content}}
