"""Running cases: what a release writes for each, and whether it holds. What is there already is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Protocol

from django.db import transaction
from django.db.models.functions import Length
from django.utils import timezone

from models_app.cases import assertions
from models_app.cases.assertions import Assertion, Written, assertion_of, changes_of
from models_app.cases.changes import Article
from models_app.foundation import audit
from models_app.models import CaseResult, CaseRun, CaseSetVersion, CaseVersion, Release
from models_app.texts import measures

BATCH = 32  # articles, changed ones included


class Output(Protocol):
    @property
    def text(self) -> str: ...


#: Summaries of (text, title, domain) triples, in the same order: `engines.ReleaseEngine.write`.
Write = Callable[[Sequence[tuple[str, str, str]]], Sequence[Output]]


def signature() -> str:
    """What judges cases: results of two signatures are not compared."""
    return f"cases-{assertions.VERSION}+measures-{measures.VERSION}"


# ---------------------------------------------------------------- what there is to run


def newest_versions() -> list[CaseSetVersion]:
    """Of each set that has cases, by name. 1 query."""
    newest = CaseSetVersion.objects.order_by("case_set_id", "-number").distinct("case_set_id")
    rows = CaseSetVersion.objects.filter(pk__in=newest.values("pk"), cases__gt=0)
    return list(rows.select_related("case_set").order_by("case_set__name"))


def missing_runs(release: Release) -> list[CaseSetVersion]:
    """Which of these the release has not been run on, or not to the end. 2 queries."""
    finished = CaseRun.objects.filter(release=release, signature=signature(), finished_at__isnull=False)
    done = set(finished.values_list("set_version", flat=True))
    return [version for version in newest_versions() if version.pk not in done]


# ---------------------------------------------------------------- running them


def run_cases(
    *,
    release: Release,
    versions: Sequence[CaseSetVersion],
    write: Write,
    progress: Callable[[int, int], None],
) -> list[CaseRun]:
    """Every case of these versions, by what `write` writes. May be stopped at any line, and run twice: each result is
    written once. `progress` is told how many cases are done, of how many."""
    total = sum(version.cases for version in versions)
    done = 0
    runs = []

    def told(count: int) -> None:
        progress(done + count, total)

    for version in versions:
        run, _ = CaseRun.objects.get_or_create(release=release, set_version=version, signature=signature())
        _carry_out(run, version, write, told)
        done += version.cases
        runs.append(run)
    return runs


def _carry_out(run: CaseRun, version: CaseSetVersion, write: Write, progress: Callable[[int], None]) -> None:
    if run.finished_at is not None:
        return
    there = CaseResult.objects.filter(run=run).values("case")
    rows = CaseVersion.objects.of(version).exclude(pk__in=there).defer("article")
    # neighbours of similar length make full batches
    missing = list(rows.order_by(Length("article"), "number"))
    done = version.cases - len(missing)
    for batch in _batches(missing):
        progress(done)
        _keep(run, _results(run, batch, write))
        done += len(batch)
    _finish(run, version)


def _keep(run: CaseRun, results: Sequence[CaseResult]) -> None:
    """Those that another process has written meanwhile stay as they are; so does a run that it has finished."""
    with transaction.atomic():
        if CaseRun.objects.select_for_update().get(pk=run.pk).finished_at is None:
            CaseResult.objects.bulk_create(results, ignore_conflicts=True)


def _batches(cases: Sequence[CaseVersion]) -> list[list[CaseVersion]]:
    """As many cases at a time as make a full batch of articles."""
    batches: list[list[CaseVersion]] = []
    size = BATCH
    for case in cases:
        articles = 1 + len(changes_of(_read(case)))
        if size + articles > BATCH:
            batches.append([])
            size = 0
        batches[-1].append(case)
        size += articles
    return batches


def _read(case: CaseVersion) -> list[Assertion]:
    return [assertion_of(values) for values in case.assertions]


def article_of(case: CaseVersion) -> Article:
    return Article(case.article, case.title, case.domain)


def _results(run: CaseRun, batch: Sequence[CaseVersion], write: Write) -> list[CaseResult]:
    cases = list(CaseVersion.objects.filter(pk__in=[case.pk for case in batch]))
    articles = [variant for case in cases for variant in _variants(case)]
    outputs = iter(write([(article.text, article.title, article.domain) for article in articles]))
    rows = []
    for case in cases:
        read = _read(case)
        output = next(outputs).text
        changed = {key: next(outputs).text for key in changes_of(read)}
        verdict, findings = assertions.judge(read, Written(article_of(case), output, changed))
        rows.append(
            CaseResult(
                run=run,
                case=case,
                output=output,
                changed=changed,
                verdict=verdict.value,
                findings=[{"outcome": found.outcome.value, "words": found.words} for found in findings],
            )
        )
    return rows


def _variants(case: CaseVersion) -> list[Article]:
    """The article, then its changed ones, in the order in which they are read above."""
    article = article_of(case)
    return [article, *(change.make(article) for change in changes_of(_read(case)).values())]


def results_digest(run: CaseRun) -> str:
    """Over the results as they are now, with the cases that they are of."""
    digest = hashlib.sha256(run.signature.encode())
    rows = CaseResult.objects.filter(run=run).order_by("case__number")
    for row in rows.values_list(
        "case__number", "case__digest", "output", "changed", "verdict", "findings"
    ).iterator():
        digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


def judged_again(result: CaseResult) -> str:
    """The verdict that a result's outputs give."""
    written = Written(article_of(result.case), result.output, result.changed)
    return assertions.judge(_read(result.case), written)[0].value


def _finish(run: CaseRun, version: CaseSetVersion) -> None:
    with transaction.atomic():
        verdicts = list(CaseResult.objects.filter(run=run).values_list("verdict", flat=True))
        if len(verdicts) != version.cases:
            raise RuntimeError(f"{run} has {len(verdicts)} of {version.cases} results.")
        now, digest = timezone.now(), results_digest(run)
        if CaseRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=now, digest=digest):
            run.finished_at, run.digest = now, digest
            audit.record(
                actor=None, action="cases.run", subject=run,
                data={"release": run.release_id, "cases": str(version), "passed": verdicts.count("pass"),
                      "of": version.cases},
            )  # fmt: skip
