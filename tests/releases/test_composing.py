from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.foundation.identity import canonical_digest, release_digest
from models_app.models import AuditEvent, ModelVersion, Prompt, PromptVersion, Release, SnapshotExample
from models_app.prompts.versions import create_prompt
from models_app.releases.composing import (
    compose_release,
    evidence,
    lead_release,
    origin_beside,
    submit_release,
    usual_decoding,
    withdraw_release,
)
from models_app.releases.hands import training_lineage
from models_app.releases.standing import evidence_problem
from tests import make
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting() -> None:
    """Where a test asks for it, its scene is one that was judged and waits for approval."""


def composed(the: Scene, **fields: object) -> Release:
    values = {
        "model_version": the.model, "prompt_version": scenes.chat_prompt(), "decoding": {"max_words": 50},
        "origin": "decoding", "actor": the.cast.ml_engineer,
    }  # fmt: skip
    return compose_release(**{**values, **fields})  # type: ignore[arg-type]


def test_the_same_content_is_one_open_release(the: Scene) -> None:
    first = composed(the)
    assert composed(the, note="again") == first
    assert composed(the, decoding={"max_words": 50, "beams": 1}) == first, (
        "defaults said aloud change nothing"
    )
    assert composed(the, decoding={"max_words": 51}) != first
    assert AuditEvent.objects.filter(action="release.compose", subject=f"release:{first.pk}").count() == 1


def test_an_ended_release_is_not_revived_a_retry_is_a_new_one(the: Scene) -> None:
    first = composed(the)
    withdraw_release(release=first, actor=the.cast.ml_engineer, reason="Wrong words.")
    second = composed(the)
    assert (second.pk != first.pk, second.digest == first.digest, second.state) == (True, True, "draft")
    for state in ("rejected", "withdrawn", "failed", "rolled back"):
        ended = make.release(state=state)
        with pytest.raises(Refused):
            withdraw_release(release=ended, actor=the.cast.ml_engineer)
        assert Release.MOVES.get(state, ()) == ()


def test_what_is_served_decides_the_digest(the: Scene) -> None:
    chat = scenes.chat_prompt()
    base = release_digest(the.model, chat, {})
    same_words = create_prompt(
        name="same words", kind="prefix", template=chat.template, actor=None
    ).versions.get()
    assert same_words.digest == chat.digest
    assert release_digest(the.model, same_words, {}) != base, "a chat message is not a prefix"
    the.model.precision = "float16"
    assert release_digest(the.model, chat, {}) != base


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_only_engineers_and_administrators_compose_submit_and_withdraw(the: Scene, who: str) -> None:
    actor = getattr(the.cast, who)
    with pytest.raises(NotAllowed):
        composed(the, actor=actor)
    with pytest.raises(NotAllowed):
        the.submitted(actor=actor)
    with pytest.raises(NotAllowed):
        withdraw_release(release=the.candidate, actor=actor)
    the.candidate.refresh_from_db()
    assert the.candidate.state == "draft"


@pytest.mark.parametrize(
    ("decoding", "field"),
    [
        ({"max_words": 2}, "max_words"),
        ({"beams": 17}, "beams"),
        ({"repetition_penalty": "high"}, "repetition_penalty"),
        ({"min_new_tokens": 90, "max_new_tokens": 20}, "min_new_tokens"),
        ({"temperature": 0.7}, "decoding"),
    ],
)
def test_decoding_settings_that_make_no_sense_are_refused_at_their_field(
    the: Scene, decoding: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        composed(the, decoding=decoding)
    assert list(refused.value.fields) == [field]


def test_a_model_that_reads_plain_text_gets_no_chat_prompt(the: Scene) -> None:
    t5 = ModelVersion.objects.create(
        name="t5", family="t5", architecture="T5", base="t5", artefact="t5", digest="t5", engine="ctranslate2"
    )
    with pytest.raises(InvalidInput, match="prefix"):
        composed(the, model_version=t5)
    assert composed(the, model_version=t5, prompt_version=PromptVersion.objects.get(prompt__name="summarize"))


def test_a_note_has_a_limit(the: Scene) -> None:
    with pytest.raises(InvalidInput) as refused:
        composed(the, note="x" * 301)
    assert "note" in refused.value.fields


def test_the_origin_says_what_changes_most(the: Scene) -> None:
    chat = scenes.chat_prompt()
    other = Prompt.objects.get(name="summarize").versions.get()
    live = the.live
    assert origin_beside(live, model_version=the.model, prompt_version=other) == "retraining"
    assert origin_beside(live, model_version=live.model_version, prompt_version=other) == "prompt"
    assert origin_beside(live, model_version=live.model_version, prompt_version=chat) == "decoding"
    assert origin_beside(None, model_version=the.model, prompt_version=chat) == "retraining"
    assert origin_beside(None, model_version=live.model_version, prompt_version=chat) == "initial"


def test_a_tuned_model_reads_at_inference_what_it_read_in_training(the: Scene) -> None:
    assert usual_decoding(the.model, the.live)["max_input_tokens"] == 420
    assert usual_decoding(the.live.model_version, the.live)["max_input_tokens"] == 512


@pytest.mark.usefixtures("waiting")
def test_a_draft_is_handed_to_the_approvers_with_its_evidence(the: Scene) -> None:
    release = the.candidate
    assert (release.state, release.requested_by, release.comparison) == (
        "awaiting approval",
        the.cast.ml_engineer,
        the.comparison,
    )
    release = Release.objects.get(pk=release.pk)
    assert release.evidence["comparison"]["verdict"] == "improved"
    assert release.evidence["snapshots"] == [the.snapshot.digest]
    assert canonical_digest(release.evidence) == release.evidence_digest, "as the database gives it back"
    assert evidence_problem(release) == ""
    event = AuditEvent.objects.get(action="release.submit")
    assert (event.actor, event.reason, event.to_state) == (
        the.cast.ml_engineer,
        "Learnt from 3 corrections.",
        "evaluating",
    )


@pytest.mark.usefixtures("waiting")
def test_submitting_twice_is_once(the: Scene) -> None:
    again = the.submitted(release=Release.objects.get(pk=the.candidate.pk), actor=the.cast.administrator)
    assert again.requested_by == the.cast.ml_engineer
    assert AuditEvent.objects.filter(action="release.submit").count() == 1


def test_the_comparison_has_to_be_about_the_release(the: Scene) -> None:
    other = composed(the)
    with pytest.raises(Refused, match="not this one"):
        the.submitted(release=other)


def test_the_comparison_has_to_be_with_what_is_live(the: Scene) -> None:
    newer = scenes.made_live(composed(the, model_version=the.live.model_version))
    with pytest.raises(Refused, match=f"release {newer.pk} is live now"):
        the.submitted()
    assert Release.objects.get(pk=the.candidate.pk).state == "draft"
    the.submitted(comparison=scenes.compared(the.candidate, newer, the.on))


def test_a_model_that_saw_the_test_documents_is_refused(the: Scene) -> None:
    leaked = the.on.examples.first()
    assert leaked is not None
    SnapshotExample.objects.create(
        snapshot=the.snapshot, position=99, split="train", document_hash=leaked.document_hash, origin="feedback:1",
        source="x", target="y",
    )  # fmt: skip
    with pytest.raises(Refused, match="1 document of the test set is in the data") as refused:
        the.submitted()
    assert refused.value.code == "leakage"
    assert Release.objects.get(pk=the.candidate.pk).state == "draft"


def test_what_an_ancestor_was_trained_on_counts_as_well(the: Scene) -> None:
    cast = the.cast
    leaked = the.on.examples.first()
    assert leaked is not None
    SnapshotExample.objects.create(
        snapshot=the.snapshot, position=99, split="train", document_hash=leaked.document_hash, origin="feedback:1",
        source="x", target="y",
    )  # fmt: skip
    grandchild = scenes.trained_model(
        the.model, scenes.snapshot(by=cast.ml_engineer, curators=[]), by=cast.ml_engineer
    )
    release = composed(the, model_version=grandchild)
    assert [run.pk for run in training_lineage(release)] == [
        grandchild.training_run_id,
        the.model.training_run_id,
    ]
    with pytest.raises(Refused, match="test set"):
        submit_release(
            release=release, comparison=scenes.compared(release, the.live, the.on), actor=cast.ml_engineer
        )


def test_the_baseline_is_not_a_candidate(the: Scene) -> None:
    lead = lead_release()
    assert lead_release() == lead
    with pytest.raises(Refused, match="baseline"):
        submit_release(release=lead, comparison=scenes.compared(lead, the.live, the.on), actor=None)


def test_a_worse_release_can_be_submitted_and_says_so() -> None:
    the = scene(before=0.20, after=0.10)
    assert the.submitted().evidence["comparison"]["verdict"] == "worse"


def test_evidence_lists_every_result_of_the_comparison(the: Scene) -> None:
    listed = evidence(the.candidate, the.comparison, hands=())["comparison"]["results"]
    assert len(listed) == the.comparison.results.count()
    assert {"metric", "slice", "low", "high", "mde", "verdict"} <= set(listed[0])


def test_a_waiting_release_can_be_withdrawn_with_a_reason(the: Scene) -> None:
    release = withdraw_release(
        release=the.submitted(), actor=the.cast.ml_engineer, reason="A better one comes."
    )
    assert (release.state, Release.objects.get(pk=release.pk).reason) == ("withdrawn", "A better one comes.")


@pytest.mark.parametrize("column", ["model_version_id", "prompt_version_id", "digest"])
def test_the_database_refuses_to_change_what_a_release_is(the: Scene, column: str) -> None:
    values = {
        "digest": "x",
        "model_version_id": the.live.model_version_id,
        "prompt_version_id": Prompt.objects.get(name="summarize").versions.get().pk,
    }
    with pytest.raises(DatabaseError), transaction.atomic():
        Release.objects.filter(pk=the.candidate.pk).update(**{column: values[column]})
