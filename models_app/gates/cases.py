"""Behavioural cases: fixed articles whose summaries have to satisfy what people asserted of them.

Judged by the release's results on the newest version of a set, which never change. The names of the rows have the
version in them, so that a waiver holds for these results and for no others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from models_app.cases import queries
from models_app.cases.queries import CaseFact, Changed, SetFacts
from models_app.cases.running import newest_versions
from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import CaseSet
from models_app.texts.figures import number
from models_app.texts.needs import Between

if TYPE_CHECKING:
    from models_app.gates.policy import Policy

NAME = "cases"
METHOD = "each case once, by the artefact, prompt and decoding that would be served"
NAMED = 5  # cases in a sentence


@dataclass(frozen=True)
class CasesPolicy:
    """`case_set`: the name of the one set that counts; empty: every set that has cases. `share`: how many of a set's
    cases have to pass. `required`: whether a release without cases to pass waits for some; naming a set asks for it."""

    LABELS: ClassVar = {
        "case_set": "Set that counts",
        "share": "Share of the cases that has to pass",
        "required": "A release needs cases to pass",
    }
    HELP: ClassVar = {
        "case_set": "Without one, every set that has cases.",
        "share": "Of each set. A case marked “must pass” fails the release whatever the share.",
        "required": "Else a release passes where nobody has written cases, and the gate says so.",
    }

    case_set: Annotated[str, Between(0, CaseSet.LONGEST_NAME)] = ""
    share: Annotated[float, Between(0, 1, above=True, said="A share above 0 and up to 1, which is all.")] = (
        1.0
    )
    required: bool = False


def facts_of(judged: Judged) -> list[SetFacts]:
    judged.progress("behavioural cases")
    return queries.facts_of(release=judged.release, before=judged.comparison.baseline.release)


# ---------------------------------------------------------------- deciding


def judge_facts(facts: Sequence[SetFacts], section: CasesPolicy) -> list[Result]:
    chosen = [one for one in facts if section.case_set in ("", one.name)]
    if not chosen:
        return [_none(section)]
    return [row for one in chosen for row in _judge_set(one, section)]


def _none(section: CasesPolicy) -> Result:
    there = (
        f"There is no set “{section.case_set}” with cases" if section.case_set else "Nobody has written cases"
    )
    if section.required or section.case_set:
        verdict, words, need = (
            Verdict.INCONCLUSIVE,
            f"{there}, and the policy asks for some.",
            "cases that pass",
        )
    else:
        verdict, words, need = (
            Verdict.PASS,
            f"{there}; the policy does not ask for any.",
            "none, where none are there",
        )
    return Result(gate=NAME, name="", verdict=verdict, words=words, need=need, method=METHOD, n=0)


def _judge_set(facts: SetFacts, section: CasesPolicy) -> list[Result]:
    name = f"{facts.name}, version {facts.version}"
    if not facts.cases:
        return [
            Result(
                gate=NAME, name=name, verdict=Verdict.INCONCLUSIVE, words=_agree(facts.changed), need=_need(section),
                method=METHOD, n=0, unit="%",
            )
        ]  # fmt: skip
    if facts.run is None:
        words = f"The release has not been run on the {facts.cases:,} cases of {name}, or not to the end. Run them."
        return [
            Result(
                gate=NAME, name=name, verdict=Verdict.INCONCLUSIVE, words=words, need=_need(section), method=METHOD,
                threshold=100 * section.share, n=0, unit="%",
            )
        ]  # fmt: skip
    if facts.problem:
        return [
            Result(
                gate=NAME, name=name, verdict=Verdict.ERROR, words=facts.problem, need=_need(section), method=METHOD,
                evidence=f"caserun:{facts.run}",
            )
        ]  # fmt: skip
    return [
        _of_set(name, facts, section),
        *(_must(name, facts, case) for case in facts.results if _is_broken(case)),
    ]


def _of_set(name: str, facts: SetFacts, section: CasesPolicy) -> Result:
    passed = sum(case.verdict == "pass" for case in facts.results)
    open_ = sum(case.verdict == "undecided" for case in facts.results)
    words = _words(passed, facts)
    easier = _easier(facts)
    if not _enough(passed, facts, section):
        verdict = Verdict.INCONCLUSIVE if _enough(passed + open_, facts, section) else Verdict.FAIL
    elif _enough(passed, facts, section, easier) and not any(case.must_pass for case in easier):
        verdict = Verdict.PASS
    else:
        verdict, words = Verdict.INCONCLUSIVE, f"{words} {_agree(easier)}"
    return Result(
        gate=NAME, name=name, verdict=verdict, words=words, need=_need(section), method=METHOD,
        estimate=100 * passed / len(facts.results), threshold=100 * section.share, n=len(facts.results), unit="%",
        evidence=f"caserun:{facts.run}",
    )  # fmt: skip


def _enough(passed: int, facts: SetFacts, section: CasesPolicy, easier: Collection[Changed] = ()) -> bool:
    """By whole cases: 0.9 of 20 are 18, whatever floating point makes of it. Those that were made easier count as not
    passed."""
    count = len(facts.results) + sum(case.retired for case in easier)
    passed -= sum(not case.retired for case in easier)
    return passed >= round(section.share * count, 9)


def _easier(facts: SetFacts) -> list[Changed]:
    """Of the cases that were changed since it did not pass them, those that are gone or that it passes now."""
    passes = {case.number for case in facts.results if case.verdict == "pass"}
    return [case for case in facts.changed if case.retired or case.number in passes]


def _agree(easier: Sequence[Changed]) -> str:
    """One person alone makes no case easier that their release did not pass."""
    told = "; ".join(case.words for case in easier[:NAMED])
    more = f"; and {len(easier) - NAMED:,} more" if len(easier) > NAMED else ""
    return (
        f"The release had not passed before that: {told}{more}. Two people have to agree to it, by a waiver."
    )


def _is_broken(case: CaseFact) -> bool:
    return case.must_pass and case.verdict != "pass"


def _must(name: str, facts: SetFacts, case: CaseFact) -> Result:
    return Result(
        gate=NAME, name=f"{name}: case {case.number}",
        verdict=Verdict.FAIL if case.verdict == "fail" else Verdict.INCONCLUSIVE,
        words=f"{_sentence(case)}.", need="this case passes", method=METHOD, n=1, evidence=f"caserun:{facts.run}",
    )  # fmt: skip


def _need(section: CasesPolicy) -> str:
    return (
        "all cases pass" if section.share == 1 else f"{number(100 * section.share, None)} % of the cases pass"
    )


def _words(passed: int, facts: SetFacts) -> str:
    count = len(facts.results)
    if passed == count:
        return "The case passes." if count == 1 else f"All {count:,} cases pass."
    others = sorted(
        (case for case in facts.results if case.verdict != "pass"),
        key=lambda case: (not _is_new(case), case.verdict != "fail", not case.must_pass, case.number),
    )
    told = "; ".join(_sentence(case) for case in others[:NAMED])
    more = f"; and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
    return f"{passed:,} of {count:,} cases pass. {told}{more}."


def _is_new(case: CaseFact) -> bool:
    return case.verdict == "fail" and case.before == "pass"


def _sentence(case: CaseFact) -> str:
    which = f"Case {case.number}" + (f" (“{case.title[:60]}”)" if case.title else "")
    if case.verdict == "undecided":
        what = "cannot be told"
    else:
        what = "passed before and fails now" if _is_new(case) else "fails"
    why = case.why.rstrip(".")[:200]
    return f"{which} {what}" + (f": {why}" if why else "")


def _judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.cases)


def lacking(policy: Policy) -> dict[str, str]:
    section = policy.cases
    if not section.case_set and not section.required:
        return {}
    there = [version.case_set.name for version in newest_versions()]
    if section.case_set and section.case_set not in there:
        return {"case_set": f"There is no set “{section.case_set}” with cases."}
    return {} if there else {"required": "Nobody has written cases, so no release could pass any."}


GATE = Gate(NAME, "Behavioural cases", _judge, waivable=True, lacking=lacking)
