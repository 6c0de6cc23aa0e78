"""The whole loop on a file of documents, in one go, with reference summaries standing in for reviewers' edits."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import psutil
from django.db import transaction

from models_app.evaluation.running import start_evaluation
from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, Refused
from models_app.gates import running
from models_app.gates.comparing import compare_by_policy
from models_app.ml.prompting import default_prompt
from models_app.ml.recipe import SEEDS, Recipe, default_recipe
from models_app.models import (
    Comparison,
    DatasetSnapshot,
    EvaluationRun,
    EvaluationSet,
    Job,
    ModelVersion,
    Prompt,
    PromptVersion,
    Release,
    TrainingRun,
)
from models_app.releases.composing import compose_release, lead_release, submit_release
from models_app.texts.needs import AtLeast, mistakes
from models_app.training.registering import start_registering
from models_app.training.starting import start_training
from reviews.examples.decisions import approve_examples
from reviews.examples.proposals import propose_from_references
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import Selection, freeze_snapshot
from reviews.filling.drafts import start_drafting
from reviews.ingest import twins
from reviews.ingest.documents import ImportReport, content_hash, import_rows
from reviews.ingest.records import read_file
from reviews.models import FeedbackExample, SourceDocument, Split
from reviews.prompts.suggestions import save_prompt

Say = Callable[[str], None]
ADVICE = "Give a smaller number, more documents, or other shares for new documents (GALLEY_SPLIT_SHARES)."


@dataclass(frozen=True)
class LoopOptions:
    """What to run on what. `seed` chooses documents and training order; `drafts` is how many documents the
    base model drafts summaries for, all that may be learnt from where it is None."""

    documents: Path
    train: Annotated[int, AtLeast(1)]
    validation: Annotated[int, AtLeast(1)]
    test: Annotated[int, AtLeast(1)]
    model: str = "starter"
    seed: Annotated[int, SEEDS] = 7
    preset: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    drafts: Annotated[int | None, AtLeast(0)] = None


@dataclass
class Phase:
    name: str
    seconds: float
    cpu_seconds: float


@dataclass
class LoopResult:
    """Everything the report tells."""

    options: LoopOptions
    recipe: Recipe
    decoding: dict[str, Any]
    prompt: PromptVersion
    imported: ImportReport
    snapshot: DatasetSnapshot
    test_set: EvaluationSet
    training: TrainingRun
    base: ModelVersion
    tuned: ModelVersion
    before: EvaluationRun
    after: EvaluationRun
    lead: EvaluationRun
    comparison: Comparison
    release: Release
    drafted: int
    phases: list[Phase]
    machine: dict[str, Any]


class _Clock:
    """Wall and CPU time by phase, children included."""

    def __init__(self, say: Say) -> None:
        self.say, self.phases = say, list[Phase]()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.say(f"{name} …")
        wall, cpu = time.monotonic(), _cpu_seconds()
        yield
        done = Phase(name, time.monotonic() - wall, _cpu_seconds() - cpu)
        self.phases.append(done)
        self.say(f"{name}: {done.seconds:.0f} s ({done.cpu_seconds:.0f} CPU-seconds)")


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def run_loop(*, options: LoopOptions, actor: Any | None, say: Say) -> LoopResult:
    """Import, draft, snapshot, fine-tune, evaluate before, after and lead-3, compare, submit for approval. Raises
    InvalidInput, before anything is done for options out of range."""
    if wrong := mistakes(options):
        raise InvalidInput(" ".join(f"{name}: {words}" for name, words in wrong.items()), fields=wrong)
    clock = _Clock(say)
    with clock.phase("importing documents"):
        report, hashes = _import(options, actor)
        chosen = choose_documents(hashes=hashes, options=options)
    with clock.phase("registering the base model"):
        base = _registered(start_registering(reference=options.model, actor=actor, deliver=False), say)
    prompt = prompt_for(base, options.prompt, actor)
    recipe = recipe_for(base, options)
    decoding = options.decoding or decoding_for(recipe)
    before_release = compose_release(
        model_version=base, prompt_version=prompt, decoding=decoding, origin="initial", actor=actor,
        note="Base model of a loop from the command line.",
    )  # fmt: skip
    drafted = 0
    if options.drafts != 0:
        with clock.phase("drafting summaries with the base model"):
            documents = [document.pk for document in (*chosen["train"], *chosen["validation"])][
                : options.drafts
            ]
            job = start_drafting(documents=documents, release=before_release, actor=actor, deliver=False)
            drafted = len(documents)
            jobs.carry_out(job, watch=_watcher(say))
    with clock.phase("freezing the snapshot and the test set"):
        snapshot = _snapshot(chosen, options, actor)
        test_set = freeze_test_set(actor=actor, documents=[document.pk for document in chosen["test"]])
    training = trained_before(snapshot, base, prompt, recipe)
    if training is None:
        with clock.phase("fine-tuning"):
            training = start_training(
                snapshot=snapshot,
                base=f"model:{base.pk}",
                prompt_version=prompt,
                recipe=recipe,
                actor=actor,
                deliver=False,
            )
            tuned = _trained(training, say)
    else:
        tuned = ModelVersion.objects.get(pk=training.summary["model_version"])
        say(f"Training {training.pk} was the same: its model is taken.")
    with clock.phase("evaluating the base model"):
        before = _evaluated(before_release, test_set, actor, say)
    release = compose_release(
        model_version=tuned, prompt_version=prompt, decoding=decoding, origin="retraining", actor=actor,
        note=f"Fine-tuned on snapshot {snapshot.pk}.",
    )  # fmt: skip
    with clock.phase("evaluating the tuned model"):
        after = _evaluated(release, test_set, actor, say)
    with clock.phase("evaluating lead-3"):
        lead = _evaluated(lead_release(), test_set, actor, say)
    with clock.phase("comparing"):
        comparison = compare_by_policy(candidate=after, baseline=before, lead=lead, actor=actor)
    if release.state == Release.State.DRAFT:
        submit_release(
            release=release, comparison=comparison, note="From run_loop.", actor=actor, deliver=False
        )
        with clock.phase("judging the gates"):
            _judged(release, say)
    say(f"Release {release.pk}: {release.state}. {release.reason} {comparison.sentence}")
    return LoopResult(
        options=options, recipe=recipe, decoding=decoding, prompt=prompt, imported=report, snapshot=snapshot,
        test_set=test_set, training=TrainingRun.objects.get(pk=training.pk), base=base, tuned=tuned, before=before,
        after=after, lead=lead, comparison=comparison, release=release, drafted=drafted, phases=clock.phases,
        machine=machine(),
    )  # fmt: skip


def _judged(release: Release, say: Say) -> None:
    run = running.newest(release)
    assert run is not None and run.job is not None  # noqa: PT018  # nosec B101
    jobs.carry_out(run.job, watch=_watcher(say))
    release.refresh_from_db()


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _import(options: LoopOptions, actor: Any | None) -> tuple[ImportReport, list[str]]:
    report = ImportReport()
    rows = list(read_file(options.documents, mapping=options.mapping, report=report))
    hashes = [content_hash(row.text) for row in rows]
    twins.sketch_missing()
    report = import_rows(rows=rows, origin=options.documents.name, actor=actor, report=report)
    return report, hashes


def choose_documents(*, hashes: Sequence[str], options: LoopOptions) -> dict[str, list[SourceDocument]]:
    """The file's documents that have a reference, as many of each split as asked for, in an order the seed decides."""
    wanted = {Split.TRAIN: options.train, Split.VALIDATION: options.validation, Split.TEST: options.test}
    rows: list[SourceDocument] = []
    for start in range(0, len(hashes), 1000):
        rows += SourceDocument.objects.filter(content_hash__in=hashes[start : start + 1000]).exclude(
            reference=""
        )
    rows.sort(key=lambda row: hashlib.sha256(f"{options.seed}:{row.content_hash}".encode()).hexdigest())
    chosen = {}
    for split, number in wanted.items():
        of_split = [row for row in rows if row.split == split]
        if len(of_split) < number:
            raise InvalidInput(
                f"{number} {split.value} documents with a reference are wanted, the file has {len(of_split)}. {ADVICE}",
                fields={split.value: ADVICE},
            )
        chosen[split.value] = of_split[:number]
    return chosen


def _watcher(say: Say) -> Callable[[Job], None]:
    """Prints phase and step of a job, at most every ten seconds and at each new phase."""
    phase, at = "", 0.0

    def watch(job: Job) -> None:
        nonlocal phase, at
        now = time.monotonic()
        if job.phase == phase and now - at < 10:
            return
        phase, at = job.phase, now
        say(f"  {job.phase}" + (f" {job.step}/{job.total}" if job.total else ""))

    return watch


def _registered(job: Job, say: Say) -> ModelVersion:
    done = jobs.carry_out(job, watch=_watcher(say))
    return ModelVersion.objects.get(pk=done.result["model_version"])


def _trained(run: TrainingRun, say: Say) -> ModelVersion:
    if run.job is None:
        raise Refused(f"Training {run.pk} has no job.")
    done = jobs.carry_out(run.job, watch=_watcher(say))
    return ModelVersion.objects.get(pk=done.result["model_version"])


def trained_before(
    snapshot: DatasetSnapshot, base: ModelVersion, prompt: PromptVersion, recipe: Recipe
) -> TrainingRun | None:
    """A finished run of the same rows, base, prompt and recipe: seeds are part of the recipe, so another would give
    the same model."""
    return TrainingRun.objects.filter(
        snapshot=snapshot,
        base=f"model:{base.pk}",
        prompt_version=prompt,
        recipe_digest=recipe.digest,
        state=TrainingRun.State.SUCCEEDED,
        summary__has_key="model_version",
    ).first()


def _evaluated(release: Release, test_set: EvaluationSet, actor: Any | None, say: Say) -> EvaluationRun:
    run = start_evaluation(release=release, evaluation_set=test_set, actor=actor, deliver=False)
    if run.state != EvaluationRun.State.SUCCEEDED:
        if run.job is None:
            raise Refused(f"Evaluation {run.pk} has no job.")
        jobs.carry_out(run.job, watch=_watcher(say))
        run.refresh_from_db()
    return run


def prompt_for(base: ModelVersion, template: str, actor: Any | None) -> PromptVersion:
    """The given template as a prompt version, else the newest of the prompt that suits the model's family. Raises
    InvalidInput where the template quotes a test document."""
    kind = "chat" if base.family == "llama" else "prefix"
    if template:
        name = f"loop {hashlib.sha256(template.encode()).hexdigest()[:8]}"
        prompt = Prompt.objects.filter(name=name).first() or save_prompt(
            name=name, kind=kind, template=template, note="From the command line.", actor=actor
        )
        return prompt.versions.order_by("-number")[0]
    wanted = default_prompt(base.family).template
    own = (
        PromptVersion.objects.filter(prompt__kind=kind, template=wanted).order_by("prompt", "number").first()
    )
    if own is not None:
        return own
    name = f"{base.family} default"
    prompt = Prompt.objects.filter(name=name).first() or save_prompt(
        name=name,
        kind=kind,
        template=wanted,
        note="What this family's checkpoints were trained to see.",
        actor=actor,
    )
    return prompt.versions.order_by("-number")[0]


def recipe_for(base: ModelVersion, options: LoopOptions) -> Recipe:
    from models_app.ml.recipe import PRESETS

    if options.preset and options.preset not in PRESETS:
        raise InvalidInput(f"There is no preset {options.preset!r}; there are {', '.join(PRESETS)}.")
    recipe = PRESETS[options.preset] if options.preset else default_recipe(base.family, _device())
    try:
        return recipe.but(base=f"model:{base.pk}", seed=options.seed, **options.recipe)
    except (ValueError, TypeError) as error:
        raise InvalidInput(str(error), fields={"recipe": str(error)}) from error


def _device() -> str:
    from django.conf import settings

    return "cuda" if settings.GALLEY_DEVICE == "cuda" else "cpu"


def decoding_for(recipe: Recipe) -> dict[str, Any]:
    """The model reads at inference what it read in training."""
    return {"max_input_tokens": recipe.max_source_tokens, "max_new_tokens": 96, "max_words": 60}


def _snapshot(
    chosen: dict[str, list[SourceDocument]], options: LoopOptions, actor: Any | None
) -> DatasetSnapshot:
    documents = [*chosen["train"], *chosen["validation"]]
    with transaction.atomic():
        propose_from_references(documents=documents, actor=actor)
        examples = FeedbackExample.objects.filter(
            document__in=documents, origin="reference", state="proposed"
        )
        _, refusals = approve_examples(examples=list(examples.select_related("document")), actor=actor)
    if refusals:
        raise Refused(f"{len(refusals)} reference summaries could not be approved. {refusals[0]}")
    return freeze_snapshot(
        name=f"References of {options.documents.name}",
        selection=Selection(documents=tuple(document.pk for document in documents), origins=("reference",)),
        note="Reference summaries stand in for reviewers' edits.",
        actor=actor,
    )
