"""A policy may ask for more approvers than there are: who sets the number is told, and who waits for them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from models_app.gates import policies
from models_app.models import Release
from models_app.models.releases import Environment
from models_app.people.accounts import create_person
from models_app.releases.approvers import too_few_for, too_few_left, who_may_approve
from tests import make
from tests.api.conftest import Api
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    """Waits for two approvals; Ada, Anton and Alma may give them."""
    return scenes.waiting(approvers=2)


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def gone(*people: User) -> None:
    User.objects.filter(pk__in=[one.pk for one in people]).update(is_active=False)


def said_of_the_policy() -> str:
    held = policies.holding(Environment.objects.get(name="production"))
    return too_few_for(held, policies.read(held))


def read(client_of: User, path: str) -> str:
    client = Client()
    client.force_login(client_of)
    return " ".join(markup(client.get(path)).split())


def test_approvers_are_active_accounts_with_the_capability_each_once(the: Scene) -> None:
    cast = the.cast
    cast.approver.groups.add(Group.objects.get(name="administrator"))
    own = make.user("own")
    own.user_permissions.add(Permission.objects.get(codename="approve_release"))
    gone(cast.another_approver)
    assert who_may_approve() == {cast.approver.pk: "ada", cast.administrator.pk: "alma", own.pk: "own"}


def test_a_policy_that_asks_for_more_than_there_are_is_saved_and_says_so(the: Scene) -> None:
    """People may be on their way, and asking for more than there are keeps releases off, which is no danger."""
    assert said_of_the_policy() == ""
    scenes.small_policy(approvals={"approvers": 5})
    words = said_of_the_policy()
    assert "It asks for 5 people to approve, and only ada, anton and alma may" in words
    assert "nothing goes live in production except in an emergency" in words
    assert words in read(the.cast.ml_engineer, "/policies/production/")
    held = policies.holding(Environment.objects.get(name="production"))
    assert words not in read(the.cast.ml_engineer, f"/policies/production/{held.number - 1}/"), (
        "an earlier one"
    )


def test_who_saved_the_policy_is_no_approver_of_what_it_judges(the: Scene) -> None:
    environment = Environment.objects.get(name="production")
    held = policies.holding(environment)
    settings = policies.read(held).as_settings()
    settings["approvals"] |= {"approvers": 3, "emergency": False}
    policies.change_policy(
        environment=environment, settings=settings, reason="Three.", expected=held.number,
        actor=the.cast.administrator,
    )  # fmt: skip
    assert "only ada and anton may" in said_of_the_policy()
    assert "emergency" not in said_of_the_policy()


def test_a_release_that_waits_for_people_who_do_not_exist_says_so(the: Scene, capsys: Any) -> None:
    assert too_few_left(now(the)) == ""
    gone(the.cast.administrator)
    the.approved_by(the.cast.approver)
    assert too_few_left(now(the)) == "", "anton may still"
    gone(the.cast.another_approver)
    words = too_few_left(now(the))
    assert "It needs 2 approvals and can get 1" in words
    assert "nobody may approve" in words
    assert words in read(the.cast.ml_engineer, f"/releases/{the.candidate.pk}/")
    call_command("release", "show", str(the.candidate.pk))
    assert words in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_command("release", "wait", str(the.candidate.pk), "--until", "approved", "--timeout", "0")
    assert words in capsys.readouterr().err
    api = Api(the.cast.ml_engineer, "releases:read")
    assert api.get(f"releases/{the.candidate.pk}/evidence/").json()["too_few_approvers"] == words


def test_who_had_a_hand_in_it_is_not_among_those_who_are_left(the: Scene) -> None:
    the.cast.ml_engineer.groups.add(Group.objects.get(name="approver"))
    gone(the.cast.administrator, the.cast.another_approver)
    assert "only ada may approve" in too_few_left(now(the))


def test_accounts_of_one_person_are_one_approver(the: Scene) -> None:
    """Alma made the account while the release waited: she could use it."""
    gone(the.cast.approver, the.cast.another_approver)
    create_person(name="second", roles=["approver"], actor=the.cast.administrator)
    assert len(who_may_approve()) == 2
    assert "It needs 2 approvals and can get 1" in too_few_left(now(the))
