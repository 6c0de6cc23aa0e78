"""A canary with real slots: who is answered by which, and what its death costs."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Any

import psutil
import pytest

from models_app.models import InferenceRequest, Release, Rollout, Route
from models_app.rollouts import stepping
from models_app.serving.routing import router
from models_app.serving.summarizing import summarize
from tests import make
from tests.releases import scene as scenes
from tests.serving.conftest import Supervisor, slot, state, until
from tests.serving.test_supervising import deploy

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def canary(serving: Supervisor) -> Release:
    """Half of the requests go to it, for as long as it takes."""
    scenes.small_policy(
        rollout={"steps": [{"weight": 50, "requests": 1000, "minutes": 60}], "quiet_below": 0}
    )
    release = deploy()
    until(lambda: state(release) == "canary")
    until(lambda: router.reread().canary is not None and router.current().canary.ready)  # type: ignore[union-attr]
    return release


def asked(times: int, **who: Any) -> Counter[tuple[str, int | None]]:
    rows = [summarize(text=make.ARTICLE, client_id=None, **who) for _ in range(times)]
    return Counter((row.arm, row.release_id) for row in rows)


def test_half_of_the_people_get_it_and_each_of_them_always(canary: Release) -> None:
    live = Route.objects.get(environment__name="production").release_id
    arms = Counter[str]()
    for number in range(40):
        found = asked(3, user=f"reader {number}")
        assert len(found) == 1, "the same person, the same release"
        (arm, release), _ = next(iter(found.items()))
        assert release == (canary.pk if arm == "canary" else live)
        arms[arm] += 1
    assert 8 <= arms["canary"] <= 32
    assert InferenceRequest.objects.filter(release=canary, arm="canary").count() == 3 * arms["canary"]


def test_no_request_fails_when_it_is_killed_and_it_is_stopped_when_it_dies_again(canary: Release) -> None:
    for _ in itertools.repeat(None):
        row = slot(canary)
        if row.state == "ready" and row.pid is not None:
            psutil.Process(row.pid).kill()
        asked(10)  # none raises
        if state(canary) == "rolled back":
            break
        time.sleep(0.1)
    rollout = Rollout.objects.get(release=canary)
    assert rollout.outcome == "stopped"
    assert "died" in rollout.reason
    assert Route.objects.get(environment__name="production").canary is None


def test_rolled_back_by_a_person_it_has_no_request_two_seconds_later(canary: Release) -> None:
    asked(10)
    stepping.roll_back(
        rollout=Rollout.objects.get(release=canary), actor=make.user("olga", "operator"), reason="It is odd."
    )
    until(lambda: router.current().canary is None, seconds=2)
    assert {arm for arm, _ in asked(20)} == {"live"}
    until(lambda: slot(canary).state == "stopped")
