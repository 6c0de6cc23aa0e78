"""What a pipeline does by REST: train, evaluate, compare, compose, submit, wait. Deciding is nobody's here."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.urls import get_resolver

from models_app.foundation.tokens import grantable_scopes
from models_app.models import (
    ApiToken,
    AuditEvent,
    Comparison,
    EvaluationRun,
    Job,
    Release,
    TrainingRun,
)
from tests import make
from tests.api.conftest import Api, error
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db
SCOPES = ("training:write", "evaluations:write", "releases:read", "releases:submit")


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    cache.clear()
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


@pytest.fixture
def pipeline(the: Scene) -> Api:
    return Api(the.cast.ml_engineer, *SCOPES)


def test_a_training_run_is_started_once_and_told(the: Scene, pipeline: Api, settings: Any) -> None:
    settings.GALLEY_MIN_TRAINING_EXAMPLES = 2
    asked = {"base": f"model:{the.live.model_version_id}", "recipe": {"epochs": 3}, "name": "Weekly"}
    answer = pipeline.post("training-runs/", asked)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert (body["state"], body["snapshot"], body["recipe"]["epochs"], body["name"]) == (
        "queued", the.snapshot.pk, 3, "Weekly",
    )  # fmt: skip
    assert answer["Location"].endswith(f"/api/v1/training-runs/{body['id']}/")
    run = TrainingRun.objects.get(pk=body["id"])
    assert (run.requested_by, run.job_id) == (the.cast.ml_engineer, body["job"])
    assert AuditEvent.objects.get(action="training.start").actor == the.cast.ml_engineer
    assert pipeline.post("training-runs/", asked).json()["id"] == run.pk
    assert pipeline.get(f"jobs/{run.job_id}/").json()["kind"] == "train"
    done = pipeline.get(f"training-runs/{the.model.training_run_id}/").json()
    assert (done["state"], done["model_version"]) == ("succeeded", the.model.pk)


def test_training_refuses_with_the_field_or_the_rule(the: Scene, pipeline: Api) -> None:
    for body, field in (
        ({"recipe": {"epochs": -1}}, "recipe"),
        ({"recipe": {"epochs": "many"}}, "recipe"),
        ({"recipe": {"learning rate": 1}}, "recipe"),
        ({"recipe": {"base": "/etc"}}, "recipe"),
        ({"recipe": []}, "recipe"),
        ({"preset": "moon"}, "preset"),
        ({"base": "model:99999"}, "base"),
        ({"base": "model:x"}, "base"),
        ({"base": "/etc"}, "base"),
        ({"base": "a\x00b"}, "base"),
        ({"prompt_version": 99999}, "prompt_version"),
        ({"snapshot": "x"}, "snapshot"),
        ({"snapshot": 2**70}, "snapshot"),
        ({"snapshott": 1}, "snapshott"),
        ({"name": "\ud800"}, "name"),
        ({"name": "x" * 1_000_000}, "name"),
    ):
        answer = pipeline.post("training-runs/", body)
        assert answer.status_code == 422, (body, answer.content[:300])
        assert field in answer.json()["error"]["fields"], body
    assert error(pipeline.post("training-runs/", {"snapshot": 99999})) == (404, "not_found")
    assert error(pipeline.post("training-runs/", {})) == (409, "snapshot_too_small")
    assert TrainingRun.objects.filter(state="queued").count() == 0


def test_an_evaluation_and_a_comparison_are_queued_and_told(the: Scene, pipeline: Api) -> None:
    other = make.release(model=the.model, decoding={"max_words": 41})
    body = pipeline.post("evaluations/", {"release": other.pk}).json()
    assert (body["state"], body["test_set"], body["release"]) == ("queued", the.on.pk, other.pk)
    assert pipeline.get(f"evaluations/{body['id']}/").json() == body
    assert pipeline.post("evaluations/", {"release": other.pk}).json()["id"] == body["id"]
    answer = pipeline.post("comparisons/", {"candidate": other.pk, "lead": False})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["state"]) == (202, "compare", "queued")
    assert answer["Location"].endswith(f"/api/v1/jobs/{job['id']}/")
    payload = Job.objects.get(pk=job["id"]).payload["runs"]
    assert payload["candidate"] == body["id"]
    assert EvaluationRun.objects.get(pk=payload["baseline"]).release == the.live
    assert error(pipeline.post("comparisons/", {"candidate": the.live.pk})) == (409, "refused")
    assert error(pipeline.post("comparisons/", {"candidate": 99999})) == (404, "not_found")
    assert error(pipeline.post("comparisons/", {"candidate": other.pk, "test_set": 99999})) == (
        404,
        "not_found",
    )
    assert error(pipeline.post("evaluations/", {})) == (422, "invalid")


def test_a_comparison_that_is_done_comes_with_its_figures(the: Scene, pipeline: Api) -> None:
    job = pipeline.post("comparisons/", {"candidate": the.candidate.pk, "lead": False}).json()
    make.carried_out(Job.objects.get(pk=job["id"]))
    told = pipeline.get(f"jobs/{job['id']}/").json()
    assert (told["state"], told["result"]["verdict"]) == ("succeeded", "improved")
    body = pipeline.get(f"comparisons/{told['result']['comparison']}/").json()
    made = Comparison.objects.get(pk=told["result"]["comparison"])
    assert (body["verdict"], body["n"], body["baseline_is_live"], body["digest"]) == (
        "improved", 40, True, made.digest,
    )  # fmt: skip
    assert {"rouge1", "rouge2"} <= {line["metric"] for line in body["lines"]}


def test_only_the_jobs_of_pipelines_are_told(the: Scene, pipeline: Api) -> None:
    other = Job.objects.create(kind="export", reason="Somebody's.")
    for number in (other.pk, 99999, 2**70):
        assert error(pipeline.get(f"jobs/{number}/")) == (404, "not_found")
    for place in ("training-runs", "evaluations", "comparisons"):
        for number in (99999, 2**70):
            assert error(pipeline.get(f"{place}/{number}/")) == (404, "not_found")


def test_composing_gives_the_open_draft_of_the_same(the: Scene, pipeline: Api) -> None:
    answer = pipeline.post(
        "releases/compose/", {"model_version": the.model.pk, "decoding": {"max_words": 45}}
    )
    body = answer.json()
    assert (answer.status_code, body["state"], body["decoding"]["max_words"]) == (201, "draft", 45)
    made = Release.objects.get(pk=body["id"])
    assert (made.created_by, answer["X-Release"]) == (the.cast.ml_engineer, str(made.pk))
    again = pipeline.post("releases/compose/", {"model_version": the.model.pk, "decoding": {"max_words": 45}})
    assert again.json()["id"] == made.pk
    for wrong, expected in (
        ({"model_version": 99999}, (404, "not_found")),
        ({"model_version": the.model.pk, "prompt_version": 99999}, (404, "not_found")),
        ({"model_version": the.model.pk, "environment": "moon"}, (404, "not_found")),
        ({"model_version": the.model.pk, "decoding": {"beams": 99}}, (422, "invalid")),
        ({"model_version": the.model.pk, "decoding": {"beamz": 1}}, (422, "invalid")),
        ({"model_version": the.model.pk, "note": "x" * 301}, (422, "invalid")),
        ({"model_version": the.model.pk, "state": "live"}, (422, "invalid")),
        ({}, (422, "invalid")),
    ):
        assert error(pipeline.post("releases/compose/", wrong)) == expected, wrong


def test_a_key_makes_each_start_happen_once(the: Scene, pipeline: Api) -> None:
    body = {"model_version": the.model.pk, "decoding": {"max_words": 46}}
    first = pipeline.post("releases/compose/", body, **{"Idempotency-Key": "run-7"})
    again = pipeline.post("releases/compose/", body, **{"Idempotency-Key": "run-7"})
    assert (again.status_code, again["Idempotent-Replayed"], again.json()) == (201, "true", first.json())
    assert again["Location"] == first["Location"]
    other = pipeline.post("evaluations/", {"release": the.live.pk}, **{"Idempotency-Key": "run-7"})
    assert error(other) == (422, "idempotency_key")


def test_a_submitted_release_is_waited_for(the: Scene, pipeline: Api) -> None:
    place = f"releases/{the.candidate.pk}/gates/"
    draft = pipeline.get(place).json()
    assert (draft["state"], draft["verdict"], draft["gates"]) == ("draft", "inconclusive", None)
    assert pipeline.post("releases/", {"comparison": the.comparison.pk}).json()["state"] == "evaluating"
    waiting = pipeline.get(place).json()
    assert (waiting["state"], waiting["verdict"], waiting["gates"]["state"]) == ("evaluating", None, "queued")
    scenes.gates_done(Release.objects.get(pk=the.candidate.pk))
    told = pipeline.get(place).json()
    assert (told["state"], told["verdict"], told["gates"]["verdict"]) == ("awaiting approval", "pass", "pass")
    assert {row["gate"] for row in told["gates"]["results"]} >= {"integrity", "leakage", "primary", "safety"}
    the.approved_by(the.cast.approver)
    assert pipeline.get(place).json()["state"] == "warming"


def test_a_blocked_release_says_what_blocks_it(pipeline: Api, the: Scene) -> None:
    cache.clear()
    worse = scenes.compared(make.release(decoding={"max_words": 33}), the.live, the.on, after=0.05)
    scenes.submitted(worse.candidate.release, worse)
    told = pipeline.get(f"releases/{worse.candidate.release_id}/gates/").json()
    assert (told["state"], told["verdict"]) == ("blocked", "fail")
    assert "Primary metric" in told["words"]


def test_each_scope_and_role_is_needed(the: Scene) -> None:
    reading = Api(the.cast.approver, "releases:read")
    for place, body in (
        ("training-runs/", {}),
        ("evaluations/", {"release": the.live.pk}),
        ("comparisons/", {"candidate": the.candidate.pk}),
        ("releases/compose/", {"model_version": the.model.pk}),
    ):
        assert error(reading.post(place, body)) == (403, "permission_denied"), place
    for person in (the.cast.approver, the.cast.operator, the.cast.reviewer):
        assert not {"training:write", "evaluations:write", "releases:submit"} & set(grantable_scopes(person))
    pipeline = Api(the.cast.ml_engineer, *SCOPES)
    the.cast.ml_engineer.groups.clear()
    assert error(pipeline.post("training-runs/", {})) == (403, "permission_denied")


@pytest.mark.usefixtures("waiting")
def test_no_address_of_the_api_decides(the: Scene) -> None:
    everything = Api(the.cast.administrator, *ApiToken.SCOPES)
    for word in ("approve", "reject", "decide", "waive", "changes", "live"):
        assert everything.post(f"releases/{the.candidate.pk}/{word}/", {}).status_code == 404
    for word, body in (("start", {}), ("rollback", {"reason": "No."})):  # of what nobody approved
        assert everything.post(f"releases/{the.candidate.pk}/{word}/", body).status_code == 409, word
    names = [str(name) for name in get_resolver().reverse_dict if str(name).startswith("api_")]
    assert len(names) > 30
    assert not [name for name in names if "approv" in name or "waive" in name or "decid" in name]
    assert Release.objects.get(pk=the.candidate.pk).state == "awaiting approval"
