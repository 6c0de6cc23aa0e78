from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from models_app.foundation.identity import canonical_digest
from models_app.models import AuditEvent, Release
from models_app.releases.composing import compose_release
from tests import make
from tests.api.conftest import Api, error
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    cache.clear()
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


@pytest.fixture
def reading(the: Scene) -> Api:
    return Api(the.cast.approver, "releases:read")


@pytest.fixture
def submitting(the: Scene) -> Api:
    return Api(the.cast.ml_engineer, "releases:submit", "releases:read")


def state(the: Scene) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=the.candidate.pk)


def test_releases_are_listed_newest_first_in_pages(the: Scene, reading: Api) -> None:
    body = reading.get("releases/").json()
    assert [row["id"] for row in body["results"]] == [the.candidate.pk, the.live.pk]
    assert reading.get("releases/?page_size=1").json()["next"].endswith("page=2&page_size=1")
    assert [row["id"] for row in reading.get("releases/?state=live").json()["results"]] == [the.live.pk]
    assert error(reading.get("releases/?state=done")) == (422, "invalid")
    assert error(reading.get("releases/?page=99")) == (404, "not_found")


@pytest.mark.usefixtures("waiting")
def test_one_release_in_full(the: Scene, reading: Api) -> None:
    body = reading.get(f"releases/{the.candidate.pk}/").json()
    assert (body["state"], body["verdict"], body["comparison"], body["requested_by"]) == (
        "awaiting approval",
        "improved",
        the.comparison.pk,
        "mila",
    )
    assert body["prompt"] == "news summary v1"
    assert error(reading.get("releases/999999/")) == (404, "not_found")


@pytest.mark.usefixtures("waiting")
def test_the_evidence_can_be_checked_against_its_digest(the: Scene, reading: Api) -> None:
    body = reading.get(f"releases/{the.candidate.pk}/evidence/").json()
    assert body["holds"] is True
    assert canonical_digest(body["evidence"]) == body["evidence_digest"]
    the.approved_by(the.cast.approver)
    body = reading.get(f"releases/{the.candidate.pk}/evidence/").json()
    assert [(row["by"], row["decision"], row["voided_at"]) for row in body["decisions"]] == [
        ("ada", "approved", None)
    ]
    assert body["holds"] is False, "it is decided"


@pytest.mark.usefixtures("waiting")
def test_evidence_that_no_longer_holds_says_why(the: Scene, reading: Api) -> None:
    newer = scenes.made_live(
        compose_release(
            model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 4},
            origin="decoding", actor=None,
        )
    )  # fmt: skip
    body = reading.get(f"releases/{the.candidate.pk}/evidence/").json()
    assert body["holds"] is False
    assert f"Release {newer.pk} went live" in body["problem"]


def test_a_program_submits_with_the_comparison_that_speaks_for_it(the: Scene, submitting: Api) -> None:
    answer = submitting.post("releases/", {"comparison": the.comparison.pk, "note": "From the pipeline."})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["id"], body["state"], body["note"]) == (
        the.candidate.pk,
        "evaluating",
        "From the pipeline.",
    )
    assert answer["Location"].endswith(f"/api/v1/releases/{the.candidate.pk}/")
    again = submitting.post("releases/", {"comparison": the.comparison.pk})
    assert again.status_code == 201
    event = AuditEvent.objects.get(action="release.submit")
    assert (event.actor, event.reason) == (the.cast.ml_engineer, "From the pipeline.")


def test_the_same_key_gives_the_same_answer(the: Scene, submitting: Api) -> None:
    body = {"comparison": the.comparison.pk}
    first = submitting.post("releases/", body, **{"Idempotency-Key": "k1"})
    again = submitting.post("releases/", body, **{"Idempotency-Key": "k1"})
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"


def test_what_the_rules_forbid_is_refused_with_its_reason(the: Scene, submitting: Api) -> None:
    other = make.release()
    answer = submitting.post("releases/", {"comparison": the.comparison.pk, "release": other.pk})
    assert error(answer) == (409, "refused")
    scenes.made_live(
        compose_release(
            model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 4},
            origin="decoding", actor=None,
        )
    )  # fmt: skip
    answer = submitting.post("releases/", {"comparison": the.comparison.pk})
    assert error(answer) == (409, "refused")
    assert "live now" in answer.json()["error"]["message"]
    assert state(the) == "draft"


@pytest.mark.parametrize(
    "body", [{}, {"comparison": "x"}, {"comparison": 0}, {"comparison": 1, "note": "x" * 2001}]
)
def test_mistakes_are_named_by_field(submitting: Api, body: dict[str, Any]) -> None:
    answer = submitting.post("releases/", body)
    assert error(answer) == (422, "invalid")
    assert set(answer.json()["error"]["fields"]) <= {"comparison", "note"}


def test_an_unknown_comparison_is_not_found(submitting: Api) -> None:
    assert error(submitting.post("releases/", {"comparison": 999999})) == (404, "not_found")


def test_scopes_are_kept_apart(the: Scene, reading: Api) -> None:
    body = {"comparison": the.comparison.pk}
    assert reading.post("releases/", body).status_code == 403
    writing_only = Api(the.cast.ml_engineer, "releases:submit")
    assert writing_only.get("releases/").status_code == 403
    assert writing_only.get(f"releases/{the.candidate.pk}/evidence/").status_code == 403
    summaries_only = Api(the.cast.ml_engineer, "summaries:write")
    assert summaries_only.get("releases/").status_code == 403
    assert summaries_only.post("releases/", body).status_code == 403
    assert state(the) == "draft"


def test_a_token_may_do_no_more_than_its_user(the: Scene, submitting: Api) -> None:
    the.cast.ml_engineer.groups.clear()
    cache.clear()
    assert submitting.post("releases/", {"comparison": the.comparison.pk}).status_code == 403
    assert submitting.get("releases/").status_code == 403
    assert state(the) == "draft"


@pytest.mark.usefixtures("waiting")
def test_no_token_decides_whatever_its_scopes_and_its_user(the: Scene) -> None:
    """Not even an approver's: there is no call, and reading calls accept nothing else."""
    token = Api(the.cast.administrator, "releases:read", "releases:submit")
    path = f"releases/{the.candidate.pk}/"
    for word in ("approve/", "reject/", "decide/", "approvals/", "evidence/approve/"):
        assert token.post(path + word, {"reason": "x"}).status_code == 404
    assert token.post(path, {"state": "approved"}).status_code == 405
    assert token.post(path + "evidence/", {"decision": "approved"}).status_code == 405
    assert state(the) == "awaiting approval"


def test_lists_ask_a_fixed_number_of_questions(
    the: Scene, reading: Api, django_assert_max_num_queries: Any
) -> None:
    for beams in range(2, 12):
        compose_release(
            model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": beams}, origin="decoding",
            actor=the.cast.ml_engineer,
        )  # fmt: skip
    reading.get("releases/")
    with django_assert_max_num_queries(8):
        reading.get("releases/")
