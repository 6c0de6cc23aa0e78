"""Links by which people set their password: made by an administrator, handed over by hand, good once.

Galley sends no mail. The old password and all sessions end when a link is made, not when it is used: it is made because
its person cannot get in, or because somebody else can; and a person whose link an administrator uses himself notices.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from models_app.foundation import addresses, audit, tries
from models_app.foundation.errors import InvalidInput, NotFound, Refused
from models_app.foundation.roles import require
from models_app.models import PasswordLink
from models_app.people.accounts import create_person, keep_an_administrator, one_at_a_time, void_links
from models_app.people.sessions import drop_sessions

LASTS = timedelta(hours=48)


def invite(*, name: str, roles: Sequence[str], actor: User | None) -> tuple[PasswordLink, str]:
    """A new account and the link for its person."""
    with transaction.atomic():
        person = create_person(name=name, roles=roles, actor=actor)
        return _make(person, actor)


def make_password_link(*, person: User, actor: User | None) -> tuple[PasswordLink, str]:
    """(row, secret): the secret is nowhere kept and cannot be shown again. Links made before are dead."""
    require(actor, "manage_people")
    if person == actor:
        raise Refused("Change your own password on the page Password; it asks for the old one.")
    with transaction.atomic():
        one_at_a_time()
        person = User.objects.select_for_update().get(pk=person.pk)
        if not person.is_active:
            raise Refused(f"{person.get_username()} is deactivated. Activate the account first.")
        if not person.has_usable_password() and not person.password_links.exists():
            raise Refused(f"{person.get_username()} is no account that a person signs in with.")
        made = _make(person, actor)
        if actor is not None:  # on the command line it is how the last administrator comes in again
            keep_an_administrator()
        return made


def _make(person: User, actor: User | None) -> tuple[PasswordLink, str]:
    void_links(person)
    person.set_unusable_password()
    person.save(update_fields=["password"])
    secret, now = secrets.token_urlsafe(32), timezone.now()
    link = PasswordLink.objects.create(
        user=person, digest=_digest(secret), made_by=actor, made_at=now, expires_at=now + LASTS
    )
    audit.record(
        actor=actor, action="person.password_link", subject=f"user:{person.pk}",
        data={"name": person.get_username(), "link": link.pk, "expires_at": link.expires_at.isoformat(),
              "sessions": drop_sessions(person)},
    )  # fmt: skip
    return link, secret


def open_link(secret: str) -> PasswordLink:
    """Raises NotFound, with the same words whatever is wrong with it."""
    link = (
        PasswordLink.objects.select_related("user")
        .filter(digest=_digest(secret), used_at=None, voided_at=None, expires_at__gt=timezone.now())
        .filter(user__is_active=True)
        .first()
    )
    if link is None:
        raise NotFound(
            "This link does not work: it was used, has expired, or a newer one was made. "
            "Ask your administrator for a new one."
        )
    return link


def set_password_by_link(*, secret: str, password: str) -> User:
    """Raises NotFound, and InvalidInput for a password that is too weak. Nobody is signed in by it."""
    person = open_link(secret).user
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), fields={"password": " ".join(error.messages)}) from error
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        link = open_link(secret)  # as it is now that nobody else can use it
        person.set_password(password)
        person.save(update_fields=["password"])
        drop_sessions(person)
        tries.forget_passwords(person)
        PasswordLink.objects.filter(pk=link.pk).update(used_at=timezone.now())
        # By nobody: the holder of the link is not known to be the person.
        audit.record(
            actor=None, action="person.password_set", subject=f"user:{person.pk}",
            data={"name": person.get_username(), "link": link.pk, "address": addresses.current.get(),
                  "made_by": link.made_by.get_username() if link.made_by else "galley"},
        )  # fmt: skip
    return person


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
