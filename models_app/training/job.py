"""The training job: phases in order, each safe to begin again; training itself goes on from its last checkpoint."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from django.utils import timezone

from models_app.foundation.errors import Refused
from models_app.foundation.jobs import JobCancelled, JobContext
from models_app.foundation.transitions import move
from models_app.ml.errors import MLError, TrainingCancelled
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Recipe
from models_app.models import ModelVersion, SnapshotExample, TrainingMetric, TrainingRun
from models_app.training import starting
from models_app.training.registering import (
    artefact_path,
    base_cache,
    fingerprint_earlier_ones,
    register_artefact,
)

if TYPE_CHECKING:
    from models_app.ml.training import Progress, TrainingResult

ended = starting.ended


def work_directory(run: TrainingRun) -> Path:
    """Checkpoints and the unregistered result; removed once the model version is registered."""
    return Path(settings.GALLEY_HOME) / "work" / f"training-{run.pk}"


def run(context: JobContext) -> dict[str, Any]:
    row = TrainingRun.objects.select_related("prompt_version__prompt", "base_model", "snapshot").get(
        pk=context.payload["run"]
    )
    if row.state == TrainingRun.State.QUEUED:
        move(row, to="running", actor=None, action="training.running", started_at=timezone.now())
    try:
        return _carry_out(row, context)
    except TrainingCancelled as cancelled:
        raise JobCancelled from cancelled
    except MLError as error:
        raise Refused(str(error)) from error


def _carry_out(row: TrainingRun, context: JobContext) -> dict[str, Any]:
    from models_app.ml import artefacts, training

    reporter = _Reporter(row, context)
    reporter.phase("fetching the base model")
    work = work_directory(row)
    work.mkdir(parents=True, exist_ok=True)
    base_directory = _base(row, work)
    parent = row.base_model or _recognised(base_directory)
    reporter.phase("reading the snapshot")
    examples = _examples(row)
    prompt = row.prompt_version
    reporter.phase("training")
    result = training.train(
        recipe=Recipe.from_dict(row.recipe),
        base_dir=base_directory,
        train=examples["train"],
        validation=examples["validation"],
        prompt=PromptSpec(prompt.prompt.kind, prompt.system, prompt.template),  # type: ignore[arg-type]
        work_dir=work,
        device=settings.GALLEY_DEVICE,
        on_progress=reporter.progress,
        should_stop=context.should_stop,
    )
    reporter.phase("registering the model")
    directory = work / "artefact"
    if not (directory / artefacts.MANIFEST).is_file():
        artefacts.artefact_from_weights(
            result.weights,
            directory,
            info=artefacts.ArtefactInfo(
                base=row.base if parent is None else parent.base,
                parent_digest=parent.digest if parent else None,
                snapshot_digest=row.snapshot.digest,
                recipe=row.recipe,
                seed=row.seed,
            ),
        )
    version = register_artefact(
        directory=directory, name=row.name, base=parent.base if parent else row.base, parent=parent, training_run=row,
        actor=row.requested_by,
    )  # fmt: skip
    _finish(row, result, version.pk)
    shutil.rmtree(work, ignore_errors=True)
    return {"model_version": version.pk}


def _base(row: TrainingRun, work: Path) -> Path:
    """Where the base's weights lie, which nobody changes from now on.

    A directory outside of Galley's own is copied, with the checkpoints and for as long: people who may write there
    could put other weights there between the look at what they were made from and the training, or before it resumes.
    """
    from models_app.ml import artefacts, families

    if row.base_model is not None:
        return artefact_path(row.base_model) / artefacts.WEIGHTS
    copy = work / "base"
    if copy.is_dir():
        return copy
    found = families.resolve_base(row.base, base_cache(), offline=settings.GALLEY_OFFLINE or None)
    if found.is_relative_to(base_cache().resolve()):
        return found
    beside = work / ".base"
    shutil.rmtree(beside, ignore_errors=True)
    artefacts.copy_weights(found, beside)
    families.check_model_directory(beside)
    beside.rename(copy)
    return copy


def _recognised(base_directory: Path) -> ModelVersion | None:
    """The registered version that a base which is none was made from: the same weights, or a good part of them."""
    from models_app.ml.fingerprints import fingerprint
    from models_app.training.recognising import Registered

    fingerprint_earlier_ones()
    known = Registered().recognise(fingerprint(base_directory))
    return ModelVersion.objects.get(pk=known.pk) if known is not None else None


def _examples(row: TrainingRun) -> dict[str, list[Any]]:
    from models_app.ml.training import Example

    examples: dict[str, list[Any]] = {"train": [], "validation": []}
    for example in SnapshotExample.objects.filter(snapshot=row.snapshot).order_by("position").iterator():
        examples[example.split].append(
            Example(
                source=example.source,
                target=example.target,
                title=example.title,
                domain=example.domain,
                document=example.document_hash,
            )
        )
    return examples


def _finish(row: TrainingRun, result: TrainingResult, model_version: int) -> None:
    used = psutil.Process().cpu_times()
    summary = {
        "cpu_seconds": used.user + used.system,
        "model_version": model_version,
        "seconds": result.seconds,
        **({} if result.energy_kwh is None else {"energy_kwh": result.energy_kwh}),
        "steps": result.steps,
        "best_step": result.best_step,
        "train_loss": result.train_loss,
        "validation_loss": result.validation_loss,
        "examples_per_second": result.examples_per_second,
        "tokens_per_second": result.tokens_per_second,
        "peak_memory_bytes": result.peak_memory_bytes,
        "stopped_early": result.stopped_early,
        "precision": result.precision,
    }
    TrainingRun.objects.filter(pk=row.pk).update(
        summary=summary,
        step=result.steps,
        total_steps=max(result.steps, row.total_steps),
        device=result.device,
    )


def _is_told_always(progress: Progress) -> bool:
    """Validations, the first training step, where the curve begins, and the end of each phase."""
    first = progress.phase == "training" and progress.step == 1
    return first or progress.validation_loss is not None or progress.step >= progress.total


class _Reporter:
    """Brings phase, step, speed and loss to the pages, at most once a second."""

    def __init__(self, row: TrainingRun, context: JobContext) -> None:
        self.row, self.context = row, context
        self.last = 0.0

    def phase(self, name: str) -> None:
        self.context.phase(name)
        TrainingRun.objects.filter(pk=self.row.pk).update(phase=name)

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last < 1 and not _is_told_always(progress):
            return
        self.last = now
        if progress.phase != "training" and progress.validation_loss is None:
            self.context.step(progress.step, progress.total)
            TrainingRun.objects.filter(pk=self.row.pk).update(phase=progress.phase)
            return
        self.context.step(progress.step, progress.total)
        TrainingRun.objects.filter(pk=self.row.pk).update(
            phase=progress.phase,
            step=progress.step,
            total_steps=progress.total,
            **({} if progress.eta_seconds is None else {"eta_seconds": progress.eta_seconds}),
        )
        TrainingMetric.objects.bulk_create(
            [
                TrainingMetric(
                    run=self.row,
                    step=progress.step,
                    epoch=progress.epoch,
                    loss=progress.loss,
                    validation_loss=progress.validation_loss,
                    learning_rate=progress.learning_rate,
                    tokens_per_second=progress.tokens_per_second,
                    examples_per_second=progress.examples_per_second,
                )
            ],
            update_conflicts=True,
            unique_fields=["run", "step"],
            update_fields=["epoch", "loss", "validation_loss", "learning_rate", "tokens_per_second",
                           "examples_per_second"],
        )  # fmt: skip
