"""Everything that a decision on a release was based on, as one signed file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from models_app import queries
from models_app.evaluation.reading import Reading
from models_app.evaluation.statistics import STORED
from models_app.evidence.envelope import sign
from models_app.evidence.keys import signing_key
from models_app.gates import policies, running
from models_app.models import (
    AuditEvent,
    Comparison,
    ComparisonResult,
    EvaluationExample,
    ExampleScore,
    GateRun,
    Release,
    TrainingRun,
    Waiver,
)
from models_app.releases.hands import involved, training_lineage
from models_app.releases.standing import needs_approvals

LARGEST_TRAIL = 2000


def evidence_file(release: Release) -> bytes:
    return sign(document(release), signing_key())


def document(release: Release) -> dict[str, Any]:
    """As plain JSON. Names people by their user names, and holds no article and no summary: of the documents that were
    compared it has the digests of their texts. About 15 queries, and one for each training run of the lineage."""
    comparison = release.comparison
    found = {
        "made_at": timezone.now(),
        "made_by": f"Galley {settings.VERSION}",
        "installation": settings.PUBLIC_URL,
        "release": _release(release),
        "decision": queries.evidence_document(release),
        "gates": _gates(release),
        "comparison": _comparison(comparison) if comparison is not None else None,
        "lineage": [_training(run) for run in training_lineage(release)],
        "people_with_a_hand_in_it": _hands(release),
        "trail": _trail(release, comparison),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, cls=DjangoJSONEncoder, allow_nan=False))
    return plain


def _release(release: Release) -> dict[str, Any]:
    model, prompt = release.model_version, release.prompt_version
    return {
        "id": release.pk,
        "digest": release.digest,
        "state": release.state,
        "environment": release.environment.name,
        "origin": release.origin,
        "note": release.note,
        "requested_by": _name(release.requested_by),
        "created_at": release.created_at,
        "submitted_at": release.submitted_at,
        "needs_approvals": needs_approvals(release),
        "model": {
            "id": model.pk, "name": model.name, "base": model.base, "digest": model.digest,
            "weights_digest": model.weights_digest, "engine": model.engine, "precision": model.precision,
            "parameters": model.parameters, "parent": model.parent_id, "manifest": model.manifest,
        },
        "prompt": {
            "id": prompt.pk, "name": str(prompt), "digest": prompt.digest, "system": prompt.system,
            "template": prompt.template,
        },
        "decoding": release.decoding,
    }  # fmt: skip


def _gates(release: Release) -> dict[str, Any] | None:
    run = (
        GateRun.objects.filter(release=release)
        .select_related("policy__made_by", "policy__environment", "release", "comparison")
        .order_by("-pk")
        .first()
    )
    if run is None:
        return None
    outcome = running.outcome(run)
    policy = run.policy
    waivers = Waiver.objects.filter(release=release).select_related("asked_by", "agreed_by", "ended_by")
    covering = {one.waiver.pk for one in outcome.findings if one.waiver is not None}
    return {
        "run": run.pk,
        "state": run.state,
        "verdict": run.verdict,
        "outcome": outcome.state,
        "words": outcome.words,
        "digest": run.digest,
        "comparison": run.comparison_id,
        "finished_at": run.finished_at,
        "policy": {
            "environment": policy.environment.name, "number": policy.number, "digest": run.policy_digest,
            "settings": policies.read(policy).as_settings(), "made_by": _name(policy.made_by),
            "made_at": policy.made_at, "reason": policy.reason,
        },
        "results": [{name: getattr(one.row, name) for name in running.FIELDS} for one in outcome.findings],
        "waivers": [
            {
                "id": one.pk, "gate": one.gate, "name": one.name, "reason": one.reason,
                "asked_by": _name(one.asked_by), "asked_at": one.asked_at, "agreed_by": _name(one.agreed_by),
                "agreed_at": one.agreed_at, "agreed_reason": one.agreed_reason, "expires_at": one.expires_at,
                "ended_by": _name(one.ended_by), "ended_at": one.ended_at, "holds": one.pk in covering,
            }
            for one in waivers
        ],
    }  # fmt: skip


def _comparison(comparison: Comparison) -> dict[str, Any]:
    results = ComparisonResult.objects.filter(comparison=comparison).order_by("against", "metric", "slice")
    test_set = comparison.candidate.evaluation_set
    return {
        "id": comparison.pk,
        "digest": comparison.digest,
        "candidate": {"release": comparison.candidate.release_id, "evaluation": comparison.candidate_id},
        "baseline": {
            "release": comparison.baseline.release_id, "digest": comparison.baseline.release.digest,
            "evaluation": comparison.baseline_id,
        },
        "test_set": {"id": test_set.pk, "name": test_set.name, "digest": test_set.digest, "rows": test_set.rows},
        "n": comparison.n,
        "primary_metric": comparison.primary_metric,
        "terms": comparison.terms,
        "signature": comparison.signature,
        "seed": comparison.seed,
        "resamples": comparison.resamples,
        "verdict": comparison.verdict,
        "sentence": comparison.sentence,
        "results": list(results.values("against", *STORED)),
        "documents_shown": _documents_shown(comparison),
    }  # fmt: skip


def _documents_shown(comparison: Comparison) -> list[dict[str, Any]]:
    """Which nine the page shows, by the digests of their texts, so that somebody who has the texts can tell."""
    if not comparison.reading:
        return []
    shown = Reading.of_json(comparison.reading).documents
    examples = EvaluationExample.objects.in_bulk([one.example for one in shown])
    outputs = {
        (run, example): output
        for run, example, output in ExampleScore.objects.filter(
            run__in=[comparison.candidate_id, comparison.baseline_id], example__in=examples
        ).values_list("run", "example", "output")
    }
    return [
        {
            "kind": one.kind,
            "document": examples[one.example].document_hash,
            "score": {"before": one.before, "after": one.after},
            "sha256": {
                "article": _digest(examples[one.example].source),
                "reference": _digest(examples[one.example].reference),
                "before": _digest(outputs[comparison.baseline_id, one.example]),
                "after": _digest(outputs[comparison.candidate_id, one.example]),
            },
        }
        for one in shown
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _training(run: TrainingRun) -> dict[str, Any]:
    snapshot = run.snapshot
    return {
        "run": run.pk, "base": run.base, "recipe": run.recipe, "recipe_digest": run.recipe_digest, "seed": run.seed,
        "device": run.device, "summary": run.summary, "requested_by": _name(run.requested_by),
        "finished_at": run.finished_at,
        "snapshot": {
            "id": snapshot.pk, "name": snapshot.name, "digest": snapshot.digest, "train_rows": snapshot.train_rows,
            "validation_rows": snapshot.validation_rows, "selection": snapshot.selection,
        },
    }  # fmt: skip


def _hands(release: Release) -> dict[str, list[str]]:
    hands = involved(release)
    names = dict(User.objects.filter(pk__in=hands).values_list("pk", "username"))
    return {names[pk]: words for pk, words in sorted(hands.items()) if pk in names}


def _trail(release: Release, comparison: Comparison | None) -> dict[str, Any]:
    events = queries.trail(release, [comparison] if comparison is not None else [], limit=LARGEST_TRAIL)
    head = AuditEvent.objects.order_by("-pk").values("id", "at", "hash").first()
    return {"events": [_event(event) for event in events], "head": head}


def _event(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": event.pk, "at": event.at, "actor": event.actor_name, "action": event.action, "subject": event.subject,
        "from": event.from_state, "to": event.to_state, "reason": event.reason, "hash": event.hash,
    }  # fmt: skip


def _name(user: User | None) -> str | None:
    return user.get_username() if user is not None else None
