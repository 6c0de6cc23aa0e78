"""What is recognised is what is loaded: no second set of weights in a directory hides the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models_app.foundation.errors import Refused
from models_app.ml.families import load_model
from models_app.models import ModelVersion, TrainingRun
from models_app.training.job import _base, _recognised
from models_app.training.registering import artefact_path, register_base
from tests import make
from tests.doors.test_lineage import base, cast, places, trained
from tests.releases import scene as scenes

__all__ = ["base", "cast", "places", "trained"]
pytestmark = pytest.mark.django_db


def copy_of(version: ModelVersion, place: Path) -> Path:
    shutil.copytree(artefact_path(version) / "weights", place)
    return place


def decoys(directory: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(directory / "model.safetensors")
    return {
        name: torch.randn(tensor.shape, generator=torch.Generator().manual_seed(place))
        for place, (name, tensor) in enumerate(tensors.items())
    }


def test_shards_that_nobody_loads_hide_no_weights(
    cast: make.Cast, trained: ModelVersion, places: Path
) -> None:
    """Where there is one file and an index of others, the one file is loaded."""
    directory = copy_of(trained, places / "decoys")
    tensors = decoys(directory)
    shard = "model-00001-of-00001.safetensors"
    save_file(tensors, directory / shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, shard)}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = load_model(directory).state_dict()
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(loaded[name], load_file(directory / "model.safetensors")[name])
    again = register_base(reference=str(directory), name="decoys", actor=cast.ml_engineer)
    assert again.parent == trained


def elsewhere(directory: Path) -> None:
    """The configuration may name another file than the usual one."""
    (directory / "model.safetensors").rename(directory / "real.safetensors")
    save_file(
        load_file(directory / "real.safetensors"), directory / "model.safetensors", metadata={"format": "pt"}
    )
    config: dict[str, Any] = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "transformers_weights": "real.safetensors"}))


def adapter(directory: Path) -> None:
    """What was learnt lies beside a base that everybody knows."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        load_model(directory), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    model.peft_config["default"].base_model_name_or_path = str(directory)
    model.save_pretrained(directory)


@pytest.mark.parametrize(
    ("how", "reason"), [(elsewhere, "names the file of its weights"), (adapter, "adapter")]
)
def test_weights_that_are_not_where_they_are_looked_for_are_refused(
    cast: make.Cast, base: ModelVersion, places: Path, how: Any, reason: str
) -> None:
    directory = copy_of(base, places / "hidden")
    how(directory)
    with pytest.raises(Refused, match=reason):
        register_base(reference=str(directory), name="hidden", actor=cast.ml_engineer)


def test_a_base_that_is_exchanged_while_it_is_trained_on_stays_what_it_was(
    cast: make.Cast, base: ModelVersion, trained: ModelVersion, places: Path
) -> None:
    """Begun on somebody's trained weights, resumed on the plain base: the training goes on with the first."""
    directory = copy_of(trained, places / "mine")
    run = TrainingRun.objects.create(
        name="mine", snapshot=scenes.snapshot(by=cast.ml_engineer, curators=[]), base=str(directory), state="running",
        prompt_version=scenes.chat_prompt(), recipe={}, recipe_digest="y", requested_by=cast.ml_engineer,
    )  # fmt: skip
    work = places / "work"
    work.mkdir()
    assert _recognised(_base(run, work)) == trained
    shutil.rmtree(directory)
    copy_of(base, directory)
    assert _recognised(_base(run, work)) == trained
    name = "model.layers.0.self_attn.q_proj.weight"
    loaded = load_model(_base(run, work)).state_dict()
    assert torch.equal(
        loaded[name], load_file(artefact_path(trained) / "weights" / "model.safetensors")[name]
    )
