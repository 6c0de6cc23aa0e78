from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, hypergeom

from models_app.rollouts.looks import ALPHA, EARLY, Interval, allowed, concurrent_p, look, planned


def test_one_look_is_fishers_exact_test() -> None:
    counts = Interval(canary_requests=200, canary_events=9, live_requests=1800, live_events=18)
    table = [[9, 191], [18, 1782]]
    expected = fisher_exact(table, alternative="greater").pvalue
    assert look([counts], alpha=0.05)[0].p == pytest.approx(expected, rel=1e-9)
    assert concurrent_p(counts) == pytest.approx(expected, rel=1e-9)


def test_two_looks_are_wrong_as_often_as_they_say() -> None:
    """All ways in which the canary can have come by the events, each with its probability."""
    sizes, events, alpha = ((100, 300), (100, 100)), (6, 5), 0.1
    ever = 0.0
    spent = set()
    for ours in product(*(range(events + 1) for events in events)):
        chance = 1.0
        intervals = []
        for (canary, live), all_of_them, mine in zip(sizes, events, ours, strict=True):
            chance *= hypergeom.pmf(mine, canary + live, all_of_them, canary)
            intervals.append(Interval(canary, mine, live, all_of_them - mine))
        looks = look(intervals, alpha=alpha)
        ever += chance * looks[-1].crossed
        if len(looks) == 2:
            spent.add(looks[-1].spent)
    assert len(spent) == 1, "what is spent depends on how many events there are, not on whose they are"
    assert ever == pytest.approx(spent.pop(), rel=1e-9)
    assert 0 < ever <= alpha


interval = st.builds(
    lambda canary, live, ours, theirs: Interval(canary, round(canary * ours), live, round(live * theirs)),
    st.integers(1, 60),
    st.integers(0, 500),
    st.floats(0, 0.2),
    st.floats(0, 0.2),
)


@given(st.lists(interval, min_size=1, max_size=12), st.sampled_from(sorted(ALPHA.values())))
def test_no_more_is_spent_than_is_allowed_and_nothing_is_looked_at_after_the_end(
    intervals: list[Interval], alpha: float
) -> None:
    looks = look(intervals, alpha=alpha)
    assert all(one.spent <= allowed(one.canary_requests, alpha) + 1e-12 for one in looks)
    assert [one.spent for one in looks] == sorted(one.spent for one in looks)
    assert not any(one.crossed for one in looks[:-1])
    assert len(looks) == len(intervals) or looks[-1].crossed


def test_many_more_errors_stop_it_and_as_many_as_live_has_do_not() -> None:
    worse = [Interval(20, 2, 1000, 10)] * 5
    equal = [Interval(20, 0, 1000, 10)] * 4 + [Interval(20, 1, 1000, 10)]
    assert look(worse, alpha=0.0125)[-1].crossed
    assert len(look(worse, alpha=0.0125)) < 5
    assert not look(equal, alpha=0.0125)[-1].crossed


def test_without_an_event_nothing_can_stop_it() -> None:
    found = look([Interval(20, 0, 180, 0)], alpha=0.0125)[0]
    assert (found.boundary, found.p, found.spent) == (None, 1.0, 0.0)


def test_all_is_spent_by_200_requests() -> None:
    assert allowed(EARLY, 0.01) == allowed(5000, 0.01) == 0.01
    assert 0 < allowed(20, 0.01) < 0.001
    assert planned(1000) == [*range(5, 201, 5), 400, 800]
    assert planned(12) == [5, 10]


@pytest.mark.parametrize("counts", [(10, 11, 5, 0), (10, -1, 5, 0), (10, 0, 5, 6)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="events of"):
        Interval(*counts)


def test_all_measures_together_stay_below_what_is_promised() -> None:
    assert sum(ALPHA.values()) <= 0.015 + 1e-12
