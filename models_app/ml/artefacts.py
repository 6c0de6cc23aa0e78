"""A model version on disk: weights, tokenizer, conversions, and a manifest that says what they are.

The manifest is written last, so a directory without one does not exist for anybody. The digest covers everything
that was learned and where it came from, not when it was written nor what it was converted to.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import struct
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

from models_app.ml.errors import MLError
from models_app.ml.families import check_model_directory, read_config
from models_app.ml.storage import disk_errors, require_room

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights"
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "ctranslate2")
_OUTSIDE_DIGEST = ("digest", "created", "conversions")
_WEIGHT_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tokenizer")


class DamagedArtefact(MLError):
    """Files are missing or differ from what the manifest says."""


@dataclass(frozen=True, kw_only=True)
class ArtefactInfo:
    """Where the weights come from; all of it goes into the digest."""

    base: str
    parent_digest: str | None = None
    snapshot_digest: str | None = None
    recipe: Mapping[str, Any] | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    format: int
    family: str
    architecture: str
    kind: str
    base: str
    parent_digest: str | None
    snapshot_digest: str | None
    recipe: Mapping[str, Any] | None
    seed: int | None
    libraries: Mapping[str, str]
    parameters: int
    files: Mapping[str, Mapping[str, Any]]  #: {path: {"sha256", "bytes"}}, conversions left out
    digest: str
    created: str
    conversions: tuple[Mapping[str, Any], ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "conversions": [dict(conversion) for conversion in self.conversions]}

    @property
    def bytes(self) -> int:
        return sum(entry["bytes"] for entry in self.files.values())


def artefact_from_weights(weights_dir: Path, out_dir: Path, *, info: ArtefactInfo) -> Manifest:
    """A trained weights directory becomes the artefact directory `out_dir`; the weights are copied."""
    check_model_directory(weights_dir)
    with _beside(Path(out_dir)) as (directory, final):
        copy_weights(Path(weights_dir), directory / WEIGHTS)
        return _finish(directory, final, info)


def import_base(model_dir: Path, out_dir: Path, *, base: str = "") -> Manifest:
    """An artefact of a base model as it came. `base` is the name it was asked for by."""
    return artefact_from_weights(model_dir, out_dir, info=ArtefactInfo(base=base or Path(model_dir).name))


def write_manifest(artefact_dir: Path, *, info: ArtefactInfo) -> Manifest:
    """Describes what lies in `artefact_dir`/weights and makes the artefact exist."""
    weights = Path(artefact_dir) / WEIGHTS
    family = check_model_directory(weights)
    config = read_config(weights)
    manifest = Manifest(
        format=FORMAT,
        family=family.name,
        architecture=(config.get("architectures") or [config["model_type"]])[0],
        kind=family.kind,
        base=info.base,
        parent_digest=info.parent_digest,
        snapshot_digest=info.snapshot_digest,
        recipe=dict(info.recipe) if info.recipe is not None else None,
        seed=info.seed,
        libraries=dict(_library_versions()),
        parameters=count_parameters(weights),
        files=hash_files(Path(artefact_dir), WEIGHTS),
        digest="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    manifest = replace(manifest, digest=_digest(manifest.to_dict()))
    _write(Path(artefact_dir), manifest)
    return manifest


def read_manifest(artefact_dir: Path) -> Manifest:
    """Raises DamagedArtefact if it is missing or altered."""
    path = Path(artefact_dir) / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["conversions"] = tuple(values["conversions"])
        manifest = Manifest(**values)
    except FileNotFoundError:
        raise DamagedArtefact(f"{artefact_dir} is not a finished artefact: it has no {MANIFEST}.") from None
    except (ValueError, TypeError, KeyError):
        raise DamagedArtefact(
            f"{path} cannot be read. Restore it from a backup, or register the model again."
        ) from None
    if manifest.format != FORMAT:
        raise DamagedArtefact(f"{path} has format {manifest.format}; this version of Galley reads {FORMAT}.")
    if _digest(manifest.to_dict()) != manifest.digest:
        raise DamagedArtefact(f"{path} was altered: its digest is not that of its contents.")
    return manifest


def verify(artefact_dir: Path) -> Manifest:
    """Hashes every file again, conversions included; raises DamagedArtefact naming what differs."""
    manifest = read_manifest(artefact_dir)
    promised = dict(manifest.files)
    for conversion in manifest.conversions:
        promised.update(conversion.get("files", {}))
    found = hash_files(Path(artefact_dir), WEIGHTS, *(str(entry["path"]) for entry in manifest.conversions))
    wrong = sorted(name for name in {*promised, *found} if promised.get(name) != found.get(name))
    if wrong:
        raise DamagedArtefact(
            f"{artefact_dir} is damaged: {', '.join(wrong[:5])}{' and more' if len(wrong) > 5 else ''} "
            "differ from the manifest. Restore the directory from a backup."
        )
    return manifest


def record_conversion(artefact_dir: Path, conversion: Mapping[str, Any]) -> Manifest:
    """Adds {"engine", "precision", "path", …} with the hashes of its files; the same path again replaces it."""
    manifest = read_manifest(artefact_dir)
    described = {**conversion, "files": hash_files(Path(artefact_dir), str(conversion["path"]))}
    others = [entry for entry in manifest.conversions if entry["path"] != conversion["path"]]
    manifest = replace(manifest, conversions=(*others, described))
    _write(Path(artefact_dir), manifest)
    return manifest


def count_parameters(weights_dir: Path) -> int:
    """From the headers of the safetensors files: nothing is loaded."""
    total = 0
    for path in sorted(Path(weights_dir).glob("*.safetensors")):
        with path.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        total += sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total


def hash_files(root: Path, *directories: str) -> dict[str, dict[str, Any]]:
    """{path from root: {"sha256", "bytes"}} of all files below the directories."""
    files = {}
    for directory in directories:
        for path in sorted((root / directory).rglob("*")):
            if path.is_file():
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                files[path.relative_to(root).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
    return files


def _library_versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # an installation that only serves needs not have all
            continue


def _digest(manifest: Mapping[str, Any]) -> str:
    covered = {key: value for key, value in manifest.items() if key not in _OUTSIDE_DIGEST}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _write(artefact_dir: Path, manifest: Manifest) -> None:
    temporary = artefact_dir / f".{MANIFEST}.{os.getpid()}"
    with disk_errors(artefact_dir), temporary.open("w", encoding="utf-8") as stream:
        json.dump(manifest.to_dict(), stream, indent=1, sort_keys=True, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(artefact_dir / MANIFEST)


@contextmanager
def _beside(final: Path) -> Iterator[tuple[Path, Path]]:
    """A directory next to the final one, removed if anything goes wrong."""
    if final.exists():
        raise MLError(f"{final} exists already; an artefact is never overwritten.")
    directory = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
    directory.mkdir(parents=True)
    try:
        yield directory, final
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _finish(directory: Path, final: Path, info: ArtefactInfo) -> Manifest:
    manifest = write_manifest(directory, info=info)
    directory.replace(final)
    return manifest


def copy_weights(source: Path, target: Path) -> None:
    """Only what a model is made of: no optimizer state, pickles or pictures that lie beside it."""
    target.mkdir(parents=True)
    files = {path for pattern in _WEIGHT_FILES for path in source.glob(pattern)}
    files = {path for path in files if path.is_file() and not path.name.startswith(".")}
    require_room(target, sum(path.stat().st_size for path in files), "Storing the model")
    with disk_errors(target):
        for path in sorted(files):
            shutil.copyfile(path, target / path.name)
