"""Releases that programs withdraw, start and roll back: as the command does, with the scope and the right that each
needs, and never deciding."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from models_app.models import AuditEvent, Release
from models_app.models.releases import live_release
from tests import make
from tests.api.conftest import Api, error
from tests.releases.scene import Scene, made_live, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    cache.clear()
    return scene()


@pytest.fixture
def operating(the: Scene) -> Api:
    return Api(the.cast.operator, "releases:deploy")


def state(release: Release) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=release.pk)


def test_a_release_is_withdrawn_for_good_with_its_reason(the: Scene) -> None:
    api = Api(the.cast.ml_engineer, "releases:submit")
    answer = api.post(f"releases/{the.candidate.pk}/withdraw/", {"reason": "Superseded."})
    assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")
    event = AuditEvent.objects.get(action="release.withdraw")
    assert (event.actor, event.door, event.reason) == (the.cast.ml_engineer, "token", "Superseded.")
    assert error(api.post(f"releases/{the.candidate.pk}/withdraw/", {})) == (409, "refused")
    assert error(api.post(f"releases/{the.live.pk}/withdraw/", {})) == (409, "refused")
    assert state(the.live) == "live"


def test_what_people_approved_is_started_and_nothing_else(the: Scene, operating: Api) -> None:
    path = f"releases/{the.candidate.pk}/start/"
    assert error(operating.post(path, {})) == (409, "stale")
    the.submitted()
    assert error(operating.post(path, {})) == (409, "stale")
    assert state(the.candidate) == "awaiting approval"
    the.approved_by(the.cast.approver)
    assert state(the.candidate) == "warming", "the last approval starts it"
    again = operating.post(path, {})
    assert (again.status_code, again.json()["state"]) == (200, "warming")
    make.forced(the.candidate, "approved")
    started = operating.post(path, {})
    assert (started.status_code, started.json()["state"]) == (200, "warming")


def test_a_first_draft_is_not_installed_by_a_token(the: Scene, operating: Api) -> None:
    assert error(operating.post(f"releases/{make.release().pk}/start/", {})) == (409, "stale")


def test_what_was_live_before_is_live_again_once(the: Scene, operating: Api) -> None:
    made_live(the.candidate)
    path = f"releases/{the.candidate.pk}/rollback/"
    answer = operating.post(path, {"reason": "Clients complain."})
    assert (answer.status_code, answer.json()["id"], answer.json()["state"]) == (200, the.live.pk, "live")
    assert answer["X-Release"] == str(the.live.pk)
    assert live_release() == the.live
    assert state(the.candidate) == "rolled back"
    event = AuditEvent.objects.get(action="deployment.roll_back")
    assert (event.actor, event.door, event.reason) == (the.cast.operator, "token", "Clients complain.")
    assert error(operating.post(path, {"reason": "Again."})) == (409, "stale")
    nowhere = operating.post(f"releases/{the.live.pk}/rollback/", {"reason": "Further."})
    assert error(nowhere) == (409, "refused")
    assert live_release() == the.live


def test_a_retry_with_its_key_goes_back_once(the: Scene, operating: Api) -> None:
    made_live(the.candidate)
    path, body = f"releases/{the.candidate.pk}/rollback/", {"reason": "Clients complain."}
    first, again = (operating.post(path, body, **{"Idempotency-Key": "back-1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert AuditEvent.objects.filter(action="deployment.roll_back").count() == 1


@pytest.mark.parametrize(
    ("act", "body", "field"),
    [
        ("withdraw", {"reason": "x" * 2001}, "reason"),
        ("withdraw", {"because": "x"}, "because"),
        ("withdraw", {"reason": None}, "reason"),
        ("start", {"password": "x"}, "password"),
        ("rollback", {}, "reason"),
        ("rollback", {"reason": "\x00"}, "reason"),
        ("rollback", {"reason": " "}, "reason"),
        ("rollback", {"reason": "x" * 2001}, "reason"),
        ("rollback", {"reason": "x", "to": -1}, "to"),
        ("rollback", {"reason": "x", "to": 10**30}, "to"),
        ("rollback", {"reason": "x", "to": "NaN"}, "to"),
        ("rollback", {"reason": "x", "expected": 1}, "expected"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(the: Scene, act: str, body: dict[str, Any], field: str) -> None:
    made_live(the.candidate)
    api = Api(the.cast.administrator, "releases:submit", "releases:deploy")
    answer = api.post(f"releases/{the.candidate.pk}/{act}/", body)
    assert error(answer) == (422, "invalid")
    assert set(answer.json()["error"]["fields"]) == {field}
    assert live_release() == the.candidate


@pytest.mark.parametrize("act", ["withdraw", "start", "rollback"])
def test_what_is_not_there_is_not_found(the: Scene, act: str) -> None:
    api = Api(the.cast.administrator, "releases:submit", "releases:deploy")
    assert error(api.post(f"releases/999999/{act}/", {"reason": "x"} if act != "start" else {})) == (
        404, "not_found",
    )  # fmt: skip


def test_scopes_and_rights_are_kept_apart(the: Scene) -> None:
    made_live(the.candidate)
    submitting = Api(the.cast.ml_engineer, "releases:submit", "releases:read")
    assert submitting.post(f"releases/{the.candidate.pk}/rollback/", {"reason": "x"}).status_code == 403
    assert submitting.post(f"releases/{the.candidate.pk}/start/", {}).status_code == 403
    operating = Api(the.cast.operator, "releases:deploy")
    assert operating.post(f"releases/{the.candidate.pk}/withdraw/", {}).status_code == 403
    the.cast.operator.groups.clear()
    cache.clear()
    assert operating.post(f"releases/{the.candidate.pk}/rollback/", {"reason": "x"}).status_code == 403
    assert live_release() == the.candidate
