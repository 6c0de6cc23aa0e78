"""Comparisons by the policy of the candidate's environment: its primary metric and margins."""

from __future__ import annotations

from typing import Any

from models_app.evaluation.comparing import RESAMPLES, SEED, compare_releases, evaluations_of
from models_app.evaluation.signature import signature_of
from models_app.foundation.jobs import JobContext
from models_app.gates.policies import policy_of
from models_app.models import Comparison, EvaluationRun, EvaluationSet, GatePolicy, Release
from models_app.models.releases import Environment


def usual_test_set(environment: Environment | int | None) -> EvaluationSet | None:
    """The one that the environment's policy names, else the newest, as where there is no policy."""
    has_one = environment is not None and GatePolicy.objects.filter(environment=environment).exists()
    named = policy_of(environment).primary.test_set if environment is not None and has_one else None
    rows = EvaluationSet.objects.order_by("-pk")
    return (rows if named is None else rows.filter(pk=named)).first()


def compared_already(
    *, candidate: Release, baseline: Release, evaluation_set: EvaluationSet
) -> Comparison | None:
    """The comparison of these two on these documents by the terms that hold now: asking again gives this one."""
    return Comparison.objects.filter(
        candidate__release=candidate, baseline__release=baseline, candidate__evaluation_set=evaluation_set,
        signature=signature_of(evaluation_set), seed=SEED, resamples=RESAMPLES,
        terms=policy_of(candidate.environment_id).terms.as_json(),
    ).first()  # fmt: skip


def other_test_set(comparison: Comparison) -> EvaluationSet | None:
    """The newest on which its two releases were not compared."""
    done = Comparison.objects.filter(
        candidate__release=comparison.candidate.release_id, baseline__release=comparison.baseline.release_id
    )
    return (
        EvaluationSet.objects.exclude(pk__in=done.values("candidate__evaluation_set")).order_by("-pk").first()
    )


def compare_by_policy(
    *,
    candidate: EvaluationRun,
    baseline: EvaluationRun,
    lead: EvaluationRun | None,
    actor: Any | None,
    seed: int = SEED,
    resamples: int = RESAMPLES,
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
