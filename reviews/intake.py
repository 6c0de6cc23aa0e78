"""Taking documents in: clean, check, tell duplicates, give each its split. Files are read in `reviews.reading`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal

import psycopg
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import Unavailable
from models_app.foundation.roles import require
from models_app.foundation.texts import normalise, one_line
from reviews.models import ImportBatch, SourceDocument
from reviews.splits import split_of

CHUNK = 500
REFUSALS_KEPT = 1000
LONGEST_REFERENCE_WORDS = 2000
LONGEST = {"title": 300, "external_id": 120, "group_key": 120, "licence": 120, "origin": 120}
_NOT_IN_DOMAINS = re.compile(r"[^\w -]+")

Result = Literal["imported", "duplicate", "refused"]


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
    origin: str = ""
    number: int = 0


@dataclass(frozen=True)
class Refusal:
    row: int
    field: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What came of one row. `document` is the new document, or the one that was there before."""

    row: int
    result: Result
    document: int | None = None
    split: str = ""
    field: str = ""
    reason: str = ""


@dataclass
class ImportReport:
    """What came of the rows. `refused` and `repeated` (row, document) keep the first ones; the counts count all."""

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    refused_count: int = 0
    refused: list[Refusal] = field(default_factory=list)
    repeated: list[tuple[int, int]] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    #: what came of each row, where the caller gives a list; not in order
    outcomes: list[Outcome] | None = None

    def refuse(self, row: int, name: str, reason: str) -> None:
        self._keep(Outcome(row, "refused", field=name, reason=reason))
        self.refused_count += 1
        if len(self.refused) < REFUSALS_KEPT:
            self.refused.append(Refusal(row, name, reason))

    def repeat(self, row: int, document: int, split: str) -> None:
        self._keep(Outcome(row, "duplicate", document, split))
        self.duplicates += 1
        if len(self.repeated) < REFUSALS_KEPT:
            self.repeated.append((row, document))

    def take(self, row: int, document: int, split: str) -> None:
        self._keep(Outcome(row, "imported", document, split))
        self.imported += 1
        self.documents.append(document)
        self.splits[split] = self.splits.get(split, 0) + 1

    def _keep(self, outcome: Outcome) -> None:
        if self.outcomes is not None:
            self.outcomes.append(outcome)

    def to_dict(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "imported": self.imported,
            "duplicates": self.duplicates,
            "refused_count": self.refused_count,
            "refused": sorted([refusal.row, refusal.field, refusal.reason] for refusal in self.refused),
            "repeated": [list(pair) for pair in self.repeated],
            "splits": self.splits,
        }


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text without regard to its line breaks and spaces: what 'the same document' means."""
    return _hash_of_words(normalise(text).split())


def _hash_of_words(words: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def check(row: DocumentRow) -> tuple[SourceDocument | None, str, str]:
    """(document, "", "") ready to save, or (None, field, reason)."""
    text = normalise(row.text)
    words = text.split()
    least, most = settings.GALLEY_MIN_DOCUMENT_WORDS, settings.GALLEY_MAX_DOCUMENT_WORDS
    if not words:
        return None, "text", "There is no text."
    if len(words) < least:
        plural = "word" if len(words) == 1 else "words"
        return (
            None,
            "text",
            f"{len(words)} {plural}; an article has at least {least} (GALLEY_MIN_DOCUMENT_WORDS).",
        )
    if len(words) > most:
        return (
            None,
            "text",
            f"{len(words):,} words; an article has at most {most:,} (GALLEY_MAX_DOCUMENT_WORDS).",
        )
    reference = normalise(row.reference)
    if len(reference.split()) > LONGEST_REFERENCE_WORDS:
        return None, "reference", f"The reference summary has more than {LONGEST_REFERENCE_WORDS:,} words."
    lines = {name: one_line(value) if (value := getattr(row, name)) else "" for name in LONGEST}
    for name, limit in LONGEST.items():
        if len(lines[name]) > limit:
            return None, name, f"It has {len(lines[name]):,} characters; at most {limit} are kept."
    digest = _hash_of_words(words)
    split = split_of(
        lines["group_key"] or digest, salt=settings.GALLEY_SPLIT_SALT, shares=settings.GALLEY_SPLIT_SHARES
    )
    document = SourceDocument(
        text=text,
        domain=clean_domain(row.domain) or "other",
        reference=reference,
        words=len(words),
        content_hash=digest,
        split=split,
        **lines,
    )
    return document, "", ""


def clean_domain(domain: str) -> str:
    """Lower case letters, digits, spaces and hyphens, at most 40 characters."""
    return one_line(_NOT_IN_DOMAINS.sub(" ", one_line(domain).lower()))[:40].strip()


def import_rows(
    *,
    rows: Iterable[DocumentRow],
    origin: str,
    licence: str = "",
    domain: str = "",
    actor: Any | None,
    batch: ImportBatch | None = None,
    report: ImportReport | None = None,
) -> ImportReport:
    """Take documents in, all in one transaction: a crash leaves none of them. Rows that are refused or already there
    are counted in the report and hinder no other. `origin`, `licence` and `domain` are for rows that have none. A
    reader may have put its own refusals into `report`.

    Raises Unavailable where another import brings the same documents at the same moment and this one had to give way.
    """
    require(actor, "import_documents")
    report = report or ImportReport()
    defaults = {
        "origin": one_line(origin)[:120],
        "licence": one_line(licence)[:120],
        "domain": clean_domain(domain),
        "batch": batch and batch.pk,
        "created_by": actor and actor.pk,
    }
    iterator = iter(rows)
    try:
        with transaction.atomic():
            while chunk := list(islice(iterator, CHUNK)):
                _import_chunk(chunk, defaults, report)
            audit.record(
                actor=actor,
                action="documents.import",
                subject=batch or f"origin:{defaults['origin']}"[:100],
                data={
                    key: value
                    for key, value in report.to_dict().items()
                    if key not in ("refused", "repeated")
                },
            )
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
            raise Unavailable(
                "Another import is bringing in the same documents just now. Try again."
            ) from error
        raise
    return report


@dataclass(frozen=True)
class _Saved:
    pk: int
    split: str
    created_at: datetime


def _import_chunk(chunk: Sequence[DocumentRow], defaults: dict[str, Any], report: ImportReport) -> None:
    accepted: list[tuple[int, SourceDocument]] = []
    at = timezone.now()
    for row in chunk:
        report.read += 1
        number = row.number or report.read
        document, name, reason = check(row)
        if document is None:
            report.refuse(number, name, reason)
            continue
        document.origin = document.origin or defaults["origin"]
        document.batch_id, document.created_by_id = defaults["batch"], defaults["created_by"]
        document.licence = document.licence or defaults["licence"]
        if not row.domain.strip() and defaults["domain"]:
            document.domain = defaults["domain"]
        document.created_at = at
        accepted.append((number, document))
    hashes = {document.content_hash for _, document in accepted}
    known = _saved(hashes)
    fresh: dict[str, SourceDocument] = {}
    for _, document in accepted:
        if document.content_hash not in known:
            fresh.setdefault(document.content_hash, document)
    # In one order everywhere: imports of the same documents then wait for each other, mostly, instead of deadlocking.
    _insert([fresh[digest] for digest in sorted(fresh)])
    saved = _saved(set(fresh))
    for number, document in accepted:
        digest = document.content_hash
        if digest in fresh and saved[digest].created_at == at and fresh.pop(digest) is document:
            report.take(number, saved[digest].pk, document.split)
        else:
            there = known.get(digest) or saved[digest]
            report.repeat(number, there.pk, there.split)


def _insert(documents: Sequence[SourceDocument]) -> None:
    """Those that nobody else brings at this moment. COPY takes a third of the time of an INSERT, but knows no
    ON CONFLICT."""
    fields = [field for field in SourceDocument._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    try:
        with (
            transaction.atomic(),
            connection.wrap_database_errors,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {SourceDocument._meta.db_table} ({columns}) FROM STDIN") as copy,
        ):
            for document in documents:
                copy.write_row([getattr(document, field.attname) for field in fields])
    except IntegrityError:
        SourceDocument.objects.bulk_create(documents, ignore_conflicts=True)


def _saved(hashes: Collection[str]) -> dict[str, _Saved]:
    rows = SourceDocument.objects.filter(content_hash__in=hashes).order_by()
    found = rows.values_list("content_hash", "pk", "split", "created_at")
    return {digest: _Saved(pk, split, created_at) for digest, pk, split, created_at in found}
