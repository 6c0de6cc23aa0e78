"""Who calls the API: a token, its scopes, its rate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from models_app.models.access import ApiToken

if TYPE_CHECKING:
    from rest_framework.views import APIView  # at run time it imports this module


class ScopedTokenAuthentication(TokenAuthentication):
    """Knox's, with revocation; expired tokens are refused but kept, since the record refers to them."""

    model = ApiToken

    def authenticate_credentials(self, token: bytes) -> tuple[Any, ApiToken]:
        user, auth = super().authenticate_credentials(token)
        now = timezone.now()
        if auth.last_used_at is None or now - auth.last_used_at > timedelta(minutes=1):
            ApiToken.objects.filter(pk=auth.pk).update(last_used_at=now)
        return user, auth

    def _cleanup_token(self, auth_token: ApiToken) -> bool:
        expired = auth_token.expiry is not None and auth_token.expiry < timezone.now()
        return expired or auth_token.revoked_at is not None


class HasScope(BasePermission):
    """A view names its scope: `scope = "summaries:write"`, or by method: `scopes = {"GET": …, "POST": …}`."""

    message = "The token lacks the scope that this call needs."

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = getattr(view, "scopes", {}).get(request.method) or getattr(view, "scope", None)
        if needed is None or request.auth is None:
            return False
        self.message = f"The token lacks the scope {needed}."
        return needed in request.auth.scopes


class TokenThrottle(SimpleRateThrottle):
    scope = "token"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return None if request.auth is None else f"throttle:{request.auth.token_key}"
