"""The forgetting gate: ten small losses do not add up unseen."""

from __future__ import annotations

import numpy as np
import pytest

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import compare
from models_app.gates.forgetting import BASE, Beside, Facts, ForgettingPolicy, judge_facts
from models_app.gates.results import Verdict
from models_app.texts import needs

POLICY = ForgettingPolicy(test_set=4)


def beside(gain: float, *, n: int = 2000, release: int = 3, name: str = BASE, seed: int = 1) -> Beside:
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.2, 0.5, (n, 1))
    after = before + gain / 100 + rng.normal(0, 0.1, (n, 1))
    (result,) = compare(before, after, [METRICS["rouge2"]], margins={"rouge2": POLICY.loss}, resamples=500)
    return Beside(name, release, "the base model's own", result, "evaluation:9")


def test_each_of_ten_small_losses_passes_and_all_of_them_together_fail() -> None:
    for seed in range(10):
        (step,) = judge_facts(Facts(2, 4, True, (beside(-0.3, seed=seed),)), POLICY)
        assert step.verdict is not Verdict.FAIL
    (whole,) = judge_facts(Facts(12, 4, True, (beside(-3.0, name="10 approvals ago"),)), POLICY)
    assert whole.verdict is Verdict.FAIL
    assert whole.name == "10 approvals ago"
    assert whole.words.endswith("against release 3, the base model's own: it has lost.")
    assert (whole.threshold, whole.n, whole.unit) == (-1.0, 2000, "points")


def test_a_loss_that_counts_has_to_be_excluded_against_both() -> None:
    rows = judge_facts(
        Facts(12, 4, True, (beside(0.5), beside(-0.4, n=300, release=7, name="10 approvals ago"))), POLICY
    )
    assert [(row.name, row.verdict) for row in rows] == [
        (BASE, Verdict.PASS),
        ("10 approvals ago", Verdict.INCONCLUSIVE),
    ]
    assert "a loss of 1.0 points is not excluded" in rows[1].words
    assert "more documents would tell" in rows[1].words


def test_what_is_not_evaluated_is_inconclusive_and_says_what_to_run() -> None:
    (row,) = judge_facts(Facts(12, 4, True, (Beside(BASE, 3, "the base model's own", None),)), POLICY)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "script/manage evaluate --candidate 12 --baseline 3 --test-set 4 --no-lead" in row.words
    assert row.estimate is row.low is row.high is None


def test_too_few_documents_settle_nothing() -> None:
    (row,) = judge_facts(Facts(12, 4, True, (beside(0.0, n=6),)), POLICY)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "only 6 documents to compare; at least 10 are needed" in row.words


def test_a_test_set_that_is_not_there_is_an_error_and_no_pass() -> None:
    (row,) = judge_facts(Facts(12, 4, False, ()), POLICY)
    assert row.verdict is Verdict.ERROR
    assert "The policy names test set 4, and there is none of that number" in row.words


def test_the_first_release_of_all_has_nothing_to_forget() -> None:
    (row,) = judge_facts(Facts(1, 4, True, ()), POLICY)
    assert row.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("field", "value"),
    [("test_set", 0), ("test_set", -3), ("test_set", 2**31), ("metric", "summary_words"), ("loss", 0.0),
     ("loss", float("nan")), ("approvals_ago", 0), ("approvals_ago", 1.5)],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_said_at_its_field(field: str, value: object) -> None:
    assert set(needs.mistakes(ForgettingPolicy(**{field: value}))) == {field}  # type: ignore[arg-type]
    assert needs.mistakes(ForgettingPolicy()) == needs.mistakes(POLICY) == {}
