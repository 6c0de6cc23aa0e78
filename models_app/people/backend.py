"""Signing in as allauth does it; what somebody may do is asked once a request."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from models_app.people import statements


class RolesBackend(AuthenticationBackend):
    def get_all_permissions(self, user_obj: Any, obj: Any | None = None) -> set[str]:
        """`app.codename` of what an account has by itself and by its groups: what Django asks in two questions."""
        if user_obj.is_superuser or user_obj.is_anonymous or not user_obj.is_active or obj is not None:
            return set(super().get_all_permissions(user_obj, obj))
        if not hasattr(user_obj, "_perm_cache"):
            user_obj._perm_cache = statements.permissions_of(user_obj.pk)
        found: set[str] = user_obj._perm_cache
        return found
