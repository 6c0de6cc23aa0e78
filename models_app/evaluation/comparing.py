"""Comparisons: two evaluations of the same test documents, metric by metric, with intervals and a verdict in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction
from numpy.typing import NDArray

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.reading import Reading, read
from models_app.evaluation.running import start_evaluation
from models_app.evaluation.sets import whom_references_favour
from models_app.evaluation.slices import Document, slices_of
from models_app.evaluation.statistics import EVERYTHING, Mask, MetricComparison, Verdict, compare
from models_app.evaluation.terms import PRIMARY, Terms
from models_app.evaluation.wording import verdict_in_words
from models_app.foundation import audit, jobs
from models_app.foundation.errors import Refused
from models_app.foundation.jobs import JobContext, NotYet
from models_app.foundation.roles import require
from models_app.models import (
    Comparison,
    ComparisonResult,
    EvaluationRun,
    EvaluationSet,
    ExampleScore,
    Job,
    Release,
)

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# what is stored of each example; latency is judged in service, not here
COMPARED = (
    *ROUGE, "summary_words", "length_ratio", "repetition", "copied_share", "unsupported_numbers", "unsupported_names",
)  # fmt: skip

#: Of the comparisons that gates judge: one for all, so that nobody draws again until an interval suits.
SEED = 7
RESAMPLES = 10_000


def compare_releases(
    *,
    candidate: EvaluationRun,
    baseline: EvaluationRun,
    lead: EvaluationRun | None,
    actor: Any | None,
    terms: Terms | None = None,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare after (`candidate`) with before (`baseline`) and, if given, with lead-3; the one there is where it was
    made before by the same terms. `gates.comparing` has the terms of an environment's policy; without any the metrics'
    own margins hold. Raises Refused where the two were not evaluated on the same documents with the same metric."""
    require(actor, "evaluate")
    terms = terms or Terms()
    runs = [candidate, baseline, *([lead] if lead else [])]
    _check(runs)
    the_same = Comparison.objects.filter(
        candidate=candidate, baseline=baseline, seed=seed, resamples=resamples, terms=terms.as_json()
    )
    existing = the_same.first()
    if existing is not None:
        return existing
    columns = [_Scores(run) for run in runs]
    against = _compared(columns, terms, seed=seed, resamples=resamples)
    verdict = overall_verdict(against["baseline"], primary=terms.primary)
    favour = whom_references_favour(
        candidate.evaluation_set, candidate=candidate.release_id, baseline=baseline.release_id
    )
    try:
        with transaction.atomic():
            comparison = Comparison.objects.create(
                candidate=candidate,
                baseline=baseline,
                lead=lead,
                n=len(columns[0].values),
                primary_metric=terms.primary,
                terms=terms.as_json(),
                verdict=verdict,
                sentence=" ".join(
                    filter(None, (verdict_in_words(against["baseline"], primary=terms.primary), favour))
                ),
                seed=seed,
                resamples=resamples,
                signature=candidate.signature,
                digest=_digest(columns, seed, resamples),
                reading=_reading(columns, terms, seed).as_json(),
                requested_by=actor,
            )
            ComparisonResult.objects.bulk_create(
                _row(comparison, name, result) for name, results in against.items() for result in results
            )
            audit.record(
                actor=actor, action="comparison.finish", subject=comparison, reason=verdict,
                data={"candidate": candidate.release_id, "baseline": baseline.release_id, "n": comparison.n},
            )  # fmt: skip
    except IntegrityError:
        return the_same.get()
    return comparison


def _compared(
    columns: Sequence[_Scores], terms: Terms, *, seed: int, resamples: int
) -> dict[str, list[MetricComparison]]:
    """With before, and with lead-3 where its scores are there, too."""
    metrics = [METRICS[name] for name in COMPARED]
    after, before, *others = (scores.values for scores in columns)
    found = {"baseline": compare(
        before, after, metrics, slices=columns[0].slices(terms.fields), margins=terms.margins,
        slice_floor=terms.floor, seed=seed, resamples=resamples,
    )}  # fmt: skip
    for lead in others:
        found["lead"] = compare(lead, after, metrics, margins=terms.margins, seed=seed, resamples=resamples)
    return found


def _reading(columns: Sequence[_Scores], terms: Terms, seed: int) -> Reading:
    after, before = columns[:2]
    return read(
        [row["example_id"] for row in after.rows],
        [row[terms.primary] for row in before.rows],
        [row[terms.primary] for row in after.rows],
        metric=METRICS[terms.primary],
        seed=seed,
    )


def start_comparison(
    *,
    candidate: Release,
    baseline: Release,
    lead: Release | None,
    evaluation_set: EvaluationSet,
    actor: Any | None,
    seed: int = SEED,
) -> Job:
    """Queue the evaluations that are missing, and the comparison after them."""
    require(actor, "evaluate")
    if candidate.pk == baseline.pk:
        raise Refused("This would compare a release with itself.")
    with transaction.atomic():
        runs = {
            name: start_evaluation(release=release, evaluation_set=evaluation_set, actor=actor).pk
            for name, release in (("candidate", candidate), ("baseline", baseline), ("lead", lead))
            if release is not None
        }
        return jobs.enqueue(
            kind="compare",
            actor=actor,
            subject=f"release:{candidate.pk}",
            payload={"runs": runs, "seed": seed},
            queue="training",
            unique_key=f"compare:{runs['candidate']}:{runs['baseline']}:{seed}",
        )


def evaluations_of(context: JobContext) -> dict[str, EvaluationRun]:
    """For the job that compares: candidate, baseline and, where it is asked for, lead. Raises NotYet where one goes
    on."""
    context.phase("waiting for the evaluations")
    runs = {
        name: EvaluationRun.objects.select_related("release", "evaluation_set").get(pk=pk)
        for name, pk in context.payload["runs"].items()
    }
    for run in runs.values():
        if run.state in (EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING):
            raise NotYet(f"Evaluation {run.pk} is {run.state}.")
    return runs


def _check(runs: Sequence[EvaluationRun]) -> None:
    for run in runs:
        if run.state != EvaluationRun.State.SUCCEEDED:
            raise Refused(
                f"Evaluation {run.pk} of release {run.release_id} is {run.state}; compare when it succeeded."
            )
    if len({run.evaluation_set_id for run in runs}) > 1:
        raise Refused(
            "These evaluations were made on different test sets; only the same documents can be compared."
        )
    if len({run.signature for run in runs}) > 1:
        raise Refused(
            "These evaluations were scored by different versions of the metrics. Compare the two releases again: what "
            "was scored by another version is then evaluated with today's."
        )
    if runs[0].release_id == runs[1].release_id:
        raise Refused("This would compare a release with itself.")


class _Scores:
    """One run's scores in the order of the test set."""

    def __init__(self, run: EvaluationRun) -> None:
        rows = list(
            ExampleScore.objects.filter(run=run)
            .order_by("example__position")
            .values(
                "example_id",
                "example__document_hash",
                "example__domain",
                "example__fields",
                "example__source",
                "output",
                *COMPARED,
            )
        )
        if len(rows) != run.evaluation_set.rows:
            raise Refused(f"Evaluation {run.pk} has {len(rows)} of {run.evaluation_set.rows} documents.")
        self.rows = rows
        self.values: NDArray[np.float64] = np.array(
            [[row[name] for name in COMPARED] for row in rows], dtype=np.float64
        )

    def slices(self, fields: Sequence[str]) -> dict[str, Mask]:
        documents = [
            Document(
                len(row["example__source"].split()),
                {**row["example__fields"], "domain": row["example__domain"]},
            )
            for row in self.rows
        ]
        return {
            name: mask for groups in slices_of(documents, fields).values() for name, mask in groups.items()
        }


def overall_verdict(results: Sequence[MetricComparison], *, primary: str = PRIMARY) -> str:
    """The primary metric's verdict on all documents, unless another ROUGE got worse, or the primary metric on a slice:
    then that is the verdict."""
    whole = {result.metric: result.verdict for result in results if result.slice == EVERYTHING}
    if any(whole[name] is Verdict.WORSE for name in ROUGE):
        return Verdict.WORSE.value
    if any(result.metric == primary and result.verdict is Verdict.WORSE for result in results):
        return Verdict.WORSE.value
    return whole[primary].value


def _row(comparison: Comparison, against: str, result: MetricComparison) -> ComparisonResult:
    return ComparisonResult(
        comparison=comparison,
        against=against,
        metric=result.metric,
        slice=result.slice,
        n=result.n,
        before=result.before,
        after=result.after,
        delta=result.delta,
        low=result.low,
        high=result.high,
        p=result.p_adjusted,
        mde=result.mde,
        margin=result.margin,
        verdict=result.verdict.value,
        more_needed=result.more_needed,
    )


def scores_digest(comparison: Comparison) -> str:
    """The digest over the rows as they are now; the comparison's own where nobody rewrote them."""
    runs = [comparison.candidate, comparison.baseline, *([comparison.lead] if comparison.lead else [])]
    return _digest([_Scores(run) for run in runs], comparison.seed, comparison.resamples)


#: The share of an interval's width by which its ends may differ from what is computed again: another version of a
#: library may draw other samples, and 10,000 of them place an end within about one hundredth.
_SAMPLING = 0.1


@dataclass(frozen=True)
class ReadAgain:
    """What the scores in the database give now: their digest, and which results are not what they give, as "against
    metric slice", those that are missing or too many included."""

    digest: str
    wrong: Sequence[str]


def read_again(comparison: Comparison) -> ReadAgain:
    """Takes as long as comparing. Raises Refused where documents are missing."""
    runs = [comparison.candidate, comparison.baseline, *([comparison.lead] if comparison.lead else [])]
    columns = [_Scores(run) for run in runs]
    terms = Terms(**comparison.terms) if comparison.terms else Terms()
    computed = _compared(columns, terms, seed=comparison.seed, resamples=comparison.resamples)
    expected = {
        (against, result.metric, result.slice): result
        for against, results in computed.items()
        for result in results
    }
    stored = {(row.against, row.metric, row.slice): row for row in comparison.results.all()}
    wrong = [key for key in expected if key not in stored or not _is_as_computed(stored[key], expected[key])]
    wrong += [key for key in stored if key not in expected]
    found = [f"{against} {metric} {where}" for against, metric, where in wrong]
    if comparison.reading != _reading(columns, terms, comparison.seed).as_json():
        found.append("baseline documents shown")
    return ReadAgain(_digest(columns, comparison.seed, comparison.resamples), found)


def _is_as_computed(row: ComparisonResult, result: MetricComparison) -> bool:
    exact = [(row.before, result.before), (row.after, result.after), (row.delta, result.delta)]
    exact.append((row.margin, result.margin))
    if row.n != result.n or any(abs(stored - computed) > 1e-6 for stored, computed in exact):
        return False
    if row.p is not None and result.p_adjusted is not None:
        if abs(row.p - result.p_adjusted) > _SAMPLING * (result.p_adjusted + 0.05):
            return False
    elif row.p != result.p_adjusted:
        return False
    if row.low is None or row.high is None or result.low is None or result.high is None:
        return row.low == result.low and row.high == result.high
    allowed = _SAMPLING * (result.high - result.low) + 1e-6
    return abs(row.low - result.low) <= allowed and abs(row.high - result.high) <= allowed


def _digest(columns: Sequence[_Scores], seed: int, resamples: int) -> str:
    """Over all outputs and scores that went in, with seed and resamples."""
    digest = hashlib.sha256(json.dumps([seed, resamples, list(COMPARED)]).encode())
    for scores in columns:
        for row in scores.rows:
            values = [row["example__document_hash"], row["output"], *(row[name] for name in COMPARED)]
            digest.update(json.dumps(values, ensure_ascii=False).encode())
    return digest.hexdigest()
