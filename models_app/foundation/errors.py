"""Errors that a person or a client program is meant to read.

Pages turn them into messages, the API into its one error shape, commands into one line and an exit code.
"""

from __future__ import annotations

from collections.abc import Mapping


class GalleyError(Exception):
    """Something the caller can understand and act on. `fields` names the inputs that were wrong."""

    code = "error"
    status = 400

    def __init__(
        self, message: str, *, fields: Mapping[str, str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})
        if code:
            self.code = code


class InvalidInput(GalleyError):
    code = "invalid"
    status = 422


class NotAllowed(GalleyError):
    code = "forbidden"
    status = 403


class NotFound(GalleyError):
    code = "not_found"
    status = 404


class Refused(GalleyError):
    """The request is well-formed, but a rule forbids it in the present state."""

    code = "refused"
    status = 409


class StaleState(Refused):
    """The row moved on since the caller looked at it."""

    code = "stale"


class TooLarge(GalleyError):
    code = "too_large"
    status = 413


class TooManyTries(GalleyError):
    """Passwords or codes were tried too often. `retry_after` is in seconds."""

    code = "too_many_tries"
    status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(GalleyError):
    """Nothing can serve the request now. `retry_after` is in seconds."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after: int = 5, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
