from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import (
    Verdict,
    bootstrap_interval,
    compare,
    describe,
    detectable_difference,
    documents_needed,
    documents_to_settle,
    holm,
    slices_by_label,
    slices_by_length,
    swap_p,
    verdict,
    wilson_interval,
)

ROUGE2 = METRICS["rouge2"]
HIGHER = Metric("m", "M", "higher")


def scores(
    n: int, gain: float, *, sd: float = 0.1, seed: int = 3, columns: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Before and after as fractions; the true mean difference is `gain`."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.1, 0.5, (n, columns))
    return before, before + rng.normal(gain, sd, (n, columns))


# Calibration


@pytest.mark.parametrize("n", [10, 40, 150])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "counts"])
def test_without_a_change_one_comparison_in_forty_comes_out_as_improved(n: int, kind: str) -> None:
    cases = 2000
    rng = np.random.default_rng([17, n])
    drawn = {
        "normal": lambda: rng.normal(size=(2, n, cases)),
        "heavy tails": lambda: rng.lognormal(size=(2, n, cases)),
        "counts": lambda: rng.poisson(0.4, size=(2, n, cases)).astype(float),
    }[kind]()
    results = compare(drawn[0], drawn[1], [replace(HIGHER, key=str(i)) for i in range(cases)], resamples=500)
    improved = sum(result.verdict is Verdict.IMPROVED for result in results) / cases
    worse = sum(result.verdict is Verdict.WORSE for result in results) / cases
    # 0.025 and three standard errors of 2,000 cases
    assert improved <= 0.036
    assert worse <= 0.036


def test_a_true_gain_of_one_point_is_found_as_often_as_the_power_says() -> None:
    cases = 400
    n = documents_needed(difference=1.0, sd=10.0)
    before, after = scores(n, 0.01, columns=cases)
    metrics = [replace(ROUGE2, key=str(i)) for i in range(cases)]
    found = [result.verdict is Verdict.IMPROVED for result in compare(before, after, metrics, resamples=300)]
    assert sum(found) / cases == pytest.approx(0.8, abs=0.06)


def test_a_true_gain_of_one_point_is_improved_on_two_thousand_documents() -> None:
    (result,) = compare(*scores(2000, 0.01), [ROUGE2], seed=1)
    assert result.verdict is Verdict.IMPROVED
    assert result.low is not None
    assert result.high is not None
    assert 0 < result.low < 1.0 < result.high
    assert result.delta == pytest.approx(result.after - result.before)
    assert result.n == result.wins + result.losses + result.ties == 2000


def test_a_loss_is_worse_and_a_drop_of_a_lower_is_better_metric_is_improved() -> None:
    before, after = scores(2000, -0.02)
    falling = Metric("r", "R", "lower", scale=100)
    results = compare(np.hstack([before, before]), np.hstack([after, after]), [ROUGE2, falling])
    assert [result.verdict for result in results] == [Verdict.WORSE, Verdict.IMPROVED]
    assert results[0].losses == results[1].wins


# The parts, against other sources


def test_the_interval_agrees_with_students_t_on_normal_differences() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, (40, 6))
    low, high = bootstrap_interval(differences, np.random.default_rng(2), 20_000)
    half = stats.t.ppf(0.975, 39) * differences.std(axis=0, ddof=1) / math.sqrt(40)
    assert low == pytest.approx(differences.mean(axis=0) - half, abs=0.03)
    assert high == pytest.approx(differences.mean(axis=0) + half, abs=0.03)


def test_p_agrees_with_the_exact_test_over_all_sign_changes() -> None:
    differences = np.array([[0.5, 1.0, -0.2, 0.7, 0.9, 0.3, -0.1, 0.8, 0.0, 0.4, 1.2, -0.6]]).T
    exact = stats.permutation_test(
        (differences[:, 0],), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert swap_p(differences, np.random.default_rng(4), 100_000)[0] == pytest.approx(exact, abs=0.002)


def test_p_counts_ties_with_the_observed_difference() -> None:
    """Of 2^10 sign changes of ten equal gains, two reach the sum; rounding must not lose them."""
    p = swap_p(np.full((10, 1), 0.1), np.random.default_rng(0), 50_000)[0]
    assert p == pytest.approx(2 / 1024, abs=0.0006)


def test_holm_against_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_documents_needed_are_those_of_the_textbook() -> None:
    assert documents_needed(difference=0.5, sd=10) == pytest.approx(3140, abs=5)
    assert documents_needed(difference=1.0, sd=10) == pytest.approx(785, abs=2)
    assert detectable_difference(sd=10, n=100) == pytest.approx(2.8, abs=0.05)
    with pytest.raises(ValueError, match="greater than zero"):
        documents_needed(difference=0, sd=1)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilsons_interval_is_that_of_scipy(successes: int, others: int) -> None:
    total = successes + others
    low, high = wilson_interval(successes, total)
    if total:
        expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    else:
        assert (low, high) == (0, 1)


def test_more_successes_than_tries_are_refused() -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(3, 2)


def test_description() -> None:
    found = describe([1.0, 2.0, 3.0, 4.0])
    assert (found.n, found.mean) == (4, 2.5)
    assert found.sd == pytest.approx(1.2909944)
    assert describe([7.0]).sd is None
    assert math.isnan(describe([]).mean)


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "p", "better", "margin", "expected"),
    [
        (0.1, 0.9, 0.01, "higher", 0.0, Verdict.IMPROVED),
        (0.1, 0.9, 0.07, "higher", 0.0, Verdict.NOT_WORSE),  # p does not agree with the interval
        (-0.4, 0.9, 0.4, "higher", 0.5, Verdict.NOT_WORSE),
        (-0.4, -0.1, 0.01, "higher", 0.5, Verdict.NOT_WORSE),  # a sure loss, but a small one
        (-0.5, 0.9, 0.4, "higher", 0.5, Verdict.INCONCLUSIVE),  # the margin itself is not excluded
        (-0.4, 0.9, 0.4, "higher", 0.0, Verdict.INCONCLUSIVE),
        (-0.9, -0.1, 0.01, "higher", 0.5, Verdict.WORSE),
        (-0.9, -0.1, 0.07, "higher", 0.5, Verdict.INCONCLUSIVE),
        (0.0, 0.0, 1.0, "higher", 0.0, Verdict.NOT_WORSE),  # nothing changed anywhere
        (-0.9, -0.1, 0.01, "lower", 0.0, Verdict.IMPROVED),
        (0.1, 0.9, 0.01, "lower", 0.5, Verdict.WORSE),
        (-0.9, 0.4, 0.4, "lower", 0.5, Verdict.NOT_WORSE),
        (0.1, 0.9, 0.01, "neither", 0.5, Verdict.NOT_JUDGED),
    ],
)
def test_verdicts(low: float, high: float, p: float, better: str, margin: float, expected: Verdict) -> None:
    assert verdict(low=low, high=high, p=p, better=better, margin=margin) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fewer_than_ten_documents_settle_nothing_and_the_reason_is_given(n: int) -> None:
    before = np.full((n, 1), 0.1)
    (result,) = compare(before, before + 0.5, [ROUGE2])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "at least 10 are needed" in result.reason
    assert (result.low, result.high, result.p, result.mde) == (None, None, None, None)
    assert result.more_needed == 10 - n


def test_equal_outputs_are_not_worse_by_exactly_nothing() -> None:
    before = np.random.default_rng(0).uniform(size=(50, 1))
    (result,) = compare(before, before.copy(), [replace(ROUGE2, margin=0.0)])
    assert (result.delta, result.low, result.high, result.p) == (0, 0, 0, 1)
    assert result.verdict is Verdict.NOT_WORSE
    assert result.ties == 50


def test_an_inconclusive_verdict_says_how_many_more_documents_would_settle_it() -> None:
    before, after = scores(100, 0.01, seed=12)
    (result,) = compare(before, after, [ROUGE2])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.more_needed is not None
    more = documents_to_settle(gain=result.delta, sd=result.delta_sd or 0, margin=1.0)
    assert more == result.more_needed + 100
    before, after = scores(
        result.more_needed + 100, result.delta / 100, sd=(result.delta_sd or 0) / 100, seed=13
    )
    (settled,) = compare(before, after, [ROUGE2])
    assert settled.verdict in (Verdict.IMPROVED, Verdict.NOT_WORSE)


def test_a_difference_of_nothing_is_out_of_reach() -> None:
    assert documents_to_settle(gain=0.0, sd=10.0) is None
    assert documents_to_settle(gain=1e-4, sd=10.0) is None
    assert documents_to_settle(gain=0.0, sd=10.0, margin=1.0) == documents_needed(difference=1.0, sd=10.0)
    assert documents_to_settle(gain=-2.0, sd=10.0, margin=1.0) == documents_needed(difference=2.0, sd=10.0)


# Slices


def test_slices_are_judged_after_holms_correction_and_the_whole_is_not() -> None:
    n = 600
    rng = np.random.default_rng(8)
    before = rng.uniform(0.1, 0.5, (n, 1))
    labels = [f"d{i % 6}" for i in range(n)]
    masks = slices_by_label(labels, "domain")
    results = compare(
        before, before + rng.normal(0.02, 0.1, (n, 1)), [replace(ROUGE2, margin=0.0)], slices=masks
    )
    whole, *parts = results
    assert whole.slice == "all"
    assert whole.p == whole.p_adjusted
    assert [part.slice for part in parts] == [f"domain: d{i}" for i in range(6)]
    assert [part.p_adjusted for part in parts] == holm([part.p for part in parts if part.p is not None])
    only_raw = [part for part in parts if (part.p or 1) < 0.05 <= (part.p_adjusted or 1)]
    assert only_raw
    assert all(part.verdict is not Verdict.IMPROVED for part in only_raw)


def test_six_slices_without_a_change_rarely_raise_an_alarm() -> None:
    cases, n = 300, 300
    rng = np.random.default_rng(21)
    before, after = rng.normal(size=(2, n, cases))
    metrics = [replace(HIGHER, key=str(i)) for i in range(cases)]
    masks = slices_by_label([f"d{i % 6}" for i in range(n)], "domain")
    results = compare(before, after, metrics, slices=masks, resamples=500)
    alarmed = {
        result.metric for result in results if result.slice != "all" and result.verdict is Verdict.WORSE
    }
    assert len(alarmed) / cases <= 0.06


def test_a_slice_of_few_documents_is_inconclusive_and_no_part_of_the_correction() -> None:
    before, after = scores(60, 0.05)
    masks = slices_by_label(["news"] * 55 + ["other"] * 5, "domain")
    _, news, other = compare(before, after, [ROUGE2], slices=masks)
    assert news.p == news.p_adjusted
    assert other.verdict is Verdict.INCONCLUSIVE
    assert "only 5 documents" in other.reason


def test_what_else_is_asked_for_changes_no_number() -> None:
    before, after = scores(80, 0.02, columns=2)
    metrics = [ROUGE2, METRICS["rouge1"]]
    masks = slices_by_label(["a", "b"] * 40, "domain")
    everything = compare(before, after, metrics, slices=masks, seed=5)
    alone = compare(before[:, :1], after[:, :1], metrics[:1], seed=5)
    assert alone[0].low == pytest.approx(everything[0].low, abs=1e-12)
    assert alone[0].p == everything[0].p
    again = compare(before, after, metrics, slices=masks, seed=5)
    assert again == everything
    assert compare(before, after, metrics, seed=6)[0].low != everything[0].low


def test_length_slices_cover_every_document_once() -> None:
    masks = slices_by_length([100, 100, 200, 300, 400, 500, 600])
    assert sum(mask.astype(int) for mask in masks.values()).tolist() == [1] * 7
    assert list(slices_by_length([50, 50, 50])) == ["source: up to 50 words"]
    assert slices_by_length([]) == {}
    assert list(slices_by_label(["b", "", "a"], "domain")) == ["domain: a", "domain: b"]


# Missing values and bad input


def test_a_document_without_a_value_on_one_side_is_left_out_of_that_metric_only() -> None:
    before, after = scores(40, 0.02, columns=2)
    before[:5, 1] = np.nan
    after[5:7, 1] = np.nan
    first, second = compare(before, after, [ROUGE2, METRICS["rouge1"]])
    assert (first.n, second.n) == (40, 33)
    (alone,) = compare(before[7:, 1:], after[7:, 1:], [METRICS["rouge1"]])
    assert second.delta == pytest.approx(alone.delta)
    assert second.low == pytest.approx(alone.low)


def test_nonsense_is_refused() -> None:
    before, after = scores(20, 0.0)
    with pytest.raises(ValueError, match="documents × 2 metrics"):
        compare(before, after, [ROUGE2, HIGHER])
    with pytest.raises(ValueError, match="finite"):
        compare(before, after * np.inf, [ROUGE2])
    with pytest.raises(ValueError, match="at least 100"):
        compare(before, after, [ROUGE2], resamples=10)
    with pytest.raises(ValueError, match="not compared: rouge9"):
        compare(before, after, [ROUGE2], margins={"rouge9": 1})
    with pytest.raises(ValueError, match="negative"):
        compare(before, after, [ROUGE2], margins={"rouge2": -1})
    with pytest.raises(ValueError, match="mask over 20 documents"):
        compare(before, after, [ROUGE2], slices={"x": np.ones(19, dtype=bool)})
    with pytest.raises(ValueError, match="can't be called"):
        compare(before, after, [ROUGE2], slices={"all": np.ones(20, dtype=bool)})


def test_margins_given_replace_those_of_the_metric() -> None:
    before, after = scores(400, -0.002, seed=2)
    verdicts = [compare(before, after, [ROUGE2], margins={"rouge2": m})[0].verdict for m in (0.0, 5.0)]
    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.NOT_WORSE]
