"""Releases: model version + prompt version + decoding settings, and their way to an approver's desk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.ml.recipe import Decoding
from models_app.models import Comparison, ComparisonResult, ModelVersion, PromptVersion, Release, Route
from models_app.models.releases import Environment

INSTRUCT_FAMILIES = ("llama", "gpt2")


def canonical_digest(value: Any) -> str:
    """SHA-256 over canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def release_digest(
    model_version: ModelVersion, prompt_version: PromptVersion, decoding: Mapping[str, Any]
) -> str:
    """Identifies what would be served: weights, engine and precision, prompt, decoding."""
    return canonical_digest(
        [
            model_version.digest,
            model_version.engine,
            model_version.precision,
            prompt_version.digest,
            dict(decoding),
        ]
    )


def compose_release(
    *,
    model_version: ModelVersion,
    prompt_version: PromptVersion,
    decoding: Mapping[str, Any],
    origin: str,
    actor: Any | None,
    note: str = "",
    environment: str = "production",
) -> Release:
    """A draft release; the open one of the same content where there is one."""
    require(actor, "submit_release")
    try:
        settings = Decoding.from_dict(decoding).to_dict()
    except (ValueError, TypeError) as error:
        raise InvalidInput(str(error), fields={"decoding": str(error)}) from error
    if prompt_version.prompt.kind == "chat" and model_version.family not in (*INSTRUCT_FAMILIES, "lead"):
        message = f"A {model_version.family} model takes a prefix, not a chat prompt."
        raise InvalidInput(message, fields={"prompt_version": message})
    target = Environment.objects.get(name=environment)
    digest = release_digest(model_version, prompt_version, settings)
    with transaction.atomic():
        try:
            with transaction.atomic():
                release = Release.objects.create(
                    model_version=model_version,
                    prompt_version=prompt_version,
                    decoding=settings,
                    digest=digest,
                    origin=origin,
                    note=note[:300],
                    environment=target,
                    created_by=actor,
                )
        except IntegrityError:
            return Release.objects.get(
                digest=digest, environment=target,
                state__in=("draft", "awaiting approval", "approved", "warming", "live"),
            )  # fmt: skip
        audit.record(
            actor=actor,
            action="release.compose",
            subject=release,
            to_state=release.state,
            data={"digest": digest},
        )
    return release


def lead_release() -> Release:
    """The lead-3 baseline as a release: evaluated like any other; it is a yardstick, not a candidate."""
    return compose_release(
        model_version=ModelVersion.objects.get(family="lead"),
        prompt_version=PromptVersion.objects.get(prompt__name="summarize", number=1),
        decoding={},
        origin="baseline",
        actor=None,
        note="The article's first three sentences.",
    )


def evidence(release: Release, comparison: Comparison) -> dict[str, Any]:
    """Everything a decision is based on; its digest is what an approval is bound to."""
    results = ComparisonResult.objects.filter(comparison=comparison).order_by("against", "metric", "slice")
    fields = (
        "against",
        "metric",
        "slice",
        "n",
        "before",
        "after",
        "delta",
        "low",
        "high",
        "p",
        "mde",
        "verdict",
    )
    run = release.model_version.training_run
    return {
        "release": release.digest,
        "model": release.model_version.digest,
        "prompt": release.prompt_version.digest,
        "decoding": release.decoding,
        "snapshot": run.snapshot.digest if run else "",
        "recipe": run.recipe_digest if run else "",
        "comparison": {
            "id": comparison.pk,
            "digest": comparison.digest,
            "baseline_release": comparison.baseline.release.digest,
            "test_set": comparison.candidate.evaluation_set.digest,
            "verdict": comparison.verdict,
            "sentence": comparison.sentence,
            "n": comparison.n,
            "results": [{field: getattr(row, field) for field in fields} for row in results],
        },
    }


def submit_release(*, release: Release, comparison: Comparison, note: str = "", actor: Any | None) -> Release:
    """Hand a draft to the approvers, with the comparison that speaks for it.

    Raises Refused where the comparison is not about this release, is against something that is not live, or where
    training and test data overlap.
    """
    require(actor, "submit_release")
    if comparison.candidate.release_id != release.pk:
        raise Refused(
            f"Comparison {comparison.pk} is about release {comparison.candidate.release_id}, not this one."
        )
    live = Route.objects.get(environment=release.environment).release_id
    if live is not None and comparison.baseline.release_id != live:
        raise Refused(
            f"Comparison {comparison.pk} is against release {comparison.baseline.release_id}, but release {live} is "
            "live now. Compare with the live release, then submit."
        )
    _refuse_leakage(release, comparison)
    facts = evidence(release, comparison)
    with transaction.atomic():
        move(
            release, to="awaiting approval", actor=actor, action="release.submit", reason=note,
            data={"comparison": comparison.pk, "verdict": comparison.verdict},
            comparison=comparison, evidence=facts, evidence_digest=canonical_digest(facts), requested_by=actor,
            submitted_at=timezone.now(), note=note[:300] or release.note,
        )  # fmt: skip
    return release


def training_lineage(release: Release) -> list[Any]:
    """The training runs that made the model, the latest first, through all its ancestors."""
    runs = []
    version: ModelVersion | None = release.model_version
    while version is not None:
        if version.training_run_id:
            runs.append(version.training_run)
        version = version.parent
    return runs


def _refuse_leakage(release: Release, comparison: Comparison) -> None:
    """No document of the test set may have been trained on, by this model or an ancestor of it."""
    from models_app.models import EvaluationExample, SnapshotExample

    snapshots = [run.snapshot_id for run in training_lineage(release)]
    tested = EvaluationExample.objects.filter(evaluation_set=comparison.candidate.evaluation_set)
    seen = SnapshotExample.objects.filter(
        snapshot__in=snapshots, document_hash__in=tested.values("document_hash")
    ).count()
    if seen:
        raise Refused(
            f"{seen} documents of the test set are in the data this model was trained on; its scores mean nothing. "
            "Evaluate on a test set that shares no document with the snapshots of its lineage.",
            code="leakage",
        )


def withdraw_release(*, release: Release, actor: Any | None, reason: str = "") -> None:
    require(actor, "submit_release")
    move(release, to="withdrawn", actor=actor, action="release.withdraw", reason=reason)
