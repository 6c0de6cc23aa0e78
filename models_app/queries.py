"""Reads that span tables: plain rows out, a known number of queries each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Case, Count, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When

from models_app.evaluation.comparing import COMPARED
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.people import said_when_submitted
from models_app.evaluation.reporting import Line, Report
from models_app.evaluation.wording import margins_in_words
from models_app.foundation.audit import subject_of
from models_app.ml.recipe import Decoding
from models_app.models import (
    Approval,
    AuditEvent,
    Comparison,
    ComparisonResult,
    DatasetSnapshot,
    Deployment,
    Job,
    Release,
    ReleaseComment,
    SnapshotExample,
    TrainingRun,
)
from models_app.models.releases import live_release
from models_app.releases.standing import Stand, approvals, evidence_problem

# ---------------------------------------------------------------- releases

#: What waits for somebody first, then what moves, what is live, drafts, and what is over.
_RANK = {
    **dict.fromkeys(Release.ON_ITS_WAY, 1),
    Release.State.AWAITING: 0,
    Release.State.LIVE: 2,
    Release.State.DRAFT: 3,
}


def releases(shown: str = "") -> QuerySet[Release]:
    """For lists, with what they show. `shown`: open, ended, or all but the baselines that others are compared with."""
    rows = Release.objects.select_related(
        "model_version", "prompt_version__prompt", "comparison", "created_by", "requested_by", "environment"
    )
    if shown == "open":
        rows = rows.filter(state__in=(*_RANK,)).exclude(origin=Release.Origin.BASELINE)
    elif shown == "ended":
        rows = rows.exclude(state__in=(*_RANK,))
    elif shown != "all":
        rows = rows.exclude(origin=Release.Origin.BASELINE)
    whens = [When(state=state, then=Value(rank)) for state, rank in _RANK.items()]
    return rows.annotate(rank=Case(*whens, default=Value(4), output_field=IntegerField())).order_by(
        "rank", "-pk"
    )


def approvals_held(rows: Sequence[Release]) -> dict[int, int]:
    """How many approvals count, by release. 1 query, and some for each release that waits with an approval."""
    counts: dict[int, int] = {}
    held = Approval.objects.filter(release__in=rows, decision="approved", voided_at=None)
    for pk in held.values_list("release", flat=True):
        counts[pk] = counts.get(pk, 0) + 1
    for release in rows:
        if release.pk in counts and release.state == Release.State.AWAITING:
            counts[release.pk] = approvals(release)
    return counts


@dataclass(frozen=True)
class Decision:
    """A decision as the release's page shows it: why an approval doesn't count; and who of the one who gave it and the
    people with a hand in the release opened the other's account, whenever that was."""

    row: Approval
    problem: str
    opened: str


def decisions_told(release: Release, *, stand: Stand | None = None) -> list[Decision]:
    stand = stand or Stand(release)
    rows = stand.decisions
    if not rows:
        return []
    problems = {standing.approval.pk: standing.problem for standing in stand.standings}
    opened, theirs = stand.circle.accounts_ever.opened, stand.circle.accounts_ever.openers
    return [
        Decision(
            row,
            problems.get(row.pk, ""),
            opened[row.approver_id].words
            if row.approver_id in opened
            else theirs[row.approver_id].words_with_name
            if row.approver_id in theirs
            else "",
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Setting:
    """One decoding setting, before and after."""

    key: str
    label: str
    before: Any
    after: Any

    @property
    def changed(self) -> bool:
        return bool(self.before != self.after)


SETTING_LABELS = {
    "max_new_tokens": "Max new tokens",
    "min_new_tokens": "Min new tokens",
    "max_words": "Words asked for",
    "beams": "Beams",
    "length_penalty": "Length penalty",
    "repetition_penalty": "Repetition penalty",
    "no_repeat_ngram": "No-repeat n-gram size",
    "max_input_tokens": "Max input tokens",
}


def settings_beside(before: Release | None, after: Release) -> list[Setting]:
    """Every decoding setting of two releases, defaults filled in."""
    new = Decoding.from_dict(after.decoding).to_dict()
    old = Decoding.from_dict(before.decoding).to_dict() if before is not None else new
    return [
        Setting(field.name, SETTING_LABELS.get(field.name, field.name), old[field.name], new[field.name])
        for field in fields(Decoding)
    ]


@dataclass(frozen=True)
class DataRow:
    """Rows of one kind in the training data before and after; `added` and `gone` by their documents."""

    label: str
    before: int
    after: int
    added: int
    gone: int


@dataclass(frozen=True)
class Data:
    before: DatasetSnapshot | None
    after: DatasetSnapshot | None
    rows: Sequence[DataRow]


FEEDBACK = Q(origin__startswith="feedback:")


def data_beside(before: Release | None, after: Release) -> Data:
    """What two releases' models were last trained on. At most 2 queries, whatever the snapshots' size."""
    old, new = (_snapshot_of(release) for release in (before, after))
    if new is None or old == new:
        return Data(old, new, ())
    now = _counts(new, beside=old)
    was = _counts(old, beside=new) if old is not None else {}
    rows = [
        DataRow(label, was.get(kind, 0), now[kind], now[f"{kind}_alone"], was.get(f"{kind}_alone", 0))
        for kind, label in (("feedback", "Corrected by people"), ("others", "Other rows"))
    ]
    return Data(old, new, [row for row in rows if row.before or row.after])


def _counts(snapshot: DatasetSnapshot, *, beside: DatasetSnapshot | None) -> dict[str, int]:
    """Rows by their kind, and how many of these the other snapshot has no row of the same document and kind for."""
    found: dict[str, Any] = {}
    for kind, which in (("feedback", FEEDBACK), ("others", ~FEEDBACK)):
        there = SnapshotExample.objects.filter(
            which, snapshot=beside, document_hash=OuterRef("document_hash")
        )
        found[kind] = Count("pk", filter=which)
        found[f"{kind}_alone"] = Count("pk", filter=Q(which, ~Exists(there)))
    counts: dict[str, int] = SnapshotExample.objects.filter(snapshot=snapshot).aggregate(**found)
    return counts


def _snapshot_of(release: Release | None) -> DatasetSnapshot | None:
    run = release.model_version.training_run if release is not None else None
    return run.snapshot if run is not None else None


@dataclass(frozen=True)
class Lineage:
    """Where a release's weights come from: the run that made them and its data, with how much of it was feedback."""

    run: TrainingRun | None
    snapshot: DatasetSnapshot | None
    rows: int
    corrections: int


def lineage(release: Release) -> Lineage:
    """1 query, where the training run and its snapshot came with the release."""
    run = release.model_version.training_run
    if run is None:
        return Lineage(None, None, 0, 0)
    snapshot = run.snapshot
    corrections = SnapshotExample.objects.filter(FEEDBACK, snapshot=snapshot).count()
    return Lineage(run, snapshot, snapshot.train_rows + snapshot.validation_rows, corrections)


def comparisons_of(release: Release) -> list[Comparison]:
    """Newest first, those where the release is the candidate. 1 query. One that was submitted comes with its own
    comparison and all that it is about, so that these only need to be named."""
    rows = Comparison.objects.filter(candidate__release=release)
    if release.comparison_id is not None:
        return list(rows.select_related("baseline").defer("reading")[:20])
    rows = rows.select_related(
        "candidate__evaluation_set", "baseline__release__model_version",
        "baseline__release__prompt_version__prompt",
    )  # fmt: skip
    return list(rows[:20])


def comparing(release: Release) -> Job | None:
    """The work under way that will compare the release. 1 query."""
    return Job.objects.filter(
        kind="compare", subject=subject_of(release), state__in=(Job.State.QUEUED, Job.State.RUNNING)
    ).first()


QUIET = ("evaluation.running", "training.running", "deployment.start")


def trail(release: Release, comparisons: Sequence[Comparison], limit: int = 60) -> list[AuditEvent]:
    """What happened to the release, its model, training, data, evaluations and comparisons; newest first. 1 query."""
    subjects = [subject_of(release), f"modelversion:{release.model_version_id}"]
    subjects += [f"comparison:{row.pk}" for row in comparisons]
    subjects += [f"evaluationrun:{row.candidate_id}" for row in comparisons]
    run = release.model_version.training_run
    if run is not None:
        subjects += [f"trainingrun:{run.pk}", f"datasetsnapshot:{run.snapshot_id}"]
    subjects.append(f"promptversion:{release.prompt_version_id}")
    events = AuditEvent.objects.filter(subject__in=subjects).exclude(action__in=QUIET)
    return list(events.order_by("-id")[:limit])


def evidence_document(release: Release) -> dict[str, Any]:
    """What an approver decides on, for programs and for the file: the evidence, its digest, whether it still holds."""
    waiting = release.state == Release.State.AWAITING
    stand = Stand(release)
    problem = evidence_problem(release, stand=stand) if waiting else ""
    people = said_when_submitted(release)
    return {
        "release": release.pk,
        "state": release.state,
        "evidence_digest": release.evidence_digest,
        "holds": waiting and not problem,
        "problem": problem,
        "approvals_required": stand.needed,
        "decisions": [
            {
                "by": row.approver.get_username(),
                "decision": row.decision,
                "reason": row.reason,
                "at": row.at,
                "evidence_digest": row.evidence_digest,
                "voided_at": row.voided_at,
                "counts": row.decision == "approved" and row.voided_at is None and not told.problem,
                "why_not": told.problem or row.void_reason,
            }
            for told in decisions_told(release, stand=stand)
            for row in [told.row]
        ],
        "evidence": release.evidence,
        "people": people.conclusion() if people is not None else {},
    }


def comments(release: Release) -> list[ReleaseComment]:
    """The first one first. 1 query."""
    return list(ReleaseComment.objects.filter(release=release).select_related("author"))


def times_live(release: Release) -> list[Deployment]:
    """When it was live, newest first. 1 query."""
    return list(Deployment.objects.filter(release=release).select_related("started_by", "ended_by")[:20])


def before_in_service(release: Release) -> Release | None:
    """What was live when this release went live. 1 query."""
    first = Deployment.objects.filter(release=release).order_by("live_from").first()
    if first is None:
        return None
    earlier = (
        Deployment.objects.filter(Q(environment=first.environment_id), live_from__lt=first.live_from)
        .select_related("release__model_version", "release__prompt_version__prompt")
        .order_by("-live_from")
        .first()
    )
    return earlier.release if earlier is not None else None


# ---------------------------------------------------------------- what programs are told


def comparison_report(comparison: Comparison, *, url: str = "") -> Report:
    """3 queries."""
    results = {
        (row.against, row.metric): row
        for row in ComparisonResult.objects.filter(comparison=comparison, slice="all")
    }
    live = live_release(comparison.candidate.release.environment.name)
    return Report(
        comparison=comparison.pk,
        candidate=comparison.candidate.release_id,
        baseline=comparison.baseline.release_id,
        baseline_is_live=live is not None and live.pk == comparison.baseline.release_id,
        test_set=comparison.candidate.evaluation_set_id,
        n=comparison.n,
        verdict=comparison.verdict,
        sentence=comparison.sentence,
        seed=comparison.seed,
        resamples=comparison.resamples,
        signature=comparison.signature,
        digest=comparison.digest,
        lines=[
            _line(results["baseline", name], results.get(("lead", name)))
            for name in COMPARED
            if ("baseline", name) in results
        ],
        margins=margins_in_words(
            (METRICS[name], results["baseline", name].margin)
            for name in COMPARED
            if ("baseline", name) in results
        ),
        url=url,
    )


def _line(row: ComparisonResult, lead: ComparisonResult | None) -> Line:
    metric = METRICS[row.metric]
    return Line(
        metric=row.metric, label=metric.label, decimals=metric.decimals, n=row.n, before=row.before, after=row.after,
        delta=row.delta, low=row.low, high=row.high, mde=row.mde, margin=row.margin, verdict=row.verdict,
        lead=lead.before if lead is not None else None,
    )  # fmt: skip
