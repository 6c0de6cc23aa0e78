"""Who calls the API: a token, its scopes, its rate."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from models_app import doors
from models_app.foundation import rates
from models_app.foundation.tokens import scope_is_allowed
from models_app.models.access import PROGRAM_SCOPES, ApiToken

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time it imports this module

BELIEVED_SECONDS = 1.0
#: A token's last use is written down so often.
USED_EVERY = timedelta(minutes=1)
MOST_BELIEVED = 1000


class ScopedTokenAuthentication(TokenAuthentication):
    """`Authorization: Token …`. Expired and revoked tokens are refused and kept, since the record refers to them."""

    model = ApiToken

    def authenticate_credentials(self, token: bytes) -> tuple[Any, ApiToken]:
        row = _find(hash_token(token.decode())) if token.isascii() else None
        now = timezone.now()
        if row is None or row.revoked_at is not None or (row.expiry is not None and row.expiry <= now):
            raise AuthenticationFailed("Invalid token.")
        if not row.user.is_active:
            raise AuthenticationFailed("User inactive or deleted.")
        if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
            row.last_used_at = now
            ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
        doors.known_to_be(doors.Kind.TOKEN, row.token_key)
        return row.user, row


# Of programs that serve readers, a token that was just looked up is believed for a moment: its revocation, and what its
# person's roles lost, count within it. Other tokens are looked up at each request. By the token's hash.
_recent: dict[str, tuple[float, ApiToken]] = {}


def _find(digest: str) -> ApiToken | None:
    now = time.monotonic()
    known = _recent.get(digest)
    if known is not None and now - known[0] < BELIEVED_SECONDS:
        return known[1]
    row = ApiToken.objects.select_related("user").filter(pk=digest).order_by().first()
    if len(_recent) >= MOST_BELIEVED:
        _recent.clear()
    if row is not None and set(row.scopes) <= set(PROGRAM_SCOPES):
        _recent[digest] = (now, row)
    return row


def token_of(request: Request) -> ApiToken:
    """The token of a call that passed authentication."""
    token = request.auth
    if not isinstance(token, ApiToken):
        raise NotAuthenticated
    return token


class HasScope(BasePermission):
    """A view names its scope: `scope = "summaries:write"`, or by method: `scopes = {"GET": …, "POST": …}`."""

    message = "The token lacks the scope that this call needs."

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = getattr(view, "scopes", {}).get(request.method) or getattr(view, "scope", None)
        if needed is None and not hasattr(view, str(request.method).lower()):
            raise MethodNotAllowed(str(request.method))
        if needed is None or not isinstance(request.auth, ApiToken):
            return False
        if needed not in request.auth.scopes:
            self.message = f"The token lacks the scope {needed}."
            return False
        self.message = f"The role of the token's user does not allow {needed} any more."
        # The permissions of a user are read once for each time that the user is: they are as fresh as the token's row.
        return scope_is_allowed(request.auth.user, needed)


class TokenThrottle(SimpleRateThrottle):
    """So many requests of one token in each window of the clock, whichever process answers."""

    scope = "token"
    num_requests: int
    duration: int

    def allow_request(self, request: Request, view: APIView) -> bool:
        return not isinstance(request.auth, ApiToken) or self.allow(request.auth.token_key)

    def allow(self, token_key: str) -> bool:
        used, self._wait = rates.used(f"token {token_key}", seconds=self.duration)
        return used <= self.num_requests

    def wait(self) -> float:
        return self._wait
