"""The clean subset: the same statistics on the documents that nothing learnt is like."""

from __future__ import annotations

import numpy as np
import pytest

from models_app.evaluation.clean import CLEAN, compare_clean
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import Verdict, compare

ROUGE2 = [METRICS["rouge2"]]


def scores(n: int = 400, leaked: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before and after are drawn alike, but for the leaked ones, which gained a lot; and which are clean."""
    chance = np.random.default_rng(3)
    before = chance.uniform(0.1, 0.3, (n, 1))
    after = before + chance.normal(0, 0.01, (n, 1))
    after[:leaked] += 0.2
    clean = np.arange(n) >= leaked
    return before, after, clean


def test_a_gain_of_leaked_documents_is_gone_without_them() -> None:
    before, after, clean = scores()
    (whole,) = compare(before, after, ROUGE2, seed=7)
    (left,) = compare_clean(before, after, ROUGE2, clean, seed=7)
    assert whole.verdict is Verdict.IMPROVED
    assert whole.delta > 4
    assert (left.slice, left.n, left.verdict) == (CLEAN, 300, Verdict.NOT_WORSE)
    assert left.low is not None
    assert left.high is not None
    assert left.low < 0 < left.high


def test_where_all_are_clean_the_figures_are_those_of_the_whole() -> None:
    before, after, _ = scores()
    (whole,) = compare(before, after, ROUGE2, seed=7)
    (left,) = compare_clean(before, after, ROUGE2, np.ones(400, dtype=np.bool_), seed=7)
    assert (left.delta, left.low, left.high, left.p) == (whole.delta, whole.low, whole.high, whole.p)


def test_without_a_clean_document_there_is_no_figure() -> None:
    before, after, _ = scores()
    (left,) = compare_clean(before, after, ROUGE2, np.zeros(400, dtype=np.bool_))
    assert (left.n, left.low, left.verdict) == (0, None, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("mask", [np.ones(3, dtype=np.bool_), np.ones(400)])
def test_a_mask_of_other_documents_is_refused(mask: np.ndarray) -> None:
    before, after, _ = scores()
    with pytest.raises(ValueError, match="mask over 400 documents"):
        compare_clean(before, after, ROUGE2, mask)
