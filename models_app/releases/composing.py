"""Releases: model version + prompt version + decoding settings, and their way to an approver's desk."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.evaluation.comparing import scores_digest
from models_app.evaluation.people import Count, evidence_of, in_words
from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.identity import canonical_digest, release_digest
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.gates import policies, running
from models_app.gates.leakage_checks import known_leaks
from models_app.ml.recipe import Decoding
from models_app.models import (
    Approval,
    Comparison,
    ComparisonResult,
    ModelVersion,
    PromptVersion,
    Release,
    Route,
    TrainingRun,
)
from models_app.models.releases import PRODUCTION, Environment
from models_app.releases import statements
from models_app.releases.accounts import Circle
from models_app.releases.hands import involved, training_lineage
from models_app.texts.normalise import one_line
from models_app.training.lineage import Lineage, made_from

INSTRUCT_FAMILIES = ("llama", "gpt2")
LONGEST_NOTE = 300
LONGEST_REASON = audit.LONGEST_REASON
EVIDENCE_FIELDS = (
    "against", "metric", "slice", "n", "before", "after", "delta", "low", "high", "p", "mde", "margin",
    "verdict",
)  # fmt: skip


def compose_release(
    *,
    model_version: ModelVersion,
    prompt_version: PromptVersion,
    decoding: Mapping[str, Any],
    origin: str,
    actor: Any | None,
    note: str = "",
    environment: str = PRODUCTION,
) -> Release:
    """A draft release; the open one of the same content where there is one.

    Raises InvalidInput, at the decoding setting's name where one is wrong.
    """
    require(actor, "submit_release")
    settings = _decoding(decoding)
    note = _note(note)
    if origin not in Release.Origin.values:
        raise ValueError(f"unknown origin of a release: {origin}")
    if prompt_version.prompt.kind == "chat" and model_version.family not in (*INSTRUCT_FAMILIES, "lead"):
        message = f"A {model_version.family} model takes a prefix, not a chat prompt."
        raise InvalidInput(message, fields={"prompt_version": message})
    target = Environment.objects.get(name=environment)
    digest = release_digest(model_version, prompt_version, settings)
    with transaction.atomic():
        same = _open_release(digest, target)
        if same is not None:
            return same
        try:
            with transaction.atomic():
                release = Release.objects.create(
                    model_version=model_version,
                    prompt_version=prompt_version,
                    decoding=settings,
                    digest=digest,
                    origin=origin,
                    note=note,
                    environment=target,
                    created_by=actor,
                )
        except IntegrityError as error:
            if not broke(error, "release_one_open_per_content"):
                raise
            same = _open_release(digest, target)
            if same is None:
                raise StaleState("A release of the same content has just ended. Try again.") from error
            return same
        audit.record(
            actor=actor,
            action="release.compose",
            subject=release,
            to_state=release.state,
            data={"digest": digest},
        )
    return release


def _open_release(digest: str, environment: Environment) -> Release | None:
    """The one of the same content that is on its way or live."""
    return Release.objects.filter(
        digest=digest,
        environment=environment,
        state__in=(*Release.ON_ITS_WAY, Release.State.LIVE),
    ).first()


def _decoding(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return Decoding.from_dict(values).to_dict()
    except (ValueError, TypeError) as error:
        name, _, message = str(error).partition(": ")
        known = name in Decoding.__dataclass_fields__
        raise InvalidInput(
            str(error), fields={name if known else "decoding": message if known else str(error)}
        ) from error


def lead_release() -> Release:
    """The lead-3 baseline as a release: evaluated like any other; it is a baseline, not a candidate."""
    return compose_release(
        model_version=ModelVersion.objects.get(family="lead"),
        prompt_version=PromptVersion.objects.get(prompt__name="summarize", number=1),
        decoding={},
        origin="baseline",
        actor=None,
        note="The article's first three sentences.",
    )


def origin_beside(
    live: Release | None, *, model_version: ModelVersion, prompt_version: PromptVersion
) -> Release.Origin:
    """What kind of change a release would be: other weights outweigh another prompt, that other decoding settings."""
    if live is None:
        return Release.Origin.RETRAINING if model_version.training_run_id else Release.Origin.INITIAL
    if model_version.pk != live.model_version_id:
        return Release.Origin.RETRAINING
    return Release.Origin.PROMPT if prompt_version.pk != live.prompt_version_id else Release.Origin.DECODING


def usual_decoding(model_version: ModelVersion, live: Release | None) -> dict[str, Any]:
    """The live release's settings; a model that was trained here reads at inference what it read in training."""
    settings = Decoding.from_dict(live.decoding if live is not None else {}).to_dict()
    run = model_version.training_run
    if run is not None and "max_source_tokens" in run.recipe:
        settings["max_input_tokens"] = max(16, run.recipe["max_source_tokens"])
    return settings


def usual_prompt(model_version: ModelVersion, live: Release | None) -> PromptVersion | None:
    """What it was trained with; else what is live, if the model can read it; else the newest that it can read."""
    versions = PromptVersion.objects.select_related("prompt")
    if model_version.training_run is not None:
        return versions.get(pk=model_version.training_run.prompt_version_id)
    kind = "chat" if model_version.family == "llama" else "prefix"
    if live is not None and live.prompt_version.prompt.kind == kind:
        return live.prompt_version
    return versions.filter(prompt__kind=kind).order_by("-pk").first()


def evidence(
    release: Release,
    comparison: Comparison,
    *,
    hands: Collection[int],
    votes_up_to: int | None = None,
    rows: Mapping[str, Any] | None = None,
    lineage: Lineage | None = None,
) -> dict[str, Any]:
    """Everything a decision is based on; its digest is what an approval is bound to.

    `hands` had a part in the release: what they preferred does not count. `votes_up_to` is the last vote of people
    that was there when it was submitted; without it all votes are. `rows` are the digests over scores, test documents
    and training rows, where they are not to be read again; `lineage` is that of the model, where it is read already.
    """
    results = ComparisonResult.objects.filter(comparison=comparison).order_by("against", "metric", "slice")
    lineage = lineage or made_from(release.model_version_id)
    trainings = training_lineage(release, lineage=lineage)
    return {
        "release": release.digest,
        "model": release.model_version.digest,
        "prompt": release.prompt_version.digest,
        "decoding": release.decoding,
        "snapshots": [run.snapshot.digest for run in trainings],
        "recipes": [run.recipe_digest for run in trainings],
        "test_documents_in_training_data": known_leaks(
            release=release, evaluation_set=comparison.candidate.evaluation_set, lineage=lineage
        ),
        "comparison": {
            "id": comparison.pk,
            "digest": comparison.digest,
            "baseline_release": comparison.baseline.release.digest,
            "test_set": comparison.candidate.evaluation_set.digest,
            "signature": comparison.signature,
            "verdict": comparison.verdict,
            "sentence": comparison.sentence,
            "n": comparison.n,
            "results": [{name: _plain(getattr(row, name)) for name in EVIDENCE_FIELDS} for row in results],
        },
        "people": evidence_of(
            candidate=release,
            baseline=comparison.baseline.release,
            hands=hands,
            evaluation_set=comparison.candidate.evaluation_set,
            up_to=votes_up_to,
        ),
        "rows": dict(rows) if rows is not None else digests_of_rows(comparison, trainings),
    }


def digests_of_rows(comparison: Comparison, lineage: Sequence[TrainingRun]) -> dict[str, Any]:
    """Over every row as the database has it now: what a rewritten score or text cannot keep."""
    runs = {"candidate": comparison.candidate, "baseline": comparison.baseline, "lead": comparison.lead}
    return {
        "scores": {
            name: statements.digest_of_scores(run.pk) for name, run in runs.items() if run is not None
        },
        "test_set": statements.digest_of_test_set(comparison.candidate.evaluation_set_id),
        "snapshots": [statements.digest_of_snapshot(run.snapshot_id) for run in lineage],
    }


def _plain(value: Any) -> Any:
    """As JSON in the database gives it back: it knows no negative zero."""
    return value + 0.0 if isinstance(value, float) else value


def submit_release(
    *, release: Release, comparison: Comparison, note: str = "", actor: Any | None, deliver: bool = True
) -> Release:
    """Ask for a release to go live, on the comparison that speaks for it: its environment's gates are judged in a job,
    and what passes them waits for approval. Twice is once.

    A release that is on its way can be submitted again: with another comparison, such as one with what went live
    meanwhile, or with the same one where the gates are to be judged again. Decisions made on earlier evidence are void
    then. Raises Refused where the comparison is not about this release, is against something that is not live, or
    where training and test data overlap. `deliver=False` is for a caller that carries the job out at once.
    """
    require(actor, "submit_release")
    note = _note(note, LONGEST_REASON)
    if release.origin == Release.Origin.BASELINE:
        raise Refused(f"Release {release.pk} is the baseline that others are compared with, not a candidate.")
    if comparison.candidate.release_id != release.pk:
        raise Refused(
            f"Comparison {comparison.pk} is about release {comparison.candidate.release_id}, not this one."
        )
    with transaction.atomic():
        route = Route.objects.select_for_update().get(environment=release.environment_id)
        Release.objects.select_for_update().get(pk=release.pk)
        release.refresh_from_db()
        if _is_submitted_so(release, comparison):
            return release
        _refuse_state(release, comparison)
        _refuse_another_baseline(comparison, route.release_id)
        if scores_digest(comparison) != comparison.digest:
            raise Refused(
                f"The scores in the database are not those that comparison {comparison.pk} was computed from: somebody "
                "rewrote them. The audit trail and the database's log may say who; evaluate the release again.",
                code="evidence_changed",
            )
        release.comparison = comparison  # who asked for it has a hand in what is submitted
        hands = involved(release)
        if actor is not None:
            hands.setdefault(actor.pk, []).append("requested it")
        facts = evidence(release, comparison, hands=Circle(release, hands).no_judges)
        _refuse_leakage(facts["test_documents_in_training_data"])
        # The digest is over the votes alone: how it was said then stands in the trail.
        people = in_words(release.pk, comparison.baseline.release_id, Count.of_facts(facts["people"]))
        again = release.state != Release.State.DRAFT
        # before anything is told to the trail: an earlier run's job, which this ends, may end at this instant
        running.start(release=release, comparison=comparison, actor=actor, deliver=deliver)
        move(
            release, to="evaluating", actor=actor, action="release.submit", reason=note,
            data={"comparison": comparison.pk, "verdict": comparison.verdict, "people": people.sentence},
            comparison=comparison, evidence=facts, evidence_digest=canonical_digest(facts),
            requested_by=actor or release.requested_by, submitted_at=timezone.now(), decide_by=None,
            requester_reason=note or release.requester_reason,
            note=textwrap.shorten(note, LONGEST_NOTE, placeholder=" …") or release.note,
        )  # fmt: skip
        Release.objects.filter(pk=release.pk).update(reason="")
        release.reason = ""
        if again:
            void_approvals(release=release, reason="It was submitted again.")
    return release


def _is_submitted_so(release: Release, comparison: Comparison) -> bool:
    """Whether it is judged, or waits for approval, on this comparison by the policy that holds."""
    if release.comparison_id != comparison.pk:
        return False
    run = running.newest(release)
    if run is None:
        return False
    if release.state == Release.State.EVALUATING:
        held = policies.holding(release.environment_id)
        return run.state in run.ACTIVE and run.policy_id == held.pk
    same = release.evidence.get("gates", {}).get("run") == run.pk
    return release.state == Release.State.AWAITING and same and not running.problem(release)


def _refuse_state(release: Release, comparison: Comparison) -> None:
    if release.state not in Release.SUBMITTABLE:
        raise Refused(
            f"Release {release.pk} is {release.state}; a draft is submitted, or what waits for approval."
        )
    if release.state == Release.State.CHANGES and release.comparison_id == comparison.pk:
        raise Refused(
            f"Changes were asked for on comparison {comparison.pk}. Compare release {release.pk} with what is live on "
            "another test set and submit it with that comparison: the same documents give this one again. Where its "
            "model, prompt or settings have to change, withdraw it and compose another release."
        )


def void_approvals(*, release: Release, reason: str) -> int:
    """The decisions so far no longer count; they stay on record. Returns how many there were."""
    with transaction.atomic():
        voided = Approval.objects.filter(release=release, voided_at=None).update(
            voided_at=timezone.now(), void_reason=reason[:LONGEST_REASON]
        )
        if voided:
            audit.record(
                actor=None, action="release.void", subject=release, reason=reason, data={"voided": voided}
            )
    return voided


def _note(note: str, longest: int = LONGEST_NOTE) -> str:
    note = one_line(note)
    if len(note) > longest:
        raise InvalidInput("The note is too long.", fields={"note": f"Write at most {longest:,} characters."})
    return note


def _refuse_another_baseline(comparison: Comparison, live: int | None) -> None:
    if live is not None and comparison.baseline.release_id != live:
        raise Refused(
            f"Comparison {comparison.pk} is against release {comparison.baseline.release_id}, but release {live} is "
            "live now. Compare with the live release, then submit."
        )


def _refuse_leakage(seen: int) -> None:
    if seen:
        raise Refused(
            f"{seen} document{'s' if seen > 1 else ''} of the test set {'are' if seen > 1 else 'is'} in the data this "
            "model was trained on; its scores mean nothing. Evaluate on a test set that shares no document with the "
            "snapshots of its lineage.",
            code="leakage",
        )


def withdraw_release(*, release: Release, actor: Any | None, reason: str = "") -> Release:
    """Take a draft or a waiting release back for good."""
    require(actor, "submit_release")
    reason = _note(reason, LONGEST_REASON)
    with transaction.atomic():
        move(release, to="withdrawn", actor=actor, action="release.withdraw", reason=reason)
        Release.objects.filter(pk=release.pk).update(reason=reason)
        release.reason = reason
    return release
