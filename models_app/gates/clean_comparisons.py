"""A comparison without the documents that a leakage check found something like: computed once, and kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db import IntegrityError, transaction

from models_app.evaluation.clean import compare_clean
from models_app.evaluation.comparing import COMPARED
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import STORED, Floats, MetricComparison
from models_app.foundation.constraints import broke
from models_app.foundation.errors import Refused
from models_app.models import CleanComparison, Comparison, EvaluationRun, ExampleScore, LeakageCheck


def clean_comparison(*, comparison: Comparison, check: LeakageCheck) -> CleanComparison:
    """Of the comparison and the check that there is, or made now. Raises Refused where an evaluation lacks scores."""
    existing = CleanComparison.objects.filter(comparison=comparison, check_run=check).first()
    if existing is not None:
        return existing
    examples, after = _scores(comparison.candidate)
    same, before = _scores(comparison.baseline)
    if examples != same:
        raise Refused("The two evaluations have scores of different documents. Evaluate both again.")
    flagged = set(check.findings.values_list("example", flat=True))
    clean = np.array([example not in flagged for example in examples], dtype=np.bool_)
    results = compare_clean(
        before,
        after,
        [METRICS[name] for name in COMPARED],
        clean,
        seed=comparison.seed,
        resamples=comparison.resamples,
    )
    try:
        with transaction.atomic():
            return CleanComparison.objects.create(
                comparison=comparison,
                check_run=check,
                n=int(clean.sum()),
                left_out=int((~clean).sum()),
                results=[_stored(row) for row in results if row.n],
            )
    except IntegrityError as error:
        if not broke(error, "clean_comparison_once"):
            raise
        return CleanComparison.objects.get(comparison=comparison, check_run=check)


def _scores(run: EvaluationRun) -> tuple[list[int], Floats]:
    rows = list(
        ExampleScore.objects.filter(run=run).order_by("example__position").values_list("example", *COMPARED)
    )
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, len(COMPARED))
    return [row[0] for row in rows], values


def _stored(row: MetricComparison) -> dict[str, Any]:
    """As `statistics.from_stored` reads it."""
    return {
        **{name: getattr(row, name) for name in STORED},
        "p": row.p_adjusted,
        "verdict": row.verdict.value,
    }
