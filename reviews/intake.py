"""Taking documents in: clean, check, tell duplicates, give each its split. Files are read in `reviews.reading`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.roles import require
from models_app.foundation.texts import normalise
from reviews.models import ImportBatch, SourceDocument
from reviews.splits import split_of

CHUNK = 1000
REFUSALS_KEPT = 200
LONGEST_REFERENCE_WORDS = 2000
_DOMAIN = re.compile(r"[^a-z0-9 _-]+")


@dataclass(frozen=True)
class DocumentRow:
    """One document as handed in. `number` is its row in the file, from 1, for reports."""

    text: str
    title: str = ""
    domain: str = ""
    reference: str = ""
    external_id: str = ""
    group_key: str = ""
    licence: str = ""
    number: int = 0


@dataclass(frozen=True)
class Refusal:
    row: int
    field: str
    reason: str


@dataclass
class ImportReport:
    """What came of each row. `refused` keeps the first ones; `refused_count` counts all."""

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    refused_count: int = 0
    refused: list[Refusal] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)

    def refuse(self, row: int, name: str, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < REFUSALS_KEPT:
            self.refused.append(Refusal(row, name, reason))

    def to_dict(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "imported": self.imported,
            "duplicates": self.duplicates,
            "refused_count": self.refused_count,
            "refused": [[refusal.row, refusal.field, refusal.reason] for refusal in self.refused],
            "splits": self.splits,
        }


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text without regard to its line breaks and spaces: what 'the same document' means."""
    return hashlib.sha256(" ".join(normalise(text).split()).encode()).hexdigest()


def check(row: DocumentRow) -> tuple[SourceDocument | None, str, str]:
    """(document, "", "") ready to save, or (None, field, reason)."""
    text = normalise(row.text)
    words = len(text.split())
    least, most = settings.GALLEY_MIN_DOCUMENT_WORDS, settings.GALLEY_MAX_DOCUMENT_WORDS
    if not text:
        return None, "text", "There is no text."
    if words < least:
        return None, "text", f"{words} words; an article has at least {least} (GALLEY_MIN_DOCUMENT_WORDS)."
    if words > most:
        return None, "text", f"{words:,} words; an article has at most {most:,} (GALLEY_MAX_DOCUMENT_WORDS)."
    reference = normalise(row.reference)
    if len(reference.split()) > LONGEST_REFERENCE_WORDS:
        return None, "reference", f"The reference summary has more than {LONGEST_REFERENCE_WORDS:,} words."
    for name, limit in (("title", 300), ("external_id", 120), ("group_key", 120), ("licence", 120)):
        if len(getattr(row, name)) > limit:
            return None, name, f"Longer than {limit} characters."
    digest = content_hash(text)
    group = normalise(row.group_key)
    document = SourceDocument(
        text=text,
        title=" ".join(normalise(row.title).split()),
        domain=_DOMAIN.sub("", row.domain.strip().lower())[:40] or "other",
        reference=reference,
        external_id=row.external_id.strip(),
        group_key=group,
        licence=row.licence,
        words=words,
        content_hash=digest,
        split=split_of(group or digest, salt=settings.GALLEY_SPLIT_SALT, shares=settings.GALLEY_SPLIT_SHARES),
    )
    return document, "", ""


def import_rows(
    *,
    rows: Iterable[DocumentRow],
    origin: str,
    licence: str = "",
    actor: Any | None,
    batch: ImportBatch | None = None,
    report: ImportReport | None = None,
) -> ImportReport:
    """Take documents in, all in one transaction: a crash leaves none of them. Rows that are refused or already there
    are counted in the report and hinder no other. A reader may have put its own refusals into `report`."""
    require(actor, "import_documents")
    report = report or ImportReport()
    iterator = iter(rows)
    with transaction.atomic():
        while chunk := list(islice(iterator, CHUNK)):
            _import_chunk(chunk, origin, licence, actor, batch, report)
        audit.record(
            actor=actor,
            action="documents.import",
            subject=batch or f"origin:{origin}"[:100],
            data={key: value for key, value in report.to_dict().items() if key != "refused"},
        )
    return report


def _import_chunk(
    chunk: Sequence[DocumentRow],
    origin: str,
    licence: str,
    actor: Any | None,
    batch: ImportBatch | None,
    report: ImportReport,
) -> None:
    fresh: dict[str, SourceDocument] = {}
    for row in chunk:
        report.read += 1
        document, name, reason = check(row)
        if document is None:
            report.refuse(row.number or report.read, name, reason)
            continue
        document.origin, document.batch, document.created_by = origin[:120], batch, actor
        document.licence = document.licence or licence
        if document.content_hash in fresh:
            report.duplicates += 1
        else:
            fresh[document.content_hash] = document
    known = set(
        SourceDocument.objects.filter(content_hash__in=fresh).values_list("content_hash", flat=True)
    )
    new = [document for digest, document in fresh.items() if digest not in known]
    SourceDocument.objects.bulk_create(new, ignore_conflicts=True)  # another import may bring the same at once
    saved = SourceDocument.objects.filter(content_hash__in=[document.content_hash for document in new]).values_list(
        "pk", "content_hash", "split"
    )
    mine = list(saved)
    report.duplicates += len(known) + len(new) - len(mine)
    report.imported += len(mine)
    report.documents += [pk for pk, _, _ in mine]
    for _, _, split in mine:
        report.splits[split] = report.splits.get(split, 0) + 1
