"""The slices gate: what passes, what fails, what cannot be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.slices import Document, judge_slices, slices_of
from models_app.gates.results import Result, Verdict
from models_app.gates.slices import Facts, SlicesPolicy, judge_facts
from models_app.texts import needs

POLICY = SlicesPolicy()


def facts(gains: dict[str, float], *, each: int = 300, policy: SlicesPolicy = POLICY, seed: int = 5) -> Facts:
    """So many documents of each domain, of one length; gains in points, differences spread by ten."""
    labels = [name for name in gains for _ in range(each)]
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.2, 0.5, len(labels))
    after = before + np.array([gains[name] for name in labels]) / 100 + rng.normal(0, 0.1, len(labels))
    slices = slices_of([Document(100, {"domain": name}) for name in labels], policy.fields)
    report = None
    if slices:
        report = judge_slices(
            before,
            after,
            METRICS[policy.metric],
            slices,
            floor=policy.floor,
            margin=policy.margin,
            resamples=500,
        )
    return Facts(12, len(labels), report)


def by_name(rows: list[Result]) -> dict[str, Result]:
    return {row.name: row for row in rows}


def test_no_slice_that_got_worse_passes_and_each_has_its_figures() -> None:
    rows = by_name(judge_facts(facts({"news": 1, "sport": 1}), POLICY))
    assert set(rows) == {"domain: news", "domain: sport", "domain, least and others"}
    assert {row.verdict for row in rows.values()} == {Verdict.PASS}
    row = rows["domain: news"]
    assert row.low is not None
    assert row.estimate is not None
    assert row.high is not None
    assert row.low < row.estimate < row.high
    assert (row.threshold, row.n, row.unit, row.evidence) == (-1.0, 300, "points", "comparison:12")


def test_a_slice_that_got_worse_fails_however_much_the_others_gained() -> None:
    rows = by_name(judge_facts(facts({"news": 8, "business": 8, "sport": -4}), POLICY))
    assert rows["domain: sport"].verdict is Verdict.FAIL
    assert "worse, after correction for the number of slices" in rows["domain: sport"].words
    assert rows["domain: news"].verdict is Verdict.PASS
    assert "improved" in rows["domain: news"].words


def test_a_group_that_is_left_far_behind_fails_though_it_lost_nothing() -> None:
    rows = by_name(judge_facts(facts({"news": 9, "sport": 0.5}), POLICY))
    gap = rows["domain, least and others"]
    assert gap.verdict is Verdict.FAIL
    assert gap.high is not None
    assert gap.high < -POLICY.gap
    assert gap.words.startswith("“sport” gained −")
    assert rows["domain: sport"].verdict is Verdict.PASS
    near = judge_facts(facts({"news": 1.5, "sport": 0}), POLICY)
    assert by_name(near)["domain, least and others"].verdict is Verdict.PASS


def test_a_slice_under_the_floor_has_no_verdict_of_its_own_and_no_figures() -> None:
    labels = ["news"] * 300 + ["sport"] * 99
    rng = np.random.default_rng(2)
    before = rng.uniform(0.2, 0.5, 399)
    after = before + np.where(np.arange(399) < 300, 0.01, -0.2) + rng.normal(0, 0.1, 399)
    slices = slices_of([Document(100, {"domain": name}) for name in labels])
    report = judge_slices(before, after, METRICS["rouge2"], slices, floor=100, resamples=500)
    row = by_name(judge_facts(Facts(1, 399, report), POLICY))["domain: sport"]
    assert row.verdict is Verdict.PASS
    assert (row.estimate, row.low, row.high, row.n) == (None, None, None, 99)
    assert "under the floor of 100: not judged by itself" in row.words


def test_where_no_slice_reaches_the_floor_nothing_passes() -> None:
    (row,) = judge_facts(facts({"news": 1, "sport": 1}, each=60), POLICY)
    assert (row.name, row.verdict) == ("", Verdict.INCONCLUSIVE)
    assert "None of the 2 slices of 120 documents has 100" in row.words


def test_documents_that_are_all_alike_are_one_slice_and_that_is_the_whole() -> None:
    (row,) = judge_facts(facts({"news": 1}), POLICY)
    assert row.verdict is Verdict.PASS
    assert row.words == (
        "All 300 documents are alike in domain, length and language: the whole is the only slice."
    )


def test_a_strict_policy_wants_a_loss_excluded_in_every_slice() -> None:
    strict = SlicesPolicy(every=True)
    found = facts({"news": 4, "sport": 0.0}, each=150, policy=strict)
    rows = by_name(judge_facts(found, strict))
    assert rows["domain: sport"].verdict is Verdict.INCONCLUSIVE
    assert "more documents would tell" in rows["domain: sport"].words
    assert rows["domain: news"].verdict is Verdict.PASS
    assert by_name(judge_facts(found, POLICY))["domain: sport"].verdict is Verdict.PASS


def test_a_field_that_no_document_has_is_no_pass() -> None:
    found = replace(facts({"domain: news": 0.0, "domain: sport": 0.0}), absent=("author",))
    row = by_name(judge_facts(found, SlicesPolicy(fields=("domain", "author"))))["author"]
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "None of the 600 documents has a field “author”" in row.words
    alone = Facts(12, 600, None, ("author",))
    rows = judge_facts(alone, SlicesPolicy(fields=("author",)))
    assert Verdict.INCONCLUSIVE in {row.verdict for row in rows}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric", "repetition"), ("metric", "bleu"), ("fields", ("x" * 41,)), ("fields", ("",)),
        ("fields", tuple(f"field {number}" for number in range(11))), ("fields", ("domain", "domain")),
        ("fields", "domain"), ("floor", 9), ("floor", True), ("margin", 0.0), ("margin", float("nan")),
        ("margin", float("inf")), ("gap", -1.0), ("every", "yes"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_said_at_its_field(field: str, value: object) -> None:
    assert set(needs.mistakes(SlicesPolicy(**{field: value}))) == {field}  # type: ignore[arg-type]
    assert needs.mistakes(POLICY) == {}
