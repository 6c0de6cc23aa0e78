"""Rollouts by program: told, held, resumed, moved on and rolled back, and no condition walked round."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from models_app.models import AuditEvent, Release, Rollout, Route
from tests import make
from tests.api.conftest import Api, error
from tests.rollouts import scene as rollouts
from tests.rollouts.scene import minutes_pass, requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def canary() -> Release:
    cache.clear()
    return rollouts.rolling_out().release


@pytest.fixture
def operating(canary: Release) -> Api:
    return Api(make.user("olga", "operator"), "releases:deploy", "releases:read")


def test_a_rollout_is_told_as_it_stands(canary: Release, operating: Api) -> None:
    requests(canary, 25, errors=1, arm="canary")
    told = operating.get(f"releases/{canary.pk}/rollout/").json()
    assert (told["state"], told["weight"], told["step"], told["steps"], told["act"]) == (
        "canary",
        10,
        1,
        3,
        "wait",
    )
    assert (told["requests"], told["requests_needed"], told["outcome"]) == (25, 40, None)
    assert told["reasons"] == ["25 of 40 requests.", "0 of 5 minutes."]
    assert [look["next_look"] for look in told["looks"]] == [5, 5, 5]
    live = Route.objects.get().release_id
    assert error(operating.get(f"releases/{live}/rollout/")) == (404, "not_found")


def test_it_is_held_and_resumed_with_who_and_why(canary: Release, operating: Api) -> None:
    path = f"releases/{canary.pk}"
    assert error(operating.post(f"{path}/hold/", {})) == (422, "invalid")
    held = operating.post(f"{path}/hold/", {"reason": "We read the texts first."})
    assert (held.status_code, held.json()["state"], held.json()["paused_by"]) == (200, "held", "olga")
    assert AuditEvent.objects.get(action="rollout.pause").door == "token"
    assert error(operating.post(f"{path}/hold/", {"reason": "Once more."})) == (409, "stale")
    resumed = operating.post(f"{path}/resume/", {})
    assert (resumed.status_code, resumed.json()["state"], resumed.json()["paused_by"]) == (
        200,
        "canary",
        None,
    )
    assert error(operating.post(f"{path}/resume/", {})) == (409, "stale")


def test_it_is_moved_on_where_all_conditions_hold_and_not_before(canary: Release, operating: Api) -> None:
    path = f"releases/{canary.pk}/advance/"
    assert error(operating.post(path, {})) == (409, "not_yet")
    requests(canary, 40, arm="canary")
    minutes_pass(Rollout.objects.get())
    assert operating.post(path, {}).json()["weight"] == 50
    assert error(operating.post(path, {})) == (409, "not_yet")


def test_rolling_a_canary_back_leaves_live_what_is_live(canary: Release, operating: Api) -> None:
    live = Route.objects.get().release_id
    path = f"releases/{canary.pk}/rollback/"
    assert error(operating.post(path, {"reason": "Odd texts.", "to": live})) == (422, "invalid")
    answer = operating.post(path, {"reason": "Odd texts."})
    assert (answer.status_code, answer.json()["id"], answer["X-Release"]) == (200, live, str(live))
    canary.refresh_from_db()
    assert (canary.state, canary.reason) == ("rolled back", "Odd texts.")
    assert Route.objects.get().canary is None
    assert error(operating.post(f"releases/{canary.pk}/hold/", {"reason": "Too late."})) == (409, "stale")


def test_a_token_of_somebody_who_deploys_nothing_does_none_of_it(canary: Release) -> None:
    reading = Api(make.user("rob", "ml engineer"), "releases:read")
    for what in ("hold", "resume", "advance"):
        assert reading.post(f"releases/{canary.pk}/{what}/", {"reason": "x"}).status_code == 403
    assert Route.objects.get().canary_weight == 10
