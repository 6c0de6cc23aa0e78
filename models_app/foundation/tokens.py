"""API tokens: made, shown once, revoked. A token may do what its scopes say and its user's role still allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import allowed, require
from models_app.foundation.texts import one_line
from models_app.models.access import ApiToken

LONGEST_DAYS = 365

# What the user must be allowed to do for a scope to mean anything. Summaries and feedback are for client programs:
# their users need no role.
SCOPE_CAPABILITIES: dict[str, str] = {
    "documents:read": "view_documents",
    "documents:write": "import_documents",
    "reviews:write": "review",
    "comments:write": "review",
    "exports:write": "review",
    "releases:read": "view_models",
    "releases:submit": "submit_release",
    "metrics:read": "view_monitoring",
}


def scope_is_allowed(user: User, scope: str) -> bool:
    capability = SCOPE_CAPABILITIES.get(scope)
    return user.is_active and (capability is None or allowed(user, capability))


def grantable_scopes(user: User) -> dict[str, str]:
    """Scopes that make sense for this user's role, with their meaning."""
    return {scope: meaning for scope, meaning in ApiToken.SCOPES.items() if scope_is_allowed(user, scope)}


def create_token(
    *, user: User, name: str, scopes: Sequence[str], days: int, actor: User | None
) -> tuple[ApiToken, str]:
    """(row, token): the token itself is nowhere kept and cannot be shown again."""
    require(actor, "own_tokens" if actor == user else "manage_tokens")
    name = one_line(name)
    fields = _mistakes(user, name, scopes, days)
    if fields:
        raise InvalidInput(" ".join(fields.values()), fields=fields)
    with transaction.atomic():
        row, token = ApiToken.objects.create(
            user=user, expiry=timedelta(days=days), name=name, scopes=sorted(set(scopes)), created_by=actor
        )
        audit.record(
            actor=actor, action="token.create", subject=_subject(row),
            data={"user": user.get_username(), "name": name, "scopes": row.scopes, "days": days},
        )  # fmt: skip
    return row, token


def _mistakes(user: User, name: str, scopes: Sequence[str], days: int) -> dict[str, str]:
    fields = {}
    if not 1 <= len(name) <= 100:
        fields["name"] = "Give the token a name of at most 100 characters, such as the program that uses it."
    unknown = [scope for scope in scopes if scope not in ApiToken.SCOPES]
    useless = [scope for scope in scopes if scope in ApiToken.SCOPES and not scope_is_allowed(user, scope)]
    if not scopes:
        fields["scopes"] = "Choose at least one scope."
    elif unknown:
        fields["scopes"] = f"Unknown: {', '.join(unknown)}. There are {', '.join(ApiToken.SCOPES)}."
    elif useless:
        fields["scopes"] = f"The role of {user.get_username()} does not allow {', '.join(useless)}."
    if not 1 <= days <= LONGEST_DAYS:
        fields["days"] = f"A token lasts 1 to {LONGEST_DAYS} days."
    return fields


def revoke_token(*, token: ApiToken, actor: User | None) -> None:
    """For good, and within a second everywhere. The row stays, since requests refer to it."""
    if token.user != actor:  # one's own may always be revoked
        require(actor, "manage_tokens")
    with transaction.atomic():
        changed = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
        if changed:
            audit.record(
                actor=actor, action="token.revoke", subject=_subject(token),
                data={"user": token.user.get_username(), "name": token.name},
            )  # fmt: skip


def _subject(row: ApiToken) -> str:
    return f"token:{row.token_key}"
