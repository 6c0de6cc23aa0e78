"""Evaluating a release: what it writes for each test document, and how that scores."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Avg, Count
from django.utils import timezone

from models_app.cases.running import missing_runs, run_cases
from models_app.engines import ReleaseEngine, open_engine
from models_app.evaluation import rouge
from models_app.evaluation.cases_job import start_cases
from models_app.evaluation.signature import signature_of
from models_app.foundation import audit, jobs
from models_app.foundation.constraints import broke
from models_app.foundation.errors import Refused, StaleState
from models_app.foundation.jobs import JobContext
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.models import EvaluationExample, EvaluationRun, EvaluationSet, ExampleScore, Job, Release
from models_app.texts import measures

BATCH = 32
AVERAGED = (
    "rouge1", "rouge2", "rougeL", "rougeLsum", "summary_words", "length_ratio", "repetition", "copied_share",
    "unsupported_numbers", "unsupported_names", "latency_ms",
)  # fmt: skip


def start_evaluation(
    *, release: Release, evaluation_set: EvaluationSet, actor: Any | None, deliver: bool = True
) -> EvaluationRun:
    """Queue an evaluation; the finished or active one of the same release and test set where there is one, and what
    behavioural cases have been written since.

    One that another version of the metrics scored is another evaluation: it stays, and this one is made beside it.
    """
    require(actor, "evaluate")
    with transaction.atomic():
        try:
            with transaction.atomic():
                run = EvaluationRun.objects.create(
                    release=release,
                    evaluation_set=evaluation_set,
                    signature=signature_of(evaluation_set),
                    requested_by=actor,
                )
        except IntegrityError as error:
            if not broke(error, "evaluation_once"):
                raise
            run = EvaluationRun.objects.get(
                release=release,
                evaluation_set=evaluation_set,
                signature=signature_of(evaluation_set),
                state__in=("queued", "running", "succeeded"),
            )
            if run.state == EvaluationRun.State.SUCCEEDED and missing_runs(release):
                start_cases(release=release, actor=actor, deliver=deliver)
            return run
        _enqueue(run, actor, deliver=deliver)
        audit.record(
            actor=actor, action="evaluation.start", subject=run,
            data={"release": release.pk, "test_set": evaluation_set.digest},
        )  # fmt: skip
    return run


def _enqueue(run: EvaluationRun, actor: Any | None, *, deliver: bool) -> None:
    run.job = jobs.enqueue(
        kind="evaluate",
        actor=actor,
        subject=f"evaluationrun:{run.pk}",
        payload={"run": run.pk},
        queue="training",
        unique_key=f"evaluate:{run.pk}",
        deadline_seconds=12 * 3600,
        deliver=deliver,
    )
    run.save(update_fields=["job"])


def resume_evaluation(*, run: EvaluationRun, actor: Any | None, deliver: bool = True) -> EvaluationRun:
    """Queue a failed or cancelled evaluation again; documents already scored are kept.

    Raises Refused for one that did not end so and for one that another version of the metrics has begun, StaleState
    where another run evaluates the same or has done so.
    """
    require(actor, "evaluate")
    if run.state not in (EvaluationRun.State.FAILED, EvaluationRun.State.CANCELLED):
        raise Refused(f"Evaluation {run.pk} is {run.state}; only what failed or was cancelled is resumed.")
    try:
        with transaction.atomic():
            _use_todays_signature(run)
            _enqueue(run, actor, deliver=deliver)
            move(run, to="queued", actor=actor, action="evaluation.resume", reason="", finished_at=None)
    except IntegrityError as error:
        if not broke(error, "evaluation_once"):
            raise
        raise StaleState(_the_same(run)) from error
    return run


def _the_same(run: EvaluationRun) -> str:
    same = EvaluationRun.objects.filter(
        release=run.release_id,
        evaluation_set=run.evaluation_set_id,
        signature=run.signature,
        state__in=("queued", "running", "succeeded"),
    ).first()
    if same is None:
        return "An evaluation of the same has just ended. Try again."
    return f"Evaluation {same.pk}, which is the same, is {same.state}."


def _use_todays_signature(run: EvaluationRun) -> None:
    """A run without scores takes the signature of the code that will score it; in a transaction.

    Raises Refused for one that has scores of another, or where an evaluation of today's is there already.
    """
    todays = signature_of(run.evaluation_set)
    if run.signature == todays:
        return
    if ExampleScore.objects.filter(run=run).exists():
        raise Refused(
            f"Evaluation {run.pk} was begun by another version of the metrics ({run.signature or 'not written down'}); "
            f"this one scores with {todays}. Scores of two versions are never mixed: start the evaluation or the "
            "comparison again, which evaluates all documents again and leaves this one as it is."
        )
    try:
        with transaction.atomic():
            EvaluationRun.objects.filter(pk=run.pk).update(signature=todays)
    except IntegrityError as error:
        if not broke(error, "evaluation_once"):
            raise
        raise Refused(
            f"Release {run.release_id} has been evaluated on test set {run.evaluation_set_id} with today's metrics "
            f"meanwhile; evaluation {run.pk} is not needed any more."
        ) from error
    run.signature = todays


def again(job: Job) -> Job | None:
    """For people who manage jobs: what was scored is kept. None where a later job has it."""
    run = EvaluationRun.objects.get(pk=job.payload["run"])
    if run.job_id != job.pk:
        return None
    return resume_evaluation(run=run, actor=None).job


def carry_out(context: JobContext) -> dict[str, Any]:
    """The job: generates what is missing, batch by batch, has rouge-score check a sample, then averages."""
    from models_app.evaluation.rouge_check import check_sample  # with NLTK: only here, in the job's process

    run = EvaluationRun.objects.select_related(
        "release__model_version", "release__prompt_version__prompt", "evaluation_set"
    ).get(pk=context.payload["run"])
    if run.state == EvaluationRun.State.QUEUED:
        move(run, to="running", actor=None, action="evaluation.running")
    with transaction.atomic():
        _use_todays_signature(run)
    started = time.monotonic()
    context.phase("loading the model")
    missing = list(
        EvaluationExample.objects.filter(evaluation_set=run.evaluation_set_id)
        .exclude(pk__in=ExampleScore.objects.filter(run=run).values("example"))
        .order_by("position")
    )
    # neighbours of similar length make full batches
    missing.sort(key=lambda example: len(example.source))
    total = run.evaluation_set.rows
    context.phase("generating", total)
    with open_engine(run.release, threads=settings.GALLEY_SLOT_THREADS) as engine:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            context.step(total - len(missing) + start)
            _score(run, batch, engine)
        _run_cases(context, run.release, engine)
    context.phase("checking against rouge-score")
    check_sample(run)
    context.phase("averaging", total)
    means = ExampleScore.objects.filter(run=run).aggregate(
        n=Count("pk"), **{f"mean_{name}": Avg(name) for name in AVERAGED}
    )
    EvaluationRun.objects.filter(pk=run.pk).update(
        means={
            "n": means["n"],
            **{name: means[f"mean_{name}"] for name in AVERAGED},
            "peak_memory_bytes": _peak_memory(),
        },
        seconds=(run.seconds or 0) + time.monotonic() - started,
    )
    return {"documents": means["n"]}


def _run_cases(context: JobContext, release: Release, engine: ReleaseEngine) -> None:
    """Behavioural cases that the release has not been run on."""
    versions = missing_runs(release)
    if versions:
        context.phase("running behavioural cases", sum(version.cases for version in versions))
        run_cases(release=release, versions=versions, write=engine.write, progress=context.step)


def _peak_memory() -> int:
    """The most that this process took, which does nothing but evaluate."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _score(run: EvaluationRun, batch: Sequence[EvaluationExample], engine: Any) -> None:
    words: rouge.Words = rouge.UNICODE if run.evaluation_set.words == rouge.UNICODE else rouge.LATIN
    began = time.monotonic()
    outputs = engine.write([(example.source, example.title, example.domain) for example in batch])
    latency = (time.monotonic() - began) * 1000 / len(batch)
    rows = []
    for example, output in zip(batch, outputs, strict=True):
        scores = rouge.score_best(example.texts, output.text, words)
        found = measures.measure(
            source=example.source,
            reference=measures.closest_in_length(example.texts, output.text),
            summary=output.text,
        )
        rows.append(
            ExampleScore(
                run=run,
                signature=run.signature,
                example=example,
                output=output.text,
                rouge1=scores.rouge1.fmeasure,
                rouge2=scores.rouge2.fmeasure,
                rougeL=scores.rougeL.fmeasure,
                rougeLsum=scores.rougeLsum.fmeasure,
                summary_words=found.summary_words,
                length_ratio=found.length_ratio,
                repetition=found.repetition,
                copied_share=found.copied_share,
                unsupported_numbers=found.unsupported_numbers,
                unsupported_names=found.unsupported_names,
                latency_ms=latency,
                truncated=output.truncated,
                finish=output.finish,
            )
        )
    ExampleScore.objects.bulk_create(rows, ignore_conflicts=True)


def ended(job: Job) -> None:
    """Bring the evaluation in step with its job, in the transaction that ends the job."""
    run = EvaluationRun.objects.filter(pk=job.payload["run"]).first()
    if run is None or run.state not in ("queued", "running"):
        return
    move(
        run, to=job.state, actor=None, action=f"evaluation.{job.state}", reason=job.reason,
        finished_at=job.finished_at or timezone.now(), phase="",
    )  # fmt: skip
    EvaluationRun.objects.filter(pk=run.pk).update(reason=job.reason)
