"""Evaluation sets: frozen test documents with references."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Func, JSONField, Value

from models_app.evaluation import rouge
from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.models import EvaluationExample, EvaluationSet

IMPORTED = "imported"


@dataclass(frozen=True)
class Reference:
    """A text that a summary is measured against, and where it came from."""

    text: str
    origins: tuple[str, ...] = ()  # e.g. document:17, review:31, adjudication:4
    resolved: str = IMPORTED  # or how it became final, e.g. "by its reviewers", "by adjudication"
    people: int = 0  # by how many it was written or agreed on; 0 for what was imported
    authors: tuple[int, ...] = ()  # ids of the users who wrote it
    edit_of: int | None = None  # the release whose summary was corrected into it

    @property
    def is_correction(self) -> bool:
        return self.resolved != IMPORTED


@dataclass(frozen=True)
class EvaluationRow:
    """A test document; with `references` where there are several or one was not imported, the first as `reference`."""

    document_hash: str
    origin: str
    source: str
    reference: str
    title: str = ""
    domain: str = ""
    references: tuple[Reference, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)  # language and whatever else slices may be cut by

    def known(self) -> list[dict[str, Any]]:
        """As `EvaluationExample.all_references` has it."""
        if all(not reference.is_correction for reference in self.references) and len(self.references) < 2:
            return []
        return [
            {**asdict(one), "origins": list(one.origins), "authors": sorted(one.authors)}
            for one in self.references
        ]

    def canonical(self) -> list[Any]:
        """All that a model is shown, a metric reads or a slice is cut by; of corrections also where they came from,
        since that says whom they favour."""
        row: list[Any] = [self.document_hash, self.source, self.reference, self.title, self.domain]
        if known := self.known():
            row.append(known)
        return [*row, self.labels()] if self.labels() else row

    def labels(self) -> dict[str, str]:
        return {name: value for name, value in sorted(self.fields.items()) if value}


def freeze_evaluation_set(
    *,
    rows: Sequence[EvaluationRow],
    name: str,
    selection: dict[str, Any],
    actor: Any | None,
    words: rouge.Words | None = None,
) -> EvaluationSet:
    """Freeze test documents; the same documents and references give the set there is. `words`: those that ROUGE counts
    on it; without, those that its references are written in."""
    require(actor, "evaluate")
    if not rows:
        raise Refused("No test document has a reference summary. Import some, then evaluate.")
    if any(not text.strip() for row in rows for text in _texts(row)):
        raise Refused("Every test document needs a reference summary.")
    if any(row.references and row.references[0].text != row.reference for row in rows):
        raise ValueError("the first of the references is the reference")
    ordered = sorted(rows, key=lambda row: row.document_hash)
    words = words or rouge.words_for(text for row in rows for text in _texts(row))
    digest = _digest((row.canonical() for row in ordered), words)
    existing = EvaluationSet.objects.filter(digest=digest).first()
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            frozen = EvaluationSet.objects.create(
                name=name, digest=digest, rows=len(ordered), selection=selection, created_by=actor,
                most_references=max(len(_texts(row)) for row in ordered), words=words,
            )  # fmt: skip
            EvaluationExample.objects.bulk_create(
                [
                    EvaluationExample(
                        evaluation_set=frozen, position=i, document_hash=row.document_hash, origin=row.origin,
                        source=row.source, reference=row.reference, title=row.title, domain=row.domain,
                        all_references=row.known(), fields=row.labels(),
                    )
                    for i, row in enumerate(ordered)
                ],
                batch_size=1000,
            )  # fmt: skip
            audit.record(
                actor=actor,
                action="evaluation_set.freeze",
                subject=frozen,
                data={"digest": digest, "rows": len(rows)},
            )
    except IntegrityError:
        return EvaluationSet.objects.get(digest=digest)
    return frozen


def _digest(canonical: Iterable[list[Any]], words: str) -> str:
    lines = [json.dumps(row, ensure_ascii=False) for row in canonical]
    if words != rouge.LATIN:
        lines.append(json.dumps(["words", words]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digest_of_documents(evaluation_set: EvaluationSet) -> str:
    """Of its documents as the database has them now; the set's own where nobody rewrote one. 1 query."""
    rows = EvaluationExample.objects.filter(evaluation_set=evaluation_set).order_by("position")
    return _digest((_canonical(row) for row in rows.iterator(chunk_size=2000)), evaluation_set.words)


def _canonical(row: EvaluationExample) -> list[Any]:
    """As `EvaluationRow.canonical` has it: the database has its own order for the parts of a reference."""
    values: list[Any] = [row.document_hash, row.source, row.reference, row.title, row.domain]
    names = [one.name for one in fields(Reference)]
    if row.all_references:
        values.append([{name: one[name] for name in names} for one in row.all_references])
    return [*values, dict(sorted(row.fields.items()))] if row.fields else values


def _texts(row: EvaluationRow) -> list[str]:
    return [reference.text for reference in row.references] or [row.reference]


# ---------------------------------------------------------------- where the references came from


@dataclass(frozen=True)
class References:
    """What a test set's documents are measured against."""

    documents: int
    imported: int
    corrections: int
    several: int  # documents with more than one
    people: int  # who wrote the corrections
    edits: Mapping[int, int]  # documents with a reference that is an edit of this release's text, by release

    @property
    def total(self) -> int:
        return self.imported + self.corrections


def references_of(evaluation_set: EvaluationSet) -> References:
    """1 query."""
    imported = corrections = several = 0
    people: set[int] = set()
    edits: Counter[int] = Counter()
    rows = EvaluationExample.objects.filter(evaluation_set=evaluation_set)
    for known in rows.values_list("all_references", flat=True):
        new = [row for row in known if row["resolved"] != IMPORTED]
        corrections += len(new)
        imported += len(known) - len(new) if known else 1
        several += len(known) > 1
        people.update(person for row in new for person in row["authors"])
        edits.update({row["edit_of"] for row in new if row["edit_of"] is not None})
    return References(evaluation_set.rows, imported, corrections, several, len(people), dict(edits))


def authors_of(evaluation_sets: Iterable[EvaluationSet]) -> set[int]:
    """Ids of the users who wrote references of these test sets: a release is measured against their words. 1 query."""
    rows = EvaluationExample.objects.filter(evaluation_set__in=list(evaluation_sets)).exclude(
        all_references=[]
    )
    # Found by the database: of ten thousand documents the texts of all references would come along.
    persons = Func(
        "all_references", Value("$[*].authors[*]"), function="jsonb_path_query", output_field=JSONField()
    )
    return set(rows.order_by().values_list(persons, flat=True).distinct())


def whom_references_favour(evaluation_set: EvaluationSet, *, candidate: int, baseline: int) -> str:
    """A sentence for a comparison: how many references began as a text of one of the two, or nothing. 1 query."""
    found = references_of(evaluation_set)
    sides = [("after", candidate), ("before", baseline)]
    parts = [
        f"those of {found.edits[release]:,} are corrections of what release {release} ({side}) wrote, which favours it"
        for side, release in sides
        if found.edits.get(release)
    ]
    if not parts:
        return ""
    return f"Of the references of {found.documents:,} documents {'; '.join(parts)}."
