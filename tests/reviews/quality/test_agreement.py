"""Agreement: the published worked examples, what is undefined, and figures that an independent program gave."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.quality.agreement import (
    FEW_ITEMS,
    NO_PAIRS,
    NO_VARIATION,
    Agreement,
    Scale,
    counts_of,
    krippendorff,
    offsets,
    pairs_of,
    quadratic_kappa,
    reading,
)

SUMMEVAL = Path(__file__).resolve().parents[4] / "shared/data/summeval/summeval.jsonl"


def table_of(rows: Sequence[str]) -> tuple[np.ndarray, int]:
    """Rows of one character a unit, one row an observer, '.' for missing: counts, and how many values there are."""
    values = sorted({sign for row in rows for sign in row} - {"."})
    columns = [[row[unit] for row in rows] for unit in range(len(rows[0]))]
    return np.array([[column.count(value) for value in values] for column in columns]), len(values)


def alpha_of(rows: Sequence[str], scale: Scale) -> float:
    found = krippendorff(table_of(rows)[0], scale=scale).alpha
    assert found is not None
    return found


# Krippendorff, K. (2011). Computing Krippendorff's Alpha-Reliability. Sections A to E.
MEG_AND_OWEN = ["0100000010", "1110010000"]
BEN_AND_GERRY = ["aabbdcccedda", "babbbccceddd"]
FOUR_OBSERVERS = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


@pytest.mark.parametrize(
    ("rows", "scale", "published"),
    [
        (MEG_AND_OWEN, "nominal", 0.095),
        (BEN_AND_GERRY, "nominal", 0.692),
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "ordinal", 0.815),
        (FOUR_OBSERVERS, "interval", 0.849),
    ],
)
def test_alpha_is_that_of_the_published_examples(rows: list[str], scale: Scale, published: float) -> None:
    assert alpha_of(rows, scale) == pytest.approx(published, abs=0.0005)


def test_a_published_example_counts_its_items_and_ratings() -> None:
    """The unit that one observer alone coded does not count."""
    found = krippendorff(table_of(FOUR_OBSERVERS)[0], scale="interval", raters=4)
    assert (found.items, found.ratings, found.raters) == (11, 40, 4)


# Figures of krippendorff 0.9.0 and statsmodels' cohens_kappa, which share no code with this.
INDEPENDENT = [
    "5445..52.32451..13124.3..35333",
    "4444434.2.34.13.1512..3.3254.3",
    "45442452133.512.1412412...54.3",
    "54453551..2441.41522......4.3.",
]
FIGURES: dict[Scale, float] = {
    "nominal": 0.41388390185517654,
    "ordinal": 0.824041284508068,
    "interval": 0.8385383806519453,
}


@pytest.mark.parametrize("scale", FIGURES)
def test_alpha_is_that_of_an_independent_program(scale: Scale) -> None:
    assert alpha_of(INDEPENDENT, scale) == pytest.approx(FIGURES[scale], abs=1e-12)


def test_weighted_kappa_is_that_of_an_independent_program() -> None:
    table = [[2, 13, 1, 0, 9], [6, 11, 18, 17, 10], [12, 16, 8, 13, 4], [12, 4, 3, 15, 11], [7, 0, 4, 16, 9]]
    assert quadratic_kappa(table) == pytest.approx(0.08286034656155006, abs=1e-12)
    assert quadratic_kappa(np.diag([0, 9, 0])) is None, "chance alone would make them agree"
    assert quadratic_kappa(np.zeros((5, 5))) is None


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (np.zeros((0, 5)), NO_PAIRS),
        ([[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]], NO_PAIRS),
        ([[0, 2, 0, 0, 0]] * 40, NO_VARIATION),
        ([[0, 2, 0, 0, 0]] * 40 + [[1, 0, 0, 0, 0]], NO_VARIATION),
    ],
)
def test_undefined_is_said_with_the_reason_and_is_neither_one_nor_nan(
    counts: list[list[int]], reason: str
) -> None:
    found = krippendorff(counts, scale="ordinal")
    assert (found.alpha, found.low, found.high, found.reason) == (None, None, None, reason)
    assert reading(found)[1] == "undefined"
    assert reason in reading(found)[2]


def test_few_items_have_no_interval_and_no_verdict() -> None:
    found = krippendorff(table_of(FOUR_OBSERVERS)[0][:9], scale="ordinal")
    assert found.alpha is not None
    assert (found.low, found.high, found.reason) == (None, None, FEW_ITEMS)
    assert reading(found)[1] == "too few"


def test_hardly_any_variation_has_an_alpha_but_no_interval() -> None:
    """One odd item of forty: most resamples that leave it out have nothing to tell apart."""
    found = krippendorff([[0, 0, 0, 0, 2]] * 39 + [[1, 0, 0, 0, 1]], scale="ordinal")
    assert found.alpha is not None
    assert found.low is None
    assert "variation" in found.reason


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=0, max_size=5), min_size=1, max_size=25),
    st.sampled_from(["nominal", "ordinal", "interval"]),
)
def test_alpha_never_exceeds_one_and_the_order_of_items_is_nothing_to_it(
    given_values: list[list[int]], scale: Scale
) -> None:
    counts = np.array([[row.count(value) for value in range(5)] for row in given_values])
    found = krippendorff(counts, scale=scale, resamples=50)
    again = krippendorff(counts[::-1], scale=scale, resamples=50)
    assert found == again
    if found.alpha is not None:
        assert math.isfinite(found.alpha)
        assert found.alpha <= 1
        agreed = all(len(set(row)) == 1 for row in given_values if len(row) > 1)
        assert (found.alpha == 1) == agreed


def test_the_interval_is_seeded_and_holds_alpha() -> None:
    counts = table_of(INDEPENDENT)[0]
    one, other = krippendorff(counts, scale="ordinal"), krippendorff(counts, scale="ordinal")
    assert one == other
    assert one.low is not None
    assert one.high is not None
    assert one.alpha is not None
    assert one.low < one.alpha < one.high


def test_each_two_are_compared_on_the_items_that_they_share() -> None:
    """Three people; the first two always agree, the third gives one less; one item is the third's alone."""
    items = np.array([1, 1, 1, 2, 2, 2, 3, 3, 9])
    raters = np.array([11, 12, 13, 11, 12, 13, 12, 11, 13])
    values = np.array([4, 4, 3, 2, 2, 1, 0, 0, 4])
    pairs, total = pairs_of(items, raters, values, size=5, scale="ordinal", most=2)
    assert total == 3
    assert [(pair.first, pair.second, pair.agreement.items) for pair in pairs] == [(11, 12, 3), (11, 13, 2)]
    assert pairs[0].agreement.alpha == 1
    assert pairs[0].kappa == 1
    assert pairs[1].agreement.equal == 0
    assert pairs[1].agreement.close == 1


def test_strictness_is_the_deviation_from_the_others_on_the_same_items() -> None:
    items = np.array([1, 1, 1, 2, 2, 3])
    raters = np.array([11, 12, 13, 11, 12, 13])
    values = np.array([1, 3, 5, 2, 4, 5])
    found = offsets(items, raters, values)
    assert found[11].n == 2
    assert found[11].mean == pytest.approx(-2.5)  # 1 against 4, 2 against 4
    assert found[13].n == 1, "item 3 has nobody to compare with"
    assert found[13].low is None
    many = np.repeat(np.arange(30), 2)
    people = np.tile([1, 2], 30)
    strict = offsets(many, people, np.where(people == 1, 2, 3) - (many % 2))
    assert (strict[1].direction, strict[2].direction) == ("strict", "lenient")
    assert offsets(items[:0], raters[:0], values[:0]) == {}


@pytest.mark.skipif(not SUMMEVAL.exists(), reason="the SummEval file is not here")
def test_what_summeval_reports_can_be_true_of_its_ratings() -> None:
    """Fabbri et al. (2021) report an alpha of 0.7127 for their experts' second round. The file keeps the three experts'
    mean only; of each mean the three closest and the three farthest ratings bound what alpha can have been."""
    threes = [(a, b, c) for a in range(5) for b in range(a, 5) for c in range(b, 5)]
    closest = {sum(three): min((t for t in threes if sum(t) == sum(three)), key=np.var) for three in threes}
    farthest = {sum(three): max((t for t in threes if sum(t) == sum(three)), key=np.var) for three in threes}
    rows = [json.loads(line) for line in SUMMEVAL.read_text().splitlines()]

    def bound(criterion: str, choice: Mapping[int, tuple[int, ...]]) -> float:
        sums = [round(3 * one[criterion]) - 3 for row in rows for one in row["ratings"].values()]
        assert len(sums) == 1600
        items = np.repeat(np.arange(len(sums)), 3)
        values = np.array([choice[total] for total in sums]).ravel()
        found: Agreement = krippendorff(counts_of(items, values, 5), scale="interval", resamples=50)
        assert found.alpha is not None
        return found.alpha

    for criterion in ("coherence", "consistency", "fluency", "relevance"):
        assert bound(criterion, farthest) < 0.7127 < bound(criterion, closest)
