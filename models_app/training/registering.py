"""From a directory with weights to a model version: checked, copied into the artefact store, converted, recorded.

The artefact store is `<GALLEY_HOME>/artefacts`; a model version's directory there never changes.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.ml.errors import MLError
from models_app.ml.fingerprints import TensorPrint, fingerprint, weights_digest
from models_app.models import Job, ModelVersion, TrainingRun
from models_app.training import recognising
from models_app.training.places import checked_reference


def store() -> Path:
    path = Path(settings.GALLEY_HOME) / "artefacts"
    path.mkdir(parents=True, exist_ok=True)
    return path


def base_cache() -> Path:
    """Where base models from the hub and the starter are kept."""
    path = Path(settings.GALLEY_HOME) / "bases"
    path.mkdir(parents=True, exist_ok=True)
    return path


def artefact_path(model_version: ModelVersion) -> Path:
    """The model version's directory. Raises Refused for one that has none (lead sentences) or lost it."""
    if not model_version.artefact:
        raise Refused(f"{model_version} has no weights.")
    path = store() / model_version.artefact
    if files_are_missing(model_version):
        raise Refused(
            f"The files of {model_version} are missing from {store()}. Restore them from a backup of the data "
            "directory."
        )
    return path


def files_are_missing(model_version: ModelVersion) -> bool:
    """Whether a version that has weights lost them, as after a backup that was restored in part."""
    return bool(model_version.artefact) and not (store() / model_version.artefact / "manifest.json").is_file()


def start_registering(*, reference: str, name: str = "", actor: Any | None, deliver: bool = True) -> Job:
    """Let the queue register a base model: 'starter', a directory below one of `places`, or a Hugging Face name."""
    require(actor, "train")
    reference = checked_reference(reference, field="reference")
    if not reference:
        raise InvalidInput("Say which model.", fields={"reference": "Write starter, a directory or a name."})
    with transaction.atomic():
        job = jobs.enqueue(
            kind="register_model",
            actor=actor,
            subject=f"base:{reference}"[:100],
            payload={"reference": reference, "name": name},
            unique_key=f"register:{reference}"[:200],
            deliver=deliver,
        )
        audit.record(actor=actor, action="model.register", subject=f"base:{reference}"[:100])
    return job


def register_base(*, reference: str, name: str = "", actor: Any | None) -> ModelVersion:
    """Fetch, check, copy and convert a base model in this process.

    The same files under the same name give the same version; the same weights in other files, or made from those of
    another version, give one whose parent is that version.
    """
    from models_app.ml import artefacts, families

    try:
        directory = families.resolve_base(reference, base_cache(), offline=settings.GALLEY_OFFLINE or None)
        building = store() / f".building-{uuid.uuid4().hex}"
        try:
            artefacts.import_base(directory, building, base=reference)
            return register_artefact(
                directory=building, name=name or _display_name(reference), base=reference, parent=None,
                training_run=None, actor=actor,
            )  # fmt: skip
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except MLError as error:
        raise Refused(str(error)) from error


def _display_name(reference: str) -> str:
    return Path(reference).name if "/" in reference else reference


def register_artefact(
    *,
    directory: Path,
    name: str,
    base: str,
    parent: ModelVersion | None,
    training_run: TrainingRun | None,
    actor: Any | None,
) -> ModelVersion:
    """Convert the artefact in `directory` for serving, move it into the store, record it.

    Its weights are compared with those of every version: what is recognised and has no `parent` gets that version as
    its parent, and what was made from it and came before is noted. A crash in between leaves a directory without a
    row, which the next try replaces.
    """
    from models_app.ml import artefacts, convert

    manifest = artefacts.read_manifest(directory)
    existing = ModelVersion.objects.filter(digest=manifest.digest).first()
    if existing is not None:
        return existing
    if parent is None:
        fingerprint_earlier_ones()
    prints = fingerprint(directory / artefacts.WEIGHTS)
    convert.convert(directory)
    manifest = artefacts.read_manifest(directory)
    relative = f"models/{manifest.digest[:16]}"
    final = store() / relative
    final.parent.mkdir(exist_ok=True)
    if final.exists():
        shutil.rmtree(final)
    directory.rename(final)
    conversion = manifest.conversions[0] if manifest.conversions else None
    with transaction.atomic():
        recognising.one_at_a_time()
        known = recognising.Registered().recognise(prints) if parent is None else None
        if known is not None:
            parent = ModelVersion.objects.get(pk=known.pk)
        version, made = ModelVersion.objects.get_or_create(
            digest=manifest.digest,
            defaults={
                "name": name,
                "family": manifest.family,
                "architecture": manifest.architecture,
                "base": base,
                "artefact": relative,
                "engine": conversion["engine"] if conversion else "transformers",
                "precision": conversion["precision"] if conversion else "fp32",
                "parameters": manifest.parameters,
                "size_bytes": sum(file.stat().st_size for file in final.rglob("*") if file.is_file()),
                "manifest": manifest.to_dict(),
                "weights_digest": weights_digest(prints),
                "note": _recognised(known),
                "parent": parent,
                "training_run": training_run,
                "created_by": actor,
            },
        )
        if made:
            recognising.keep(version, prints)
            if known is not None:
                recognising.note_match(version.pk, known)
            earlier = recognising.Registered().made_from(version.pk)
            for other, found in earlier:
                recognising.note_match(other, found)
            audit.record(
                actor=actor,
                action="model.registered",
                subject=version,
                data={
                    "digest": manifest.digest,
                    "base": base,
                    "weights": version.weights_digest,
                    "recognised": known.pk if known is not None else None,
                    "made_from_it": [other for other, _ in earlier],
                },
            )
    return version


def fingerprint_earlier_ones() -> None:
    """What was registered before weights had fingerprints gets its own: weights made from a version without one would
    pass as new. Raises Refused, naming it, for a version whose files are gone or are not those that were registered."""
    for version in ModelVersion.objects.filter(weights_digest="").exclude(artefact="").order_by("pk"):
        prints = _prints_of_files(version)
        with transaction.atomic():
            recognising.one_at_a_time()
            without = ModelVersion.objects.filter(pk=version.pk, weights_digest="")
            if not without.update(weights_digest=weights_digest(prints)):
                continue  # another job was faster
            recognising.keep(version, prints)
            matches = recognising.Registered().late(version.pk)
            for made, of in matches:
                recognising.note_match(made, of)
            audit.record(
                actor=None, action="model.fingerprinted", subject=version,
                data={"weights": weights_digest(prints), "recognised": [[made, of.pk] for made, of in matches]},
            )  # fmt: skip


def _prints_of_files(version: ModelVersion) -> list[TensorPrint]:
    from models_app.ml import artefacts

    without = (
        f"{str(version).capitalize()} was registered before weights had fingerprints, so what is made from it is not "
        "recognised yet"
    )
    if files_are_missing(version):
        raise Refused(
            f"{without}, and its files are gone. Restore {store() / version.artefact} from a backup of the data "
            "directory, then try again.",
            code="no_fingerprint",
        )
    try:
        manifest = artefacts.verify(artefact_path(version))
    except MLError as error:
        raise Refused(f"{without}, and its files cannot be read. {error}", code="no_fingerprint") from error
    if manifest.digest != version.digest:
        raise Refused(
            f"{without}, and {store() / version.artefact} holds another model. Restore the directory from a backup, "
            "then try again.",
            code="no_fingerprint",
        )
    return fingerprint(artefact_path(version) / artefacts.WEIGHTS)


def _recognised(known: recognising.Known | None) -> str:
    if known is None:
        return ""
    return (
        f"Recognised by its weights: {known.closeness:.1%} of them are those of model {known.pk}. So its parent is "
        "that model, and the people who trained it or curated its data have a hand in this one too."
    )
