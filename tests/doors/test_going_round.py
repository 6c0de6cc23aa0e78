"""Ways round the gates and the second approver, by each door: page, API with a token, command, statement."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from models_app.foundation.errors import GalleyError
from models_app.models import Approval, Incident, Release, ReleaseComment, Route
from models_app.releases.composing import submit_release
from models_app.releases.deploying import go_live
from tests import make
from tests.api.conftest import Api
from tests.doors.test_evidence import refusal
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db
DECISIONS = ("approve", "reject", "changes", "emergency")


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    cache.clear()
    if "two_needed" in request.fixturenames:
        return scenes.waiting(approvers=2)
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


@pytest.fixture
def two_needed() -> None:
    """And this: it waits for two approvals."""


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def decide(the: Scene, person: Any, decision: str, **values: Any) -> Any:
    data = {
        "decision": decision, "reason": "So.", "password": make.PASSWORD, "said": "",
        "evidence_digest": now(the).evidence_digest, **values,
    }  # fmt: skip
    return signed_in(person).post(f"/releases/{the.candidate.pk}/decide/", data)


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_release_that_is_evaluated_or_blocked_is_not_decided_by_its_page(the: Scene, decision: str) -> None:
    submit_release(release=the.candidate, comparison=the.comparison, actor=the.cast.ml_engineer)
    for state in ("evaluating", "blocked", "needs evidence"):
        make.forced(now(the), state)
        assert decide(the, the.cast.approver, decision).status_code == 409
        assert (now(the).state, Approval.objects.count(), Incident.objects.count()) == (state, 0, 0)


@pytest.mark.usefixtures("two_needed")
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_requester_with_every_role_decides_nothing_on_it(the: Scene, decision: str) -> None:
    mila = the.cast.ml_engineer
    mila.groups.set(Group.objects.all())
    assert decide(the, mila, decision).status_code == 403
    assert (now(the).state, Approval.objects.count(), Incident.objects.count()) == ("awaiting approval", 0, 0)


def test_whoever_edited_the_policy_declares_no_emergency_and_reviews_none(the: Scene) -> None:
    from models_app.gates import policies
    from models_app.models.releases import Environment

    ada, alma = the.cast.approver, the.cast.administrator
    environment = Environment.objects.get(name="production")
    held = policies.holding(environment)
    settings = policies.read(held).as_settings()
    settings["approvals"]["approvers"] = 2
    policies.change_policy(
        environment=environment, settings=settings, reason="Two.", expected=held.number, actor=alma
    )
    the.submitted()
    assert decide(the, alma, "emergency").status_code == 403
    assert decide(the, ada, "emergency").status_code == 302
    incident = Incident.objects.get()
    path = f"/releases/incidents/{incident.pk}/review/"
    for person in (ada, alma, the.cast.ml_engineer, the.cast.operator, the.cast.reviewer):
        assert signed_in(person).post(path, {"reason": "Fine."}).status_code == 403
    assert signed_in(the.cast.another_approver).post(path, {"reason": "x" * 2001}).status_code == 422
    assert Incident.objects.get().reviewed_by is None


@pytest.mark.usefixtures("two_needed")
def test_no_token_and_no_command_declares_comments_or_reviews(the: Scene) -> None:
    token = Api(the.cast.administrator, "releases:read", "releases:submit")
    for word in ("approve", "reject", "changes", "emergency", "decide", "comment", "incidents"):
        assert token.post(f"releases/{the.candidate.pk}/{word}/", {"reason": "So."}).status_code == 404
        with pytest.raises((CommandError, SystemExit)):
            call_command("release", word, str(the.candidate.pk))
    for path in ("decide", "comment"):
        answer = Client().post(
            f"/releases/{the.candidate.pk}/{path}/",
            {"decision": "approve"},
            headers={"Authorization": f"Token {token.token}"},
        )
        assert answer.status_code == 302, "sent to sign in: a token opens no page"
    assert not Approval.objects.exists()
    assert not ReleaseComment.objects.exists()


@pytest.mark.usefixtures("two_needed")
def test_an_approval_given_before_it_was_evaluated_again_counts_nothing(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    seen = now(the).evidence_digest
    other = scenes.compared(now(the), the.live, scenes.evaluation_set(24))
    the.submitted(release=now(the), comparison=other)
    assert decide(the, the.cast.another_approver, "approve", evidence_digest=seen).status_code == 409
    assert decide(the, the.cast.another_approver, "approve").status_code == 302
    assert now(the).state == "awaiting approval", "one of two"
    assert refusal("UPDATE models_app_approval SET voided_at = NULL, void_reason = ''") == "23001"


@pytest.mark.usefixtures("waiting")
def test_a_forged_route_and_a_forged_state_put_nothing_live(the: Scene) -> None:
    pk = the.candidate.pk
    to = f"UPDATE models_app_release SET state = '{{}}' WHERE id = {pk}"
    for statements in (
        [f"UPDATE models_app_route SET release_id = {pk}"],
        [to.format(state) for state in ("approved", "warming", "live")],
        [to.format("evaluating"), "UPDATE models_app_release SET comparison_id = NULL", to.format("awaiting approval")],
    ):  # fmt: skip
        assert refusal("; ".join(statements)) == "23001", statements
    with pytest.raises(GalleyError):
        go_live(release=now(the))
    assert Route.objects.get().release == the.live


@pytest.mark.parametrize("text", ["\x00", " \n\t", "x" * 5001, "\u200b\ufeff"])
def test_comments_that_say_nothing_or_too_much_are_refused_at_the_page(the: Scene, text: str) -> None:
    answer = signed_in(the.cast.operator).post(f"/releases/{the.candidate.pk}/comment/", {"text": text})
    assert answer.status_code == 422
    assert not ReleaseComment.objects.exists()


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "1e3"])
def test_numbers_that_are_no_release_are_not_found(the: Scene, number: str) -> None:
    client = signed_in(the.cast.approver)
    for path in (
        f"/releases/{number}/comment/",
        f"/releases/incidents/{number}/review/",
        f"/releases/{number}/decide/",
    ):
        assert client.post(path, {"decision": "approve"}).status_code == 404
