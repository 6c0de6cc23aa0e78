"""Whose hands a release passed through: read from rows that nobody can rewrite, which are runs, versions, comparisons
and the audit trail. Whose accounts these people could have used, `releases.accounts` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Max

from models_app.evaluation.sets import authors_of
from models_app.foundation import audit
from models_app.models import (
    AuditEvent,
    Deployment,
    EvaluationRun,
    Job,
    ModelVersion,
    PromptVersion,
    Release,
    TrainingRun,
)

Hands = Mapping[int, list[str]]

CURATED = "curated its data"
WROTE_REFERENCES = "wrote references that it is measured against"


def involved(release: Release) -> dict[int, list[str]]:
    """Who had a hand in the release, by user id, with what they did: they can't decide on it."""
    hands: dict[int, list[str]] = {}

    def add(user_id: int | None, what: str) -> None:
        if user_id is not None and what not in hands.setdefault(user_id, []):
            hands[user_id].append(what)

    add(release.created_by_id, "composed it")
    add(release.requested_by_id, "requested it")
    for user_id in _actors([audit.subject_of(release)], "release.submit"):  # an earlier request, too
        add(user_id, "requested it")
    for prompt in new_prompts(release):
        for user_id in (prompt.created_by_id, *prompt.authors):
            add(user_id, "wrote its prompt")
    for version in new_versions(release):
        add(version.created_by_id, "registered its model")
    runs = training_lineage(release)
    for run in runs:
        add(run.requested_by_id, "started its training")
        add(run.snapshot.created_by_id, "froze its data")
        for user_id in run.snapshot.curators:
            add(user_id, CURATED)
    for user_id in _starters(runs, "training.start", "training.resume"):
        add(user_id, "started its training")
    _judged_by(release, add)
    return hands


def advocates(hands: Hands) -> set[int]:
    """Those of the people involved who may want the release to win, and so do not vote on it.

    Reviewers whose corrections it learnt from or is measured against do vote: they judge blind, and in most teams there
    are no others. They still do not decide on it."""
    return {user for user, did in hands.items() if set(did) - {CURATED, WROTE_REFERENCES}}


def _judged_by(release: Release, note: Callable[[int | None, str], None]) -> None:
    """Those who chose what it is judged on and let it be judged."""
    evaluations = evaluations_of(release)
    if release.comparison is not None:
        note(release.comparison.requested_by_id, "asked for its comparison")
    for run in evaluations:
        note(run.requested_by_id, "ran its evaluation")
        note(run.evaluation_set.created_by_id, "froze its test set")
    for user_id in sorted(authors_of({run.evaluation_set for run in evaluations})):
        note(user_id, WROTE_REFERENCES)
    for user_id in _starters(evaluations, "evaluation.start", "evaluation.resume"):
        note(user_id, "ran its evaluation")


def evaluations_of(release: Release) -> list[EvaluationRun]:
    """Those of the release, and what it is compared with."""
    found = list(EvaluationRun.objects.filter(release=release).select_related("evaluation_set"))
    comparison = release.comparison
    if comparison is not None:
        found += [run for run in (comparison.baseline, comparison.lead) if run is not None]
    return found


def _starters(runs: Sequence[TrainingRun] | Sequence[EvaluationRun], *actions: str) -> list[int]:
    """Who started them or let them go on, on their own page or by trying their job again."""
    subjects = [audit.subject_of(run) for run in runs]
    jobs = Job.objects.filter(subject__in=subjects).values_list("pk", flat=True)
    return [*_actors(subjects, *actions), *_actors([f"job:{pk}" for pk in jobs], "job.retry")]


def _actors(subjects: Iterable[str], *actions: str) -> list[int]:
    events = AuditEvent.objects.filter(subject__in=list(subjects), action__in=actions, actor__isnull=False)
    return list(events.order_by("id").values_list("actor_id", flat=True))


def training_lineage(release: Release) -> list[TrainingRun]:
    """The training runs that made the model, the latest first, through all that it was made from; one query each."""
    return [
        TrainingRun.objects.select_related("snapshot").get(pk=version.training_run_id)
        for version in _made_from(release.model_version)
        if version.training_run_id is not None
    ]


def new_prompts(release: Release) -> list[PromptVersion]:
    """The release's prompt version, and those it was made from back to one that has been live in another release."""
    versions = [release.prompt_version]
    while (parent := versions[-1].parent) is not None:
        if _was_live(parent, release):
            break
        versions.append(parent)
    return versions


def _was_live(prompt: PromptVersion, release: Release) -> bool:
    """In another release."""
    return Deployment.objects.filter(release__prompt_version=prompt).exclude(release=release).exists()


def new_versions(release: Release) -> list[ModelVersion]:
    """The release's model version and its ancestors, back to one that has been live in another release: that one was
    judged, and who registered it has no part in what came after."""
    live = Deployment.objects.exclude(release=release)
    return _made_from(
        release.model_version, until=lambda row: live.filter(release__model_version=row).exists()
    )


def _made_from(
    version: ModelVersion, *, until: Callable[[ModelVersion], bool] = lambda version: False
) -> list[ModelVersion]:
    """The version and what it was made from: its parents, and those it was recognised as by its weights."""
    found: dict[int, ModelVersion] = {}
    waiting = [version]
    while waiting:
        version = waiting.pop(0)
        if version.pk in found or until(version):
            continue
        found[version.pk] = version
        if version.parent is not None:
            waiting.append(version.parent)
        waiting += [match.of for match in version.recognised_as.select_related("of").order_by("pk")]
    return list(found.values())


def work_began(release: Release) -> datetime:
    """When the first of what is new in the release was begun: its data, a training, a registration, a prompt, itself.

    A prompt that has been live in another release is not new, whoever wrote it.
    """
    moments = [release.created_at]
    if not _was_live(release.prompt_version, release):
        moments += [prompt.created_at for prompt in new_prompts(release)]
    for version in new_versions(release):
        moments.append(version.created_at)
        if version.training_run is not None:
            moments += [version.training_run.created_at, version.training_run.snapshot.created_at]
    return min(moments)


def last_acts(release: Release, hands: Hands) -> dict[int, int]:
    """The number of the last event that tells what each of them did to the release or to what it is made of."""
    rows: list[Any] = [release, *new_prompts(release), *new_versions(release)]
    for run in training_lineage(release):
        rows += [run, run.snapshot]
    for evaluation in evaluations_of(release):
        rows += [evaluation, evaluation.evaluation_set]
    if release.comparison is not None:
        rows.append(release.comparison)
    subjects = {audit.subject_of(row) for row in rows}
    acts = AuditEvent.objects.filter(subject__in=subjects, actor__in=list(hands)).order_by()
    return dict(acts.values_list("actor").annotate(last=Max("id")))
