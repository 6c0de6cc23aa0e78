"""Asking for a training run, cancelling it, resuming it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from models_app.foundation import audit, jobs
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.ml.recipe import Recipe
from models_app.models import DatasetSnapshot, Job, ModelVersion, PromptVersion, TrainingRun
from models_app.texts.normalise import row_number
from models_app.training.places import checked_reference


def start_training(
    *,
    snapshot: DatasetSnapshot,
    base: str,
    prompt_version: PromptVersion,
    recipe: Recipe,
    actor: Any | None,
    name: str = "",
    deliver: bool = True,
) -> TrainingRun:
    """Queue a run. `base` is 'model:ID' for a registered version, 'starter', a directory below one of `places`, or a
    Hugging Face name.

    Asking twice for the same run while it is active gives the one there is. Raises Refused for a snapshot that is too
    small, InvalidInput for a base or prompt that does not fit.
    """
    require(actor, "train")
    base = checked_reference(base, field="base")
    base_model = _base_model(base)
    _check_prompt(base_model, prompt_version)
    _check_size(snapshot)
    wanted = {
        "snapshot": snapshot, "base": base, "prompt_version": prompt_version, "recipe_digest": recipe.digest,
    }  # fmt: skip
    with transaction.atomic():
        try:
            with transaction.atomic():
                run = TrainingRun.objects.create(
                    **wanted,
                    name=name or f"{_base_name(base, base_model)} on snapshot {snapshot.pk}",
                    base_model=base_model,
                    recipe=recipe.to_dict(),
                    seed=recipe.seed,
                    requested_by=actor,
                )
        except IntegrityError:
            return TrainingRun.objects.get(**wanted, state__in=("queued", "running"))
        _enqueue(run, actor, deliver=deliver)
        audit.record(
            actor=actor, action="training.start", subject=run, to_state=run.state,
            data={"snapshot": snapshot.digest, "base": base, "recipe": recipe.digest},
        )  # fmt: skip
    return run


def _enqueue(run: TrainingRun, actor: Any | None, *, deliver: bool = True) -> None:
    run.job = jobs.enqueue(
        kind="train",
        actor=actor,
        subject=f"trainingrun:{run.pk}",
        payload={"run": run.pk},
        queue="training",
        unique_key=f"train:{run.pk}",
        max_attempts=4,
        deadline_seconds=settings.GALLEY_TRAINING_HOURS * 3600,
        deliver=deliver,
    )
    run.save(update_fields=["job"])


def _base_model(base: str) -> ModelVersion | None:
    base = base.strip()
    if not base:
        raise InvalidInput("Choose a base model.", fields={"base": "Choose one."})
    if not base.startswith("model:"):
        return None
    number = base.removeprefix("model:")
    version = ModelVersion.objects.filter(pk=row_number(number) or 0).first()
    if version is None or not version.artefact:
        raise InvalidInput(
            f"There is no trainable model {number}.",
            fields={"base": "Choose a registered model with weights."},
        )
    return version


def _base_name(base: str, base_model: ModelVersion | None) -> str:
    """Without the snapshot that an earlier run has put into the name."""
    name = base_model.name if base_model else base.rstrip("/").rsplit("/", 1)[-1]
    return name.partition(" on snapshot ")[0]


def _check_prompt(base_model: ModelVersion | None, prompt_version: PromptVersion) -> None:
    if base_model is None:
        return
    instruct = base_model.family in ("llama",)
    if prompt_version.prompt.kind == "chat" and not instruct:
        message = f"A {base_model.family} model takes a prefix, not a chat prompt."
        raise InvalidInput(message, fields={"prompt_version": message})


def _check_size(snapshot: DatasetSnapshot) -> None:
    least = settings.GALLEY_MIN_TRAINING_EXAMPLES
    if snapshot.train_rows < least:
        raise Refused(
            f"Snapshot {snapshot.pk} has {snapshot.train_rows} training rows; at least {least} are needed before a run "
            "can teach anything that could be told from noise (GALLEY_MIN_TRAINING_EXAMPLES). Approve more feedback "
            "examples and freeze again.",
            code="snapshot_too_small",
        )
    if snapshot.validation_rows < 1:
        raise Refused(
            f"Snapshot {snapshot.pk} has no validation rows, so no checkpoint could be chosen. Approve feedback on "
            "documents of the validation split and freeze again.",
            code="snapshot_without_validation",
        )


def cancel_training(*, run: TrainingRun, actor: Any | None) -> None:
    """People who may train may cancel; a queued run ends at once, a running one at its next step."""
    if not allowed(actor, "manage_jobs"):
        require(actor, "train")
    if not run.is_active or run.job is None:
        raise Refused(f"Training {run.pk} is already {run.state}.")
    jobs.request_cancel(job=run.job, actor=actor)
    run.refresh_from_db()


def resume_training(*, run: TrainingRun, actor: Any | None, deliver: bool = True) -> TrainingRun:
    """Queue a failed or cancelled run again; it goes on from its last checkpoint.

    Raises Refused for one that did not end so, StaleState where the same is being trained by another run.
    """
    require(actor, "train")
    if run.state not in (TrainingRun.State.FAILED, TrainingRun.State.CANCELLED):
        raise Refused(f"Training {run.pk} is {run.state}; only what failed or was cancelled is resumed.")
    try:
        with transaction.atomic():
            _enqueue(run, actor, deliver=deliver)
            move(run, to="queued", actor=actor, action="training.resume", reason="", finished_at=None)
    except IntegrityError as error:
        if not broke(error, "training_pressed_twice_is_one_run"):
            raise
        raise StaleState(_the_same_is_active(run)) from error
    return run


def _the_same_is_active(run: TrainingRun) -> str:
    same = TrainingRun.objects.filter(
        snapshot=run.snapshot_id, base=run.base, prompt_version=run.prompt_version_id,
        recipe_digest=run.recipe_digest, state__in=(TrainingRun.State.QUEUED, TrainingRun.State.RUNNING),
    ).first()  # fmt: skip
    if same is None:
        return "A training of the same has just ended. Try again."
    return f"Training {same.pk}, which is the same, is {same.state}: wait for it, or cancel it first."


def again(job: Job) -> Job | None:
    """For people who manage jobs: the run goes on from its last checkpoint. None where a later job has it."""
    run = TrainingRun.objects.get(pk=job.payload["run"])
    if run.job_id != job.pk:
        return None
    return resume_training(run=run, actor=None).job


def ended(job: Job) -> None:
    """Bring the run in step with its job, in the transaction that ends the job."""
    run = TrainingRun.objects.filter(pk=job.payload["run"]).first()
    if run is None or not run.is_active:
        return
    move(
        run, to=job.state, actor=None, action=f"training.{job.state}", reason=job.reason,
        finished_at=job.finished_at, phase="",
    )  # fmt: skip
    TrainingRun.objects.filter(pk=run.pk).update(reason=job.reason)
