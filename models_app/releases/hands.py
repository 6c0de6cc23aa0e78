"""Whose hands a release passed through, and whose account those people could have opened for themselves.

Both are read from rows that nobody can rewrite: runs, versions, comparisons and the audit trail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from models_app.evaluation.sets import authors_of
from models_app.foundation import audit
from models_app.models import (
    AuditEvent,
    Deployment,
    EvaluationRun,
    ModelVersion,
    PromptVersion,
    Release,
    TrainingRun,
)

Hands = Mapping[int, list[str]]

#: What opens an account to whoever does it, by the event's action, said after the actor's name.
OPENING = {
    "person.create": "made the account",
    "person.roles": "gave the account its roles",
    "person.activate": "made the account active again",
    "person.password_link": "had a link made that sets its password",
    "person.second_factor_removed": "removed its second factor",
}


@dataclass(frozen=True)
class Opened:
    """An account, and the person who did something that lets whoever does it sign in with it."""

    by: int
    by_name: str
    action: str
    at: datetime

    @property
    def words(self) -> str:
        return f"{self.by_name} {OPENING[self.action]} on {self.at:%d %B %Y}"


def involved(release: Release) -> dict[int, list[str]]:
    """Who had a hand in the release, by user id, with what they did: they can't decide on it."""
    hands: dict[int, list[str]] = {}

    def add(user_id: int | None, what: str) -> None:
        if user_id is not None and what not in hands.setdefault(user_id, []):
            hands[user_id].append(what)

    add(release.created_by_id, "composed it")
    add(release.requested_by_id, "requested it")
    for user_id in _actors(
        [audit.subject_of(release)], "release.submit"
    ):  # an earlier request counts as well
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
            add(user_id, "curated its data")
    for user_id in _actors([audit.subject_of(run) for run in runs], "training.start", "training.resume"):
        add(user_id, "started its training")
    _judged_by(release, add)
    return hands


def _judged_by(release: Release, note: Callable[[int | None, str], None]) -> None:
    """Those who chose what it is judged on and let it be judged."""
    evaluations = list(EvaluationRun.objects.filter(release=release).select_related("evaluation_set"))
    comparison = release.comparison
    if comparison is not None:
        evaluations += [run for run in (comparison.baseline, comparison.lead) if run is not None]
        note(comparison.requested_by_id, "asked for its comparison")
    for run in evaluations:
        note(run.requested_by_id, "ran its evaluation")
        note(run.evaluation_set.created_by_id, "froze its test set")
    for user_id in sorted(authors_of({run.evaluation_set for run in evaluations})):
        note(user_id, "wrote references that it is measured against")
    subjects = [audit.subject_of(run) for run in evaluations]
    for user_id in _actors(subjects, "evaluation.start", "evaluation.resume"):
        note(user_id, "ran its evaluation")


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
        if Deployment.objects.filter(release__prompt_version=parent).exclude(release=release).exists():
            break
        versions.append(parent)
    return versions


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
    """When the first of what is new in the release was begun: a training, a registration, a prompt, itself."""
    moments = [release.created_at, *(prompt.created_at for prompt in new_prompts(release))]
    for version in new_versions(release):
        moments.append(version.created_at)
        if version.training_run is not None:
            moments.append(version.training_run.created_at)
    return min(moments)


def opened_accounts(hands: Hands, *, since: datetime | None = None) -> dict[int, Opened]:
    """Accounts that those people opened, or others did whose account they had opened before; by user id.

    `since`: acts from then on; None for all there ever were.
    """
    events = AuditEvent.objects.filter(action__in=OPENING, actor__isnull=False).order_by("id")
    if since is not None:
        events = events.filter(at__gte=since)
    theirs = set(hands)
    found: dict[int, Opened] = {}
    for event in events.iterator():
        kind, _, number = event.subject.partition(":")
        if event.actor_id not in theirs or kind != "user" or not number.isdecimal():
            continue
        if event.action == "person.roles" and not event.data.get("gained", True):
            continue
        person = int(number)
        if person not in theirs:
            theirs.add(person)
            found[person] = Opened(event.actor_id, event.actor_name, event.action, event.at)
    return found
