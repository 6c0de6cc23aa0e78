"""`release rollout|hold|resume|advance|rollback --canary|lift-fuse`, and the fuse on the deployments page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from models_app.models import AuditEvent, FuseLift, Rollout, Route
from tests import make
from tests.pages import markup
from tests.rollouts import scene
from tests.rollouts.scene import minutes_pass, requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def rollout() -> Rollout:
    return scene.rolling_out()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> str:
        capsys.readouterr()
        call_command("release", *words)
        return capsys.readouterr().out

    return run


def test_a_rollout_is_told_held_moved_on_and_rolled_back(rollout: Rollout, said: Any) -> None:
    number = str(rollout.release_id)
    told = said("rollout", number)
    assert f"Release {number}: canary, 10 % of the requests, step 1 of 3" in told
    assert "0 of 40 requests." in told
    assert json.loads(said("rollout", number, "--format", "json"))["weight"] == 10
    held = said("hold", number, "--reason", "We read the texts first.", "--user", "otto")
    assert "held, 10 % of the requests" in held
    assert AuditEvent.objects.get(action="rollout.pause").reason == "We read the texts first."
    with pytest.raises(CommandError, match="It is paused"):
        said("advance", number)
    assert "canary, 10 %" in said("resume", number)
    with pytest.raises(CommandError, match="0 of 40 requests"):
        said("advance", number)
    requests(rollout.release, 40, arm="canary")
    minutes_pass(rollout)
    assert "50 % of the requests, step 2 of 3" in said("advance", number)
    with pytest.raises(CommandError, match="--canary leaves live"):
        said("rollback", "--canary", "--reason", "Odd.", "--to", "1")
    back = said("rollback", "--canary", "--reason", "It writes French.")
    assert back == f"Release {number} is rolled back; release {rollout.beside_id} has all requests.\n"
    assert (Route.objects.get().canary, Route.objects.get().release_id) == (None, rollout.beside_id)
    with pytest.raises(CommandError, match="No release is rolling out"):
        said("rollback", "--canary", "--reason", "Once more.")
    with pytest.raises(CommandError, match="not rolling out"):
        said("hold", number, "--reason", "Too late.")


def blown(rollout: Rollout) -> None:
    for _ in range(2):
        row = Rollout.objects.filter(ended_at=None).first() or Rollout.objects.create(
            environment=rollout.environment,
            release=rollout.release,
            beside=rollout.beside,
            policy=rollout.policy,
        )
        Rollout.objects.filter(pk=row.pk).update(ended_at=timezone.now(), outcome="stopped", reason="Errors.")


def test_the_fuse_is_lifted_by_an_approver_on_the_terminal(rollout: Rollout, said: Any) -> None:
    with pytest.raises(CommandError, match="Nothing is frozen"):
        said("lift-fuse", "--user", "ada", "--reason", "It was the network.")
    blown(rollout)
    with pytest.raises(CommandError):
        said("lift-fuse", "--user", "otto", "--reason", "It was the network.")
    assert "start in production again" in said(
        "lift-fuse", "--user", "ada", "--reason", "It was the network."
    )
    assert FuseLift.objects.get().lifted_by.username == "ada"


def test_the_fuse_is_told_to_everybody_and_lifted_by_an_approver_on_the_page(rollout: Rollout) -> None:
    blown(rollout)
    client = Client()
    client.force_login(make.user("olga", "operator"))
    page = markup(client.get("/deployments/"))
    assert "The fuse has blown" in page
    assert "Lift the fuse" not in page
    lift = "/deployments/rollouts/fuse/production/lift/"
    assert client.post(lift, {"reason": "Mine."}).status_code == 403
    client.force_login(make.user("agnes", "approver"))
    assert "Write why" in markup(client.post(lift, {"reason": " "}, follow=True))
    assert "Releases start in production again" in markup(
        client.post(lift, {"reason": "The network."}, follow=True)
    )
    assert "The fuse has blown" not in markup(client.get("/deployments/"))
