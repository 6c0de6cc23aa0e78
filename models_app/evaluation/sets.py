"""Evaluation sets: frozen test documents with references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.models import EvaluationExample, EvaluationSet


@dataclass(frozen=True)
class EvaluationRow:
    document_hash: str
    origin: str
    source: str
    reference: str
    title: str = ""
    domain: str = ""


def freeze_evaluation_set(
    *, rows: Sequence[EvaluationRow], name: str, selection: dict[str, Any], actor: Any | None
) -> EvaluationSet:
    """Freeze test documents; the same documents and references give the set there is."""
    require(actor, "evaluate")
    if not rows:
        raise Refused("There are no test documents with a reference summary. Import some, then evaluate.")
    if any(not row.reference.strip() for row in rows):
        raise Refused("Every test document needs a reference summary.")
    ordered = sorted(rows, key=lambda row: row.document_hash)
    # All that a model is shown, a metric reads or a slice is cut by; not where it came from.
    lines = [
        json.dumps([row.document_hash, row.source, row.reference, row.title, row.domain], ensure_ascii=False)
        for row in ordered
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    existing = EvaluationSet.objects.filter(digest=digest).first()
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            frozen = EvaluationSet.objects.create(
                name=name, digest=digest, rows=len(ordered), selection=selection, created_by=actor
            )
            EvaluationExample.objects.bulk_create(
                [
                    EvaluationExample(evaluation_set=frozen, position=i, **asdict(row))
                    for i, row in enumerate(ordered)
                ],
                batch_size=1000,
            )
            audit.record(
                actor=actor,
                action="evaluation_set.freeze",
                subject=frozen,
                data={"digest": digest, "rows": len(rows)},
            )
    except IntegrityError:
        return EvaluationSet.objects.get(digest=digest)
    return frozen
