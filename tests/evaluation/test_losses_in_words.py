"""What the sentence of a comparison says of measures that got worse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.evaluation.comparing import COMPARED
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import ALPHA, MetricComparison, Verdict, compare, verdict
from models_app.evaluation.terms import PRIMARY
from models_app.evaluation.wording import Severity, falls, margins_in_words, verdict_in_words

DENIAL = "No other judged measure got worse"
DENIAL_ON_ALL = "On all documents no other judged measure got worse"


def judged(metric: str, slice_: str = "all", **changes: Any) -> MetricComparison:
    """A result whose verdict follows from its interval; by default it did not move."""
    values: dict[str, Any] = {
        "low": -0.2,
        "high": 0.2,
        "p": 0.8,
        "margin": METRICS[metric].margin,
        "n": 340,
    } | changes
    low, high, p = values["low"], values["high"], values["p"]
    found = Verdict.NOT_JUDGED
    if low is None:
        found = Verdict.INCONCLUSIVE if METRICS[metric].better != "neither" else Verdict.NOT_JUDGED
    else:
        found = verdict(low=low, high=high, p=p, better=METRICS[metric].better, margin=values["margin"])
    delta = values.pop("delta", 0.0 if low is None else (low + high) / 2)
    return MetricComparison(
        metric=metric, slice=slice_, before=1.0, after=1.0 + delta, before_sd=1.0, after_sd=1.0, delta=delta,
        delta_sd=1.0, p_adjusted=p, mde=None if low is None else 1.0, wins=1, losses=1, ties=0, verdict=found, **values,
    )  # fmt: skip


def of_all(**changes: dict[str, Any]) -> list[MetricComparison]:
    """Every compared measure on all documents, those named with changes."""
    return [judged(name, **changes.get(name, {})) for name in COMPARED]


GAIN = {"rouge2": {"low": 0.85, "high": 3.01, "delta": 1.88, "p": 0.001}}


def test_repetition_that_rose_within_its_margin_is_said() -> None:
    words = verdict_in_words(
        of_all(**GAIN, repetition={"low": 0.04, "high": 0.36, "delta": 0.2, "p": 0.02}), primary=PRIMARY
    )
    assert words == (
        "ROUGE-2 rose by 1.9 points (95 % between 0.8 and 3.0; 340 documents): improved. Worse beyond chance, but "
        "within the margin: Repeated trigrams rose by 0.20 percentage points (95 % between 0.04 and 0.36; margin 1.0 "
        "percentage points)."
    )


def test_rouge_1_that_fell_within_its_margin_is_said() -> None:
    words = verdict_in_words(
        of_all(**GAIN, rouge1={"low": -0.67, "high": -0.55, "delta": -0.61, "p": 0.0001}), primary=PRIMARY
    )
    assert "ROUGE-1 fell by 0.61 points (95 % between −0.67 and −0.55; margin 1.0 points)" in words
    assert DENIAL not in words


def test_the_primary_metric_that_fell_within_its_margin_is_not_called_just_not_worse() -> None:
    words = verdict_in_words(
        of_all(rouge2={"low": -0.67, "high": -0.55, "delta": -0.61, "p": 0.0001}), primary=PRIMARY
    )
    assert words.startswith(
        "ROUGE-2 fell by 0.6 points (95 % between −0.7 and −0.6; 340 documents): worse beyond chance, but within the "
        "margin, which counts as not worse; a loss of 1.0 points or more is excluded."
    )


def test_a_slice_that_got_worse_is_in_the_sentence() -> None:
    words = verdict_in_words(
        [
            *of_all(**GAIN),
            judged("rouge2", "domain: sport", low=-4.0, high=-1.5, p=0.001, n=60),
            judged("rouge2", "domain: news", low=-0.1, high=3.0),
            judged("rouge1", "domain: news", low=-0.7, high=-0.5, p=0.001),
        ],
        primary=PRIMARY,
    )
    assert "Worse on slices: ROUGE-2 on “domain: sport” −2.75 [−4.00, −1.50]." in words
    assert (
        "Beside the decision, not corrected for the number of measures: worse beyond chance on slices, but within the "
        "margin: ROUGE-1 on “domain: news” −0.60 [−0.70, −0.50]." in words
    )
    assert f"{DENIAL_ON_ALL} beyond chance." in words
    assert DENIAL not in words


def test_intervals_that_do_not_hold_after_correction_are_counted_and_not_denied() -> None:
    words = verdict_in_words(
        [*of_all(**GAIN), judged("rougeL", "domain: sport", low=-4.0, high=-0.1, p=0.12)], primary=PRIMARY
    )
    assert (
        "On slices 1 more interval lies on the worse side of zero; corrected for the number of slices"
        in words
    )
    assert DENIAL not in words


def test_a_fall_that_only_the_interval_finds_is_said_with_its_p() -> None:
    words = verdict_in_words(of_all(**GAIN, rougeL={"low": -3.0, "high": -0.1, "p": 0.07}), primary=PRIMARY)
    assert "which the second test does not confirm: ROUGE-L fell by 1.55 points" in words
    assert "p = 0.07" in words
    assert DENIAL not in words


def test_nothing_is_denied_of_measures_that_could_not_be_judged() -> None:
    few = {"low": None, "high": None, "p": None, "n": 3}
    words = verdict_in_words(of_all(**dict.fromkeys(COMPARED, few)), primary=PRIMARY)
    assert DENIAL not in words
    assert "No other measure has enough documents to be judged." in words


def test_where_nothing_fell_the_sentence_says_so() -> None:
    assert verdict_in_words(of_all(**GAIN), primary=PRIMARY).endswith(
        "No other judged measure got worse beyond chance."
    )
    with_slice = [*of_all(**GAIN), judged("rouge2", "domain: news", low=-0.1, high=3.0)]
    assert verdict_in_words(with_slice, primary=PRIMARY).endswith(
        "No other judged measure got worse beyond chance, on all documents or on a slice."
    )


def test_a_bound_beside_zero_is_never_written_as_zero() -> None:
    words = verdict_in_words(of_all(rouge2={"low": 0.004, "high": 3.0, "p": 0.01}), primary=PRIMARY)
    assert "95 % between 0.004 and 3.000" in words


numbers = st.floats(-8, 8, allow_nan=False)
SLICES = ("all", "domain: news", "domain: sport", "source: up to 310 words")


@st.composite
def results(draw: st.DrawFn) -> list[MetricComparison]:
    rows = []
    for slice_ in SLICES[: draw(st.integers(1, len(SLICES)))]:
        for metric in COMPARED:
            if draw(st.integers(0, 9)) == 0:
                rows.append(judged(metric, slice_, low=None, high=None, p=None, n=draw(st.integers(0, 9))))
                continue
            low, high = sorted((draw(numbers), draw(numbers)))
            rows.append(judged(metric, slice_, low=low, high=high, p=draw(st.floats(0.0001, 1))))
    return rows


def is_fall(row: MetricComparison) -> bool:
    """Said here once more, and independently: an interval that excludes zero on the worse side."""
    better = METRICS[row.metric].better
    if row.low is None or row.high is None or better == "neither":
        return False
    return (better == "higher" and row.high < 0) or (better == "lower" and row.low > 0)


@given(results())
@settings(max_examples=300, deadline=None)
def test_the_sentence_never_denies_a_fall_whose_interval_excludes_zero(rows: list[MetricComparison]) -> None:
    words = verdict_in_words(rows, primary=PRIMARY)
    fell = [row for row in rows if is_fall(row)]
    beside = [row for row in fell if (row.metric, row.slice) != (PRIMARY, "all")]
    if beside:
        assert DENIAL not in words
    if any(row.slice == "all" for row in beside):
        assert DENIAL_ON_ALL not in words
    uncertain = 0
    for row in beside:
        sure = row.p_adjusted is not None and row.p_adjusted < ALPHA
        label = METRICS[row.metric].label
        if row.slice == "all":
            assert f"{label} {'rose' if row.delta > 0 else 'fell'} by " in words
        elif sure:
            assert f"{label} on “{row.slice}” " in words
        else:
            uncertain += 1
    assert (f"On slices {uncertain} more interval" in words) is (uncertain > 0)
    assert "nan" not in words


@given(results())
@settings(max_examples=100, deadline=None)
def test_what_is_called_worse_has_that_verdict(rows: list[MetricComparison]) -> None:
    for fall in falls(rows):
        expected = {
            Severity.WORSE: {Verdict.WORSE},
            Severity.WITHIN_MARGIN: {Verdict.NOT_WORSE},
            Severity.UNCONFIRMED: {Verdict.INCONCLUSIVE, Verdict.NOT_WORSE},
        }[fall.severity]
        assert fall.result.verdict in expected


def test_the_words_hold_for_results_that_were_computed() -> None:
    rng = np.random.default_rng(3)
    metrics = [METRICS[name] for name in COMPARED]
    before = rng.uniform(0.2, 0.4, size=(400, len(metrics)))
    after = before + rng.normal(0.0, 0.004, size=before.shape)
    after[:, COMPARED.index("rouge1")] -= 0.0061  # −0.61 points, hardly spread
    rows = compare(before, after, metrics, slices={"domain: a": np.arange(400) < 200})
    words = verdict_in_words(rows, primary=PRIMARY)
    assert "within the margin: ROUGE-1 fell by 0.6" in words
    assert "ROUGE-1 on “domain: a” −0." in words
    assert not math.isnan(rows[0].delta)


@pytest.mark.parametrize("name", ["rouge2", "repetition", "unsupported_numbers"])
def test_the_size_of_the_margin_is_said_with_what_it_means(name: str) -> None:
    words = margins_in_words([(METRICS[key], METRICS[key].margin) for key in COMPARED])
    assert words.startswith("Not worse means that a loss of the margin or more is excluded")
    assert METRICS[name].label in words
    assert "ROUGE-1, ROUGE-2, ROUGE-L, ROUGE-Lsum: 1.0 points" in words
    assert "0.05 a summary" in words
