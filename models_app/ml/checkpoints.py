"""What a run needs to go on as if it had never stopped, on disk and whole or not at all.

work_dir/checkpoint-<step>/   trainable.safetensors, optimizer.pt (state and random generators), state.json
work_dir/best-<step>/         trainable.safetensors of the best validation loss so far

A directory is written under another name, synced and renamed. state.json names the `best` that belongs to it, so a
kill between the two writes mixes nothing up. Nothing is unpickled: optimizer.pt is loaded with weights_only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what weights_only raises when it refuses
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models_app.ml.errors import MLError, TrainingFailed
from models_app.ml.storage import disk_errors, require_room

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_BEST = re.compile(r"best-(\d+)")

Weights = Mapping[str, torch.nn.Parameter]


@dataclass
class RunState:
    """Everything about a run that is not weights."""

    fingerprint: str
    step: int = 0  #: steps done
    best_step: int = 0  #: 0 is the base model itself
    best_loss: float = float("inf")
    validations_without_gain: int = 0
    loss_sum: float = 0.0  #: since the last validation
    loss_tokens: int = 0
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0  #: of training steps alone
    joules: float | None = 0.0  #: of the processors, validation included; None: not all of it was counted
    history: list[dict[str, float]] = field(default_factory=list)


def write_checkpoint(
    work_dir: Path, state: RunState, weights: Weights, optimizer: torch.optim.Optimizer
) -> None:
    require_room(work_dir, checkpoint_bytes(weights, optimizer), f"The checkpoint at step {state.step}")
    generators: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state_all()
    with _whole(work_dir / f"checkpoint-{state.step:07d}") as directory:
        _save_weights(weights, directory)
        torch.save(
            {"optimizer": optimizer.state_dict(), "generators": generators}, directory / "optimizer.pt"
        )
        (directory / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
    _prune(work_dir, _CHECKPOINT, state.step)
    _prune(work_dir, _BEST, state.best_step)


def read_checkpoint(
    work_dir: Path, fingerprint: str, weights: Weights, optimizer: torch.optim.Optimizer
) -> RunState | None:
    """Puts the last checkpoint into weights, optimizer and random generators; None if there is no checkpoint."""
    found = [(int(match[1]), path) for path, match in _matching(work_dir, _CHECKPOINT)]
    if not found:
        return None
    directory = max(found)[1]
    try:
        state = RunState(**json.loads((directory / "state.json").read_text(encoding="utf-8")))
        if state.fingerprint != fingerprint:
            raise MLError(
                f"{work_dir} holds the checkpoint of another run (other data, recipe, base model or device). "
                "Start the run in an empty directory, or delete that one."
            )
        _load_weights(weights, directory)
        saved = torch.load(directory / "optimizer.pt", map_location="cpu", weights_only=True)
        optimizer.load_state_dict(saved["optimizer"])
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
        SafetensorError,
        UnpicklingError,
    ) as error:
        raise TrainingFailed(
            f"The checkpoint {directory} cannot be read ({error}). Delete it to start again."
        ) from error
    torch.set_rng_state(saved["generators"]["cpu"])
    if torch.cuda.is_available() and "cuda" in saved["generators"]:
        torch.cuda.set_rng_state_all(saved["generators"]["cuda"])
    return state


def write_best(work_dir: Path, step: int, weights: Weights) -> None:
    require_room(work_dir, _weights_bytes(weights), f"Keeping the best weights so far (step {step})")
    with _whole(work_dir / f"best-{step:07d}") as directory:
        _save_weights(weights, directory)


def read_best(work_dir: Path, step: int, weights: Weights) -> None:
    _load_weights(weights, work_dir / f"best-{step:07d}")


def remove_checkpoints(work_dir: Path) -> None:
    for pattern in (_CHECKPOINT, _BEST):
        _prune(work_dir, pattern, keep=None)


def checkpoint_bytes(
    weights: Weights, optimizer: torch.optim.Optimizer | None = None, states: int = 2
) -> int:
    """`states`: numbers that the optimizer keeps for each weight, used before it has made them."""
    size = _weights_bytes(weights)
    if optimizer is None or not optimizer.state:
        return size * (1 + states)
    kept = (value for values in optimizer.state.values() for value in values.values())
    return size + sum(value.nbytes for value in kept if isinstance(value, torch.Tensor))


def _weights_bytes(weights: Weights) -> int:
    return sum(weight.nbytes for weight in weights.values())


def _save_weights(weights: Weights, directory: Path) -> None:
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(tensors, directory / "trainable.safetensors")


def _load_weights(weights: Weights, directory: Path) -> None:
    saved = load_file(directory / "trainable.safetensors")
    if saved.keys() != weights.keys():
        raise KeyError("it trains other weights")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved[name])


@contextmanager
def _whole(final: Path) -> Iterator[Path]:
    """A directory that appears under its name with everything in it, on the disk and not only in its cache."""
    directory = final.with_name(f".{final.name}")
    shutil.rmtree(directory, ignore_errors=True)
    try:
        with disk_errors(final.parent):
            directory.mkdir()
            yield directory
            for path in directory.iterdir():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        if final.exists():  # a step that was done again after a resume wrote the same thing
            shutil.rmtree(final)
        directory.replace(final)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _matching(work_dir: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in work_dir.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            yield path, match


def _prune(work_dir: Path, pattern: re.Pattern[str], keep: int | None) -> None:
    for path, match in list(_matching(work_dir, pattern)):
        if keep is None or int(match[1]) != keep:
            shutil.rmtree(path)
