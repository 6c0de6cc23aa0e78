"""How one person wants the two desks: their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import require
from reviews.desk.keys import changed, keys_of, written, wrong_keys
from reviews.models import DeskPreferences


@dataclass(frozen=True)
class Keys:
    """`by_action`: of every action. Without `single`, every key needs Alt, so that nothing happens by accident."""

    by_action: dict[str, str]
    single: bool = True


def keys_for(user: User) -> Keys:
    """1 query."""
    chosen = DeskPreferences.objects.filter(user=user).first()
    return Keys(keys_of({})) if chosen is None else Keys(keys_of(chosen.keys), chosen.single_keys)


def choose_keys(*, keys: Mapping[str, str], single: bool, user: User) -> Keys:
    """Keys by action; an empty one is the desk's own. Raises InvalidInput naming each action whose key cannot be."""
    require(user, "review")
    wanted = {name: written(key) or key.strip() for name, key in keys.items() if key.strip()}
    if wrong := wrong_keys(wanted):
        raise InvalidInput("Some keys cannot be used.", fields=wrong)
    with transaction.atomic():
        DeskPreferences.objects.update_or_create(
            user=user,
            defaults={"keys": changed(wanted), "single_keys": single, "updated_at": timezone.now()},
        )
    return Keys(keys_of(wanted), single)


def use_single_keys(*, single: bool, user: User) -> None:
    require(user, "review")
    with transaction.atomic():
        DeskPreferences.objects.update_or_create(
            user=user, defaults={"single_keys": single, "updated_at": timezone.now()}
        )
