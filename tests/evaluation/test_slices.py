"""Slices: which documents they hold, who is judged, what is said of groups beside each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models_app.evaluation.comparing import COMPARED, overall_verdict
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.slices import MOST_GROUPS, Document, judge_slices, slices_of
from models_app.evaluation.statistics import Verdict, compare, gaps
from models_app.evaluation.terms import PRIMARY, SLICE_FLOOR

ROUGE2 = METRICS["rouge2"]


def documents(count: int = 400) -> list[Document]:
    return [
        Document(
            100 + number,
            {
                "domain": ("news", "sport")[number % 2],
                "language": "fr" if number % 8 == 0 else "en",
                "origin": f"file {number}.csv",
                "licence": "CC0",
            },
        )
        for number in range(count)
    ]


def changed(gain: dict[str, float], of: list[Document], *, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Before and after as fractions; the gain of each domain in points, spread by ten."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.1, 0.5, len(of))
    means = np.array([gain[document.fields["domain"]] for document in of]) / 100
    return before, before + means + rng.normal(0, 0.1, len(of))


def test_domain_length_language_and_any_other_field_cut_the_documents() -> None:
    found = slices_of(documents(), ("domain", "length", "language", "origin", "licence"))
    assert set(found) == {"domain", "length", "language", "origin"}, "all have one licence: that cuts nothing"
    assert set(found["domain"]) == {"domain: news", "domain: sport"}
    assert found["language"]["language: fr"].sum() == 50
    assert len(found["length"]) == 3
    assert len(found["origin"]) == MOST_GROUPS, (
        "of hundreds of groups the largest, of equals the first by name"
    )


def test_documents_that_have_nothing_there_are_in_no_slice_of_that_field() -> None:
    rows = [Document(9, {"language": code}) for code in ("en", "", "fr", "")]
    found = slices_of(rows, ("language",))["language"]
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "language: en": [True, False, False, False],
        "language: fr": [False, False, True, False],
    }
    assert slices_of([], ("domain", "length")) == {}


@given(st.lists(st.text("ab\n “”:", min_size=1, max_size=130), min_size=1, max_size=40))
def test_names_of_slices_are_short_and_told_apart(values: list[str]) -> None:
    found = slices_of([Document(1, {"origin": value}) for value in values], ("origin",))
    names = list(found.get("origin", {}))
    assert all(len(name) <= 60 for name in names)
    wanted = min(len(set(values)), MOST_GROUPS)
    assert len(names) == (wanted if wanted > 1 else 0)


def test_labels_that_begin_alike_stay_two_slices() -> None:
    long = "x" * 100
    found = slices_of([Document(1, {"origin": long + end}) for end in ("a", "b", "b")], ("origin",))["origin"]
    assert sorted(int(mask.sum()) for mask in found.values()) == [1, 2]


def test_a_slice_under_the_floor_is_counted_and_not_judged() -> None:
    rows = documents(400)
    report = judge_slices(
        *changed({"news": 0, "sport": 0}, rows), ROUGE2, slices_of(rows), floor=100, resamples=200
    )
    assert [row.slice for row in report.too_small] == ["language: fr"]
    assert report.too_small[0].n == 50
    assert report.too_small[0].reason == "only 50 documents to compare; at least 100 are needed"
    assert {row.slice for row in report.judged} >= {"domain: news", "domain: sport", "language: en"}
    assert "language: fr" not in {gap.group for gap in report.gaps}


def test_holm_is_over_the_judged_slices_of_all_fields_together() -> None:
    rows = documents(600)
    report = judge_slices(
        *changed({"news": 0, "sport": -3}, rows), ROUGE2, slices_of(rows), floor=100, resamples=2000
    )
    tested = sorted((row.p or 0, row.p_adjusted or 0) for row in report.judged)
    assert len(tested) == 6, "two domains, three lengths, English"
    assert tested[0][1] == pytest.approx(min(1.0, 6 * tested[0][0]))


def test_the_slice_that_lost_is_found_and_named_as_the_worst() -> None:
    rows = documents(1000)
    report = judge_slices(
        *changed({"news": 1, "sport": -4}, rows), ROUGE2, slices_of(rows), floor=100, resamples=1000
    )
    by_name = {row.slice: row for row in report.judged}
    assert by_name["domain: sport"].verdict is Verdict.WORSE
    assert by_name["domain: news"].verdict is not Verdict.WORSE
    assert report.worst is by_name["domain: sport"]
    assert report.widest_gap is not None
    assert report.widest_gap.group == "domain: sport"
    assert report.widest_gap.high < 0


def test_slices_are_judged_by_a_metric_of_which_more_is_better() -> None:
    with pytest.raises(ValueError, match="not by repetition"):
        judge_slices(np.zeros(20), np.zeros(20), METRICS["repetition"], {}, floor=10)


def test_the_gap_of_two_groups_is_welchs_difference() -> None:
    rng = np.random.default_rng(1)
    changes = np.concatenate([rng.normal(0, 1, 40), rng.normal(1, 3, 25)])
    first = np.arange(65) < 40
    one, other = gaps(changes, {"a": first, "b": ~first})
    theirs = stats.ttest_ind(changes[first], changes[~first], equal_var=False).confidence_interval(0.95)
    assert (one.low, one.high) == pytest.approx((theirs.low, theirs.high))
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (one.n, one.others) == (40, 25)
    wider = gaps(changes, {"a": first, "b": ~first}, among=10)[0]
    assert wider.low < one.low < one.high < wider.high


def test_a_group_without_others_or_of_one_document_has_no_gap() -> None:
    changes = np.arange(5.0)
    assert gaps(changes, {}) == []
    assert gaps(changes, {"all": np.ones(5, bool)}) == []
    assert gaps(changes, {"one": np.arange(5) == 0, "rest": np.arange(5) > 0}) == []
    same = gaps(np.zeros(5), {"a": np.arange(5) < 2, "b": np.arange(5) >= 2})
    assert [(gap.low, gap.high) for gap in same] == [(0.0, 0.0)] * 2


def test_the_bounds_of_all_gaps_hold_together_in_ninety_five_of_a_hundred() -> None:
    rng = np.random.default_rng(4)
    groups = {str(number): np.arange(500) % 5 == number for number in range(5)}
    missed = sum(
        any(gap.low > 0 or gap.high < 0 for gap in gaps(rng.standard_t(4, 500), groups, among=5))
        for _ in range(1000)
    )
    assert missed / 1000 <= 0.065


def test_a_slice_of_the_primary_metric_that_got_worse_is_the_verdict() -> None:
    rows = documents(1000)
    metrics = [METRICS[name] for name in COMPARED]
    place = COMPARED.index(PRIMARY)
    before, after = changed({"news": 6, "sport": -3}, rows)
    old = np.full((1000, len(COMPARED)), 0.3)
    new = old + 0.02
    old[:, place], new[:, place] = before, after
    flat = {name: mask for groups in slices_of(rows).values() for name, mask in groups.items()}
    results = compare(old, new, metrics, slices=flat, slice_floor=SLICE_FLOOR, resamples=500)
    whole = next(row for row in results if row.metric == PRIMARY and row.slice == "all")
    assert whole.verdict is Verdict.IMPROVED
    assert overall_verdict(results) == "worse"
    without = [row for row in results if row.slice != "domain: sport"]
    assert overall_verdict(without) == "improved"
    assert not math.isnan(whole.delta)
