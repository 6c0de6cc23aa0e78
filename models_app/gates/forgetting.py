"""Has it forgotten what the base model could do, or what the releases of some time ago could?

Each release may lose a little against the one before and pass. Ten of them may have lost much. So the policy names a
general test set, on which a release is set beside the base model's own release and beside the one that went live
several approvals ago, and a loss of so many points has to be excluded against both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from models_app.evaluation.comparing import ROUGE
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import MetricComparison, compare
from models_app.evaluation.statistics import Verdict as Judgement
from models_app.evaluation.terms import PRIMARY
from models_app.gates.gate import Gate, Judged
from models_app.gates.metrics import unusable_test_set
from models_app.gates.results import Result, Verdict
from models_app.models import Deployment, EvaluationRun, EvaluationSet, ExampleScore, ModelVersion, Release
from models_app.texts.figures import number, signed
from models_app.texts.needs import Between, OneOf

if TYPE_CHECKING:
    from models_app.gates.policy import Policy

NAME = "forgetting"
METHOD = "paired bootstrap and approximate randomization on the general test set"
BASE = "base model"


@dataclass(frozen=True)
class ForgettingPolicy:
    LABELS: ClassVar = {
        "test_set": "General test set",
        "metric": "Metric",
        "loss": "Loss that has to be excluded",
        "approvals_ago": "Beside the release that went live so many approvals ago",
    }
    HELP: ClassVar = {
        "test_set": "Without one, forgetting is not judged.",
        "loss": "In points, of this size or larger.",
        "approvals_ago": "The oldest, where there are fewer.",
    }

    test_set: Annotated[int | None, Between(1, 2**31 - 1)] = None
    metric: Annotated[str, OneOf(ROUGE)] = PRIMARY
    loss: Annotated[float, Between(0.1, 100)] = 1.0
    approvals_ago: Annotated[int, Between(1, 1000)] = 10


@dataclass(frozen=True)
class Beside:
    """A release that the candidate is set beside. `result` is None where one of the two has no evaluation."""

    name: str
    release: int
    words: str  # what it is
    result: MetricComparison | None
    evidence: str = ""


@dataclass(frozen=True)
class Facts:
    candidate: int
    test_set: int
    is_there: bool  # the test set
    beside: tuple[Beside, ...]


def facts_of(judged: Judged) -> Facts:
    section: ForgettingPolicy = judged.policy.forgetting
    candidate = judged.release
    if section.test_set is None:
        raise ValueError("the policy names no general test set, so there is nothing to judge by")
    if not EvaluationSet.objects.filter(pk=section.test_set).exists():
        return Facts(candidate.pk, section.test_set, False, ())
    judged.progress("judging forgetting")
    others: dict[int, tuple[str, str]] = {}
    earlier = release_of_approvals_ago(candidate, section.approvals_ago)
    if earlier is not None:
        ago, release = earlier
        others[release] = (f"{ago} approval{'s' * (ago != 1)} ago", f"which went live {ago} approvals ago")
    base = release_of_base(candidate)
    if base is not None:
        others[base] = (BASE, "the base model's own")
    beside = tuple(
        _beside(candidate.pk, release, name, words, section)
        for release, (name, words) in sorted(others.items())
    )
    return Facts(candidate.pk, section.test_set, True, beside)


def release_of_base(candidate: Release) -> int | None:
    """The first release of the weights that the candidate's were trained from; None where that is itself."""
    version = ModelVersion.objects.get(pk=candidate.model_version_id)
    seen = {version.pk}
    while version.parent_id is not None and version.parent_id not in seen:
        seen.add(version.parent_id)
        version = ModelVersion.objects.get(pk=version.parent_id)
    first = (
        Release.objects.filter(model_version=version)
        .exclude(origin=Release.Origin.BASELINE)
        .order_by("pk")
        .values_list("pk", flat=True)
        .first()
    )
    return None if first == candidate.pk else first


def release_of_approvals_ago(candidate: Release, approvals: int) -> tuple[int, int] | None:
    """(how many, release): of the releases that went live in this environment, each counted where it first did so, the
    one of so many ago, or the oldest where there are fewer. 1 ago is the last one. None before the first."""
    went_live = dict.fromkeys(
        Deployment.objects.filter(environment=candidate.environment_id)
        .order_by("live_from", "pk")
        .values_list("release", flat=True)
    )
    went_live.pop(candidate.pk, None)
    newest_first = list(reversed(went_live))
    if not newest_first:
        return None
    ago = min(approvals, len(newest_first))
    return ago, newest_first[ago - 1]


def _beside(candidate: int, other: int, name: str, words: str, section: ForgettingPolicy) -> Beside:
    runs = _evaluations(candidate, other, section)
    if runs is None:
        return Beside(name, other, words, None)
    before, after = (_scores(run, section.metric) for run in runs)
    (result,) = compare(
        before, after, [METRICS[section.metric]], margins={section.metric: section.loss}, seed=runs[1].pk
    )
    return Beside(name, other, words, result, f"evaluation:{runs[0].pk}")


def _evaluations(
    candidate: int, other: int, section: ForgettingPolicy
) -> tuple[EvaluationRun, EvaluationRun] | None:
    """(of the other, of the candidate), the latest two that the same metric scored."""
    found = EvaluationRun.objects.filter(
        evaluation_set=section.test_set, state=EvaluationRun.State.SUCCEEDED, release__in=(candidate, other)
    ).order_by("-pk")
    by_signature: dict[str, dict[int, EvaluationRun]] = {}
    for run in found:
        by_signature.setdefault(run.signature, {}).setdefault(run.release_id, run)
    pairs = [runs for runs in by_signature.values() if len(runs) == 2]
    latest = max(pairs, key=lambda runs: runs[candidate].pk, default=None)
    return None if latest is None else (latest[other], latest[candidate])


def _scores(run: EvaluationRun, metric: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    values = ExampleScore.objects.filter(run=run).order_by("example__position").values_list(metric, flat=True)
    found = np.array(list(values), dtype=np.float64)
    if len(found) != run.evaluation_set.rows:
        raise ValueError(
            f"evaluation {run.pk} has {len(found)} of {run.evaluation_set.rows} documents, so it can't be judged by"
        )
    return found[:, None]


def judge_facts(facts: Facts, section: ForgettingPolicy) -> list[Result]:
    need = f"a loss of {number(section.loss, 1)} points or more excluded"
    if not facts.is_there:
        return [
            Result(
                NAME, "", Verdict.ERROR, f"The policy names test set {facts.test_set}, and there is none of that "
                "number. Name another one in the policy.", need, METHOD,
            )
        ]  # fmt: skip
    if not facts.beside:
        return [
            Result(
                NAME, "", Verdict.PASS, f"Release {facts.candidate} is the first of its base model and the first of "
                "its environment: there is nothing that it could have forgotten.", need, METHOD,
            )
        ]  # fmt: skip
    return [_result(facts, beside, need, section) for beside in facts.beside]


def _result(facts: Facts, beside: Beside, need: str, section: ForgettingPolicy) -> Result:
    result = beside.result
    need = f"{need} against release {beside.release}"
    against = f"against release {beside.release}, {beside.words}"
    if result is None:
        return Result(
            NAME, beside.name, Verdict.INCONCLUSIVE, f"Not evaluated on test set {facts.test_set} {against}. Run: "
            f"script/manage evaluate --candidate {facts.candidate} --baseline {beside.release} --test-set "
            f"{facts.test_set} --no-lead", need, METHOD,
        )  # fmt: skip
    label = METRICS[result.metric].label
    low, high = result.low, result.high
    if low is None or high is None:
        return Result(
            NAME, beside.name, Verdict.INCONCLUSIVE, f"{label} {against}: {result.reason}.", need, METHOD, n=result.n,
            unit="points", evidence=beside.evidence,
        )  # fmt: skip
    verdict, words = _judgement(result, section)
    return Result(
        NAME, beside.name, verdict,
        f"{label} {signed(result.delta, 1)} [{signed(low, 1)}, {signed(high, 1)}] {against}: {words}.", need, METHOD,
        estimate=result.delta, low=low, high=high, threshold=-section.loss, n=result.n, unit="points",
        evidence=beside.evidence,
    )  # fmt: skip


def _judgement(result: MetricComparison, section: ForgettingPolicy) -> tuple[Verdict, str]:
    if result.verdict is Judgement.WORSE:
        return Verdict.FAIL, "it has lost"
    if result.verdict is Judgement.INCONCLUSIVE:
        more = (
            f"about {result.more_needed:,} more documents would tell"
            if result.more_needed
            else "no practical number of documents would tell"
        )
        return Verdict.INCONCLUSIVE, f"a loss of {number(section.loss, 1)} points is not excluded; {more}"
    return Verdict.PASS, "improved" if result.verdict is Judgement.IMPROVED else "such a loss is excluded"


def judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.forgetting)


def lacking(policy: Policy) -> dict[str, str]:
    return unusable_test_set(policy.forgetting.test_set)


GATE = Gate(
    NAME, "Forgetting", judge, waivable=True, applies=lambda policy: policy.forgetting.test_set is not None,
    lacking=lacking,
)  # fmt: skip
