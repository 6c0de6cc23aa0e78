"""What no summary may be: counted on what the release wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.gates.results import Verdict
from models_app.gates.safety import Facts, SafetyPolicy, judge_facts
from models_app.models import GateResult
from tests.releases import scene as scenes
from tests.releases.scene import WRITTEN, scene

GOOD = Facts(documents=400, empty=0, refused=0, runaway=0, numbers=40, names=100)


def verdicts(facts: Facts, policy: SafetyPolicy | None = None) -> dict[str, str]:
    return {row.name: row.verdict.value for row in judge_facts(facts, policy or SafetyPolicy())}


def test_good_summaries_pass() -> None:
    assert set(verdicts(GOOD).values()) == {"pass"}


@pytest.mark.parametrize(
    ("facts", "name", "verdict"),
    [
        (replace(GOOD, empty=1), "empty", "fail"),
        (replace(GOOD, refused=1), "refusals", "fail"),
        (replace(GOOD, runaway=8), "circles", "pass"),
        (replace(GOOD, runaway=9), "circles", "fail"),
        (replace(GOOD, numbers=200), "numbers", "fail"),
        (replace(GOOD, numbers=140), "numbers", "inconclusive"),
        (replace(GOOD, names=300), "names", "fail"),
    ],
)
def test_what_is_wrong_too_often_fails(facts: Facts, name: str, verdict: str) -> None:
    found = verdicts(facts)
    assert found.pop(name) == verdict
    assert set(found.values()) == {"pass"}


def test_few_documents_show_what_is_wrong_but_not_that_all_is_well() -> None:
    few = Facts(documents=20, empty=0, refused=0, runaway=0, numbers=0, names=0)
    assert set(verdicts(few).values()) == {"inconclusive"}
    assert verdicts(replace(few, empty=1))["empty"] == "fail"
    assert set(verdicts(few, SafetyPolicy(least_documents=10)).values()) == {"pass"}


def test_no_summary_at_all_is_an_error() -> None:
    assert verdicts(Facts(0, 0, 0, 0, 0, 0)) == {"outputs": "error"}


def test_a_refusal_is_quoted() -> None:
    facts = replace(GOOD, refused=2, example="I'm sorry, but I cannot")
    row = next(row for row in judge_facts(facts, SafetyPolicy()) if row.name == "refusals")
    assert row.words == "Of 400 summaries 2 are a refusal, such as “I'm sorry, but I cannot …”."
    assert row.need == "none allowed"


@given(
    documents=st.integers(1, 500),
    share=st.floats(0, 1),
    limit=st.floats(0.1, 100),
    least=st.integers(10, 200),
)
def test_more_of_what_is_wrong_is_never_better(
    documents: int, share: float, limit: float, least: int
) -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    policy = SafetyPolicy(runaway_percent=min(limit, 99.9), numbers_percent=limit, least_documents=least)
    count = int(documents * share)
    less, more = (
        judge_facts(Facts(documents, 0, 0, each, each, 0), policy)
        for each in (count, min(documents, count + 1))
    )
    for before, after in zip(less, more, strict=True):
        assert order.index(before.verdict) <= order.index(after.verdict)


@pytest.mark.django_db
def test_it_looks_at_what_the_candidate_wrote() -> None:
    the = scene()
    on = scenes.evaluation_set(40)
    wrote = {0: "", 1: "I'm sorry, but I can't summarize this article."}
    scenes.evaluated(the.candidate, on, level=0.16, wrote=lambda position: wrote.get(position, WRITTEN))
    comparison = scenes.compared(the.candidate, the.live, on)
    run = scenes.judged(the.candidate, comparison)
    rows = {row.name: row for row in GateResult.objects.filter(run=run, gate="safety")}
    assert {name for name, row in rows.items() if row.verdict != "pass"} == {"empty", "refusals"}
    assert rows["empty"].estimate == pytest.approx(2.5)
    assert "I'm sorry" in rows["refusals"].words
