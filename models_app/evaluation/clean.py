"""A comparison on the clean subset: those documents that nothing in the training data is like. Pure.

A model that learnt some of the test documents gains on these alone. So the same metrics, with intervals by the same
statistics, on the documents that are left, beside those on all: a gain that is not there on the clean ones is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models_app.evaluation.metrics import Metric
from models_app.evaluation.statistics import RESAMPLES, Floats, Mask, MetricComparison, compare

CLEAN = "clean subset"


def compare_clean(
    before: Floats,
    after: Floats,
    metrics: Sequence[Metric],
    clean: Mask,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[MetricComparison]:
    """Each metric on the documents of the mask; where these are all, the very figures of the whole. Rows are documents,
    columns metrics, as in `compare`."""
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if clean.shape != before.shape[:1] or clean.dtype != np.bool_:
        raise ValueError(f"the clean subset must be a mask over {len(before)} documents")
    found = compare(before[clean], after[clean], metrics, seed=seed, resamples=resamples)
    return [replace(row, slice=CLEAN) for row in found]
