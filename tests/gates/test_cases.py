"""The gate of behavioural cases: what the policy asks of them, and what a release's results come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.cases import running
from models_app.cases.queries import CaseFact, Changed, SetFacts
from models_app.cases.writing import retire_all, retire_case
from models_app.gates import cases
from models_app.gates.cases import CasesPolicy, judge_facts
from models_app.gates.gate import Judged
from models_app.gates.policy import Policy
from models_app.models import CaseResult, CaseVersion, Release
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release, withdraw_release
from models_app.releases.hands import involved
from models_app.texts.needs import mistakes
from tests import make
from tests.cases import scene as case_scenes
from tests.database import without_guards
from tests.releases.scene import Scene, scene


def case(number: int, verdict: str = "pass", **fields: Any) -> CaseFact:
    values = {"title": "", "must_pass": False, "before": "", "why": "“140” is missing."}
    return CaseFact(**{**values, "number": number, "verdict": verdict, **fields})


def facts(*results: CaseFact, **fields: Any) -> SetFacts:
    values = {"name": "Acceptance", "version": 4, "cases": len(results), "run": 7, "results": results}
    return SetFacts(**{**values, **fields})


def verdicts(found: list[SetFacts], section: CasesPolicy | None = None) -> list[tuple[str, str]]:
    return [(row.name, row.verdict.value) for row in judge_facts(found, section or CasesPolicy())]


WHOLE = "Acceptance, version 4"


# ---------------------------------------------------------------- no cases


def test_without_cases_the_policy_says_whether_that_passes() -> None:
    (row,) = judge_facts([], CasesPolicy())
    assert (row.verdict, row.words) == ("pass", "Nobody has written cases; the policy does not ask for any.")
    (row,) = judge_facts([], CasesPolicy(required=True))
    assert (row.verdict, row.words) == (
        "inconclusive",
        "Nobody has written cases, and the policy asks for some.",
    )


def test_a_policy_that_names_a_set_which_is_not_there_passes_nothing() -> None:
    (row,) = judge_facts([facts(case(1))], CasesPolicy(case_set="Othr"))
    assert (row.verdict, "no set “Othr” with cases" in row.words) == ("inconclusive", True)


def test_a_release_that_was_not_run_on_the_newest_version_is_inconclusive() -> None:
    (row,) = judge_facts([facts(run=None, cases=3)], CasesPolicy())
    assert row.verdict == "inconclusive"
    assert "not been run on the 3 cases of Acceptance, version 4" in row.words


# ---------------------------------------------------------------- cases


def test_all_have_to_pass_unless_the_policy_says_how_many() -> None:
    some = [facts(case(1), case(2), case(3), case(4, "fail"))]
    assert verdicts(some) == [(WHOLE, "fail")]
    assert verdicts(some, CasesPolicy(share=0.75)) == [(WHOLE, "pass")]
    assert verdicts(some, CasesPolicy(share=0.76)) == [(WHOLE, "fail")]
    assert verdicts([facts(case(1), case(2))]) == [(WHOLE, "pass")]
    twenty = facts(*(case(n, "pass" if n <= 18 else "fail") for n in range(1, 21)))
    assert verdicts([twenty], CasesPolicy(share=0.9)) == [(WHOLE, "pass")], "0.9 of 20 are 18"


def test_what_cannot_be_told_never_passes_and_does_not_fail() -> None:
    some = [facts(case(1), case(2, "undecided"))]
    assert verdicts(some) == [(WHOLE, "inconclusive")]
    assert verdicts(some, CasesPolicy(share=0.5)) == [(WHOLE, "pass")]
    assert verdicts([facts(case(1, "fail"), case(2, "undecided"))]) == [(WHOLE, "fail")]


def test_a_case_that_must_pass_fails_singly() -> None:
    some = [facts(case(1), case(2), case(3, "fail", must_pass=True), case(4, "undecided", must_pass=True))]
    assert verdicts(some, CasesPolicy(share=0.5)) == [
        (WHOLE, "pass"),
        (f"{WHOLE}: case 3", "fail"),
        (f"{WHOLE}: case 4", "inconclusive"),
    ]


def test_what_passed_before_and_fails_now_is_named_first() -> None:
    results = (
        case(1, "fail", before="fail"),
        case(2, "undecided"),
        case(3, "fail", before="pass", title="Old pier closes"),
        *(case(n, "fail") for n in range(4, 9)),
        case(9),
    )
    (row,) = judge_facts([facts(*results)], CasesPolicy())
    assert row.words.startswith(
        "1 of 9 cases pass. Case 3 (“Old pier closes”) passed before and fails now: “140” is missing; Case 1 fails"
    )
    assert row.words.endswith("; and 3 more.")
    assert row.estimate == pytest.approx(100 / 9)
    assert (row.threshold, row.n, row.unit) == (100, 9, "%")
    assert row.evidence == "caserun:7"


def test_each_set_is_judged_and_one_may_be_named() -> None:
    both = [facts(case(1)), facts(case(1, "fail"), name="Robustness", version=2)]
    assert verdicts(both) == [(WHOLE, "pass"), ("Robustness, version 2", "fail")]
    assert verdicts(both, CasesPolicy(case_set="Acceptance")) == [(WHOLE, "pass")]


def test_what_was_rewritten_is_an_error() -> None:
    assert verdicts([facts(case(1), problem="The results are not those that were written.")]) == [
        (WHOLE, "error")
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [("share", 0), ("share", 1.1), ("share", float("nan")), ("share", -1), ("share", True), ("required", 1),
     ("case_set", "x" * 81), ("case_set", 5)],
)  # fmt: skip
def test_a_policy_that_no_release_could_meet_is_refused(field: str, value: Any) -> None:
    assert list(mistakes(CasesPolicy(**{field: value}))) == [field]


def test_the_gate_may_be_waived() -> None:
    assert cases.GATE.waivable


# ---------------------------------------------------------------- cases that were made easier


def test_a_case_that_somebody_made_easier_after_it_failed_counts_as_failed_until_two_people_agree() -> None:
    retired = Changed(9, False, True, 1, "mila retired case 9 in version 4 (“flaky”)")
    edited = Changed(1, False, False, 1, "mila edited case 1 in version 4 (“typo”)")
    for changed in (retired, edited):
        (row,) = judge_facts([facts(case(1), case(2), changed=(changed,))], CasesPolicy())
        assert row.verdict == "inconclusive"
        assert row.words.endswith(f"{changed.words}. Two people have to agree to it, by a waiver.")
        assert verdicts([facts(case(1), case(2), changed=(changed,))], CasesPolicy(share=0.5)) == [
            (WHOLE, "pass")
        ]
    must = replace(retired, must_pass=True)
    assert verdicts([facts(case(1), case(2), changed=(must,))], CasesPolicy(share=0.5)) == [
        (WHOLE, "inconclusive")
    ]
    assert verdicts([facts(case(1, "fail"), case(2), changed=(edited,))]) == [(WHOLE, "fail")]
    assert verdicts([facts(run=None, cases=0, changed=(retired,))]) == [(WHOLE, "inconclusive")]


# ---------------------------------------------------------------- from the database


@pytest.fixture
def the(db: None) -> Scene:
    return scene()


def ran(release: Release, text: str) -> None:
    """As if the release had written this for every article."""

    class Output:
        def __init__(self) -> None:
            self.text = text

    running.run_cases(
        release=release,
        versions=running.missing_runs(release),
        write=lambda articles: [Output() for _ in articles],
        progress=lambda done, total: None,
    )


def judged(the: Scene) -> list[Any]:
    policy = Policy()
    return list(cases.GATE.judge(Judged(the.candidate, the.comparison, policy, progress=lambda words: None)))


def test_a_release_is_judged_by_its_own_results_beside_those_of_the_release_before(the: Scene) -> None:
    (row,) = judged(the)
    assert row.verdict == "pass"
    case_scenes.case_set(
        "Acceptance", case_scenes.draft([{"kind": "contains", "text": "140"}], must_pass=True)
    )
    (row,) = judged(the)
    assert row.verdict == "inconclusive", "written, and not run"
    ran(the.live, "140 piles are rotten.")
    ran(the.candidate, "410 piles are rotten.")
    whole, single = judged(the)
    assert (whole.verdict, single.verdict) == ("fail", "fail")
    assert "passed before and fails now" in whole.words
    with without_guards(CaseResult):
        CaseResult.objects.filter(run__release=the.candidate).update(verdict="pass")
    (row,) = judged(the)
    assert row.verdict == "error"


@pytest.mark.parametrize("all_of_them", [False, True])
def test_whoever_retires_what_a_release_failed_does_not_make_it_pass_nor_decide_on_it(
    the: Scene, all_of_them: bool
) -> None:
    made = case_scenes.case_set("Acceptance", case_scenes.draft([{"kind": "contains", "text": "140"}]))
    kept = case_scenes.add(made, [{"kind": "contains", "text": "410"}])
    ran(the.candidate, "410 piles are rotten.")
    (row,) = judged(the)
    assert row.verdict == "fail"
    weakens = make.user("weakens", "ml engineer", "approver")
    if all_of_them:
        retire_all(case_set=made, reason="Flaky.", actor=weakens)
    else:
        retire_case(
            case=CaseVersion.objects.exclude(number=kept.number).get(), reason="Flaky.", actor=weakens
        )
    ran(the.candidate, "410 piles are rotten.")
    (row,) = judged(the)
    assert row.verdict == "inconclusive"
    assert "weakens retired case 1 in version 3 (“Flaky.”)" in row.words
    again = withdraw_and_compose(the)
    assert involved(again)[weakens.pk] == ["changed cases that it had not passed"]
    assert not may_decide(again, weakens)[0]


def withdraw_and_compose(the: Scene) -> Release:
    """The same under another number has the same history."""
    withdraw_release(release=the.candidate, actor=the.cast.ml_engineer)
    return compose_release(
        model_version=the.candidate.model_version, prompt_version=the.candidate.prompt_version,
        decoding=the.candidate.decoding, origin="retraining", actor=the.cast.ml_engineer,
    )  # fmt: skip
