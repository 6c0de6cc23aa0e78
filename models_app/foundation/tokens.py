"""API tokens: made, shown once, revoked, by the person in whose name they act.

A token may do what its scopes say and its person's roles allow at that moment. Nobody makes one for somebody else, or
two hands that must differ would be one. A service account is a name for a program of one's own: what its tokens do,
its owner does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.roles import allowed, require
from models_app.models.access import PROGRAM_SCOPES, ApiToken, ServiceAccount
from models_app.texts.normalise import one_line

LONGEST_DAYS = 365

# What the person must be allowed to do for a scope to mean anything.
SCOPE_CAPABILITIES: dict[str, str] = {
    "summaries:write": "own_tokens",
    "feedback:write": "own_tokens",
    "documents:read": "view_documents",
    "documents:write": "import_documents",
    "reviews:write": "review",
    "comments:write": "review",
    "exports:write": "review",
    "training:write": "train",
    "evaluations:write": "evaluate",
    "releases:read": "view_models",
    "releases:submit": "submit_release",
    "releases:deploy": "deploy",
    "metrics:read": "view_monitoring",
}


def scope_is_allowed(user: User, scope: str) -> bool:
    return user.is_active and allowed(user, SCOPE_CAPABILITIES[scope])


def grantable_scopes(user: User) -> dict[str, str]:
    """Scopes that make sense for this user's role, with their meaning."""
    return {scope: meaning for scope, meaning in ApiToken.SCOPES.items() if scope_is_allowed(user, scope)}


def create_token(
    *,
    user: User,
    name: str,
    scopes: Sequence[str],
    days: int,
    actor: User | None,
    service_account: ServiceAccount | None = None,
) -> tuple[ApiToken, str]:
    """(row, token): the token itself is nowhere kept and cannot be shown again.

    `actor` is the person themselves. None is the command line, which cannot know who types: it makes tokens of the
    programs' scopes alone, with which nobody reviews, imports, reads or submits in another's name.
    """
    if actor is not None:
        require(actor, "own_tokens")
        if actor.pk != user.pk:
            raise NotAllowed(
                f"Nobody makes tokens for somebody else: {user.get_username()} makes this one on the page API tokens."
            )
    if service_account is not None and service_account.owner_id != user.pk:
        raise NotAllowed("This service account belongs to somebody else.")
    name = one_line(name)
    fields = _mistakes(user, name, scopes, days)
    if actor is None and (personal := sorted(set(scopes) - set(PROGRAM_SCOPES))) and not fields:
        fields["scopes"] = (
            f"The command line makes tokens with {', '.join(PROGRAM_SCOPES)}, since it cannot know who types. "
            f"With {', '.join(personal)} a program acts in the name of {user.get_username()}, who makes that token on "
            "the page API tokens."
        )
    if fields:
        raise InvalidInput(" ".join(fields.values()), fields=fields)
    with transaction.atomic():
        if service_account is not None:
            _lock_open(service_account)
        row, token = ApiToken.objects.create(
            user=user, expiry=timedelta(days=days), name=name, scopes=sorted(set(scopes)), created_by=actor,
            service_account=service_account,
        )  # fmt: skip
        data = {"user": user.get_username(), "name": name, "scopes": row.scopes, "days": days}
        if service_account is not None:
            data["service_account"] = service_account.name
        audit.record(actor=actor, action="token.create", subject=_subject(row), data=data)
    return row, token


def _lock_open(account: ServiceAccount) -> None:
    """Closing it meanwhile waits, and revokes the new token too."""
    if not ServiceAccount.objects.select_for_update().filter(pk=account.pk, closed_at=None).exists():
        closed = f"The service account “{account.name}” is closed."
        raise InvalidInput(closed, fields={"service_account": closed})


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
    """For good, everywhere within a second, for summaries within two. The row stays, since requests refer to it."""
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


# ---------------------------------------------------------------- service accounts


def create_service_account(*, name: str, actor: User) -> ServiceAccount:
    """A name for a program of one's own."""
    require(actor, "own_tokens")
    name = one_line(name)
    if not 1 <= len(name) <= 100:
        raise InvalidInput(
            "The service account needs a name.", fields={"account": "Write a name of at most 100 characters."}
        )
    try:
        with transaction.atomic():
            account = ServiceAccount.objects.create(owner=actor, name=name)
            audit.record(
                actor=actor, action="service_account.create", subject=account, data={"name": account.name}
            )
    except IntegrityError as error:
        if not broke(error, "service_account_name_once"):
            raise
        taken = f"You have a service account “{name}” already."
        raise InvalidInput(taken, fields={"account": taken}) from None
    return account


def close_service_account(*, account: ServiceAccount, actor: User) -> None:
    """For good: its tokens are revoked, and it gets no new ones."""
    if account.owner_id != actor.pk:
        require(actor, "manage_tokens")
    with transaction.atomic():
        now = timezone.now()
        if not ServiceAccount.objects.filter(pk=account.pk, closed_at=None).update(closed_at=now):
            return
        tokens = ApiToken.objects.filter(service_account=account, revoked_at=None)
        revoked = list(tokens.order_by("created").values_list("token_key", flat=True))
        tokens.update(revoked_at=now)
        audit.record(
            actor=actor, action="service_account.close", subject=account,
            data={"name": account.name, "owner": account.owner.get_username(), "revoked": revoked},
        )  # fmt: skip
