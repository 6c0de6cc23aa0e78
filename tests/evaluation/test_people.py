"""What people preferred: documents count, not choices; the interval is the sign test's; the words claim no more."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest

from models_app.evaluation.people import (
    LEAST,
    METHOD,
    Choice,
    Preferred,
    exact_interval,
    in_words,
    win_rate_by_document,
)
from models_app.models import HumanPreference


def choices(**counts: int) -> list[Choice]:
    """One judge a document."""
    names: dict[str, Preferred] = {
        "after": "candidate", "before": "baseline", "tie": "tie", "both_bad": "both bad"
    }  # fmt: skip
    kinds: list[Preferred] = [names[name] for name, count in counts.items() for _ in range(count)]
    return [Choice(number, kind, candidate_left=number % 2 == 0) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize(("won", "total"), [(0, 5), (5, 5), (7, 10), (28, 41), (500, 1000)])
def test_the_interval_is_clopper_and_pearsons(won: int, total: int) -> None:
    expected = binomtest(won, total).proportion_ci(method="exact")
    assert exact_interval(won, total) == pytest.approx((expected.low, expected.high))


def test_ties_and_both_bad_count_as_half() -> None:
    found = win_rate_by_document(choices(after=6, before=2, tie=1, both_bad=1))
    assert (found.documents, found.rate) == (10, 0.7)


def test_several_choices_of_one_document_do_not_count_as_independent() -> None:
    one = [Choice(1, "candidate", True)]
    many = one * 50
    assert win_rate_by_document(many) == win_rate_by_document(one)
    assert win_rate_by_document(many).low < 0.5
    split = [Choice(1, "candidate", True), Choice(1, "baseline", True)]
    assert win_rate_by_document(split).rate == 0.5


@pytest.mark.parametrize(
    "counts", [(5, 0, 0), (6, 0, 0), (8, 1, 30), (9, 1, 30), (20, 12, 3), (3, 9, 1), (2, 9, 40)]
)
def test_half_lies_in_the_interval_exactly_where_the_sign_test_finds_nothing(
    counts: tuple[int, int, int],
) -> None:
    after, before, ties = counts
    found = win_rate_by_document(choices(after=after, before=before, tie=ties))
    significant = binomtest(after, after + before).pvalue < 0.05
    assert (found.low <= 0.5 <= found.high) is not significant


def test_without_a_difference_one_is_claimed_in_at_most_five_of_a_hundred_studies() -> None:
    rng = random.Random(11)
    kinds: list[Preferred] = ["candidate", "baseline", "tie"]
    claimed = 0
    for _ in range(600):
        study = []
        for document in range(30):
            liked = rng.choice(kinds)  # judges of one document agree more often than chance
            study += [
                Choice(document, liked if rng.random() < 0.6 else rng.choice(kinds), True) for _ in range(3)
            ]
        found = win_rate_by_document(study)
        claimed += not found.low <= 0.5 <= found.high
    assert claimed <= 0.05 * 600


def test_the_interval_holds_the_true_rate_in_ninety_five_of_a_hundred_studies_whatever_the_ties() -> None:
    rng = random.Random(5)
    for after, before in ((0.45, 0.05), (0.3, 0.3), (0.68, 0.3), (0.1, 0.02)):
        held = 0
        for _ in range(400):
            kinds: list[Preferred] = rng.choices(
                ["candidate", "baseline", "tie"], [after, before, 1 - after - before], k=60
            )
            found = win_rate_by_document(Choice(number, kind, True) for number, kind in enumerate(kinds))
            held += found.low <= 0.5 + (after - before) / 2 <= found.high
        assert held >= 0.95 * 400


def test_all_ties_say_little() -> None:
    found = win_rate_by_document(choices(tie=3))
    assert found.rate == 0.5
    assert found.low < 0.2
    assert found.high > 0.8


def test_nothing_judged_says_nothing() -> None:
    found = win_rate_by_document([])
    assert (found.documents, found.rate, found.low, found.high) == (0, None, 0.0, 1.0)


def row(**fields: object) -> HumanPreference:
    values: dict[str, object] = {
        "documents": 41, "choices": 41, "candidate_better": 28, "baseline_better": 10, "ties": 2, "both_bad": 1,
        "left_preferred": 20, "win_rate": 0.68, "low": 0.55, "high": 0.8, "method": METHOD,
    }  # fmt: skip
    return HumanPreference(**{**values, **fields})


def test_the_words_say_how_many_documents_how_sure_and_no_more() -> None:
    said = in_words(row())
    assert (said.verdict, said.sentence) == (
        "improved",
        "People, blind: 41 documents, after preferred: 68 % [55, 80].",
    )
    assert said.counts == "41 choices: 28 after better, 10 before better, 2 no difference, 1 both bad"
    assert (
        said.sides == "The text on the left was preferred in 53 % of 38 decided choices; chance explains it."
    )
    unsure = in_words(row(win_rate=0.55, low=0.4, high=0.7))
    assert unsure.verdict == "inconclusive"
    assert "no preference is established" in unsure.sentence
    worse = in_words(row(win_rate=0.2, low=0.1, high=0.3))
    assert worse.sentence == "People, blind: 41 documents, before preferred: after wins 20 % [10, 30]."
    few = in_words(row(documents=1, win_rate=1, low=0.0, high=1.0))
    assert (few.verdict, few.sentence) == (
        "inconclusive",
        "People, blind: 1 document, too few to say: after wins 100 % [0, 100]; 6 are the least that can tell.",
    )
    for documents, tells in ((LEAST - 1, False), (LEAST, True)):
        assert (win_rate_by_document(choices(after=documents)).low > 0.5) == tells


def test_a_side_that_is_chosen_too_often_is_said() -> None:
    said = in_words(row(left_preferred=34))
    assert said.lopsided
    assert said.sides.endswith("chance does not explain that.")
    assert in_words(row(candidate_better=0, baseline_better=0, left_preferred=0)).sides == ""
