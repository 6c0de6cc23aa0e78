"""Whose hands a release passed through: read from rows that nobody can rewrite, which are runs, versions, comparisons
and the audit trail. Whose accounts these people could have used, `releases.accounts` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from models_app.cases.queries import changed_after_failing
from models_app.evaluation.sets import authors_of
from models_app.foundation import audit
from models_app.gates import policies
from models_app.models import (
    AuditEvent,
    Deployment,
    EvaluationRun,
    GatePolicy,
    Job,
    ModelVersion,
    PromptVersion,
    Release,
    TrainingRun,
    Waiver,
)
from models_app.training.lineage import Lineage, made_from

Hands = Mapping[int, list[str]]

CURATED = "curated its data"
WROTE_REFERENCES = "wrote references that it is measured against"
EDITED_POLICY = "edited the policy that judges it"
CHANGED_CASES = "changed cases that it had not passed"
ASKED_FOR_WAIVER = "asked for a waiver of its gates"


def involved(release: Release, *, lineage: Lineage | None = None) -> dict[int, list[str]]:
    """Who had a hand in the release, by user id, with what they did: they can't decide on it. As many queries for a
    long lineage as for a short one. `lineage`: of its model, where it is read already."""
    hands: dict[int, list[str]] = {}

    def add(user_id: int | None, what: str) -> None:
        if user_id is not None and what not in hands.setdefault(user_id, []):
            hands[user_id].append(what)

    lineage, live = lineage or made_from(release.model_version_id), _live_elsewhere(release)
    runs = _trainings(lineage.versions)
    evaluations = evaluations_of(release)
    acts = _acts(release, runs, evaluations)
    add(release.created_by_id, "composed it")
    add(release.requested_by_id, "requested it")
    for user_id in acts.requested:  # an earlier request, too
        add(user_id, "requested it")
    for prompt in _new_prompts(release, live):
        for user_id in (prompt.created_by_id, *prompt.authors):
            add(user_id, "wrote its prompt")
    for version in lineage.until(live.versions):
        add(version.created_by_id, "registered its model")
    for run in runs:
        add(run.requested_by_id, "started its training")
        add(run.snapshot.created_by_id, "froze its data")
        for user_id in run.snapshot.curators:
            add(user_id, CURATED)
    for user_id in acts.trained:
        add(user_id, "started its training")
    if release.comparison is not None:
        add(release.comparison.requested_by_id, "asked for its comparison")
    for evaluation in evaluations:
        add(evaluation.requested_by_id, "ran its evaluation")
        add(evaluation.evaluation_set.created_by_id, "froze its test set")
    for user_id in sorted(authors_of({run.evaluation_set for run in evaluations})):
        add(user_id, WROTE_REFERENCES)
    for user_id in acts.evaluated:
        add(user_id, "ran its evaluation")
    for user_id in _policy_editors(release):
        add(user_id, EDITED_POLICY)
    for changed in changed_after_failing(release).values():
        for case in changed:
            add(case.by, CHANGED_CASES)
    for user_id in Waiver.objects.filter(release=release).values_list("asked_by", flat=True):
        add(user_id, ASKED_FOR_WAIVER)
    return hands


def _policy_editors(release: Release) -> list[int]:
    """Who made the policy that judges it, and who changed it while the work on the release went on. 1 query where only
    Galley and one person ever made one."""
    ever = policies.editors(release.environment_id, since=release.created_at)
    if not ever:
        return []
    return policies.editors(release.environment_id, since=work_began(release))


def judged_by_their_own_policy(hands: Hands) -> dict[int, list[str]]:
    """Of those who edited the policy that judges the release, those who may want it to win; by user id, with what else
    they did."""
    may_want = advocates(hands)
    return {
        user: [one for one in did if one != EDITED_POLICY]
        for user, did in hands.items()
        if user in may_want and EDITED_POLICY in did
    }


def advocates(hands: Hands) -> set[int]:
    """Those of the people involved who may want the release to win, and so do not vote on it.

    Reviewers whose corrections it learnt from or is measured against do vote: they judge blind, and in most teams there
    are no others. So does who edited the policy, which judges every release. They still do not decide on it."""
    return {user for user, did in hands.items() if set(did) - {CURATED, WROTE_REFERENCES, EDITED_POLICY}}


def evaluations_of(release: Release) -> list[EvaluationRun]:
    """Those of the release, and what it is compared with."""
    comparison = release.comparison
    beside = [comparison.baseline_id, comparison.lead_id] if comparison is not None else []
    runs = EvaluationRun.objects.filter(Q(release=release) | Q(pk__in=beside)).select_related(
        "evaluation_set"
    )
    return sorted(runs, key=lambda run: (run.release_id != release.pk, run.pk != next(iter(beside), None)))


_ACTS = (
    "release.submit", "training.start", "training.resume", "evaluation.start", "evaluation.resume", "job.retry",
)  # fmt: skip


@dataclass(frozen=True)
class _Acts:
    """Who is in the audit trail for it, the first one first."""

    requested: list[int]
    trained: list[int]
    evaluated: list[int]


def _acts(release: Release, trainings: Sequence[TrainingRun], evaluations: Sequence[EvaluationRun]) -> _Acts:
    """Runs were started or let go on on their own page, or by trying their job again."""
    runs = {audit.subject_of(run): run for run in (*trainings, *evaluations)}
    jobs = Job.objects.filter(subject__in=runs).values_list("pk", "subject")
    of_job = {f"job:{pk}": subject for pk, subject in jobs}
    events = AuditEvent.objects.filter(
        subject__in=[audit.subject_of(release), *runs, *of_job], action__in=_ACTS, actor__isnull=False
    )
    found = _Acts([], [], [])
    for subject, action, actor in events.order_by("id").values_list("subject", "action", "actor_id"):
        run = runs.get(of_job.get(subject, subject))
        if action == "release.submit":
            found.requested.append(actor)
        elif isinstance(run, TrainingRun):
            found.trained.append(actor)
        elif run is not None:
            found.evaluated.append(actor)
    return found


def training_lineage(release: Release, *, lineage: Lineage | None = None) -> list[TrainingRun]:
    """The training runs that made the model, the latest first, through all that it was made from; 3 queries, without
    any where the model's `lineage` is read already."""
    return _trainings((lineage or made_from(release.model_version_id)).versions)


def _trainings(versions: Iterable[ModelVersion]) -> list[TrainingRun]:
    return [version.training_run for version in versions if version.training_run is not None]


@dataclass(frozen=True)
class _Live:
    """What has been live in other releases of the same environment: it was judged there. Of another environment's
    policy and approvers nobody here knows anything."""

    versions: Collection[int]
    prompts: Collection[int]


def _live_elsewhere(release: Release) -> _Live:
    rows = Deployment.objects.filter(environment=release.environment_id).exclude(release=release).order_by()
    pairs = set(rows.values_list("release__model_version", "release__prompt_version").distinct())
    return _Live({version for version, _ in pairs}, {prompt for _, prompt in pairs})


def new_prompts(release: Release) -> list[PromptVersion]:
    """The release's prompt version, and those it was made from back to one that has been live in another release."""
    return _new_prompts(release, _live_elsewhere(release))


def _new_prompts(release: Release, live: _Live) -> list[PromptVersion]:
    first = release.prompt_version
    if first.parent_id is None or first.parent_id in live.prompts:
        return [first]
    parents = dict(PromptVersion.objects.exclude(parent=None).values_list("pk", "parent_id"))
    above = [first.pk]
    while (
        (parent := parents.get(above[-1])) is not None and parent not in live.prompts and parent not in above
    ):
        above.append(parent)
    rows = PromptVersion.objects.in_bulk(above)
    return [rows[pk] for pk in above]


def new_versions(release: Release) -> list[ModelVersion]:
    """The release's model version and its ancestors, back to one that has been live in another release: that one was
    judged, and who registered it has no part in what came after."""
    return made_from(release.model_version_id).until(_live_elsewhere(release).versions)


def work_began(release: Release) -> datetime:
    """When the first of what is new in the release was begun: its data, a training, a registration, a prompt, itself.

    A prompt that has been live in another release is not new; its author does not matter then.
    """
    moments = [release.created_at]
    if release.prompt_version_id not in _live_elsewhere(release).prompts:
        moments += [prompt.created_at for prompt in new_prompts(release)]
    for version in new_versions(release):
        moments.append(version.created_at)
        if version.training_run is not None:
            moments += [version.training_run.created_at, version.training_run.snapshot.created_at]
    return min(moments)


def last_acts(release: Release, hands: Hands) -> dict[int, int]:
    """The number of the last event that tells what each of them did to the release, to what it is made of, or to what
    judges it."""
    rows: list[Any] = [release, *new_prompts(release), *new_versions(release)]
    for run in training_lineage(release):
        rows += [run, run.snapshot]
    for evaluation in evaluations_of(release):
        rows += [evaluation, evaluation.evaluation_set]
    if release.comparison is not None:
        rows.append(release.comparison)
    rows += GatePolicy.objects.filter(environment=release.environment_id)
    rows += Waiver.objects.filter(release=release)
    rows += changed_after_failing(release)
    subjects = {audit.subject_of(row) for row in rows}
    subjects |= {f"job:{pk}" for pk in Job.objects.filter(subject__in=subjects).values_list("pk", flat=True)}
    acts = AuditEvent.objects.filter(subject__in=subjects, actor__in=list(hands)).order_by()
    return dict(acts.values_list("actor").annotate(last=Max("id")))
