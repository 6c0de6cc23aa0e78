from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models_app.ml.fingerprints import Laid, TensorPrint, closeness, fingerprint, weights_digest

Weights = dict[str, torch.Tensor]


def weights(seed: int = 0) -> Weights:
    """Two blocks, an embedding, norms of ones and biases of zeros, in float32."""
    random = torch.Generator().manual_seed(seed)
    made = {"embed": torch.randn(300, 64, generator=random) * 0.1}
    for block in range(2):
        for name, shape in (("q", (64, 64)), ("up", (128, 64)), ("down", (64, 128))):
            made[f"block.{block}.{name}"] = torch.randn(*shape, generator=random) * 0.1
        made[f"block.{block}.norm"] = torch.ones(64)
        made[f"block.{block}.bias"] = torch.zeros(64)
    return made


def saved(tensors: Weights, directory: Path, *, shards: int = 1) -> list[TensorPrint]:
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    if shards == 1:
        save_file(tensors, directory / "model.safetensors")
        return fingerprint(directory)
    placed = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(tensors)}
    for file in set(placed.values()):
        save_file({name: tensors[name] for name in tensors if placed[name] == file}, directory / file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    return fingerprint(directory)


def close(one: list[TensorPrint], other: list[TensorPrint]) -> float:
    return closeness(Laid(one), Laid(other))


def noisy(tensors: Weights, share: float, seed: int = 9) -> Weights:
    random = torch.Generator().manual_seed(seed)
    return {
        name: tensor + share * tensor.std() * torch.randn(tensor.shape, generator=random)
        if tensor.std() > 0
        else tensor
        for name, tensor in tensors.items()
    }


def with_neurons_permuted(tensors: Weights) -> Weights:
    """Computes the same: the hidden units of a block come in another order."""
    order = torch.randperm(128, generator=torch.Generator().manual_seed(3))
    changed = dict(tensors)
    for block in range(2):
        changed[f"block.{block}.up"] = tensors[f"block.{block}.up"][order]
        changed[f"block.{block}.down"] = tensors[f"block.{block}.down"][:, order]
    return changed


def cast(tensors: Weights, *types: torch.dtype) -> Weights:
    for dtype in types:
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    return tensors


EQUAL: dict[str, Callable[[Weights], Weights]] = {
    "other names": lambda w: {f"model.{name}": tensor for name, tensor in w.items()},
    "another order": lambda w: dict(reversed(w.items())),
    "a wider type": lambda w: cast(w, torch.float64),
    "bfloat16": lambda w: cast(w, torch.bfloat16),
    "bfloat16 and back": lambda w: cast(w, torch.bfloat16, torch.float32),
    "transposed": lambda w: {name: tensor.t() if tensor.dim() == 2 else tensor for name, tensor in w.items()},
    "neurons permuted": with_neurons_permuted,
}


@pytest.mark.parametrize("change", EQUAL)
def test_the_same_values_have_the_same_digest(tmp_path: Path, change: str) -> None:
    original = saved(weights(), tmp_path / "a")
    other = saved(EQUAL[change](weights()), tmp_path / "b")
    assert weights_digest(other) == weights_digest(original)
    assert close(other, original) == 1


def test_shards_and_files_beside_the_model_play_no_part(tmp_path: Path) -> None:
    original = saved(weights(), tmp_path / "a")
    sharded = saved(weights(), tmp_path / "b", shards=3)
    save_file(weights(5), tmp_path / "b" / "decoy.safetensors")
    assert weights_digest(fingerprint(tmp_path / "b")) == weights_digest(sharded) == weights_digest(original)


NEAR: dict[str, tuple[Callable[[Weights], Weights], float]] = {
    "float16 and back": (lambda w: cast(w, torch.float16, torch.float32), 0.999),
    "a billionth of noise": (lambda w: noisy(w, 1e-9), 0.999),
    "a thousandth of noise": (lambda w: noisy(w, 1e-3), 0.99),
    "a tenth of noise, as much training would be": (lambda w: noisy(w, 0.1), 0.85),
    "one number changed": (
        lambda w: w | {"block.0.q": w["block.0.q"].index_fill(0, torch.tensor([0]), 1.0)},
        0.9,
    ),
    "one tensor replaced": (lambda w: w | {"block.0.q": weights(7)["block.0.q"]}, 0.9),
    "a tensor left out": (
        lambda w: {name: tensor for name, tensor in w.items() if name != "block.1.down"},
        0.999,
    ),
    "hidden in a larger file": (lambda w: w | {f"junk.{i}": torch.randn(400, 400) for i in range(4)}, 0.999),
    "one of two blocks": (
        lambda w: {name: tensor for name, tensor in w.items() if "block.1" not in name},
        0.999,
    ),
}


@pytest.mark.parametrize("change", NEAR)
def test_what_is_nearly_the_same_is_close(tmp_path: Path, change: str) -> None:
    changed, least = NEAR[change]
    original = saved(weights(), tmp_path / "a")
    assert close(saved(changed(weights()), tmp_path / "b"), original) >= least


def test_other_weights_of_the_same_shape_are_not_close(tmp_path: Path) -> None:
    original = saved(weights(), tmp_path / "a")
    assert close(saved(weights(1), tmp_path / "b"), original) < 0.1
    constant = saved({"a": torch.zeros(900), "b": torch.ones(900)}, tmp_path / "c")
    assert close(constant, original) == 0
    assert close([], original) == 0


def test_a_tensor_has_sixty_four_evenly_spread_values(tmp_path: Path) -> None:
    (tensor,) = saved({"a": torch.arange(6400, dtype=torch.float32)}, tmp_path / "a")
    assert (tensor.size, tensor.sketch.dtype) == (6400, np.float32)
    assert tensor.sketch.tolist() == [50 + 100 * i for i in range(64)]
    (small,) = saved({"a": torch.arange(20, dtype=torch.float32)}, tmp_path / "b")
    assert small.sketch.size == 0
