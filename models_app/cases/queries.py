"""What pages, commands and gates read of cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from models_app.cases.assertions import Outcome, Test, assertion_of, changes_of
from models_app.cases.running import article_of, judged_again, newest_versions, results_digest, signature
from models_app.cases.writing import digest_of, digest_of_version
from models_app.models import CaseResult, CaseRun, CaseSet, CaseSetVersion, CaseVersion, Release

# ---------------------------------------------------------------- sets and cases


@dataclass(frozen=True)
class SetRow:
    case_set: CaseSet
    version: CaseSetVersion | None  # none where it never had a case


def set_rows() -> list[SetRow]:
    """2 queries."""
    newest = CaseSetVersion.objects.order_by("case_set_id", "-number").distinct("case_set_id")
    versions = {version.case_set_id: version for version in newest.select_related("made_by")}
    return [SetRow(row, versions.get(row.pk)) for row in CaseSet.objects.all()]


def version_of(case_set: CaseSet, number: int | None = None) -> CaseSetVersion | None:
    rows = CaseSetVersion.objects.filter(case_set=case_set).select_related("case_set", "made_by")
    return (rows.filter(number=number) if number is not None else rows.order_by("-number")).first()


def cases_of(version: CaseSetVersion | None) -> QuerySet[CaseVersion]:
    return CaseVersion.objects.none() if version is None else CaseVersion.objects.of(version)


def case_history(case_set: CaseSet, number: int) -> list[CaseVersion]:
    """Every row of the case, the newest first."""
    rows = CaseVersion.objects.filter(set_version__case_set=case_set, number=number)
    return list(
        rows.select_related("set_version__case_set", "set_version__made_by").order_by("-set_version__number")
    )


@dataclass(frozen=True)
class Change:
    """A version of a set, and what it changed: numbers of cases."""

    version: CaseSetVersion
    added: list[int]
    edited: list[int]
    retired: list[int]


def changes(versions: Sequence[CaseSetVersion]) -> list[Change]:
    """2 queries, for versions of one set."""
    if not versions:
        return []
    rows = CaseVersion.objects.filter(set_version__case_set=versions[0].case_set_id)
    first: dict[int, int] = {}
    made: dict[int, Change] = {version.number: Change(version, [], [], []) for version in versions}
    order = rows.order_by("set_version__number", "number")
    for at, number, retired in order.values_list("set_version__number", "number", "retired"):
        began = first.setdefault(number, at)
        if at in made:
            told = made[at]
            (told.retired if retired else told.added if began == at else told.edited).append(number)
    return [made[version.number] for version in versions]


def assertion_words(case: CaseVersion) -> list[str]:
    return [assertion_of(values).words() for values in case.assertions]


def kinds_of_test(case: CaseVersion) -> list[str]:
    """Those that its assertions are of, in the order of `Test`."""
    found = {assertion_of(values).test for values in case.assertions}
    return [test.value for test in Test if test in found]


# ---------------------------------------------------------------- runs and results


@dataclass(frozen=True)
class RunRow:
    run: CaseRun
    passed: int
    failed: int
    undecided: int

    @property
    def done(self) -> int:
        return self.passed + self.failed + self.undecided


def run_rows(runs: QuerySet[CaseRun]) -> list[RunRow]:
    """1 query."""
    counts = {
        name: Count("results", filter=Q(results__verdict=verdict))
        for name, verdict in (("passed", "pass"), ("failed", "fail"), ("undecided", "undecided"))
    }
    rows = runs.select_related("set_version__case_set", "release__model_version").annotate(**counts)
    return [
        RunRow(run, run.passed, run.failed, run.undecided)  # type: ignore[attr-defined]
        for run in rows.order_by("-pk")
    ]


def runs_of(release: Release) -> list[RunRow]:
    """The newest of each set. 2 queries."""
    newest = CaseRun.objects.filter(release=release).order_by("set_version__case_set_id", "-pk")
    return run_rows(CaseRun.objects.filter(pk__in=newest.distinct("set_version__case_set_id").values("pk")))


@dataclass(frozen=True)
class Asserted:
    words: str
    test: str
    outcome: str
    found: str
    change: str  # how the article was changed, in words; nothing where it was not
    output: str  # what was written for the changed article


@dataclass(frozen=True)
class ResultRow:
    result: CaseResult
    before: str  # the verdict of another release on the same row of the case; nothing where there is none
    asserted: list[Asserted]

    @property
    def is_new_failure(self) -> bool:
        return self.result.verdict == Outcome.FAIL and self.before == Outcome.PASS


def verdicts_before(cases: Collection[int], *, release: int | None) -> dict[int, str]:
    """By id of the case's row, what this release's newest result says. 1 query, or none without a release."""
    if release is None:
        return {}
    rows = CaseResult.objects.filter(case__in=cases, run__release=release, run__signature=signature())
    return dict(rows.order_by("run_id").values_list("case", "verdict"))


def result_rows(results: Sequence[CaseResult], before: Mapping[int, str]) -> list[ResultRow]:
    """Results with their cases."""
    return [ResultRow(row, before.get(row.case_id, ""), _asserted(row)) for row in results]


def _asserted(row: CaseResult) -> list[Asserted]:
    told = []
    for values, found in zip(row.case.assertions, row.findings, strict=True):
        assertion = assertion_of(values)
        change = assertion.change()
        told.append(
            Asserted(
                words=assertion.words(),
                test=assertion.test.value,
                outcome=found["outcome"],
                found=found["words"],
                change=change.words if change else "",
                output=row.changed.get(change.key, "") if change else "",
            )
        )
    return told


def changed_articles(case: CaseVersion) -> list[tuple[str, str]]:
    """(in words, text) of each changed article, as releases were given it."""
    read = [assertion_of(values) for values in case.assertions]
    return [(change.words, change.make(article_of(case)).text) for change in changes_of(read).values()]


# ---------------------------------------------------------------- what a gate asks


@dataclass(frozen=True)
class CaseFact:
    number: int
    title: str
    must_pass: bool
    verdict: str
    before: str  # what the release before made of the same; nothing where that is not known
    why: str


@dataclass(frozen=True)
class Changed:
    """A case that a release did not pass, and what became of it since."""

    number: int
    must_pass: bool  # when it was not passed
    retired: bool  # else edited
    by: int | None
    words: str


@dataclass(frozen=True)
class SetFacts:
    """`changed`: what would count had nobody changed it. A set without cases is there for that alone."""

    name: str
    version: int
    cases: int
    run: int | None  # none where the release was not run on this version to the end
    results: tuple[CaseFact, ...] = ()
    problem: str = ""  # why none of it is to be believed
    changed: tuple[Changed, ...] = ()


def facts_of(*, release: Release, before: Release | None) -> list[SetFacts]:
    """Of the newest version of every set that has cases; what was found is read and judged again."""
    runs = {
        run.set_version_id: run
        for run in CaseRun.objects.filter(release=release, signature=signature(), finished_at__isnull=False)
    }
    changed = changed_after_failing(release)
    facts = []
    for version in newest_versions():
        run = runs.get(version.pk)
        facts.append(
            SetFacts(
                name=version.case_set.name,
                version=version.number,
                cases=version.cases,
                run=run.pk if run else None,
                results=_case_facts(run, before) if run else (),
                problem=_rewritten(run, version) if run else "",
                changed=tuple(changed.pop(version.case_set, ())),
            )
        )
    return facts + [_emptied(case_set, tuple(rows)) for case_set, rows in changed.items()]


def _emptied(case_set: CaseSet, changed: tuple[Changed, ...]) -> SetFacts:
    newest = version_of(case_set)
    return SetFacts(case_set.name, newest.number if newest else 0, 0, None, changed=changed)


def changed_after_failing(release: Release) -> dict[CaseSet, list[Changed]]:
    """By set the cases that this release, or another one of the same content, did not pass in a version of the set, and
    that somebody retired or edited in a later one. 1 query where it passed all, else 2."""
    wanting = CaseResult.objects.filter(run__release__digest=release.digest).exclude(verdict=Outcome.PASS)
    failed: dict[tuple[int, int], tuple[int, bool]] = {}
    rows = wanting.order_by("-run__set_version__number")
    for case_set, version, number, must_pass in rows.values_list(
        "run__set_version__case_set", "run__set_version__number", "case__number", "case__must_pass"
    ):
        failed[case_set, number] = (version, must_pass)  # where it failed first
    if not failed:
        return {}
    found: dict[CaseSet, dict[int, Changed]] = {}
    later = CaseVersion.objects.filter(
        set_version__case_set__in={case_set for case_set, _ in failed},
        number__in={number for _, number in failed},
    )
    for row in later.select_related("set_version__case_set", "set_version__made_by").order_by(
        "set_version__number"
    ):
        made = row.set_version
        version, must_pass = failed.get((made.case_set_id, row.number), (made.number, False))
        if made.number > version:
            by = made.made_by.get_username() if made.made_by is not None else "Galley"
            did = "retired" if row.retired else "edited"
            found.setdefault(made.case_set, {})[row.number] = Changed(
                row.number, must_pass, row.retired, made.made_by_id,
                f"{by} {did} case {row.number} in version {made.number} (“{made.reason[:80]}”)",
            )  # fmt: skip
    return {case_set: list(changed.values()) for case_set, changed in found.items()}


def _case_facts(run: CaseRun, before: Release | None) -> tuple[CaseFact, ...]:
    rows: Any = CaseResult.objects.filter(run=run).order_by("case__number")
    rows = list(
        rows.values_list("case", "case__number", "case__title", "case__must_pass", "verdict", "findings")
    )
    known = verdicts_before([row[0] for row in rows], release=before.pk if before else None)
    return tuple(
        CaseFact(number, title, must_pass, verdict, known.get(pk, ""), _why(verdict, findings))
        for pk, number, title, must_pass, verdict, findings in rows
    )


def _why(verdict: str, findings: Sequence[Mapping[str, str]]) -> str:
    """The first thing that decided the verdict."""
    if verdict == Outcome.PASS:
        return ""
    return next((found["words"] for found in findings if found["outcome"] == verdict), "")


def _rewritten(run: CaseRun, version: CaseSetVersion) -> str:
    """What is not as it was when it was written, as a sentence; or nothing."""
    digests = {}
    for case in CaseVersion.objects.of(version).iterator(chunk_size=50):
        if digest_of(case) != case.digest:
            return f"The words of {case} of {version} are not those that were saved."
        digests[case.number] = case.digest
    if digest_of_version(digests) != version.digest:
        return f"The cases of {version} are not those that it was made of."
    if results_digest(run) != run.digest:
        return f"The results of {run} are not those that were written."
    rows = CaseResult.objects.filter(run=run).select_related("case")
    for result in rows.iterator(chunk_size=50):
        if judged_again(result) != result.verdict:
            return f"The result of {result.case} of {version} is not what its summary gives."
    return ""
