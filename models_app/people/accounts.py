"""Accounts of people: made, given roles, deactivated. Nobody can leave Galley without an administrator."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.foundation.roles import ROLES, allowed, require
from models_app.models import PasswordLink
from models_app.people.sessions import drop_sessions
from models_app.texts.normalise import one_line

ADMINISTRATOR = "administrator"
# The audit trail calls the installation itself so.
RESERVED_NAMES = {"galley"}
LONGEST_REASON = audit.LONGEST_REASON
# Django's own, of the name as it is written, and ours, of the name in any case.
ONE_ACCOUNT_A_NAME = ("auth_user_username_key", "one_account_a_name")


def people() -> QuerySet[User]:
    """Accounts that a person signs in with: not those of imported ratings or of programs, which never had a
    password."""
    linked = PasswordLink.objects.filter(user=OuterRef("pk"))
    return User.objects.filter(~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX) | Exists(linked))


def administrators() -> QuerySet[User]:
    """Active people who may manage the others and have a password to sign in with."""
    in_charge = Q(pk__in=User.objects.filter(groups__name=ADMINISTRATOR).values("pk")) | Q(is_superuser=True)
    return User.objects.filter(in_charge, is_active=True).exclude(
        password__startswith=UNUSABLE_PASSWORD_PREFIX
    )


def create_person(*, name: str, roles: Sequence[str], actor: User | None, password: str = "") -> User:
    """Without a password nobody can sign in before a link is used. Only Galley itself may give one: people who make an
    account must not know how to get into it."""
    require(actor, "manage_people")
    if password and actor is not None:
        raise NotAllowed("People set their passwords themselves, by the link that you hand over.")
    name = User.normalize_username(one_line(name))
    fields = _mistakes(name, roles)
    if fields:
        raise InvalidInput(" ".join(fields.values()), fields=fields)
    with transaction.atomic():
        person = User(username=name)
        person.set_password(password or None)
        _save_new(person)
        person.groups.set(Group.objects.filter(name__in=roles))
        audit.record(
            actor=actor, action="person.create", subject=f"user:{person.pk}",
            data={"name": name, "roles": sorted(roles)},
        )  # fmt: skip
    return person


def _save_new(person: User) -> None:
    """Raises InvalidInput where somebody else was faster with the name since it was looked at."""
    try:
        with transaction.atomic():
            person.save()
    except IntegrityError as error:
        if not any(broke(error, name) for name in ONE_ACCOUNT_A_NAME):
            raise
        message = _taken(person.get_username())
        raise InvalidInput(message, fields={"name": message}) from error


def _taken(name: str) -> str:
    return f"There is an account {name!r} already; upper and lower case are the same."


def _mistakes(name: str, roles: Sequence[str]) -> dict[str, str]:
    fields = {}
    try:
        User.username_validator(name)
    except ValidationError:
        fields["name"] = "A name has letters, digits and @ . + - _ only, without spaces."
    if not 1 <= len(name) <= 150:
        fields["name"] = "Write a name of at most 150 characters."
    elif name.lower() in RESERVED_NAMES:
        fields["name"] = f"“{name}” is the installation itself in the audit trail; choose another name."
    elif User.objects.filter(username__iexact=name).exists():
        fields["name"] = _taken(name)
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        fields["roles"] = f"Unknown: {', '.join(unknown)}. There are {', '.join(ROLES)}."
    return fields


def roles_of(person: User) -> list[str]:
    return sorted(person.groups.values_list("name", flat=True))


def change_roles(*, person: User, roles: Sequence[str], actor: User | None) -> User:
    """Exactly these roles from now on; rights that an account had beside its roles go."""
    require(actor, "manage_people")
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        message = f"Unknown: {', '.join(unknown)}. There are {', '.join(ROLES)}."
        raise InvalidInput(message, fields={"roles": message})
    with transaction.atomic():
        one_at_a_time()
        person = _somebody(person)
        before, after = roles_of(person), sorted(set(roles))
        beside = person.is_superuser or person.user_permissions.exists()
        if before == after and not beside:
            return person
        person.groups.set(Group.objects.filter(name__in=after))
        person.user_permissions.clear()
        person.is_superuser = False
        person.save(update_fields=["is_superuser"])
        keep_an_administrator()
        audit.record(
            actor=actor, action="person.roles", subject=f"user:{person.pk}",
            data={"name": person.get_username(), "before": before, "roles": after,
                  "gained": sorted(set(after) - set(before)), "lost": sorted(set(before) - set(after))},
        )  # fmt: skip
        _leave_assignments(person, actor)
    return person


def deactivate(*, person: User, actor: User | None, reason: str = "") -> User:
    """The person is signed out, cannot sign in, and its tokens and links are refused. What it did stays."""
    require(actor, "manage_people")
    with transaction.atomic():
        one_at_a_time()
        person = _somebody(person)
        if not person.is_active:
            raise Refused(f"{person.get_username()} is deactivated already.")
        person.is_active = False
        person.save(update_fields=["is_active"])
        keep_an_administrator()
        void_links(person)
        audit.record(
            actor=actor, action="person.deactivate", subject=f"user:{person.pk}", to_state="deactivated",
            reason=_reason(reason),
            data={"name": person.get_username(), "sessions": drop_sessions(person)},
        )  # fmt: skip
        _leave_assignments(person, actor)
    return person


def activate(*, person: User, actor: User | None, reason: str = "") -> User:
    require(actor, "manage_people")
    with transaction.atomic():
        person = _somebody(person)
        if person.is_active:
            raise Refused(f"{person.get_username()} is active already.")
        person.is_active = True
        person.save(update_fields=["is_active"])
        audit.record(
            actor=actor, action="person.activate", subject=f"user:{person.pk}", to_state="active",
            reason=_reason(reason), data={"name": person.get_username(), "roles": roles_of(person)},
        )  # fmt: skip
    return person


def void_links(person: User) -> None:
    PasswordLink.objects.filter(user=person, used_at=None, voided_at=None).update(voided_at=timezone.now())


def one_at_a_time() -> None:
    """Two administrators who take each other's role in the same instant would leave none."""
    Group.objects.select_for_update().get(name=ADMINISTRATOR)


def _somebody(person: User) -> User:
    """The row as it is now, held until the transaction ends. Raises Refused for accounts that nobody signs in with."""
    found = people().select_for_update().filter(pk=person.pk).first()
    if found is None:
        raise Refused(f"{person.get_username()} is no account that a person signs in with.")
    return found


def keep_an_administrator() -> None:
    if not administrators().exists():
        raise Refused(
            "This would leave Galley without an active administrator who can sign in. "
            "Make somebody else an administrator first, and let them set their password."
        )


def _leave_assignments(person: User, actor: User | None) -> None:
    person = User.objects.get(pk=person.pk)  # rights are remembered on the object
    if not allowed(person, "review"):
        import_string(settings.GALLEY_WHEN_SOMEBODY_LEAVES)(person=person, actor=actor)


def _reason(reason: str) -> str:
    reason = one_line(reason)
    if len(reason) > LONGEST_REASON:
        message = f"Write at most {LONGEST_REASON:,} characters."
        raise InvalidInput(message, fields={"reason": message})
    return reason
