"""What a run's page says of it: a tiny model is trained for real, by the job."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from models_app.ml.prompting import default_prompt
from models_app.ml.recipe import Recipe
from models_app.ml.training import Example, train
from models_app.models import DatasetSnapshot, ModelVersion, PromptVersion, SnapshotExample, TrainingRun
from models_app.training.registering import register_base
from models_app.training.starting import start_training
from tests import make
from tests.pages import markup
from tests.releases.scene import digest
from tests.tiny_models import make_tiny_t5, topic_task

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SHORT = Recipe(
    base="tiny", learning_rate=3e-3, max_steps=8, epochs=None, batch_tokens=200, max_source_tokens=40,
    max_target_tokens=10, precision="fp32", validations_per_epoch=1, patience=None, seed=5, warmup_fraction=0.25,
)  # fmt: skip


@pytest.fixture
def base(cast: make.Cast, tmp_path: Path) -> ModelVersion:
    return register_base(
        reference=str(make_tiny_t5(tmp_path / "tiny", seed=3)), name="tiny T5", actor=cast.ml_engineer
    )


@pytest.fixture
def taught(cast: make.Cast, tmp_path: Path) -> ModelVersion:
    """A model that has learnt the task already."""
    task = [Example(source, target) for source, target in topic_task(600, seed=1)]
    learnt = train(
        recipe=SHORT.but(max_steps=None, epochs=5, batch_tokens=400), base_dir=make_tiny_t5(tmp_path / "tiny", seed=3),
        train=task[:560], validation=task[560:], prompt=default_prompt("t5"), work_dir=tmp_path / "work", device="cpu",
    )  # fmt: skip
    return register_base(reference=str(learnt.weights), name="taught T5", actor=cast.ml_engineer)


@pytest.fixture
def snapshot(cast: make.Cast) -> DatasetSnapshot:
    return frozen(cast.ml_engineer)


def frozen(by: Any, *, answer: str = "") -> DatasetSnapshot:
    """Toy rows; with `answer` as the target of every training row, wrong ones."""
    made = DatasetSnapshot.objects.create(
        name="Toys", digest=digest("toys", answer), train_rows=80, validation_rows=10, curators=[],
        directory="snapshots/toys", created_by=by,
    )  # fmt: skip
    SnapshotExample.objects.bulk_create(
        SnapshotExample(
            snapshot=made, position=i, split="train" if i < 80 else "validation", document_hash=digest("toy", i),
            origin=f"feedback:{i}", source=source, target=(answer or target) if i < 80 else target,
        )
        for i, (source, target) in enumerate(topic_task(90, seed=2))
    )  # fmt: skip
    return made


def trained(base: ModelVersion, on: DatasetSnapshot, recipe: Recipe, by: Any) -> TrainingRun:
    prompt = PromptVersion.objects.get(prompt__name="summarize", number=1)
    run = start_training(
        snapshot=on, base=f"model:{base.pk}", prompt_version=prompt, recipe=recipe, actor=by, deliver=False,
    )  # fmt: skip
    assert run.job is not None
    done = make.carried_out(run.job)
    assert done.state == "succeeded", done.reason
    return TrainingRun.objects.get(pk=run.pk)


def page(run: TrainingRun, person: Any) -> str:
    client = Client()
    client.force_login(person)
    text = markup(client.get(f"/training/{run.pk}/"))
    return html.unescape(re.sub(r"\s+", " ", text))


def test_a_run_that_only_made_it_worse_says_so_and_what_it_kept(
    taught: ModelVersion, cast: make.Cast
) -> None:
    wrong = frozen(cast.ml_engineer, answer="west.")
    run = trained(taught, wrong, SHORT.but(keep="last"), cast.ml_engineer)
    losses = {row.step: row.validation_loss for row in run.metrics.all() if row.validation_loss is not None}
    assert losses[0] == min(losses.values()) < run.summary["validation_loss"] == losses[8]
    text = page(run, cast.ml_engineer)
    assert f"No step was better than where it began: {losses[0]:.3f}" in text
    assert (
        f"The weights of the end, step 8, were kept, as the recipe asks; their validation loss is {losses[8]:.3f}"
        in (text)
    )
    assert "had the lowest validation loss" not in text
    assert f"kept: {losses[8]:.3f}".rstrip("0") in text, "the picture rings what was kept"


def test_a_run_that_keeps_the_best_and_found_none_makes_no_new_model(
    taught: ModelVersion, cast: make.Cast
) -> None:
    wrong = frozen(cast.ml_engineer, answer="west.")
    run = trained(taught, wrong, SHORT.but(keep="best"), cast.ml_engineer)
    assert run.summary["best_step"] == 0
    text = page(run, cast.ml_engineer)
    assert "The base model's own weights were kept" in text
    model = ModelVersion.objects.get(pk=run.summary["model_version"])
    assert ("It made no new model version" in text) is (model.training_run_id != run.pk)


def test_the_training_curve_begins_at_the_first_measured_training_loss(
    base: ModelVersion, snapshot: DatasetSnapshot, cast: make.Cast
) -> None:
    run = trained(base, snapshot, SHORT, cast.ml_engineer)
    rows = {row.step: row for row in run.metrics.all()}
    assert rows[0].loss is None, "nothing was trained before the first step"
    assert rows[0].validation_loss is not None
    assert rows[1].loss is not None, "the first step is always written down"
    assert rows[1].loss != rows[0].validation_loss


def test_learning_rate_and_speed_are_recorded_and_shown_after_the_end(
    base: ModelVersion, snapshot: DatasetSnapshot, cast: make.Cast
) -> None:
    run = trained(base, snapshot, SHORT, cast.ml_engineer)
    last = run.metrics.order_by("-step").first()
    assert last is not None
    assert last.step == 8
    assert last.validation_loss is not None, "the row of the last validation"
    assert last.loss is not None
    assert 0 < (last.learning_rate or 0) < SHORT.learning_rate, "after the schedule's decay"
    assert (last.tokens_per_second or 0) > (last.examples_per_second or 0) > 0
    text = page(run, cast.ml_engineer)
    assert f"learning rate {last.learning_rate:.7f}" in text
    assert f"{last.tokens_per_second:,.0f} tokens/s" in text
    assert f"{last.examples_per_second:,.2f} examples/s" in text
    assert "learning rate –" not in text
    assert "– tokens/s" not in text
