"""Batches: one file or Hugging Face data set each, from being handed in to the report on every row.

A batch is looked at first (columns, first rows), then imported with the mapping that somebody confirmed, both by jobs.
Files wait in `<GALLEY_HOME>/uploads/<SHA-256>/<name>` and go once they are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, Refused, TooLarge
from models_app.foundation.roles import require
from models_app.ml import hub_data
from models_app.models import Job
from models_app.texts.normalise import one_line
from reviews.ingest import batches, records, twins, uploads
from reviews.ingest.columns import choose_columns
from reviews.ingest.documents import ImportReport, check, import_rows
from reviews.ingest.sources.files import open_file, recognised
from reviews.ingest.sources.hub import open_hub
from reviews.ingest.sources.source import Progress, Source
from reviews.ingest.twins import Twin
from reviews.models import ImportBatch, SourceDocument

ROWS_SHOWN = 5
LONGEST_SHOWN = 50_000
MOST_SHOWN = 1_000_000  # characters of all cells that are kept to be shown
PLACE = "uploads"
_DISCARD = "import.discard"


@dataclass(frozen=True)
class ImportOptions:
    """What to read and what to say about it. `hub` names a data set; without it there is a file."""

    format: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    domain: str = ""
    origin: str = ""
    licence: str = ""
    hub: str = ""
    config: str = ""
    split: str = ""

    @classmethod
    def of(cls, batch: ImportBatch) -> ImportOptions:
        return cls(**batch.options)


@dataclass(frozen=True)
class SampleRow:
    """One of the first rows as it would come in; `problem` says why it would not."""

    number: int
    text: str
    values: dict[str, str]
    words: int
    split: str = ""
    problem: str = ""
    twin: Twin | None = None  # a document there is, whose split it would join


# ---------------------------------------------------------------- handing in


def hand_in_file(*, path: Path, options: ImportOptions, actor: Any | None) -> ImportBatch:
    """Keep an uploaded file (see `uploads.keep`) as a batch and let the queue look at it. One that its first bytes show
    to be something else is removed, and InvalidInput says so."""
    require(actor, "import_documents")
    drop_left_behind()
    try:
        recognised(path, format=options.format or None)
    except (InvalidInput, TooLarge):
        uploads.drop(path, waits=ImportBatch)
        raise
    return batches.hand_in(
        ImportBatch, name=path.name, path=path, options=options, actor=actor, kind="import_documents"
    )


def hand_in_hub(*, options: ImportOptions, actor: Any | None) -> ImportBatch:
    """Let the queue look at a Hugging Face data set."""
    require(actor, "import_documents")
    name = one_line(options.hub)
    if not hub_data.NAME.fullmatch(name):
        message = "Write the data set's name, such as abisee/cnn_dailymail."
        raise InvalidInput(message, fields={"hub": message})
    label = " ".join(part for part in (name, options.config, options.split) if part)
    return batches.hand_in(ImportBatch, name=label, options=options, actor=actor, kind="import_documents")


def _look(source: Source) -> dict[str, Any]:
    """Columns and first rows, to be shown and mapped later without opening the source again."""
    rows = []
    longest = min(LONGEST_SHOWN, MOST_SHOWN // (ROWS_SHOWN * max(1, len(source.columns))))
    for number, values in records.first(source, ROWS_SHOWN):
        rows.append([number, values if isinstance(values, str) else _shortened(values, source, longest)])
    return {"format": source.format, "columns": list(source.columns), "rows": rows}


def _shortened(values: Mapping[str, Any], source: Source, longest: int) -> dict[str, Any]:
    texts = {name: records.as_text(values[name]) for name in source.columns if name in values}
    return {name: None if text is None else text[:longest] for name, text in texts.items()}


def sample_rows(
    *, batch: ImportBatch, mapping: Mapping[str, str] | None
) -> tuple[dict[str, str], list[SampleRow]]:
    """(field → column, the first rows read that way). Raises InvalidInput where the mapping does not fit."""
    sample = batch.report.get("sample", {})
    columns = choose_columns(sample.get("columns", ()), mapping)
    rows = [_sample_row(number, values, columns) for number, values in sample.get("rows", ())]
    return columns, rows


def _sample_row(number: int, values: dict[str, Any] | str, columns: Mapping[str, str]) -> SampleRow:
    if isinstance(values, str):
        return SampleRow(number, "", {}, 0, problem=values)
    row, name, reason = records.document_row(number, values, columns)
    if row is None:
        return SampleRow(number, "", {}, 0, problem=f"{name}: {reason}")
    document, name, reason = check(row)
    others = {name: getattr(row, name) for name in columns if name != "text"}
    if document is None:
        return SampleRow(number, row.text, others, len(row.text.split()), problem=f"{name}: {reason}")
    return _with_twin(SampleRow(number, document.text, others, document.words, document.split), document)


def _with_twin(row: SampleRow, document: SourceDocument) -> SampleRow:
    """As it would come in alone. What rows of one file have to do with each other is seen when they are imported."""
    twin = twins.join_alone(document)
    return replace(row, split=document.split, twin=twin)


# ---------------------------------------------------------------- importing


def start_import(*, batch: ImportBatch, options: ImportOptions, actor: Any | None) -> Job:
    """Let the queue import a batch that was handed in. Asked twice, it is imported once. Raises Refused where it is
    in already, InvalidInput where the mapping does not fit the columns."""
    require(actor, "import_documents")
    columns = batch.report.get("sample", {}).get("columns")
    if columns:
        choose_columns(columns, options.mapping)

    def readable(locked: ImportBatch) -> None:
        if locked.upload:
            uploads.path_of(locked)
        elif not options.hub:
            raise Refused(f"{locked.name} was not handed in as a file or data set that could be read again.")

    return batches.start(
        batch=batch,
        options=options,
        actor=actor,
        kind="import_documents",
        action="import.start",
        check=readable,
    )


def newest_first() -> QuerySet[ImportBatch]:
    return batches.newest_first(ImportBatch, repeated="duplicates")


def look_at(*, batch: ImportBatch, job: Job) -> dict[str, Any]:
    """The job's part of handing in. Raises InvalidInput and TooLarge."""
    with batches.within_memory(batch):
        sample = _look(_open(batch))
    batches.looked(batch, job=job, sample=sample)
    return {"columns": len(sample["columns"])}


def carry_out(*, batch: ImportBatch, progress: Progress | None = None) -> ImportReport | None:
    """Import it in one transaction, its report included; None where that was done before (a job that came twice)."""
    with batches.within_memory(batch):
        return batches.carry_out(batch, lambda locked: _import(locked, _open(locked), progress))


def import_at_once(
    *,
    source: Source,
    options: ImportOptions,
    actor: Any | None,
    progress: Progress | None = None,
) -> tuple[ImportBatch, ImportReport]:
    """For a command that waits: the batch and its documents in one transaction."""
    require(actor, "import_documents")
    with transaction.atomic():
        batch = ImportBatch.objects.create(name=source.name[:200], options=asdict(options), imported_by=actor)
        report = _import(batch, source, progress)
    return batch, report


def _open(batch: ImportBatch) -> Source:
    options = ImportOptions.of(batch)
    if options.hub:
        return open_hub(options.hub, config=options.config, split=options.split)
    return open_file(uploads.path_of(batch), format=options.format or None)


def _import(batch: ImportBatch, source: Source, progress: Progress | None) -> ImportReport:
    options = ImportOptions.of(batch)
    report = ImportReport()
    rows = records.read(
        source, mapping=options.mapping, limit=options.limit, report=report, progress=progress
    )
    import_rows(
        rows=rows,
        origin=options.origin or source.name,
        licence=options.licence,
        domain=options.domain,
        actor=batch.imported_by,
        batch=batch,
        report=report,
    )
    if not report.read:
        raise InvalidInput(f"{source.name} has no rows.", fields={"file": "It has no rows."})
    if progress is not None:
        progress(*source.position())
    batch.report = {**report.to_dict(), "mapping": choose_columns(source.columns, options.mapping)}
    batch.finished_at = timezone.now()
    batch.save(update_fields=["report", "finished_at"])
    return report


# ---------------------------------------------------------------- tidying up


def discard(*, batch: ImportBatch, actor: Any | None) -> None:
    """Forget a batch that nothing came of, and its file. Raises Refused where documents came of it or are coming."""
    require(actor, "import_documents")
    batches.discard(batch=batch, actor=actor, action=_DISCARD)


def drop_left_behind() -> int:
    """The queue does so every hour, and whoever hands in a file. Returns how many batches."""
    return batches.drop_left_behind(ImportBatch, place=PLACE, action=_DISCARD)
