"""The primary metric and those beside it: what an interval and a margin come to."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.gates.metrics import (
    Ask,
    Difference,
    GuardsPolicy,
    PrimaryPolicy,
    judge_difference,
    judge_guards,
    judge_primary,
)
from models_app.gates.results import Verdict

ROW = {"method": "paired bootstrap", "evidence": "comparison:1"}


def found(low: float | None, high: float | None, p: float | None = 0.001, n: int = 400) -> Difference:
    delta = 0.0 if low is None or high is None else (low + high) / 2
    return Difference(n, 10.0, 10.0 + delta, delta, low, high, p)


def asked(
    metric: str = "rouge2", needs: Literal["not worse", "improved"] = "not worse", margin: float = 0.5
) -> Ask:
    return Ask("primary", metric, needs, margin, 100)


@pytest.mark.parametrize(
    ("low", "high", "p", "needs", "verdict"),
    [
        (0.5, 2.0, 0.001, "not worse", "pass"),  # improved
        (-0.4, 0.6, 0.5, "not worse", "pass"),  # a loss of the margin is excluded
        (-0.4, -0.1, 0.01, "not worse", "pass"),  # a smaller loss is certain
        (-0.5, 0.6, 0.5, "not worse", "inconclusive"),  # a loss of the margin itself is not excluded
        (-2.0, 1.0, 0.5, "not worse", "inconclusive"),
        (-2.0, -1.0, 0.001, "not worse", "fail"),
        (0.5, 2.0, 0.2, "not worse", "pass"),  # not confirmed as improved, and not worse all the same
        (0.5, 2.0, 0.001, "improved", "pass"),
        (-0.4, 0.6, 0.5, "improved", "inconclusive"),
        (-0.4, -0.1, 0.01, "improved", "fail"),  # more documents would show no gain
        (0.0, 0.0, 1.0, "improved", "fail"),
        (0.0, 0.0, 1.0, "not worse", "pass"),
    ],
)
def test_an_interval_and_a_margin_give_a_verdict(
    low: float, high: float, p: float, needs: Literal["not worse", "improved"], verdict: str
) -> None:
    result = judge_difference(asked(needs=needs), found(low, high, p), **ROW)
    assert result.verdict == verdict
    assert (result.low, result.high, result.n) == (low, high, 400)


def test_of_a_metric_that_is_better_lower_a_rise_is_the_loss() -> None:
    ask = asked("unsupported_numbers", margin=0.05)
    assert judge_difference(ask, found(-0.2, -0.1), **ROW).verdict == Verdict.PASS
    worse = judge_difference(ask, found(0.1, 0.2), **ROW)
    assert (worse.verdict, worse.threshold) == (Verdict.FAIL, 0.05)
    assert worse.need == "a rise of 0.05 a summary or more excluded"
    assert worse.words == "Numbers not in the source rose by 0.15 a summary: worse."


def test_the_row_says_what_is_needed_in_words_and_as_a_number() -> None:
    result = judge_difference(asked(), found(0.5, 2.0), **ROW)
    assert (result.need, result.threshold, result.unit) == (
        "a loss of 0.5 points or more excluded", -0.5, "points",
    )  # fmt: skip
    assert result.words == "ROUGE-2 rose by 1.25 points: improved."
    assert judge_difference(asked(needs="improved"), found(0.5, 2.0), **ROW).threshold == 0.0


@pytest.mark.parametrize("facts", [found(None, None, None, 8), found(0.5, 2.0, n=99)])
def test_too_few_documents_are_inconclusive_however_good_they_look(facts: Difference) -> None:
    result = judge_difference(asked(), facts, **ROW)
    assert result.verdict == Verdict.INCONCLUSIVE
    assert "100" in result.words


def test_a_metric_without_figures_is_an_error() -> None:
    (result,) = judge_primary({}, PrimaryPolicy(), **ROW)
    assert result.verdict == Verdict.ERROR


def test_guards_are_those_of_the_policy_without_the_primary_metric() -> None:
    facts = {name: found(-0.1, 0.1, 0.5) for name in ("rouge1", "rouge2", "repetition")}
    policy = GuardsPolicy(margins={"repetition": 1.0, "rouge2": 1.0, "rouge1": 1.0})
    rows = judge_guards(facts, policy, primary="rouge2", **ROW)
    assert [(row.gate, row.name, row.verdict.value) for row in rows] == [
        ("guards", "rouge1", "pass"), ("guards", "repetition", "pass"),
    ]  # fmt: skip


@given(
    low=st.floats(-5, 5), width=st.floats(0, 5), p=st.floats(0, 1), margin=st.floats(0, 5),
    needs=st.sampled_from(["not worse", "improved"]),
)  # fmt: skip
def test_nothing_passes_that_may_be_a_loss_of_the_margin(
    low: float, width: float, p: float, margin: float, needs: Any
) -> None:
    result = judge_difference(asked(needs=needs, margin=margin), found(low, low + width, p), **ROW)
    if result.verdict == Verdict.PASS:
        assert low > -margin or low == width == 0
    if result.verdict == Verdict.FAIL and needs == "not worse":
        assert low + width < 0
