"""Did it get worse for some documents: a domain, a length, a language, or any other field of the test set?

The policy names one metric, the fields and the least number of documents before anybody looks, so that Holm's
correction is over all slices of that metric and alarms in at most one release of twenty that changed nothing
(`benchmarks/gate_calibration.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from django.db.models import F, Func, TextField

from models_app.evaluation.comparing import ROUGE
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.slices import (
    LONGEST_FIELD,
    OWN_FIELDS,
    USUAL_FIELDS,
    Document,
    Report,
    judge_slices,
    slices_of,
)
from models_app.evaluation.statistics import Gap, MetricComparison
from models_app.evaluation.statistics import Verdict as Judgement
from models_app.evaluation.terms import PRIMARY, SLICE_FLOOR
from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import EvaluationExample, ExampleScore
from models_app.texts.figures import number, signed
from models_app.texts.needs import Between, OneOf, SomeOf

if TYPE_CHECKING:
    from models_app.gates.policy import Policy

NAME = "slices"
FIELDS = tuple(field for field in OWN_FIELDS if field != "source")
METHOD = "paired bootstrap and approximate randomization, Holm over all slices of one metric"
METHOD_OF_GAPS = "difference of two means, Welch, bounds that hold for all groups together"


@dataclass(frozen=True)
class SlicesPolicy:
    LABELS: ClassVar = {
        "metric": "Metric",
        "fields": "Documents are cut by",
        "floor": "Documents that a slice needs for a verdict of its own",
        "margin": "Loss that still counts as not worse",
        "every": "Each slice has to exclude such a loss",
        "gap": "Points that a group may gain less than the others",
    }
    HELP: ClassVar = {
        "metric": "One, so that it is named before anybody looks.",
        "fields": "Without any, slices are not judged. Others are those that documents of test sets came with.",
        "floor": "Smaller slices are counted and not judged.",
        "margin": "In points.",
        "every": "Otherwise none may be certainly worse.",
    }

    metric: Annotated[str, OneOf(ROUGE)] = PRIMARY
    fields: Annotated[tuple[str, ...], SomeOf(FIELDS, others=Between(1, LONGEST_FIELD))] = USUAL_FIELDS
    floor: Annotated[int, Between(10, 100_000)] = SLICE_FLOOR
    margin: Annotated[float, Between(0.1, 100)] = METRICS[PRIMARY].margin
    every: bool = False
    gap: Annotated[float, Between(0.1, 100)] = 3.0


@dataclass(frozen=True)
class Facts:
    """`report` is None where no field of the policy tells documents of this test set apart. `absent`: fields that the
    policy names beside Galley's own and that no document of it has."""

    comparison: int
    documents: int
    report: Report | None
    absent: tuple[str, ...] = ()


def facts_of(judged: Judged) -> Facts:
    """2 queries."""
    section: SlicesPolicy = judged.policy.slices
    comparison = judged.comparison
    after = _scores(comparison.candidate_id, section.metric)
    before = _scores(comparison.baseline_id, section.metric)
    if [row["example"] for row in after] != [row["example"] for row in before] or len(after) != comparison.n:
        raise ValueError(
            f"comparison {comparison.pk} has {comparison.n} documents, its evaluations have {len(after)} and "
            f"{len(before)} that are not the same"
        )
    documents = [
        Document(
            len(row["example__source"].split()), {**row["example__fields"], "domain": row["example__domain"]}
        )
        for row in after
    ]
    slices = slices_of(documents, section.fields)
    report = None
    if slices:
        judged.progress("judging slices")
        report = judge_slices(
            _values(before, section.metric),
            _values(after, section.metric),
            METRICS[section.metric],
            slices,
            floor=section.floor,
            margin=section.margin,
            seed=comparison.seed,
            resamples=comparison.resamples,
        )
    there = {name for document in documents for name in document.fields}
    absent = tuple(name for name in section.fields if name not in FIELDS and name not in there)
    return Facts(comparison.pk, len(after), report, absent)


def _scores(run: int, metric: str) -> list[dict[str, Any]]:
    rows = ExampleScore.objects.filter(run=run).order_by("example__position")
    return list(rows.values("example", "example__domain", "example__fields", "example__source", metric))


def _values(rows: Sequence[dict[str, Any]], metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([row[metric] for row in rows], dtype=np.float64)


def judge_facts(facts: Facts, section: SlicesPolicy) -> list[Result]:
    evidence = f"comparison:{facts.comparison}"
    return [*_of_report(facts, section, evidence), *(_absent(name, facts, evidence) for name in facts.absent)]


def _absent(field: str, facts: Facts, evidence: str) -> Result:
    return Result(
        NAME, field, Verdict.INCONCLUSIVE, f"None of the {facts.documents:,} documents has a field “{field}”, by which "
        "the policy asks to cut them. Evaluate on a test set whose documents have it.", "documents with this field",
        METHOD, n=facts.documents, evidence=evidence,
    )  # fmt: skip


def _of_report(facts: Facts, section: SlicesPolicy, evidence: str) -> list[Result]:
    need = f"at least {section.floor:,} documents in a slice"
    report = facts.report
    if report is None:
        return [
            Result(
                NAME, "", Verdict.PASS, f"All {facts.documents:,} documents are alike in {_and(section.fields)}: the "
                "whole is the only slice.", "no slice that got worse", METHOD, n=facts.documents, evidence=evidence,
            )
        ]  # fmt: skip
    if not report.judged:
        return [
            Result(
                NAME, "", Verdict.INCONCLUSIVE, f"None of the {len(report.slices)} slices of {facts.documents:,} "
                f"documents has {section.floor:,}, so none could be judged. Evaluate on a larger test set, or lower "
                "the floor in the policy.", need, METHOD, n=facts.documents, evidence=evidence,
            )
        ]  # fmt: skip
    return [
        *(_slice(row, section, evidence) for row in report.slices),
        *(_gap(gap, section, evidence) for gap in _widest(report)),
    ]


def _slice(row: MetricComparison, section: SlicesPolicy, evidence: str) -> Result:
    metric = METRICS[row.metric]
    lost = f"a loss of {number(section.margin, 1)} points"
    need = f"{lost} or more excluded" if section.every else "not worse by more than chance and the margin"
    if row.low is None or row.high is None:
        return Result(
            NAME, row.slice, Verdict.PASS, f"{row.n:,} documents, under the floor of {section.floor:,}: not judged by "
            "itself, only with all documents.", "no verdict of its own", METHOD, n=row.n, unit="points",
            evidence=evidence,
        )  # fmt: skip
    figures = f"{metric.label} {signed(row.delta, 1)} [{signed(row.low, 1)}, {signed(row.high, 1)}]"
    verdict, words = _judgement(row, section, lost)
    return Result(
        NAME, row.slice, verdict, f"{figures}: {words}.", need, METHOD, estimate=row.delta, low=row.low, high=row.high,
        threshold=-section.margin, n=row.n, unit="points", evidence=evidence,
    )  # fmt: skip


def _judgement(row: MetricComparison, section: SlicesPolicy, lost: str) -> tuple[Verdict, str]:
    if row.verdict is Judgement.WORSE:
        return Verdict.FAIL, "worse, after correction for the number of slices"
    if row.verdict is Judgement.INCONCLUSIVE:
        more = f"; about {row.more_needed:,} more documents would tell" if row.more_needed else ""
        verdict = Verdict.INCONCLUSIVE if section.every else Verdict.PASS
        return verdict, f"not found to be worse, {lost} is not excluded{more}"
    if row.verdict is Judgement.IMPROVED:
        return Verdict.PASS, "improved"
    return Verdict.PASS, f"{lost} is excluded"


def _widest(report: Report) -> list[Gap]:
    """Of each field the group that gained least beside the others."""
    fields: dict[str, Gap] = {}
    for gap in report.gaps:
        field = gap.group.partition(": ")[0]
        if field not in fields or gap.delta < fields[field].delta:
            fields[field] = gap
    return list(fields.values())


def _gap(gap: Gap, section: SlicesPolicy, evidence: str) -> Result:
    field, _, group = gap.group.partition(": ")
    field = {"source": "length"}.get(field, field)
    behind = gap.high < -section.gap
    conclusion = (
        f"left behind by more than {number(section.gap, 1)} points"
        if behind
        else "no difference between the groups beyond chance" if gap.low <= 0 <= gap.high
        else "gained less than the others" if gap.high < 0
        else "gained no less than the others"
    )  # fmt: skip
    return Result(
        NAME, f"{field}, least and others", Verdict.FAIL if behind else Verdict.PASS,
        f"“{group}” gained {signed(gap.delta, 1)} points [{signed(gap.low, 1)}, {signed(gap.high, 1)}] against the "
        f"{gap.others:,} other documents: {conclusion}.",
        f"no group certainly more than {number(section.gap, 1)} points behind", METHOD_OF_GAPS, estimate=gap.delta,
        low=gap.low, high=gap.high, threshold=-section.gap, n=gap.n, unit="points", evidence=evidence,
    )  # fmt: skip


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.slices)


def fields_of_test_sets() -> list[str]:
    """That their documents came with, beside Galley's own. 1 query."""
    names = EvaluationExample.objects.exclude(fields={}).values_list(
        Func(F("fields"), function="jsonb_object_keys", output_field=TextField()), flat=True
    )
    return sorted(set(names.order_by().distinct()).difference(OWN_FIELDS))


def lacking(policy: Policy) -> dict[str, str]:
    others = set(policy.slices.fields).difference(FIELDS)
    unknown = sorted(others.difference(fields_of_test_sets())) if others else []
    if not unknown:
        return {}
    return {"fields": f"No document of a test set has a field “{unknown[0]}”."}


GATE = Gate(
    NAME, "Slices", judge, waivable=True, applies=lambda policy: bool(policy.slices.fields), lacking=lacking
)
