"""The primary metric, which has to be not worse (or improved), and those beside it that must not get worse.

The comparison has computed the intervals; the margins are applied here as the policy has them now, so that a policy
that was changed since asks for no new comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from models_app.evaluation import statistics
from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import EVERYTHING, MINIMUM_DOCUMENTS
from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import ComparisonResult, EvaluationSet
from models_app.texts.figures import number
from models_app.texts.needs import Between, NumberFor, OneOf

if TYPE_CHECKING:
    from models_app.gates.policy import Policy

#: Those that say which way is better and that comparisons have; latency is judged by `speed`.
JUDGED = tuple(key for key, metric in METRICS.items() if metric.better != "neither" and key != "latency_ms")
MOST_DOCUMENTS = 100_000


@dataclass(frozen=True)
class PrimaryPolicy:
    """`margin` is in the metric's shown units: points for ROUGE."""

    LABELS: ClassVar = {
        "test_set": "Test set that decides",
        "metric": "Metric",
        "needs": "The release has to be",
        "margin": "Loss that still counts as not worse",
        "least_documents": "Fewest documents",
    }
    HELP: ClassVar = {
        "test_set": "Without one, who submits a release chooses, and could choose what suits it.",
        "metric": "Its verdict is also that of comparisons that are made from now on.",
        "margin": "In the metric's own units: points for ROUGE.",
        "least_documents": "With fewer the result is inconclusive.",
    }

    test_set: Annotated[int | None, Between(1, 2**31 - 1)] = None
    metric: Annotated[str, OneOf(JUDGED)] = "rouge2"
    needs: Literal["not worse", "improved"] = "not worse"
    margin: Annotated[float, Between(0, 100)] = 0.5
    least_documents: Annotated[int, Between(MINIMUM_DOCUMENTS, MOST_DOCUMENTS)] = 100


def _usual_margins() -> dict[str, float]:
    return {name: METRICS[name].margin for name in JUDGED if METRICS[name].margin and name != "rouge2"}


@dataclass(frozen=True)
class GuardsPolicy:
    """`margins`: the metrics that are guarded, each with the loss that still counts as not worse, in shown units."""

    LABELS: ClassVar = {
        "margins": "Loss that still counts as not worse, by metric",
        "least_documents": "Fewest documents",
    }
    HELP: ClassVar = {
        "margins": "A metric without a number is not guarded. Rises count as losses where less is better.",
        "least_documents": "With fewer the results are inconclusive.",
    }

    margins: Annotated[Mapping[str, float], NumberFor(JUDGED, Between(0, 100))] = field(
        default_factory=_usual_margins
    )
    least_documents: Annotated[int, Between(MINIMUM_DOCUMENTS, MOST_DOCUMENTS)] = 100


@dataclass(frozen=True)
class Difference:
    """After minus before over all documents, in shown units."""

    n: int
    before: float
    after: float
    delta: float
    low: float | None
    high: float | None
    p: float | None


def facts_of(judged: Judged) -> dict[str, Difference]:
    """By metric."""
    rows = ComparisonResult.objects.filter(comparison=judged.comparison, against="baseline", slice=EVERYTHING)
    return {
        row.metric: Difference(row.n, row.before, row.after, row.delta, row.low, row.high, row.p)
        for row in rows
    }


# ---------------------------------------------------------------- deciding


@dataclass(frozen=True)
class Ask:
    """What one metric is asked for."""

    gate: str
    metric: str
    needs: Literal["not worse", "improved"]
    margin: float
    least_documents: int


def judge_difference(ask: Ask, found: Difference | None, *, method: str, evidence: str) -> Result:
    metric = METRICS[ask.metric]

    def row(verdict: Verdict, words: str, **figures: Any) -> Result:
        return Result(
            gate=ask.gate, name=ask.metric, verdict=verdict, words=words, need=_need(ask, metric), method=method,
            threshold=_threshold(ask, metric), unit=metric.unit, evidence=evidence, **figures,
        )  # fmt: skip

    if found is None:
        return row(Verdict.ERROR, f"The comparison has no figures for {metric.label}.")
    figures = {"estimate": found.delta, "low": found.low, "high": found.high, "n": found.n}
    if found.low is None or found.high is None or found.p is None or found.n < ask.least_documents:
        few = f"{found.n:,} document{'s' * (found.n != 1)} {'are' if found.n != 1 else 'is'} too few to judge it by"
        return row(
            Verdict.INCONCLUSIVE,
            f"{metric.label}: {few}; the policy asks for {ask.least_documents:,}.",
            **figures,
        )
    verdict = statistics.verdict(
        low=found.low, high=found.high, p=found.p, better=metric.better, margin=ask.margin
    )
    best = found.high if metric.better == "higher" else -found.low
    return row(_of(verdict, ask, best), f"{_moved(metric, found)}: {_conclusion(verdict, ask)}.", **figures)


def _of(verdict: statistics.Verdict, ask: Ask, best: float) -> Verdict:
    if verdict is statistics.Verdict.IMPROVED:
        return Verdict.PASS
    if verdict is statistics.Verdict.WORSE:
        return Verdict.FAIL
    if ask.needs == "improved" and best <= 0:
        return Verdict.FAIL  # whatever more documents may show, it is no gain
    if verdict is statistics.Verdict.NOT_WORSE and ask.needs == "not worse":
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def _conclusion(verdict: statistics.Verdict, ask: Ask) -> str:
    if verdict is statistics.Verdict.INCONCLUSIVE:
        return "it may be chance, and a loss that counts is not excluded"
    if verdict is statistics.Verdict.NOT_WORSE:
        return "not worse" if ask.needs == "not worse" else "not worse, and no gain is established"
    return verdict.value


def _moved(metric: Metric, found: Difference) -> str:
    size = number(abs(found.delta), max(metric.decimals, 2))
    unit = (
        f" {metric.unit}"
        if metric.unit and metric.unit != "%"
        else " percentage points"
        if metric.unit
        else ""
    )
    if not size.strip("0."):
        return f"{metric.label} did not move"
    return f"{metric.label} {'rose' if found.delta > 0 else 'fell'} by {size}{unit}"


def _need(ask: Ask, metric: Metric) -> str:
    if ask.needs == "improved":
        return "a gain beyond chance"
    if not ask.margin:
        return f"any {'loss' if metric.better == 'higher' else 'rise'} excluded"
    unit = (
        f" {metric.unit}"
        if metric.unit and metric.unit != "%"
        else " percentage points"
        if metric.unit
        else ""
    )
    size = number(ask.margin, None)
    return f"a {'loss' if metric.better == 'higher' else 'rise'} of {size}{unit} or more excluded"


def _threshold(ask: Ask, metric: Metric) -> float:
    if ask.needs == "improved":
        return 0.0
    return (-ask.margin if metric.better == "higher" else ask.margin) + 0.0


# ---------------------------------------------------------------- the gates


@dataclass(frozen=True)
class ComparedOn:
    """Which release on which test set."""

    release: int
    test_set: int


def judge_test_set(found: ComparedOn, section: PrimaryPolicy, *, evidence: str) -> list[Result]:
    """Nothing where it is the one that decides, or the policy leaves that open."""
    if section.test_set in (None, found.test_set):
        return []
    return [
        Result(
            "primary", "test_set", Verdict.INCONCLUSIVE, f"It was compared on test set {found.test_set}, and another "
            f"one decides. Run: script/manage evaluate --candidate {found.release} --test-set {section.test_set}",
            f"test set {section.test_set}", "its number", evidence=evidence,
        )
    ]  # fmt: skip


def judge_primary(facts: Mapping[str, Difference], section: PrimaryPolicy, **row: str) -> list[Result]:
    ask = Ask("primary", section.metric, section.needs, section.margin, section.least_documents)
    return [judge_difference(ask, facts.get(section.metric), **row)]


def judge_guards(
    facts: Mapping[str, Difference], section: GuardsPolicy, *, primary: str, **row: str
) -> list[Result]:
    """In the order of the catalogue of metrics; the primary metric is judged by itself."""
    return [
        judge_difference(
            Ask("guards", name, "not worse", section.margins[name], section.least_documents),
            facts.get(name),
            **row,
        )
        for name in JUDGED
        if name in section.margins and name != primary
    ]


def _row(judged: Judged) -> dict[str, str]:
    return {
        "method": f"paired bootstrap, {judged.comparison.resamples:,} resamples, and a swap test",
        "evidence": f"comparison:{judged.comparison.pk}",
    }


def _primary(judged: Judged) -> list[Result]:
    section: PrimaryPolicy = judged.policy.primary
    on = ComparedOn(judged.release.pk, judged.comparison.candidate.evaluation_set_id)
    return [
        *judge_primary(facts_of(judged), section, **_row(judged)),
        *judge_test_set(on, section, evidence=f"comparison:{judged.comparison.pk}"),
    ]


def _guards(judged: Judged) -> list[Result]:
    policy = judged.policy
    return judge_guards(facts_of(judged), policy.guards, primary=policy.primary.metric, **_row(judged))


def _lacking(policy: Policy) -> dict[str, str]:
    return unusable_test_set(policy.primary.test_set)


def unusable_test_set(wanted: int | None) -> dict[str, str]:
    """By the field "test_set" why nothing could be judged on the one of that number; empty where it could."""
    if wanted is None:
        return {}
    rows = EvaluationSet.objects.filter(pk=wanted).values_list("rows", flat=True).first()
    if rows is None:
        return {"test_set": f"There is no test set {wanted}."}
    if rows < MINIMUM_DOCUMENTS:
        few = f"Test set {wanted} has {rows} document{'s' * (rows != 1)}"
        return {"test_set": f"{few}, and nothing is told from fewer than {MINIMUM_DOCUMENTS}."}
    return {}


PRIMARY = Gate("primary", "Primary metric", _primary, waivable=True, lacking=_lacking)
GUARDS = Gate(
    "guards",
    "Guard metrics",
    _guards,
    waivable=True,
    applies=lambda policy: bool(set(policy.guards.margins) - {policy.primary.metric}),
)
