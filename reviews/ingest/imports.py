"""Imports of documents: a file or a Hugging Face data set, one article a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from models_app.foundation.errors import InvalidInput, Refused
from models_app.ml import hub_data
from models_app.texts.needs import Between, mistakes
from models_app.texts.normalise import one_line
from reviews.ingest import records, twins
from reviews.ingest.columns import OTHER, choose_columns
from reviews.ingest.documents import ImportReport, check, import_rows
from reviews.ingest.life import FileOptions, ImportKind
from reviews.ingest.sources.hub import open_hub
from reviews.ingest.sources.source import Progress, Source
from reviews.ingest.twins import Twin
from reviews.models import ImportBatch, SourceDocument

ROWS_SHOWN = 5
LONGEST_SHOWN = 50_000
MOST_SHOWN = 1_000_000  # characters of all cells that are kept to be shown


@dataclass(frozen=True, kw_only=True)
class ImportOptions(FileOptions):
    """`hub` names a data set; without it there is a file."""

    limit: Annotated[int | None, Between(1, 10_000_000)] = None
    domain: Annotated[str, Between(0, SourceDocument.LONGEST_DOMAIN_CHARACTERS)] = ""
    hub: Annotated[str, Between(0, 200)] = ""
    config: Annotated[str, Between(0, 100)] = ""
    split: Annotated[str, Between(0, 100)] = ""
    keep: Sequence[str] = ()  # columns that become fields of their own


class DocumentImports(ImportKind[ImportBatch, ImportOptions, ImportReport]):
    table = ImportBatch
    job = "import_documents"
    place = "uploads"
    needs = ("import_documents",)
    action = "import"

    def submit_data_set(self, *, options: ImportOptions, actor: Any | None) -> ImportBatch:
        """Let the queue look at a Hugging Face data set."""
        self.allow(actor)
        name = one_line(options.hub)
        if not hub_data.NAME.fullmatch(name):
            message = "Write the data set's name, such as abisee/cnn_dailymail."
            raise InvalidInput(message, fields={"hub": message})
        label = " ".join(part for part in (name, options.config, options.split) if part)
        return self.submit(name=label, options=options, actor=actor)

    def options_of(self, row: ImportBatch) -> ImportOptions:
        return ImportOptions(**row.options)

    def open(self, row: ImportBatch) -> Source:
        options = self.options_of(row)
        if options.hub:
            return open_hub(options.hub, config=options.config, split=options.split)
        return super().open(row)

    def check_readable(self, row: ImportBatch, options: ImportOptions) -> None:
        if row.upload:
            super().check_readable(row, options)
        elif not options.hub:
            raise Refused(f"{row.name} was not uploaded as a file or data set that could be read again.")

    def look(self, source: Source) -> dict[str, Any]:
        rows = []
        longest = min(LONGEST_SHOWN, MOST_SHOWN // (ROWS_SHOWN * max(1, len(source.columns))))
        for number, values in records.first(source, ROWS_SHOWN):
            rows.append([number, values if isinstance(values, str) else _shortened(values, source, longest)])
        return {"format": source.format, "columns": list(source.columns), "rows": rows}

    def check(self, options: ImportOptions, columns: Sequence[str]) -> None:
        wrong = mistakes(options)
        if wrong:
            raise InvalidInput(" ".join(f"{name}: {words}" for name, words in wrong.items()), fields=wrong)
        choose_columns(columns, options.mapping, options.keep)

    def store(
        self, *, row: ImportBatch, source: Source, options: ImportOptions, progress: Progress | None
    ) -> ImportReport:
        report = ImportReport(mapping=choose_columns(source.columns, options.mapping, options.keep))
        import_rows(
            rows=records.read(
                source,
                mapping=options.mapping,
                keep=options.keep,
                limit=options.limit,
                report=report,
                progress=progress,
            ),
            origin=options.origin or source.name,
            licence=options.licence,
            domain=options.domain,
            actor=row.imported_by,
            batch=row,
            report=report,
        )
        return report


DOCUMENTS = DocumentImports()


def _shortened(values: Mapping[str, Any], source: Source, longest: int) -> dict[str, Any]:
    texts = {name: records.as_text(values[name]) for name in source.columns if name in values}
    return {name: None if text is None else text[:longest] for name, text in texts.items()}


# ---------------------------------------------------------------- the first rows, by a mapping


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


def sample_rows(
    *, batch: ImportBatch, mapping: Mapping[str, str] | None, keep: Sequence[str] = ()
) -> tuple[dict[str, str], list[SampleRow]]:
    """(field → column, the first rows read that way). Raises InvalidInput where the mapping does not fit."""
    columns = choose_columns(batch.sample.get("columns", ()), mapping, keep)
    rows = [_sample_row(number, values, columns) for number, values in batch.sample.get("rows", ())]
    return columns, rows


def _sample_row(number: int, values: dict[str, Any] | str, columns: Mapping[str, str]) -> SampleRow:
    if isinstance(values, str):
        return SampleRow(number, "", {}, 0, problem=values)
    row, name, reason = records.document_row(number, values, columns)
    if row is None:
        return SampleRow(number, "", {}, 0, problem=f"{name}: {reason}")
    document, name, reason = check(row)
    others = {name: getattr(row, name) for name in columns if name != "text" and not name.startswith(OTHER)}
    others = {**row.fields, **others}
    if document is None:
        return SampleRow(number, row.text, others, len(row.text.split()), problem=f"{name}: {reason}")
    return _with_twin(SampleRow(number, document.text, others, document.words, document.split), document)


def _with_twin(row: SampleRow, document: SourceDocument) -> SampleRow:
    """As it would come in alone. What rows of one file have to do with each other is seen when they are imported."""
    twin = twins.join_alone(document)
    return replace(row, split=document.split, twin=twin)
