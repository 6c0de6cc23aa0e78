"""A second factor that was lost."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.people.sessions import drop_sessions


def remove_second_factor(*, person: User, actor: User | None) -> None:
    """With its recovery codes. Sessions end: the finder of the lost phone may be signed in on it."""
    require(actor, "manage_people")
    if person == actor:
        raise Refused("Switch off your own second factor on the page Two-factor sign-in.")
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if not Authenticator.objects.filter(user=person).delete()[0]:
            raise Refused(f"{person.get_username()} has no second factor.")
        audit.record(
            actor=actor, action="person.second_factor_removed", subject=f"user:{person.pk}",
            data={"name": person.get_username(), "sessions": drop_sessions(person)},
        )  # fmt: skip
