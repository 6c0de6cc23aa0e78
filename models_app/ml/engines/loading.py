"""Which engine serves an artefact, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from models_app.ml.artefacts import WEIGHTS, Manifest, read_manifest
from models_app.ml.engines.ctranslate2 import CTranslate2Engine
from models_app.ml.engines.engine import Engine
from models_app.ml.engines.transformers import TransformersEngine
from models_app.ml.errors import MLError

Backend = Literal["auto", "transformers", "ctranslate2"]


def load_engine(
    artefact_dir: Path,
    *,
    backend: Backend = "auto",
    threads: int = 1,
    device: str = "auto",
    batch_tokens: int | None = None,
) -> Engine:
    """The engine of an artefact. "auto" takes its conversion where it has one that suits the device.

    `batch_tokens`: padded input tokens computed together by each replica; None is sized so that a slot with the
    starter stays below 700 MB.
    """
    manifest = read_manifest(artefact_dir)
    weights = Path(artefact_dir) / WEIGHTS
    conversion = None if backend == "transformers" else _conversion(manifest, device)
    if conversion is not None:
        return CTranslate2Engine(
            weights,
            Path(artefact_dir) / conversion["path"],
            precision=conversion["precision"],
            device=_ctranslate2_device(device),
            threads=threads,
            batch_tokens=batch_tokens,
        )
    if backend == "ctranslate2":
        raise MLError(
            f"The artefact {Path(artefact_dir).name} has no conversion that CTranslate2 could serve on this device. "
            "Convert it again, or serve it with the transformers back end."
        )
    chosen = _torch_device(device)
    dtype = "bfloat16" if chosen.startswith("cuda") else "float32"
    return TransformersEngine(weights, device=chosen, dtype=dtype, threads=threads, batch_tokens=batch_tokens)


def _conversion(manifest: Manifest, device: str) -> Mapping[str, Any] | None:
    """float16 needs a GPU; int8 runs anywhere."""
    entries = [entry for entry in manifest.conversions if entry["engine"] == "ctranslate2"]
    on_gpu = bool(entries) and _ctranslate2_device(device).startswith("cuda")
    entries = [entry for entry in entries if on_gpu or entry["precision"] != "float16"]
    return max(entries, key=lambda entry: (entry["precision"] == "float16") == on_gpu, default=None)


def _ctranslate2_device(device: str) -> str:
    if device != "auto":
        return device
    import ctranslate2

    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def _torch_device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
