"""Who calls the API: a token, its scopes, its rate."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from models_app.foundation.tokens import SCOPE_CAPABILITIES, scope_is_allowed
from models_app.models.access import ApiToken

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time it imports this module

ROLE_SECONDS = 30


class ScopedTokenAuthentication(TokenAuthentication):
    """Knox's, with revocation; expired tokens are refused but kept, since the record refers to them."""

    model = ApiToken

    def authenticate_credentials(self, token: bytes) -> tuple[Any, ApiToken]:
        if not token.isascii():
            raise AuthenticationFailed("Invalid token.")
        user, auth = super().authenticate_credentials(token)
        now = timezone.now()
        if auth.last_used_at is None or now - auth.last_used_at > timedelta(minutes=1):
            ApiToken.objects.filter(pk=auth.pk).update(last_used_at=now)
        return user, auth

    def _cleanup_token(self, auth_token: ApiToken) -> bool:
        expired = auth_token.expiry is not None and auth_token.expiry < timezone.now()
        return expired or auth_token.revoked_at is not None


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
        if needed is None or not isinstance(request.auth, ApiToken):
            return False
        if needed not in request.auth.scopes:
            self.message = f"The token lacks the scope {needed}."
            return False
        self.message = f"The role of the token's user does not allow {needed} any more."
        return _still_allowed(request.auth, needed)


def _still_allowed(token: ApiToken, scope: str) -> bool:
    """Roles change after a token was made. Looked up at most twice a minute for each user and scope."""
    if scope not in SCOPE_CAPABILITIES:
        return True
    key = f"scope:{scope}:{token.user_id}"
    known: bool | None = cache.get(key)
    if known is None:
        known = scope_is_allowed(token.user, scope)
        cache.set(key, known, ROLE_SECONDS)
    return known


class TokenThrottle(SimpleRateThrottle):
    """So many requests of one token in each window of the clock: a count, not a list of all their times."""

    scope = "token"
    num_requests: int
    duration: int

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, ApiToken):
            return True
        now, length = time.time(), self.duration
        window = int(now // length)
        key = f"throttle:{request.auth.token_key}:{window}"
        self.cache.add(key, 0, length + 1)
        try:
            used = self.cache.incr(key)
        except ValueError:  # it left the cache between the two calls
            used = 1
        self._wait = (window + 1) * length - now
        return used <= self.num_requests

    def wait(self) -> float:
        return self._wait
