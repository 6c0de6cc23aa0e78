"""Integrity reads everything again: what somebody rewrote with the guards off is found, by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Model

from models_app.gates.integrity import Check, Conversion, Facts, IntegrityPolicy, judge_facts
from models_app.gates.results import Verdict
from models_app.models import (
    Comparison,
    ComparisonResult,
    EvaluationExample,
    EvaluationRun,
    ExampleScore,
    GatePolicy,
    GateResult,
    ModelVersion,
    PromptVersion,
    Release,
    SnapshotExample,
)
from models_app.training.registering import store
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return scene()


def judged(the: Scene) -> dict[str, GateResult]:
    release = Release.objects.get(pk=the.candidate.pk)
    run = scenes.judged(release, Comparison.objects.get(pk=the.comparison.pk))
    return {row.name: row for row in run.results.filter(gate="integrity")}


def failing(the: Scene) -> set[str]:
    return {name for name, row in judged(the).items() if row.verdict != "pass"}


def test_what_nobody_touched_passes(the: Scene) -> None:
    rows = judged(the)
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(
        [
            "evaluations",
            "scores",
            "results",
            "test_set",
            "snapshots",
            "model",
            "release",
            "policy",
            "conversion",
        ],
        "pass",
    )
    assert rows["scores"].n == 40
    assert rows["snapshots"].n == 3


REWRITTEN: dict[str, tuple[type[Model], dict[str, Any], set[str]]] = {
    "a score": (ExampleScore, {"rouge2": 0.99}, {"scores", "results"}),
    "an output": (ExampleScore, {"output": "Better words."}, {"scores"}),
    "a result": (ComparisonResult, {"low": 99.0}, {"results"}),
    "a p": (ComparisonResult, {"p": 0.9}, {"results"}),
    "a margin": (ComparisonResult, {"margin": 50.0}, {"results"}),
    "a reference": (EvaluationExample, {"reference": "Better words."}, {"test_set"}),
    "a test document": (EvaluationExample, {"source": "Another article."}, {"test_set"}),
    "a domain": (EvaluationExample, {"domain": "sports"}, {"test_set", "results"}),
    "a training row": (SnapshotExample, {"target": "Another summary."}, {"snapshots"}),
    "an evaluation": (EvaluationRun, {"state": "running"}, {"evaluations"}),
    "a prompt": (PromptVersion, {"template": "Flatter us. {text}"}, {"release"}),
    "decoding": (Release, {"decoding": {"max_words": 9}}, {"release"}),
    "a policy": (GatePolicy, {"settings": {"primary": {"margin": 99}}}, {"policy"}),
}


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_was_rewritten_with_the_triggers_off_fails(the: Scene, what: str) -> None:
    model, values, expected = REWRITTEN[what]
    rows = model._default_manager.order_by("pk")
    if model is PromptVersion:
        rows = rows.filter(pk=the.candidate.prompt_version_id)
    elif model is Release:
        rows = rows.filter(pk=the.candidate.pk)
    elif model is EvaluationRun:
        rows = rows.filter(pk=the.comparison.baseline_id)
    elif model is SnapshotExample:
        rows = rows.filter(snapshot=the.snapshot)
    row = rows.first()
    assert row is not None
    with without_guards(model):
        assert model._default_manager.filter(pk=row.pk).update(**values) == 1
    assert failing(the) == expected


def test_a_result_that_is_gone_and_one_too_many_are_found(the: Scene) -> None:
    with without_guards(ComparisonResult):
        ComparisonResult.objects.filter(comparison=the.comparison, metric="repetition", slice="all").delete()
    assert failing(the) == {"results"}


def test_a_document_whose_score_is_gone_fails(the: Scene) -> None:
    with without_guards(ExampleScore):
        ExampleScore.objects.filter(run=the.comparison.candidate)[:1].get().delete()
    assert failing(the) == {"scores", "results"}


@pytest.mark.parametrize("path", ["weights/model.safetensors", "ct2-int8/model.bin"])
def test_files_of_the_model_that_were_exchanged_fail(the: Scene, path: str) -> None:
    (store() / the.model.artefact / path).write_text("other weights")
    rows = judged(the)
    assert rows["model"].verdict == "fail"
    assert path in rows["model"].words


def test_another_models_directory_in_its_place_fails(the: Scene) -> None:
    other = scenes.base_model()
    mine = store() / the.model.artefact
    mine.rename(mine.with_name("away"))
    (store() / other.artefact).rename(mine)
    assert "holds another model" in judged(the)["model"].words


def test_files_that_are_gone_fail_and_nobody_can_tell_what_serves_it(the: Scene) -> None:
    (store() / the.model.artefact / "manifest.json").unlink()
    rows = judged(the)
    assert (rows["model"].verdict, rows["conversion"].verdict) == ("fail", "error")


# ---------------------------------------------------------------- the conversion, pure


def parity(conversion: Conversion | None, tolerance: float = 0.001) -> Verdict:
    facts = Facts([Check("scores", "Scores", 1)], conversion)
    return judge_facts(facts, IntegrityPolicy(logprob_tolerance=tolerance))[-1].verdict


def test_a_conversion_passes_only_where_it_was_compared_and_is_the_same() -> None:
    assert parity(Conversion("ctranslate2", 0.0009, True, 3)) == Verdict.PASS
    assert parity(Conversion("ctranslate2", 0.0011, True, 3)) == Verdict.FAIL
    assert parity(Conversion("ctranslate2", 0.0, False, 3)) == Verdict.FAIL
    assert parity(Conversion("ctranslate2", None)) == Verdict.ERROR
    assert parity(Conversion("ctranslate2", float("nan"), True, 3)) == Verdict.ERROR
    assert parity(Conversion("transformers")) == Verdict.PASS
    assert parity(None) == Verdict.ERROR
    assert parity(Conversion("ctranslate2", 0.0011, True, 3), tolerance=0.01) == Verdict.PASS


def test_a_model_without_weights_has_no_conversion() -> None:
    assert [row.name for row in judge_facts(Facts([], None, without_weights=True), IntegrityPolicy())] == []


def test_what_was_registered_is_what_is_read(the: Scene) -> None:
    with without_guards(ModelVersion):
        ModelVersion.objects.filter(pk=the.model.pk).update(manifest={"format": 1})
    assert "not the one that was registered" in judged(the)["model"].words
