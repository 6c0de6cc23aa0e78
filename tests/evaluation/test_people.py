"""What people preferred: documents count, not choices; the test and its interval hold at every look; the words claim no
more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.gate_calibration import check, excluded
from benchmarks.gate_calibration import looks as votes_of_many
from benchmarks.preference_calibration import looks
from models_app.evaluation.people import (
    ESTABLISHED,
    LARGEST_E,
    Choice,
    Count,
    Preferred,
    Tally,
    e_value,
    in_words,
    interval,
    least_that_can_tell,
    net_interval,
    tally,
    two_sided_p,
)


def choices(**counts: int) -> list[Choice]:
    """One judge a document."""
    names: dict[str, Preferred] = {
        "after": "candidate", "before": "baseline", "tie": "tie", "both_bad": "both bad"
    }  # fmt: skip
    kinds: list[Preferred] = [names[name] for name, count in counts.items() for _ in range(count)]
    return [Choice(str(number), kind, candidate_left=number % 2 == 0) for number, kind in enumerate(kinds)]


def test_the_e_value_is_the_mixture_of_all_preferences_over_none() -> None:
    """Against a numerical integral over shares, weighted by Beta(10, 10)."""
    shares = np.linspace(0, 1, 200_001)[1:-1]
    weights = (shares * (1 - shares)) ** 9
    weights /= weights.sum()
    for won, lost in ((0, 0), (3, 1), (28, 10), (40, 41)):
        expected = float((weights * (2 * shares) ** won * (2 * (1 - shares)) ** lost).sum())
        assert e_value(won, lost) == pytest.approx(expected, rel=1e-6)
    assert e_value(28, 10) == e_value(10, 28)
    assert e_value(5000, 0) == LARGEST_E
    with pytest.raises(ValueError):
        e_value(-1, 0)


def test_one_half_lies_outside_the_interval_exactly_where_a_preference_is_established() -> None:
    for won in range(0, 130, 3):
        for lost in range(0, 130, 3):
            low, high = interval(won, lost)
            assert 0 <= low <= high <= 1
            assert (low <= 0.5 <= high) is (e_value(won, lost) < ESTABLISHED)
    assert interval(0, 0) == (0.0, 1.0)


def test_looked_at_after_every_one_of_400_votes_no_preference_is_found_in_at_most_five_of_a_hundred() -> None:
    found, _ = looks(share=0.5, votes=400, studies=4000, seed=3)
    assert 0.01 <= found <= 0.05
    found, median = looks(share=0.65, votes=400, studies=1000, seed=4)
    assert found > 0.97
    assert 60 <= median <= 110


def test_the_interval_holds_the_true_share_at_every_look_in_ninety_five_of_a_hundred_studies() -> None:
    rng = np.random.default_rng(5)
    for share in (0.5, 0.65, 0.8):
        missed = 0
        for _ in range(100):
            won = np.cumsum(rng.random(200) < share)
            for number in range(0, 200, 5):
                low, high = interval(int(won[number]), number + 1 - int(won[number]))
                if not low <= share <= high:
                    missed += 1
                    break
        assert missed <= 5


def test_several_choices_of_one_document_do_not_count_as_independent() -> None:
    one = [Choice("1", "candidate", True)]
    assert (tally(one * 50).won, tally(one * 50).lost, tally(one * 50).choices) == (1, 0, 50)
    split = [Choice("1", "candidate", True), Choice("1", "baseline", True)]
    assert (tally(split).won, tally(split).lost, tally(split).ties) == (0, 0, 1)


def test_ties_and_identical_texts_are_told_and_do_not_move_the_test() -> None:
    found = tally(choices(after=6, before=2, tie=1, both_bad=1), identical=["x", "y", "0"])
    # "0" has been judged by somebody, so it is no longer nobody's tie
    assert (found.won, found.lost, found.ties, found.identical, found.documents) == (6, 2, 2, 2, 12)
    assert found.share == 0.75
    said = in_words(2, 1, Count(found, 9, "d"))
    assert said.sentence.startswith(
        "People, blind: 12 test documents, 6 for after, 2 for before, 2 for neither, 2 with the same text from both:"
    )
    assert said.e == e_value(6, 2)


def test_nothing_judged_says_nothing() -> None:
    said = in_words(2, 1, Count(tally([]), 0, ""))
    assert (said.verdict, said.e, said.low, said.high) == ("inconclusive", 1.0, 0.0, 1.0)
    assert said.conclusion()["share"] is None


def count(**fields: int) -> Count:
    values = {
        "won": 30, "lost": 8, "ties": 2, "identical": 1, "choices": 41, "candidate_better": 30, "baseline_better": 8,
        "no_difference": 2, "both_bad": 1, "left_preferred": 20,
    }  # fmt: skip
    return Count(Tally(**{**values, **fields}), 77, "digest")


def test_the_words_say_how_many_documents_how_sure_and_no_more() -> None:
    said = in_words(2, 1, count())
    assert said.verdict == "improved"
    assert said.sentence == (
        "People, blind: 41 test documents, 30 for after, 8 for before, 2 for neither, 1 with the same text from both: "
        "after is preferred, in 79 % [52, 95] of those with a side (e = 45)."
    )
    assert said.counts == "41 choices: 30 after better, 8 before better, 2 no difference, 1 both bad"
    assert (
        said.sides == "The text on the left was preferred in 53 % of 38 decided choices; chance explains it."
    )
    unsure = in_words(2, 1, count(won=20, lost=18))
    assert unsure.verdict == "inconclusive"
    assert "no preference is established, after has 53 %" in unsure.sentence
    assert "20 would do" in unsure.sentence
    worse = in_words(2, 1, count(won=8, lost=30))
    assert worse.verdict == "worse"
    assert "before is preferred, after only in 21 %" in worse.sentence
    few = in_words(2, 1, count(won=3, lost=0))
    least = least_that_can_tell()
    assert few.sentence.endswith(f"{least} documents with a side are the least that can tell.")
    assert e_value(least, 0) >= ESTABLISHED > e_value(least - 1, 0)


def test_a_side_that_is_chosen_too_often_is_said() -> None:
    said = in_words(2, 1, count(left_preferred=34))
    assert said.lopsided
    assert said.sides.endswith("chance does not explain that.")
    assert in_words(2, 1, count(candidate_better=0, baseline_better=0, left_preferred=0)).sides == ""


@pytest.mark.parametrize(("won", "total"), [(3, 10), (5, 10), (0, 6), (20, 53), (53, 53)])
def test_the_side_is_judged_by_the_exact_sign_test(won: int, total: int) -> None:
    assert two_sided_p(won, total) == pytest.approx(binomtest(won, total).pvalue)


# ---------------------------------------------------------------- how far behind, ties counted


def profile(won: int, ties: int, lost: int, net: float) -> float:
    """The largest likelihood of all distributions with this net preference, by trying 20,000 of them."""
    low, high = max(0.0, -net), (1 - net) / 2
    behind = np.linspace(low, high, 20_001)[1:-1]
    parts = (behind + net, 1 - 2 * behind - net, behind)
    logs = sum(count * np.log(part) for count, part in zip((won, ties, lost), parts, strict=True) if count)
    return float(np.max(logs))


def test_the_net_interval_is_where_no_distribution_is_twenty_times_less_likely_than_the_mixture() -> None:
    """The mixture against a numerical integral, the likeliest distribution against trying all."""
    rng = np.random.default_rng(1)
    tied, side = rng.random(2_000_000), rng.beta(10, 10, 2_000_000)
    for won, ties, lost in ((3, 2, 1), (8, 4, 15), (0, 9, 0)):
        likelihood = ((1 - tied) * side) ** won * tied**ties * ((1 - tied) * (1 - side)) ** lost
        mixture = np.log(likelihood.mean())
        for bound in net_interval(won, ties, lost):
            if -1 < bound < 1:
                assert profile(won, ties, lost, bound) == pytest.approx(
                    mixture - np.log(ESTABLISHED), abs=0.02
                )


def test_the_net_interval_turns_with_the_sides_and_narrows_with_ties() -> None:
    for won, ties, lost in ((40, 20, 40), (60, 10, 12), (0, 5, 0), (1, 0, 0), (0, 0, 400)):
        low, high = net_interval(won, ties, lost)
        other = net_interval(lost, ties, won)
        assert -1 <= low <= (won - lost) / (won + ties + lost) <= high <= 1
        assert (low, high) == pytest.approx((-other[1], -other[0]), abs=1e-9)
    assert net_interval(0, 0, 0) == (-1.0, 1.0)
    widths = [
        high - low
        for low, high in (net_interval(50, 0, 50), net_interval(25, 50, 25), net_interval(5, 90, 5))
    ]
    assert widths == sorted(widths, reverse=True), "people who see no difference say that there is little"
    with pytest.raises(ValueError):
        net_interval(1, -1, 0)


def test_a_true_net_preference_is_excluded_at_some_look_in_at_most_five_of_a_hundred_studies() -> None:
    rng = np.random.default_rng(12)
    for shares in ((0.35, 0.0, 0.65), (0.2, 0.3, 0.5), (0.0, 0.7, 0.3)):
        won, ties, lost = votes_of_many(rng, shares, 1, 2000, 300)
        assert excluded(won, ties, lost, 0.3).any(axis=1).mean() <= 0.05
        check(won, ties, lost)
