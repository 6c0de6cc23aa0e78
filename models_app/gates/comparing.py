"""Comparisons by the policy of the candidate's environment: its primary metric and margins."""

from __future__ import annotations

from typing import Any

from models_app.evaluation.comparing import SEED, compare_releases, evaluations_of
from models_app.foundation.jobs import JobContext
from models_app.gates.policies import policy_of
from models_app.models import Comparison, EvaluationRun, EvaluationSet, GatePolicy
from models_app.models.releases import Environment


def usual_test_set(environment: Environment | int | None) -> EvaluationSet | None:
    """The one that the environment's policy names, else the newest, as where there is no policy."""
    has_one = environment is not None and GatePolicy.objects.filter(environment=environment).exists()
    named = policy_of(environment).primary.test_set if environment is not None and has_one else None
    rows = EvaluationSet.objects.order_by("-pk")
    return (rows if named is None else rows.filter(pk=named)).first()


def compare_by_policy(
    *,
    candidate: EvaluationRun,
    baseline: EvaluationRun,
    lead: EvaluationRun | None,
    actor: Any | None,
    seed: int = SEED,
    resamples: int = 10_000,
) -> Comparison:
    """`compare_releases` by the terms that hold now."""
    terms = policy_of(candidate.release.environment_id).terms
    return compare_releases(
        candidate=candidate,
        baseline=baseline,
        lead=lead,
        actor=actor,
        terms=terms,
        seed=seed,
        resamples=resamples,
    )


def carry_out(context: JobContext) -> dict[str, Any]:
    """The job: compares once the evaluations are done."""
    runs = evaluations_of(context)
    context.phase("comparing")
    comparison = compare_by_policy(
        candidate=runs["candidate"],
        baseline=runs["baseline"],
        lead=runs.get("lead"),
        actor=context.job.requested_by,
        seed=context.payload["seed"],
    )
    return {"comparison": comparison.pk, "verdict": comparison.verdict}
