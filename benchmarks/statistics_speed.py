"""Comparison statistics at the size of the CNN/DailyMail test set: 11,490 documents, 10,000 resamples, all metrics.

    python benchmarks/statistics_speed.py [--documents 11490] [--resamples 10000]

Intervals, p-values, power and verdicts of every metric, first over all documents, then with five domains, three lengths
and two languages as slices; of four metrics with them (budget: 5 s), and what the slices gate asks beside: floor, Holm,
gaps. With it rouge-score's BootstrapAggregator (unpaired intervals of four metrics, no p), timed on a twentieth of the
resamples and multiplied. Scores are drawn at random with the spread of real ones. CPU time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from rouge_score.scoring import BootstrapAggregator, Score  # noqa: E402

from models_app.evaluation.metrics import METRICS  # noqa: E402
from models_app.evaluation.slices import Document, judge_slices, slices_of  # noqa: E402
from models_app.evaluation.statistics import compare  # noqa: E402

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=11_490)
    parser.add_argument("--resamples", type=int, default=10_000)
    options = parser.parse_args()
    n, resamples = options.documents, options.resamples
    rng = np.random.default_rng(1)
    metrics = list(METRICS.values())
    before = rng.beta(2, 4, (n, len(metrics)))
    after = before + rng.normal(0.005, 0.1, before.shape)
    domains = rng.choice(["news", "education", "entertainment", "business", "other"], n).tolist()
    languages = rng.choice(["en", "fr"], n, p=[0.8, 0.2]).tolist()
    words = rng.integers(100, 900, n).tolist()
    fields = slices_of(
        [
            Document(count, {"domain": domain, "language": language})
            for count, domain, language in zip(words, domains, languages, strict=True)
        ]
    )
    slices = {name: mask for groups in fields.values() for name, mask in groups.items()}

    aggregator = BootstrapAggregator(n_samples=resamples // 20)
    columns = [metrics.index(METRICS[key]) for key in ROUGE]
    for row in after[:, columns]:
        aggregator.add_scores({key: Score(f, f, f) for key, f in zip(ROUGE, row, strict=True)})
    rouge_metrics = [METRICS[key] for key in ROUGE]

    theirs = 20 * timed(aggregator.aggregate)
    four = timed(lambda: compare(before[:, columns], after[:, columns], rouge_metrics, resamples=resamples))
    ten = timed(
        lambda: compare(
            before[:, columns], after[:, columns], rouge_metrics, slices=slices, slice_floor=100,
            resamples=resamples,
        )
    )  # fmt: skip
    gate = timed(
        lambda: judge_slices(
            before[:, columns[1]],
            after[:, columns[1]],
            rouge_metrics[1],
            fields,
            floor=100,
            resamples=resamples,
        )
    )
    whole = timed(lambda: compare(before, after, metrics, resamples=resamples))
    sliced = timed(lambda: compare(before, after, metrics, slices=slices, resamples=resamples))

    print(f"{n:,} documents, {resamples:,} resamples")
    print(f"rouge-score's BootstrapAggregator, 4 metrics   {theirs:6.2f} CPU-s")
    print(f"compare, 4 metrics                             {four:6.2f} CPU-s, ratio {theirs / four:.0f}")
    print(f"compare, 4 metrics, whole and {len(slices)} slices       {ten:6.2f} CPU-s")
    print(f"the slices gate: 1 metric, {len(slices)} slices, gaps    {gate:6.2f} CPU-s")
    print(f"compare, {len(metrics)} metrics                           {whole:6.2f} CPU-s")
    print(f"compare, {len(metrics)} metrics, whole and {len(slices)} slices       {sliced:6.2f} CPU-s")


if __name__ == "__main__":
    main()
