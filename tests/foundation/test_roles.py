from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User

from models_app.foundation.errors import NotAllowed
from models_app.foundation.roles import ROLES, allowed, require
from models_app.models.access import CAPABILITIES
from tests import make

pytestmark = pytest.mark.django_db


def test_groups_and_permissions_are_in_step_with_the_code() -> None:
    """A change of ROLES needs a migration that calls create_roles."""
    for role, capabilities in ROLES.items():
        held = Permission.objects.filter(group=Group.objects.get(name=role), content_type__model="capability")
        assert set(held.values_list("codename", flat=True)) == set(capabilities), role


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_may_what_it_is_given_and_nothing_else(role: str) -> None:
    person = make.user(f"the-{role.replace(' ', '-')}", role)
    may = {capability for capability in CAPABILITIES if allowed(person, capability)}
    assert may == set(ROLES[role])


def test_somebody_without_a_role_may_nothing_and_is_told_what_it_was() -> None:
    stranger = make.user("stan")
    assert not any(allowed(stranger, capability) for capability in CAPABILITIES)
    with pytest.raises(NotAllowed, match="approve or reject releases"):
        require(stranger, "approve_release")


def test_a_deactivated_person_may_nothing() -> None:
    person = make.user("rita", "administrator", is_superuser=True)
    person.is_active = False
    assert not allowed(person, "review")


def test_only_approvers_and_administrators_may_approve() -> None:
    assert {role for role, held in ROLES.items() if "approve_release" in held} == {
        "approver",
        "administrator",
    }


def test_an_unknown_capability_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="unknown capability"):
        allowed(None, "approve_everything")


def test_what_an_account_has_by_itself_and_by_its_groups_is_asked_once(
    django_assert_num_queries: Any,
) -> None:
    person = make.user("rita", "reviewer", "approver")
    person.user_permissions.add(Permission.objects.get(codename="train"))
    # as Django counts it
    own = ModelBackend().get_user_permissions(person) | ModelBackend().get_group_permissions(person)
    person = User.objects.get(pk=person.pk)
    with django_assert_num_queries(1):
        assert person.get_all_permissions() == own
        assert allowed(person, "train")
        assert not allowed(person, "deploy")
    person.groups.clear()
    assert User.objects.get(pk=person.pk).get_all_permissions() == {"models_app.train"}
    assert User(pk=person.pk, is_active=False).get_all_permissions() == set()
