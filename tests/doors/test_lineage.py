"""A trained model stays its trainer's, whatever file it is registered from again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from safetensors.torch import load_file, save_file

from models_app.ml import artefacts
from models_app.models import Job, ModelVersion, Release, TrainingRun, WeightMatch, WeightTensor
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release
from models_app.releases.hands import involved, training_lineage
from models_app.training.recognising import Known, choose
from models_app.training.registering import artefact_path, register_artefact, register_base, start_registering
from tests import make
from tests.kept import kept
from tests.pages import markup
from tests.releases import scene as scenes
from tests.tiny_models import make_tiny_llama, make_tiny_t5

pytestmark = pytest.mark.django_db

Change = Callable[[Path], None]


@pytest.fixture
def cast(request: pytest.FixtureRequest, db: None) -> make.Cast:
    if "trained" in request.fixturenames:
        return with_what_mila_trained()
    return with_a_base() if "base" in request.fixturenames else make.cast()


@kept
def with_a_base() -> make.Cast:
    cast = make.cast()
    with TemporaryDirectory() as directory:
        model = make_tiny_llama(Path(directory) / "base", seed=1)
        register_base(reference=str(model), name="base", actor=cast.administrator)
    return cast


@kept
def with_what_mila_trained() -> make.Cast:
    cast = with_a_base()
    with TemporaryDirectory() as directory:
        trained_from(ModelVersion.objects.get(name="base"), cast, Path(directory), seed=5)
    return cast


@pytest.fixture
def places(tmp_path: Path, settings: Any) -> Path:
    settings.GALLEY_MODEL_DIRECTORIES = [tmp_path]
    return tmp_path


@pytest.fixture
def base(cast: make.Cast) -> ModelVersion:
    return ModelVersion.objects.get(name="base")


@pytest.fixture
def trained(cast: make.Cast) -> ModelVersion:
    """What Mila trained from it on what Rita corrected: all weights have moved by some percent."""
    return ModelVersion.objects.get(name="tuned")


def trained_from(base: ModelVersion, cast: make.Cast, places: Path, *, seed: int) -> ModelVersion:
    snapshot = scenes.snapshot(by=cast.ml_engineer, curators=[cast.reviewer.pk])
    run = TrainingRun.objects.create(
        name="tuned", snapshot=snapshot, base_model=base, base=f"model:{base.pk}", prompt_version=scenes.chat_prompt(),
        recipe={}, recipe_digest="x", state="running", requested_by=cast.ml_engineer,
    )  # fmt: skip
    weights = places / f"weights-{seed}"
    shutil.copytree(artefact_path(base) / "weights", weights)
    rewrite(weights, lambda name, tensor: moved(tensor, 0.1, seed))
    building = places / f"building-{seed}"
    artefacts.artefact_from_weights(
        weights, building, info=artefacts.ArtefactInfo(base=base.base, parent_digest=base.digest, seed=seed)
    )
    return register_artefact(
        directory=building,
        name="tuned",
        base=base.base,
        parent=base,
        training_run=run,
        actor=cast.ml_engineer,
    )


def moved(tensor: torch.Tensor, share: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed + tensor.numel()))
    return tensor + share * tensor.float().std().nan_to_num() * noise


def rewrite(directory: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(directory / "model.safetensors")
    save_file(
        {name: change(name, tensor).contiguous() for name, tensor in tensors.items()},
        directory / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip


def sharded(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    placed = {name: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(placed.values()):
        part = {name: tensor for name, tensor in tensors.items() if placed[name] == file}
        save_file(part, directory / file, metadata={"format": "pt"})
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": placed})
    )
    (directory / "model.safetensors").unlink()


def permuted(directory: Path) -> None:
    """The same function: the hidden units of each block in another order."""
    order = torch.randperm(128, generator=torch.Generator().manual_seed(1))

    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if "gate_proj" in name or "up_proj" in name:
            return tensor[order]
        return tensor[:, order] if "down_proj" in name else tensor

    rewrite(directory, change)


def permuted_with_noise(directory: Path) -> None:
    permuted(directory)
    rewrite(directory, lambda _, tensor: moved(tensor, 1e-3))


def beside_a_decoy(directory: Path) -> None:
    save_file({"junk": torch.randn(500, 500)}, directory / "other.safetensors")


def with_junk_inside(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors |= {f"junk.{i}": torch.randn(300, 300) for i in range(3)}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


LAUNDERED: dict[str, Change] = {
    "copied": lambda directory: None,
    "in shards": sharded,
    "cast to bfloat16": lambda directory: rewrite(directory, lambda _, tensor: tensor.to(torch.bfloat16)),
    "cast to float16 and back": lambda directory: rewrite(directory, lambda _, tensor: tensor.half().float()),
    "with a little noise": lambda directory: rewrite(directory, lambda _, tensor: moved(tensor, 1e-3)),
    "with one tensor changed": lambda directory: rewrite(
        directory, lambda name, tensor: moved(tensor, 1.0) if "layers.0.self_attn.q_proj" in name else tensor
    ),
    "with its neurons permuted": permuted,
    "with its neurons permuted and a little noise": permuted_with_noise,
    "beside a decoy": beside_a_decoy,
    "with junk in the file": with_junk_inside,
}


def laundered(trained: ModelVersion, places: Path, how: str) -> Path:
    directory = places / "fresh"
    shutil.copytree(artefact_path(trained) / "weights", directory)
    LAUNDERED[how](directory)
    return directory


def released(version: ModelVersion, by: Any) -> Release:
    return compose_release(
        model_version=version, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining", actor=by
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", LAUNDERED)
def test_a_trained_model_that_is_registered_again_keeps_its_lineage(
    cast: make.Cast, trained: ModelVersion, places: Path, how: str
) -> None:
    somebody = make.user("somebody", "ml engineer")
    again = register_base(reference=str(laundered(trained, places, how)), name="fresh", actor=somebody)
    assert again.pk != trained.pk
    assert (again.parent, again.training_run) == (trained, None)
    assert f"those of model {trained.pk}" in again.note
    release = released(again, somebody)
    assert training_lineage(release) == [trained.training_run]
    hands = involved(release)
    assert "started its training" in hands[cast.ml_engineer.pk]
    assert hands[cast.reviewer.pk] == ["curated its data"]
    assert "registered its model" in hands[somebody.pk]
    for person in (cast.ml_engineer, cast.reviewer, somebody):
        person.groups.add(*Group.objects.filter(name="approver"))
        assert not may_decide(release, type(person).objects.get(pk=person.pk))[0]
    assert may_decide(release, cast.approver)[0]


@pytest.mark.slow
def test_it_keeps_it_by_the_page_and_the_command(
    cast: make.Cast, trained: ModelVersion, places: Path
) -> None:
    directory = laundered(trained, places, "cast to bfloat16")
    client = Client()
    client.force_login(cast.ml_engineer)
    client.post("/models/register/", {"reference": str(directory)})
    job = Job.objects.get(kind="register_model")
    done = make.carried_out(job)
    assert done.state == "succeeded", done.reason
    again = ModelVersion.objects.get(pk=done.result["model_version"])
    assert again.parent == trained
    page = markup(client.get(f"/models/{again.pk}/"))
    assert f"those of model {trained.pk}" in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_it_keeps_it_by_the_command(cast: make.Cast, trained: ModelVersion, places: Path) -> None:
    """Its job is a process of its own."""
    base = Path(settings.GALLEY_HOME) / "bases" / "fresh"
    shutil.copytree(artefact_path(trained) / "weights", base)
    call_command("register_model", str(base), "--user", "mila")
    made = ModelVersion.objects.latest("pk")
    assert (made.parent, made.created_by) == (trained, cast.ml_engineer), "she has a hand in what it leads to"


def test_a_training_on_a_laundered_base_continues_its_lineage(
    cast: make.Cast, trained: ModelVersion, places: Path
) -> None:
    """The base of a training may be a directory that was never registered."""
    from models_app.training.job import _recognised

    assert _recognised(laundered(trained, places, "with its neurons permuted")) == trained
    assert _recognised(make_tiny_llama(places / "other", seed=77)) is None


def test_a_checkpoint_that_was_registered_before_its_model_is_recognised_then(
    cast: make.Cast, base: ModelVersion, places: Path
) -> None:
    """Being faster than the training job is no way around it."""
    checkpoint = places / "checkpoint"
    shutil.copytree(artefact_path(base) / "weights", checkpoint)
    rewrite(checkpoint, lambda name, tensor: moved(tensor, 0.1, 5))
    rewrite(checkpoint, lambda name, tensor: moved(tensor, 0.01, 8))
    early = register_base(reference=str(checkpoint), name="early", actor=cast.administrator)
    assert early.parent == base
    release = released(early, cast.administrator)
    assert training_lineage(release) == []
    trained = trained_from(base, cast, places, seed=5)
    assert trained.parent == base
    assert list(WeightMatch.objects.filter(of=trained).values_list("version", flat=True)) == [early.pk]
    assert training_lineage(release) == [trained.training_run]
    assert cast.ml_engineer.pk in involved(release)


def test_the_same_base_in_another_container_is_recognised_and_another_model_is_not(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    directory = places / "base-again"
    shutil.copytree(artefact_path(base) / "weights", directory)
    rewrite(directory, lambda _, tensor: tensor.half().float())
    again = register_base(reference=str(directory), name="again", actor=cast.administrator)
    assert again.parent == base
    for other in (make_tiny_llama(places / "other", seed=2), make_tiny_t5(places / "t5", seed=3)):
        version = register_base(reference=str(other), name="other", actor=cast.administrator)
        assert (version.parent, version.note) == (None, "")


def test_a_converted_model_by_itself_cannot_be_registered(trained: ModelVersion, places: Path) -> None:
    directory = next(artefact_path(trained).glob("ct2-*"))
    shutil.copytree(directory, places / "ct2")
    job = start_registering(reference=str(places / "ct2"), actor=None)
    done = make.carried_out(job)
    assert done.state == "failed"
    assert "is not one that Galley can train and serve" in done.reason
    assert ModelVersion.objects.filter(name__startswith="ct2").count() == 0


def test_what_weights_are_recognised_by_cannot_be_rewritten(trained: ModelVersion) -> None:
    assert WeightTensor.objects.filter(version=trained).count() > 10
    for statement in (
        "UPDATE models_app_weighttensor SET digest = 'x'",
        "DELETE FROM models_app_weighttensor",
        "TRUNCATE models_app_weighttensor",
        "UPDATE models_app_modelversion SET weights_digest = ''",
        f"UPDATE models_app_modelversion SET parent_id = NULL WHERE id = {trained.pk}",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        ([], None),
        ([Known(1, 0.19)], None),
        ([Known(1, 0.2)], 1),
        ([Known(1, 0.97), Known(2, 1.0, parent=1, step=0.97)], 2),
        # a copy of the base lies exactly as far from the child as the base does
        ([Known(1, 1.0), Known(2, 0.97, parent=1, step=0.97)], 1),
        # both are copies of one another: the later one's parent is the earlier
        ([Known(1, 1.0), Known(2, 1.0, parent=1, step=1.0)], 2),
        # four tenths of the child mixed into the base: nearer to the base, and yet made from the child
        ([Known(1, 0.98), Known(2, 0.97, parent=1, step=0.95)], 2),
        # another training from the same base is as far from the child as the two are apart
        ([Known(1, 0.96), Known(2, 0.94, parent=1, step=0.95)], 1),
        # it is not a descendant, only near
        ([Known(1, 0.98), Known(2, 0.97, parent=None)], 1),
    ],
)
def test_weights_were_made_from_the_nearest_or_from_a_child_whose_learning_they_have(
    known: list[Known], chosen: int | None
) -> None:
    found = choose(known)
    assert (found.pk if found else None) == chosen
