from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import MetricComparison, Verdict, compare
from models_app.evaluation.wording import sentence

BASE = MetricComparison(
    metric="rouge2", slice="all", n=300, before=7.67, after=9.87, before_sd=6.0, after_sd=6.5, delta=2.2, delta_sd=8.0,
    low=1.3, high=3.1, p=0.0001, p_adjusted=0.0001, mde=1.3, margin=1.0, wins=170, losses=110, ties=20,
    verdict=Verdict.IMPROVED,
)  # fmt: skip

TOO_FEW = "only 4 documents to compare; at least 10 are needed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "ROUGE-2 rose by 2.2 points (95 % between 1.3 and 3.1; 300 documents): improved."),
        (
            {"delta": -2.2, "low": -3.1, "high": -1.3, "verdict": Verdict.WORSE, "n": 11490},
            "ROUGE-2 fell by 2.2 points (95 % between −3.1 and −1.3; 11,490 documents): worse.",
        ),
        (
            {"delta": -0.3, "low": -0.9, "high": 0.3, "verdict": Verdict.NOT_WORSE},
            "ROUGE-2 fell by 0.3 points (95 % between −0.9 and 0.3; 300 documents): "
            "not worse, a loss of 1.0 points or more is excluded.",
        ),
        (
            {"delta": 0.4, "low": -0.7, "high": 1.5, "verdict": Verdict.INCONCLUSIVE, "more_needed": 2173},
            "ROUGE-2 rose by 0.4 points (95 % between −0.7 and 1.5; 300 documents): inconclusive. "
            "At this size a difference of 1.3 is found four times in five; "
            "about 2,200 more documents would settle it.",
        ),
        (
            {"delta": 0.01, "low": -1.7, "high": 1.5, "verdict": Verdict.INCONCLUSIVE},
            "ROUGE-2 did not move (95 % between −1.7 and 1.5; 300 documents): inconclusive. "
            "At this size a difference of 1.3 is found four times in five; "
            "no practical number of documents would settle a difference as small as this one.",
        ),
        (
            {"delta": 0, "low": 0, "high": 0, "verdict": Verdict.NOT_WORSE, "margin": 0},
            "ROUGE-2 is the same on every one of 300 documents: not worse.",
        ),
        (
            {"slice": "domain: news", "low": None, "verdict": Verdict.INCONCLUSIVE, "reason": TOO_FEW},
            "ROUGE-2 on “domain: news”: inconclusive, only 4 documents to compare; at least 10 are needed.",
        ),
        (
            {"metric": "summary_words", "delta": -40, "low": -45, "high": -35, "verdict": Verdict.NOT_JUDGED},
            "Summary length fell by 40.0 words (95 % between −45.0 and −35.0; 300 documents).",
        ),
        (
            {"metric": "repetition", "delta": 0.5, "low": 0.2, "high": 0.8, "verdict": Verdict.NOT_WORSE},
            "Repeated trigrams rose by 0.5 percentage points (95 % between 0.2 and 0.8; 300 documents): "
            "worse beyond chance, but within the margin, which counts as not worse; "
            "a rise of 1.0 percentage points or more is excluded.",
        ),
    ],
)  # fmt: skip
def test_the_sentence_says_change_interval_size_and_verdict(changes: dict[str, object], words: str) -> None:
    assert sentence(replace(BASE, **changes)) == words  # type: ignore[arg-type]


def test_every_comparison_of_every_metric_has_a_sentence() -> None:
    rng = np.random.default_rng(2)
    metrics = list(METRICS.values())
    for n in (3, 40):
        before, after = rng.uniform(size=(2, n, len(metrics)))
        for comparison in compare(before, after, metrics, slices={"part": np.arange(n) < 20}):
            words = sentence(comparison)
            assert words.startswith(METRICS[comparison.metric].label)
            assert words.endswith(".")
            assert "nan" not in words
