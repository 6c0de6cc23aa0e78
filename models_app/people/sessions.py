"""Who is signed in where, and its end."""

from __future__ import annotations

from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from allauth.account.utils import user_pk_to_url_str
from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.roles import require


def end_sessions(*, person: User, actor: User | None) -> int:
    """Returns how many there were. The person's tokens and password stay as they are."""
    require(actor, "manage_people")
    with transaction.atomic():
        ended = drop_sessions(person)
        audit.record(
            actor=actor, action="person.sessions_ended", subject=f"user:{person.pk}",
            data={"name": person.get_username(), "sessions": ended},
        )  # fmt: skip
    return ended


def drop_sessions(person: User) -> int:
    """Those of the person, and sign-ins that still wait for the second factor."""
    keys = sessions_of(person)
    Session.objects.filter(pk__in=keys).delete()
    UserSession.objects.filter(user=person).delete()
    return len(keys)


def signed_in(person: User) -> int:
    """In how many places, for pages: by allauth's list of sessions, which costs the same however many there are."""
    alive = Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")
    return UserSession.objects.filter(user=person, session_key__in=alive).count()


def sessions_of(person: User) -> list[str]:
    """The keys of all that end with the person's sessions, found in the sessions themselves: a list beside them could
    lack one. Reads the sessions of everybody."""
    pending = user_pk_to_url_str(person)
    keys = []
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        values = session.get_decoded()
        waits = values.get(LOGIN_SESSION_KEY)
        if values.get(SESSION_KEY) == str(person.pk) or (
            isinstance(waits, dict) and waits.get("user_pk") == pending
        ):
            keys.append(session.pk)
    return keys


def forget_expired() -> int:
    """Called every day; returns how many there were."""
    with transaction.atomic():
        gone = Session.objects.filter(expire_date__lte=timezone.now()).delete()[0]
        UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()
    return gone
