from __future__ import annotations

import pytest

from models_app.models import Release, Slot
from tests import make
from tests.api.conftest import Api, error

pytestmark = pytest.mark.django_db


def test_what_is_live_and_whether_it_answers(cast: make.Cast, live: Release) -> None:
    api = Api(cast.ml_engineer, "releases:read")
    answer = api.get("releases/live/")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["release"], body["digest"], body["model"]) == (live.pk, live.digest, "lead-3")
    assert (body["ready"], body["status"]) == (True, f"Release {live.pk} is served.")
    assert answer["X-Release"] == str(live.pk)
    Slot.objects.update(state="starting")
    assert api.get("releases/live/").json()["ready"] is False


def test_nothing_live_is_404(cast: make.Cast) -> None:
    answer = Api(cast.ml_engineer, "releases:read").get("releases/live/")
    assert error(answer) == (404, "not_found")
    assert answer.json()["error"]["message"] == "No release is live yet."
