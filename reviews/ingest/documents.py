"""Taking documents in: clean, check, tell duplicates, give each its split. Files are read in `records`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias

import psycopg
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import Unavailable
from models_app.foundation.roles import require
from models_app.texts.language import language_of
from models_app.texts.near_duplicates import shingles
from models_app.texts.normalise import normalise, one_line
from reviews.ingest import statements, twins
from reviews.ingest.fields import clean_fields
from reviews.ingest.reports import KEPT, RowsReport
from reviews.ingest.sketches import Sketches, kept_sketch
from reviews.ingest.splits import split_of
from reviews.models import ImportBatch, SourceDocument

CHUNK = 500
LONGEST_REFERENCE_WORDS = 2000
_ONCE = "reviews_sourcedocument_content_hash_key"
LONGEST = {
    "title": SourceDocument.LONGEST_TITLE_CHARACTERS,
    **dict.fromkeys(
        ("external_id", "group_key", "licence", "origin"), SourceDocument.LONGEST_LABEL_CHARACTERS
    ),
}
_NOT_IN_DOMAINS = re.compile(r"[^\w -]+")

Result = Literal["imported", "duplicate", "refused"]


@dataclass(frozen=True)
class DocumentRow:
    """One document as submitted. `number` is its row in the file, from 1, for reports."""

    text: str
    title: str = ""
    domain: str = ""
    reference: str = ""
    external_id: str = ""
    group_key: str = ""
    licence: str = ""
    origin: str = ""
    number: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)  # any others, by name


@dataclass(frozen=True)
class Outcome:
    """The result of one row. `document` is the new document, or the one that was there before."""

    row: int
    result: Result
    document: int | None = None
    split: str = ""
    field: str = ""
    reason: str = ""
    twin: int | None = None  # a document that is nearly the same, whose split it joined
    share: float | None = None


@dataclass(frozen=True)
class Joined:
    """A row that came into the split of a document that is nearly the same."""

    row: int
    document: int
    twin: int
    share: float
    split: str


@dataclass
class ImportReport(RowsReport):
    """`repeated` (row, document) and `joined` keep the first ones, as `refused` does; the counts count all."""

    duplicates: int = 0
    repeated: list[tuple[int, int]] = field(default_factory=list)
    joined_count: int = 0
    joined: list[Joined] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    #: field → column
    mapping: dict[str, str] = field(default_factory=dict)
    #: the result of each row, where the caller gives a list; not in order
    outcomes: list[Outcome] | None = None

    def refuse(self, row: int, name: str, reason: str) -> None:
        self._keep(Outcome(row, "refused", field=name, reason=reason))
        super().refuse(row, name, reason)

    def repeat(self, row: int, document: int, split: str) -> None:
        self._keep(Outcome(row, "duplicate", document, split))
        self.duplicates += 1
        if len(self.repeated) < KEPT:
            self.repeated.append((row, document))

    def take(self, row: int, document: SourceDocument) -> None:
        twin, share, split = document.twin_id, document.twin_share, document.split
        self._keep(Outcome(row, "imported", document.pk, split, twin=twin, share=share))
        self.imported += 1
        self.documents.append(document.pk)
        self.splits[split] = self.splits.get(split, 0) + 1
        if twin is not None and share is not None:
            self.joined_count += 1
            if len(self.joined) < KEPT:
                self.joined.append(Joined(row, document.pk, twin, share, split))

    def _keep(self, outcome: Outcome) -> None:
        if self.outcomes is not None:
            self.outcomes.append(outcome)

    def counts(self) -> dict[str, Any]:
        return {
            **super().counts(),
            "duplicates": self.duplicates,
            "joined_count": self.joined_count,
            "splits": self.splits,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "repeated": [list(pair) for pair in self.repeated],
            "joined": sorted(list(astuple(joined)) for joined in self.joined),
            "mapping": self.mapping,
        }


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text without regard to its line breaks and spaces: what 'the same document' means."""
    return _hash_of(_in_one_line(normalise(text)))


def _in_one_line(text: str) -> str:
    """The words of a text that is normalised, with single spaces between them. Of ASCII it has no other white space
    than spaces and line breaks, and to replace these takes a fifth of the time of taking it apart."""
    if text.isascii():
        return text.replace("\n\n", " ").replace("\n", " ")
    return " ".join(text.split())


def _hash_of(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def check(row: DocumentRow) -> tuple[SourceDocument | None, str, str]:
    """(document, "", "") ready to save, or (None, field, reason)."""
    text = normalise(row.text)
    line = _in_one_line(text)
    words = line.count(" ") + 1
    least, most = settings.GALLEY_MIN_DOCUMENT_WORDS, settings.GALLEY_MAX_DOCUMENT_WORDS
    if not line:
        return None, "text", "There is no text."
    if words < least:
        plural = "word" if words == 1 else "words"
        return (
            None,
            "text",
            f"{words} {plural}; an article has at least {least} (GALLEY_MIN_DOCUMENT_WORDS).",
        )
    if words > most:
        return (
            None,
            "text",
            f"{words:,} words; an article has at most {most:,} (GALLEY_MAX_DOCUMENT_WORDS).",
        )
    reference = normalise(row.reference)
    if len(reference.split()) > LONGEST_REFERENCE_WORDS:
        return None, "reference", f"The reference summary has more than {LONGEST_REFERENCE_WORDS:,} words."
    lines = {name: one_line(value) if (value := getattr(row, name)) else "" for name in LONGEST}
    for name, limit in LONGEST.items():
        if len(lines[name]) > limit:
            return None, name, f"It has {len(lines[name]):,} characters; at most {limit} are kept."
    fields, reason = clean_fields(row.fields)
    if reason:
        return None, "fields", reason
    digest = _hash_of(line)
    split = split_of(
        lines["group_key"] or digest, salt=settings.GALLEY_SPLIT_SALT, shares=settings.GALLEY_SPLIT_SHARES
    )
    document = SourceDocument(
        text=text,
        domain=(row.domain and clean_domain(row.domain)) or "other",
        language=language_of(text),
        reference=reference,
        words=words,
        content_hash=digest,
        split=split,
        fields=fields,
        **lines,
    )
    return document, "", ""


def clean_domain(domain: str) -> str:
    """Lower case letters, digits, spaces and hyphens, as many as are kept."""
    kept = one_line(_NOT_IN_DOMAINS.sub(" ", one_line(domain).lower()))
    return kept[: SourceDocument.LONGEST_DOMAIN_CHARACTERS].strip()


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

    Raises Unavailable where another import brings the same documents at the same moment and this one had to give way,
    and while many documents that came otherwise are still compared (a job may do that first: `twins.sketch_missing`).
    """
    require(actor, "import_documents")
    report = report or ImportReport()
    defaults = {
        "origin": one_line(origin)[: SourceDocument.LONGEST_LABEL_CHARACTERS],
        "licence": one_line(licence)[: SourceDocument.LONGEST_LABEL_CHARACTERS],
        "domain": clean_domain(domain),
        "batch": batch and batch.pk,
        "created_by": actor and actor.pk,
    }
    sketches = Sketches()
    twins.sketch_few()
    try:
        with transaction.atomic():
            for chunk in _chunks(iter(rows), defaults, report):
                _keep_chunk(chunk, report, sketches)
            sketches.write()
            audit.record(
                actor=actor,
                action="documents.import",
                subject=batch or f"origin:{defaults['origin']}"[:100],
                data=report.counts(),
            )
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
            raise Unavailable(
                "Another import is bringing in the same documents just now. Try again."
            ) from error
        raise
    return report


Accepted: TypeAlias = list[tuple[int, SourceDocument]]


def _chunks(
    rows: Iterator[DocumentRow], defaults: dict[str, Any], report: ImportReport
) -> Iterator[Accepted]:
    """Block by block the rows that can be saved, with their numbers; the others are refused in the report."""
    at = timezone.now()
    while chunk := list(islice(rows, CHUNK)):
        accepted: Accepted = []
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
        yield accepted


def _keep_chunk(accepted: Accepted, report: ImportReport, sketches: Sketches) -> None:
    known, taken = _take(accepted, sketches)
    for number, document in accepted:
        if document.pk is not None and taken.pop(document.content_hash, None) is not None:
            report.take(number, document)
        else:
            report.repeat(number, *known[document.content_hash])


def _take(
    accepted: Sequence[tuple[int, SourceDocument]], sketches: Sketches
) -> tuple[dict[str, tuple[int, str]], dict[str, SourceDocument]]:
    """Save those that are not there: (number and split of every content hash, the saved ones by theirs)."""
    while True:
        known = _saved({document.content_hash for _, document in accepted})
        fresh: dict[str, SourceDocument] = {}
        for _, document in accepted:
            if document.content_hash not in known:
                fresh.setdefault(document.content_hash, document)
        # In one order everywhere: imports of the same documents then wait for each other, mostly, instead of
        # deadlocking.
        ordered = [fresh[digest] for digest in sorted(fresh)]
        by_hash = [document.split for document in ordered]
        try:
            with transaction.atomic():
                _insert(ordered, sketches)
        except IntegrityError as error:
            if not broke(error, _ONCE):
                raise
            # Another import was faster with one of them: it is known now, and what hung on it is settled once more.
            for document, split in zip(ordered, by_hash, strict=True):
                document.pk = document.twin_id = document.twin_share = None
                document.split = split
            continue
        return known | {digest: (document.pk, document.split) for digest, document in fresh.items()}, fresh


def _insert(documents: Sequence[SourceDocument], sketches: Sketches) -> None:
    """With their twins."""
    if not documents:
        return
    texts = list(shingles(document.text for document in documents))
    for document, text, pk in zip(documents, texts, statements.new_numbers(len(documents)), strict=True):
        document.pk = pk
        document.sketch = kept_sketch(text)
    pairs = twins.join(documents, texts, sketches)
    statements.copy_documents(documents)
    twins.keep(documents, texts, pairs, sketches)


def _saved(hashes: Collection[str]) -> dict[str, tuple[int, str]]:
    rows = SourceDocument.objects.filter(content_hash__in=hashes).order_by()
    return {digest: (pk, split) for digest, pk, split in rows.values_list("content_hash", "pk", "split")}
