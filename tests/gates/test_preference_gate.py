"""The preference gate: when people are asked, what they have to have said, at whatever look."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.evaluation.people import ESTABLISHED, Tally, e_value, net_interval
from models_app.gates.preference import (
    Facts,
    PreferencePolicy,
    documents_needed,
    judge_facts,
    progress_of,
)
from models_app.gates.results import Verdict
from models_app.texts import needs

POLICY = PreferencePolicy()


def facts(
    won: int = 0,
    lost: int = 0,
    ties: int = 0,
    *,
    judges: int = 3,
    accounts: int = 0,
    moved: float | None = 0.2,
) -> Facts:
    people = (judges, accounts or judges) if won + lost + ties else (0, 0)
    return Facts(12, "rouge2", moved, Tally(won=won, lost=lost, ties=ties), *people)


def judged(policy: PreferencePolicy = POLICY, **fields: object) -> tuple[Verdict, str]:
    (row,) = judge_facts(facts(**fields), policy)  # type: ignore[arg-type]
    return row.verdict, row.words


@pytest.mark.parametrize(
    ("moved", "ask", "asked"),
    [
        (0.99, "small", True), (-0.99, "small", True), (1.0, "small", False), (-3.0, "small", False),
        (None, "small", True), (5.0, "always", True), (0.0, "never", False),
    ],
)  # fmt: skip
def test_people_are_asked_where_the_metric_hardly_moved(moved: float | None, ask: str, asked: bool) -> None:
    policy = PreferencePolicy(ask=ask)  # type: ignore[arg-type]
    assert (progress_of(facts(moved=moved), policy) is not None) is asked
    if not asked and moved is not None:
        verdict, words = judged(policy, moved=moved)
        assert verdict is Verdict.PASS
        assert words.startswith("Not asked")


def test_before_anybody_judged_it_says_whom_to_ask() -> None:
    verdict, words = judged()
    assert verdict is Verdict.INCONCLUSIVE
    assert words == (
        "Nobody has been asked yet: 0 of 100 documents are judged and 0 of 2 people have judged. Start human "
        "evaluation on the release puts documents into the pairwise queue."
    )


def test_so_many_documents_by_so_many_people_are_needed_even_where_after_is_preferred() -> None:
    assert judged(won=60, lost=10)[0] is Verdict.INCONCLUSIVE
    verdict, words = judged(won=90, lost=10, judges=1)
    assert verdict is Verdict.INCONCLUSIVE
    assert "1 of 2 people have judged" in words
    assert judged(won=90, lost=10)[0] is Verdict.PASS


def test_accounts_of_one_person_are_one_of_the_people_who_judge() -> None:
    verdict, words = judged(won=90, lost=10, judges=1, accounts=2)
    assert verdict is Verdict.INCONCLUSIVE
    assert "1 of 2 people, of whose 2 accounts some could be one person's, have judged" in words


def test_a_preference_for_before_fails_at_once_however_few_have_judged() -> None:
    verdict, words = judged(won=2, lost=20, judges=1)
    assert verdict is Verdict.FAIL
    assert words.endswith("people prefer what was written before.")


def test_people_who_see_no_difference_let_it_pass() -> None:
    verdict, words = judged(won=30, lost=30, ties=50)
    assert verdict is Verdict.PASS
    assert "no preference is established, and one that counts for before is excluded" in words
    assert judged(ties=100)[0] is Verdict.PASS


def test_where_a_preference_that_counts_is_not_excluded_more_documents_are_asked_for() -> None:
    verdict, words = judged(won=45, lost=60)
    assert verdict is Verdict.INCONCLUSIVE
    assert "a net preference for before of 30 of 100 is not excluded; about " in words
    assert "Ask for more documents with Start human evaluation" in words


def test_the_projection_is_the_least_number_that_would_do() -> None:
    said = Tally(won=45, lost=55)
    more = documents_needed(said, 30.0)
    assert more is not None
    times = (100 + more) / 100
    assert 100 * net_interval(int(45 * times), 0, int(55 * times))[0] > -30
    assert documents_needed(Tally(won=10, lost=90), 30.0) is None, "what is so does not become otherwise"
    assert documents_needed(Tally(), 30.0) is None


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_whatever_the_votes_are_the_verdict_follows_from_them(
    won: int, ties: int, lost: int, judges: int
) -> None:
    (row,) = judge_facts(facts(won, lost, ties, judges=judges), POLICY)
    established = e_value(won, lost) >= ESTABLISHED
    if established and lost > won:
        assert row.verdict is Verdict.FAIL
    elif won + ties + lost < 100 or judges < 2:
        assert row.verdict is Verdict.INCONCLUSIVE
    elif established:
        assert row.verdict is Verdict.PASS
    else:
        low = 100 * net_interval(won, ties, lost)[0]
        assert row.verdict is (Verdict.PASS if low > -30 else Verdict.INCONCLUSIVE)
    if won + ties + lost:
        assert row.low is not None
        assert row.high is not None
        assert row.estimate is not None
        assert -100 <= row.low <= row.estimate <= row.high <= 100


def test_progress_counts_what_is_judged_and_shows_no_more_than_what_is_wanted() -> None:
    asked = progress_of(facts(won=80, lost=40, ties=30), POLICY)
    assert asked is not None
    assert (asked.documents, asked.shown, asked.documents_wanted) == (150, 100, 100)
    assert asked.range.startswith("net preference +27 of 100 [")
    nobody = progress_of(facts(), POLICY)
    assert nobody is not None
    assert (nobody.shown, nobody.range) == (0, "")


@pytest.mark.parametrize(
    ("field", "value"),
    [("ask", "sometimes"), ("below", 0.0), ("below", float("nan")), ("documents", 9), ("documents", 10**9),
     ("judges", 0), ("behind", 0.5), ("behind", 101.0)],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_said_at_its_field(field: str, value: object) -> None:
    assert set(needs.mistakes(PreferencePolicy(**{field: value}))) == {field}  # type: ignore[arg-type]
    assert needs.mistakes(POLICY) == {}
