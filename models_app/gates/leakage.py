"""Whether a release is judged on what it learnt: by the rows of its whole lineage and the examples in its prompts.

`leakage_checks` finds, this decides. From the policy's share on a find blocks; below it, down to a half, it is shown
for a look and blocks nothing. The difference that the release is approved for is said again on the clean subset,
without all documents that anything is like. No policy allows a waiver of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from django.db.models import QuerySet

from models_app.evaluation import statistics
from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import MINIMUM_DOCUMENTS, MetricComparison, from_stored
from models_app.gates.clean_comparisons import clean_comparison
from models_app.gates.gate import Gate, Judged
from models_app.gates.leakage_checks import check, learnt_from
from models_app.gates.public_sets import occurrences
from models_app.gates.results import Result, Verdict
from models_app.models import Comparison, DeclaredTraining, LeakageFinding, ModelVersion, PublicOccurrence
from models_app.texts.figures import interval, number, signed
from models_app.texts.needs import Between
from models_app.texts.overlaps import BLOCKS, LOOK, Learnt

NAME = "leakage"
METHOD = "shares of three-word phrases, counted on all of them"
_MOST = 0.9  # of the documents: with so many left, little was left out


@dataclass(frozen=True)
class LeakagePolicy:
    """`blocks`: from this share of one text in the other on, a find blocks. `clean_documents`: so many documents the
    difference without all finds needs. `public_sets`: whether test documents that occur in a known public set are
    shown, or block; `declared_sets`: the same for those that the base model is declared to have learnt."""

    LABELS: ClassVar = {
        "blocks": "Share of a text that blocks",
        "clean_documents": "Documents that the clean subset needs",
        "public_sets": "Test documents in known public sets",
        "declared_sets": "Test documents in sets that the base model is declared to have learnt",
    }
    HELP: ClassVar = {
        "blocks": "From 0.5 on a find is shown for a look.",
        "clean_documents": "Where a tenth or more had to be left out; else the gate is inconclusive.",
    }

    blocks: Annotated[float, Between(LOOK, BLOCKS)] = BLOCKS
    clean_documents: Annotated[int, Between(MINIMUM_DOCUMENTS, 100_000)] = 100
    public_sets: Literal["shown", "none allowed"] = "shown"
    declared_sets: Literal["shown", "none allowed"] = "shown"


# ---------------------------------------------------------------- facts


@dataclass(frozen=True)
class Public:
    """A known public set, or one that the base model is declared to have learnt. `documents` of the test set occur in
    it; None where it is not known by fingerprints."""

    name: str
    documents: int | None
    declared: bool = False


@dataclass(frozen=True)
class Facts:
    """`strongest`: of each test document that has a find, the largest share, by what it was found in; rows of snapshots
    and prompts apart. `clean`, `whole`: the primary metric without these documents, and on all."""

    documents: int
    snapshots: int
    frozen_rows: int  # that the snapshots say they have
    rows: int
    texts: int
    too_short: int
    in_rows: Mapping[int, tuple[float, Learnt]]
    in_prompts: Mapping[int, tuple[float, Learnt]]
    left_out: int
    clean: MetricComparison | None
    whole: MetricComparison | None = None
    resamples: int = 0
    public: Sequence[Public] = ()
    unknown_bases: Sequence[str] = field(default=())
    evidence: str = ""
    clean_evidence: str = ""


def facts_of(judged: Judged) -> Facts:
    comparison = judged.comparison
    evaluation_set = comparison.candidate.evaluation_set
    found = check(release=judged.release, evaluation_set=evaluation_set, progress=judged.progress)
    judged.progress("clean subset")
    clean = clean_comparison(comparison=comparison, check=found)
    metric = judged.policy.primary.metric
    stored = next((row for row in clean.results if row["metric"] == metric), None)
    judged.progress("public sets")
    lineage = learnt_from(judged.release)
    findings = LeakageFinding.objects.filter(check_run=found)
    return Facts(
        documents=found.documents,
        snapshots=len(lineage.snapshots),
        frozen_rows=lineage.rows,
        rows=found.training_rows,
        texts=found.texts,
        too_short=found.too_short,
        in_rows=_strongest(findings.filter(prompt_version=None)),
        in_prompts=_strongest(findings.filter(row=None)),
        left_out=clean.left_out,
        clean=None if stored is None else from_stored(stored),
        whole=_whole(comparison, metric),
        resamples=comparison.resamples,
        public=_public(occurrences(evaluation_set, digest=found.test_digest), lineage.origins),
        unknown_bases=[str(version) for version in lineage.origins],
        evidence=f"leakagecheck:{found.pk}",
        clean_evidence=f"cleancomparison:{clean.pk}",
    )


def _whole(comparison: Comparison, metric: str) -> MetricComparison | None:
    rows = comparison.results.filter(against="baseline", slice=statistics.EVERYTHING, metric=metric)
    stored = rows.values(*statistics.STORED).first()
    return None if stored is None else from_stored(stored)


def _strongest(findings: QuerySet[LeakageFinding]) -> dict[int, tuple[float, Learnt]]:
    rows = findings.order_by("-share", "position").values_list("example", "share", "learnt")
    found: dict[int, tuple[float, Learnt]] = {}
    for example, share, learnt in rows.iterator(chunk_size=2000):
        found.setdefault(example, (share, Learnt(learnt)))
    return found


def _public(found: Sequence[PublicOccurrence], origins: Sequence[ModelVersion]) -> list[Public]:
    declared = DeclaredTraining.objects.filter(model_version__in=origins).order_by("name", "pk")
    names = {row.name.casefold(): row.name for row in declared}
    known = {row.of.name.casefold() for row in found}
    return [
        *(Public(row.of.name, row.count, row.of.name.casefold() in names) for row in found),
        *(Public(name, None, True) for key, name in names.items() if key not in known),
    ]


# ---------------------------------------------------------------- deciding


def judge_facts(facts: Facts, section: LeakagePolicy, *, metric: str, margin: float) -> list[Result]:
    """`metric` and `margin`: what the policy calls primary, and what loss of it does not count."""
    return [
        _rows(facts, section),
        _prompts(facts, section),
        _clean(facts, section, metric, margin),
        _declared(facts, section),
        _others(facts, section),
    ]


def _rows(facts: Facts, section: LeakagePolicy) -> Result:
    if not facts.documents:
        return _found("training rows", Verdict.ERROR, "The test set has no documents.", facts, section)
    found = _shares("training rows", facts.in_rows, _many(facts.rows, "training row"), facts, section)
    if found.verdict is Verdict.FAIL:
        return found
    if not facts.snapshots:
        words = "The model was not trained here, so there are no rows to compare."
        return _found("training rows", Verdict.PASS, words, facts, section)
    if not facts.rows:
        words = (
            "The snapshots that the model was trained on have no rows: nobody can read what it learnt from."
        )
        return _found("training rows", Verdict.ERROR, words, facts, section)
    if facts.rows != facts.frozen_rows:
        words = f"The snapshots were frozen with {_many(facts.frozen_rows, 'row')}, and there are {facts.rows:,} now."
        return _found("training rows", Verdict.ERROR, words, facts, section)
    return found


def _prompts(facts: Facts, section: LeakagePolicy) -> Result:
    return _shares("prompts", facts.in_prompts, "the prompts", facts, section)


def _shares(
    name: str,
    strongest: Mapping[int, tuple[float, Learnt]],
    where: str,
    facts: Facts,
    section: LeakagePolicy,
) -> Result:
    blocking = {document: found for document, found in strongest.items() if found[0] >= section.blocks}
    look = len(strongest) - len(blocking)
    documents = _many(facts.documents, "test document")
    if blocking:
        kinds = Counter(learnt for _, learnt in blocking.values())
        as_what = ", ".join(f"{count:,} as {_AS[learnt]}" for learnt, count in kinds.most_common())
        words = (
            f"{len(blocking):,} of {documents} {'are' if len(blocking) > 1 else 'is'} in {where}: {as_what}."
        )
    else:
        words = f"None of {documents} is in {where}."
    if look:
        words += f" {look:,} {'have' if look > 1 else 'has'} about half of a text in common: look at them."
    verdict = Verdict.FAIL if blocking else Verdict.PASS
    return _found(name, verdict, words, facts, section, estimate=float(len(blocking)), threshold=0.0)


_AS = {
    Learnt.DOCUMENT: "the same document",
    Learnt.ARTICLE: "an article",
    Learnt.SUMMARY: "a summary",
    Learnt.DRAFT: "a rejected draft",
    Learnt.PROMPT: "an example in a prompt",
    Learnt.PASSAGE: "an example in a prompt",
}


def _found(
    name: str, verdict: Verdict, words: str, facts: Facts, section: LeakagePolicy, **figures: float
) -> Result:
    percent = number(100 * section.blocks, None)
    return Result(
        gate=NAME,
        name=name,
        verdict=verdict,
        words=words,
        need=f"no test document with {percent} % of a text",
        method=METHOD,
        n=facts.documents,
        unit="test documents",
        evidence=facts.evidence,
        **figures,
    )


def _clean(facts: Facts, section: LeakagePolicy, key: str, margin: float) -> Result:
    metric = METRICS[key]
    left = facts.documents - facts.left_out
    found = facts.clean
    unit = f" {metric.unit}" if metric.unit else ""
    figures: dict[str, float | None] = {}
    if found is not None:
        figures = {"estimate": found.delta, "low": found.low, "high": found.high}
    if found is None and left:
        verdict, words = Verdict.ERROR, f"The comparison has no figures for {metric.label}."
    elif facts.left_out and (found is None or found.low is None or _too_few(left, facts, section)):
        verdict = Verdict.INCONCLUSIVE
        words = (
            f"{facts.left_out:,} of {_many(facts.documents, 'document')} are like something the model learnt; the "
            f"{left:,} that are left are too few to judge by. Evaluate on more documents that it has not seen."
        )
    elif found is None or found.low is None or found.high is None or found.p_adjusted is None:
        verdict = Verdict.PASS  # nothing was left out, and how few there are other gates say
        words = "Nothing was left out: what was found of all documents holds."
    else:
        moved = f"{metric.label} {signed(found.delta, 2)}{unit} ({interval(found.low, found.high, 2)})"
        verdict, words = Verdict.PASS, f"Nothing was left out: {moved}, as on all documents."
        if facts.left_out:
            outcome, on_all = _outcome(found, metric, margin), _outcome(facts.whole, metric, margin)
            words = f"Without {_many(facts.left_out, 'document')} like something the model learnt: {moved}, "
            words += f"{outcome}."
            # where all documents say so as well, it is for the gate of the metric to judge
            if outcome is statistics.Verdict.WORSE and on_all is not statistics.Verdict.WORSE:
                verdict = Verdict.FAIL
    return Result(
        gate=NAME,
        name="clean subset",
        verdict=verdict,
        words=words,
        need="not worse without the documents that anything is like",
        method=f"paired bootstrap, {facts.resamples:,} resamples, and a swap test",
        n=left,
        unit=metric.unit,
        threshold=0.0,
        evidence=facts.clean_evidence,
        **figures,
    )


def _too_few(left: int, facts: Facts, section: LeakagePolicy) -> bool:
    """Only where much was left out: a test set that is small as it is, the gates of the metrics judge."""
    return left < min(section.clean_documents, _MOST * facts.documents)


def _outcome(found: MetricComparison | None, metric: Metric, margin: float) -> statistics.Verdict:
    if found is None or found.low is None or found.high is None or found.p_adjusted is None:
        return statistics.Verdict.INCONCLUSIVE
    return statistics.verdict(
        low=found.low, high=found.high, p=found.p_adjusted, better=metric.better, margin=margin
    )


def _declared(facts: Facts, section: LeakagePolicy) -> Result:
    sets = [one for one in facts.public if one.declared]
    return _sets(
        "declared training sets", sets, section.declared_sets, facts,
        nothing=_nothing_declared(facts), seen="which the base model is declared to have learnt",
    )  # fmt: skip


def _nothing_declared(facts: Facts) -> str:
    if not facts.unknown_bases:
        return "The model is not made from one that was trained elsewhere."
    return f"Nobody has declared what {' and '.join(facts.unknown_bases)} learnt from, so nothing is known about it."


def _others(facts: Facts, section: LeakagePolicy) -> Result:
    sets = [one for one in facts.public if not one.declared]
    return _sets(
        "public sets", sets, section.public_sets, facts,
        nothing="No public set is known here, so it is not known which test documents lie about in one.",
        seen="so a base model may have learnt them",
    )  # fmt: skip


def _sets(name: str, sets: Sequence[Public], rule: str, facts: Facts, *, nothing: str, seen: str) -> Result:
    """Shown, unless the policy says that they block; then what is not known does not pass."""
    hit = [one for one in sets if one.documents]
    unknown = [one.name for one in sets if one.documents is None]
    parts = [
        f"{one.documents:,} of {_many(facts.documents, 'test document')} occur in {one.name}" for one in hit
    ]
    words = f"{'; '.join(parts)}, {seen}." if parts else ""
    if unknown:
        words += f" {', '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} not known by fingerprints."
    if not words:
        words = (
            f"None of the test documents occurs in {', '.join(one.name for one in sets)}."
            if sets
            else nothing
        )
    verdict = Verdict.PASS
    if rule != "shown" and hit:
        verdict = Verdict.FAIL
    elif rule != "shown" and (unknown or (not sets and facts.unknown_bases)):
        verdict = Verdict.INCONCLUSIVE
    return Result(
        gate=NAME,
        name=name,
        verdict=verdict,
        words=words.strip(),
        need="shown, does not block" if rule == "shown" else "none allowed",
        method="the lowest 64 hashes of three-word phrases",
        n=facts.documents,
        estimate=float(max((one.documents or 0 for one in sets), default=0)),
        unit="test documents",
        evidence=facts.evidence,
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _judge(judged: Judged) -> list[Result]:
    primary = judged.policy.primary
    return judge_facts(facts_of(judged), judged.policy.leakage, metric=primary.metric, margin=primary.margin)


GATE = Gate(NAME, "Leakage", _judge)
