"""A candidate on its way to an approver: trained on a snapshot, evaluated beside what is live, compared."""

from __future__ import annotations

import hashlib
import itertools
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from models_app.datasets.freezing import SnapshotRow, rows_digest
from models_app.evaluation.sets import EvaluationRow, freeze_evaluation_set
from models_app.evaluation.signature import SIGNATURE
from models_app.gates import policies, running
from models_app.gates.comparing import compare_by_policy
from models_app.ml import artefacts
from models_app.models import (
    Approval,
    Comparison,
    DatasetSnapshot,
    EvaluationExample,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    GatePolicy,
    GateRun,
    ModelVersion,
    PromptVersion,
    Release,
    Route,
    SnapshotExample,
    TrainingRun,
)
from models_app.models.releases import Environment
from models_app.releases.approving import approve, confirmation
from models_app.releases.composing import compose_release, submit_release
from models_app.training.registering import store
from tests import make
from tests.kept import kept

WRITTEN = "The old pier closes for nine months."
_numbers = itertools.count(1)


def digest(*words: object) -> str:
    return hashlib.sha256(" ".join(str(word) for word in words).encode()).hexdigest()


def chat_prompt() -> PromptVersion:
    return PromptVersion.objects.get(prompt__name="news summary", number=1)


def made_version(
    *, parent: ModelVersion | None = None, snapshot: str | None = None, **fields: Any
) -> ModelVersion:
    """With files that are what its manifest says, as far as anybody looks who does not load them."""
    relative = f"scene-{uuid.uuid4().hex}"
    directory = store() / relative
    for path in ("weights/model.safetensors", "ct2-int8/model.bin"):
        file = directory / path
        file.parent.mkdir(parents=True)
        file.write_text(f"{relative} {path}")
    manifest = artefacts.Manifest(
        format=artefacts.FORMAT, family="llama", architecture="LlamaForCausalLM", kind="decoder-only", base=relative,
        parent_digest=parent.digest if parent is not None else None, snapshot_digest=snapshot, recipe=None, seed=None,
        libraries={}, parameters=134_515_008, files=artefacts.hash_files(directory, artefacts.WEIGHTS), digest="",
        created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    manifest = replace(manifest, digest=artefacts._digest(manifest.to_dict()))
    artefacts._write(directory, manifest)
    parity = {"probes": 3, "tokenizer": True, "logprob": 0.0001, "beam_score": 0.0, "tolerance": 0.001}
    manifest = artefacts.record_conversion(
        directory, {"engine": "ctranslate2", "precision": "int8", "path": "ct2-int8", "parity": parity}
    )
    return ModelVersion.objects.create(
        family="llama", architecture="LlamaForCausalLM", artefact=relative, digest=manifest.digest,
        manifest=manifest.to_dict(), engine="ctranslate2", precision="int8", parameters=134_515_008,
        size_bytes=141_000_000, weights_digest=digest("weights", next(_numbers)), parent=parent, **fields,
    )  # fmt: skip


def base_model(by: Any = None) -> ModelVersion:
    return made_version(name="starter", base="starter", created_by=by)


def snapshot(*, by: Any, curators: list[int], rows: int = 3) -> DatasetSnapshot:
    number = next(_numbers)
    examples = [
        SnapshotRow(
            split="train" if i else "validation",
            document_hash=digest("doc", number, i),
            origin=f"feedback:{number}{i}",
            source=f"A long article, number {i}.",
            target="A summary.",
        )
        for i in range(rows)
    ]
    made = DatasetSnapshot.objects.create(
        name=f"Corrections, part {number}", digest=rows_digest(examples), train_rows=rows - 1, validation_rows=1,
        curators=curators, directory=f"snapshots/{number}", created_by=by,
    )  # fmt: skip
    SnapshotExample.objects.bulk_create(
        SnapshotExample(snapshot=made, position=i, **asdict(row)) for i, row in enumerate(examples)
    )
    return made


def trained_model(of: ModelVersion, on: DatasetSnapshot, *, by: Any) -> ModelVersion:
    run = TrainingRun.objects.create(
        name=f"on snapshot {on.pk}", snapshot=on, base_model=of, base=f"model:{of.pk}", prompt_version=chat_prompt(),
        recipe={"method": "full", "max_source_tokens": 420}, recipe_digest=digest("recipe", on.pk), state="succeeded",
        requested_by=by, device="cpu", summary={"seconds": 1560.0, "validation_loss": 2.31, "best_step": 120},
    )  # fmt: skip
    return made_version(
        name=f"tuned on snapshot {on.pk}",
        base=of.base,
        parent=of,
        snapshot=on.digest,
        training_run=run,
        created_by=by,
    )


def evaluation_set(documents: int = 40, *, by: Any = None) -> EvaluationSet:
    number = next(_numbers)
    return freeze_evaluation_set(
        rows=[
            EvaluationRow(
                document_hash=digest("test", number, i),
                origin=f"document:{i}",
                source=f"{make.ARTICLE} {number} {i}",
                reference=make.REFERENCE,
                title=f"Old pier, part {i}",
                domain="news" if i % 2 else "business",
            )
            for i in range(documents)
        ],
        name=f"{documents} test documents",
        selection={},
        actor=by,
    )


def evaluated(
    release: Release,
    on: EvaluationSet,
    *,
    level: float,
    by: Any = None,
    wrote: Callable[[int], str] = lambda position: WRITTEN,
    rouge1_above: float = 0.2,
) -> EvaluationRun:
    """ROUGE-2 around `level` (0–1) with the same noise for every release, so that pairs correlate."""
    run = EvaluationRun.objects.create(
        release=release,
        evaluation_set=on,
        state="succeeded",
        signature=SIGNATURE,
        seconds=12.0,
        means={"peak_memory_bytes": 800 * 2**20},
        requested_by=by,
    )
    noise = random.Random(5)
    ExampleScore.objects.bulk_create(
        ExampleScore(
            run=run,
            signature=run.signature,
            example=example,
            output=wrote(example.position),
            rouge1=level + rouge1_above + spread,
            rouge2=level + spread,
            rougeL=level + 0.1 + spread,
            rougeLsum=level + 0.15 + spread,
            summary_words=24,
            length_ratio=1.0,
            repetition=0.0,
            copied_share=0.8,
            unsupported_numbers=0,
            unsupported_names=0,
            latency_ms=100.0 + example.position // 2,
            finish="stop",
        )
        for example in EvaluationExample.objects.filter(evaluation_set=on).order_by("position")
        for spread in [noise.uniform(-0.05, 0.05)]
    )
    return run


def compared(
    candidate: Release,
    baseline: Release,
    on: EvaluationSet,
    *,
    before: float = 0.10,
    after: float = 0.16,
    by: Any = None,
) -> Comparison:
    runs = {
        release.pk: EvaluationRun.objects.filter(release=release, evaluation_set=on).first()
        or evaluated(release, on, level=level)
        for release, level in ((candidate, after), (baseline, before))
    }
    return compare_by_policy(
        candidate=runs[candidate.pk], baseline=runs[baseline.pk], lead=None, actor=by, resamples=200
    )


def approved(release: Release) -> Release:
    """A draft, compared with what is live, submitted by Galley itself and approved by a person: it warms up."""
    live = Route.objects.select_related("release").get(environment=release.environment).release
    assert live is not None
    comparison = compared(release, live, evaluation_set(24))
    submitted(release, comparison)
    return approve(
        release=release, actor=make.user(f"approver {next(_numbers)}", "approver"), reason="Better.",
        evidence_digest=release.evidence_digest, password=make.PASSWORD,
    )  # fmt: skip


def small_policy(**sections: Mapping[str, Any]) -> GatePolicy:
    """Production's, for tests with few documents and one approver; by Galley itself, so that nobody has a hand in what
    it judges."""
    environment = Environment.objects.get(name="production")
    held = policies.holding(environment)
    settings = policies.read(held).as_settings()
    for name, values in {
        "primary": {"least_documents": 10},
        "guards": {"least_documents": 10},
        "slices": {"floor": 10},
        "preference": {"ask": "never"},
        "safety": {"least_documents": 10},
        "approvals": {"approvers": 1},
        **sections,
    }.items():
        settings[name] |= values
    if settings == policies.read(held).as_settings():
        return held
    return policies.change_policy(
        environment=environment,
        settings=settings,
        reason="Tests have few documents.",
        expected=held.number,
        actor=None,
    )


def same_policy(environment: Environment) -> None:
    """As production's: a new environment has none, and nothing is judged without."""
    held = policies.holding(Environment.objects.get(name="production"))
    GatePolicy.objects.create(
        environment=environment,
        number=1,
        settings=held.settings,
        digest=held.digest,
        reason="As in production.",
    )
    environment.approvals_required = policies.read(held).approvals.approvers
    environment.save()


def judged(release: Release, comparison: Comparison, *, actor: Any = None) -> GateRun:
    """By all gates, as the job does it."""
    run = running.start(release=release, comparison=comparison, actor=actor)
    if run.state in GateRun.ACTIVE:
        assert run.job is not None
        make.carried_out(run.job)
        run.refresh_from_db()
    return run


def submitted(release: Release, comparison: Comparison, **fields: Any) -> Release:
    """Submitted, and its gates judged by the job in this process."""
    return gates_done(submit_release(release=release, comparison=comparison, **{"actor": None, **fields}))


def gates_done(release: Release) -> Release:
    """Of a release that was submitted by any door: the job, in this process."""
    run = running.newest(release)
    if run is not None and run.state in GateRun.ACTIVE:
        assert run.job is not None
        make.carried_out(run.job)
    release.refresh_from_db()
    return release


def made_live(release: Release) -> Release:
    return make.put_live(release)


@dataclass(frozen=True)
class Scene:
    cast: make.Cast
    live: Release
    candidate: Release
    comparison: Comparison
    on: EvaluationSet
    snapshot: DatasetSnapshot
    model: ModelVersion

    def submitted(self, **fields: Any) -> Release:
        """And judged: it waits for approval, unless its gates say otherwise."""
        return submitted(
            **{
                "release": self.candidate,
                "comparison": self.comparison,
                "note": "Learnt from 3 corrections.",
                "actor": self.cast.ml_engineer,
                **fields,
            }
        )

    def approvers_needed(self, number: int) -> None:
        """By another policy, by which the candidate is judged again where it waits already."""
        small_policy(approvals={"approvers": number})
        release = Release.objects.get(pk=self.candidate.pk)
        if release.state == Release.State.AWAITING:
            assert release.comparison is not None
            self.submitted(release=release, comparison=release.comparison)
            self.candidate.refresh_from_db()

    def approved_by(self, person: Any, **fields: Any) -> Release:
        release = Release.objects.get(pk=self.candidate.pk)
        return approve(
            **{
                "release": release,
                "actor": person,
                "reason": "Clear gain on ROUGE-2.",
                "evidence_digest": release.evidence_digest,
                "password": make.PASSWORD,
                "said": confirmation(release),
                **fields,
            }
        )


@kept
def scene(*, before: float = 0.10, after: float = 0.16, documents: int = 40) -> Scene:
    """Mila trained and composed it on data that Rita corrected; the base model is live."""
    cast = make.cast()
    small_policy()
    base = base_model()
    live = made_live(
        compose_release(
            model_version=base, prompt_version=chat_prompt(), decoding={}, origin="initial", actor=None
        )
    )
    data = snapshot(by=cast.ml_engineer, curators=[cast.reviewer.pk])
    model = trained_model(base, data, by=cast.ml_engineer)
    candidate = compose_release(
        model_version=model,
        prompt_version=chat_prompt(),
        decoding={},
        origin="retraining",
        actor=cast.ml_engineer,
    )
    on = evaluation_set(documents)
    comparison = compared(candidate, live, on, before=before, after=after)
    return Scene(cast, live, candidate, comparison, on, data, model)


@kept
def waiting(*, approvers: int = 1) -> Scene:
    """Its candidate was judged and waits for so many approvals."""
    the = scene()
    if approvers > 1:
        the.approvers_needed(approvers)
    the.submitted()
    return the


def decisions(release: Release) -> list[tuple[str, str, bool]]:
    """(who, decision, whether it still counts)"""
    return [
        (row.approver.username, row.decision, row.voided_at is None)
        for row in Approval.objects.filter(release=release).select_related("approver")
    ]
