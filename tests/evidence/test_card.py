"""The model card of a release: what the Hub reads, and nothing that a person typed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from huggingface_hub import ModelCard

from models_app.evidence.card import model_card
from models_app.evidence.envelope import read_key
from models_app.evidence.keys import public_key
from models_app.models import ModelVersion, Release, TrainingRun
from reviews.models import Review, SpanMark
from tests import make
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return scenes.waiting()


def card(the: Scene) -> str:
    return model_card(Release.objects.get(pk=the.candidate.pk))


def test_the_hub_reads_its_metadata(the: Scene) -> None:
    data = ModelCard(card(the)).data
    assert (data.pipeline_tag, data.library_name, data.license) == (
        "summarization",
        "transformers",
        "apache-2.0",
    )
    assert data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    scores = {row.metric_name: row for row in data.eval_results}
    assert scores["ROUGE-2"].metric_type == "rouge"
    assert scores["ROUGE-2"].metric_value == pytest.approx(16, abs=1)
    assert scores["ROUGE-2"].dataset_revision == the.on.digest
    assert "Summary length" not in scores, "of which neither more nor less is better"


def test_every_section_is_there_with_what_the_tables_say(the: Scene) -> None:
    said = card(the)
    for head in (
        "Intended use", "Training data", "Evaluation", "Slices", "Gates", "Limits", "Known failures",
        "Energy and cost", "Where it comes from",
    ):  # fmt: skip
        assert f"\n## {head}\n" in said, head
    assert "95 % interval" in said
    assert "business (20), news (20)" in said
    assert f"snapshot {the.snapshot.pk}" in said
    assert the.candidate.digest in said
    assert public_key() in said
    assert read_key(public_key())


def test_what_nobody_recorded_is_said_so(the: Scene) -> None:
    said = card(the)
    assert "| cpu | 1,560 s | not recorded |" in said
    assert "Galley knows no prices" in said
    assert "not stated" in said
    assert "No summary of this release has been reviewed yet." in said


def test_energy_that_the_machine_counted_is_told(the: Scene) -> None:
    run = the.model.training_run
    assert run is not None
    with without_guards(TrainingRun):
        TrainingRun.objects.filter(pk=run.pk).update(summary={**run.summary, "energy_kwh": 0.0421})
    assert "| cpu | 1,560 s | 0.042 kWh |" in card(the)


def test_a_base_of_unknown_licence_is_not_given_one(the: Scene) -> None:
    ModelVersion.objects.filter(pk=the.model.pk).update(base="somewhere")
    assert ModelCard(card(the)).data.license == "unknown"


def test_known_failures_are_what_reviewers_marked(the: Scene) -> None:
    item = make.queue_item(
        make.summary(
            make.document(), "Some 410 piles are rotten.", release=the.candidate, model_version=the.model
        ),
        state="done",
    )
    review = Review.objects.create(
        item=item, summary=item.summary, reviewer=the.cast.reviewer, rubric=item.queue.rubric, state="submitted",
        stars=2, verdict="poor", edited_text="140 piles are rotten.", submitted_at=item.created_at,
    )  # fmt: skip
    for start, end, quote in ((5, 8, "410"), (9, 14, "piles")):
        SpanMark.objects.create(
            review=review, start=start, end=end, quote=quote, error_type="wrong entity or number"
        )
    assert "| wrong entity or number | 1 | 100 % |" in card(the)


@pytest.mark.parametrize(
    "words",
    ["# A heading", "a | b", "<script>alert(1)</script>", "[x](javascript:1)", "`", "---", "a\nb: c", "\\"],
)
def test_what_people_wrote_is_no_markup_and_no_metadata(the: Scene, words: str) -> None:
    ModelVersion.objects.filter(pk=the.model.pk).update(name=words)
    said = card(the)
    assert ModelCard(said).data.model_name == f"galley-release-{the.candidate.pk}"
    assert "<script>" not in said
    assert not re.search(r"(?<!\\)\]\(", said), "no link"
    assert said.count("\n# ") == 1


def test_a_release_that_was_not_trained_or_compared_has_one(the: Scene) -> None:
    said = model_card(the.live)
    assert "Nothing was trained here" in said
    assert "It was not compared" in said


def test_the_same_rows_give_the_same_card(the: Scene) -> None:
    assert card(the) == card(the)


def test_page_and_file(the: Scene, client: Any) -> None:
    client.force_login(the.cast.approver)
    shown = client.get(f"/releases/{the.candidate.pk}/card/").content.decode()
    assert "pipeline_tag: summarization" in shown
    answer = client.get(f"/releases/{the.candidate.pk}/card/?download=1")
    assert answer["Content-Disposition"] == 'attachment; filename="README.md"'
    assert answer.content.decode() == card(the)
    assert scenes.WRITTEN not in shown, "it holds no summary"
