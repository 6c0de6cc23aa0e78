"""Imports of ratings that people gave elsewhere: a file of one or several rows a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from models_app.foundation import audit
from reviews.external_ratings import rows
from reviews.external_ratings.options import Options, check, rubric_of
from reviews.external_ratings.rows import PairRow, RatedRow, Unreadable
from reviews.external_ratings.storing import Report, take_in
from reviews.ingest import records
from reviews.ingest.life import ImportKind
from reviews.ingest.sources.source import Progress, Source
from reviews.models import RatingImport

SAMPLE_ROWS = 3
MOST_SHOWN = 1_000_000  # characters of what is kept to be shown
DEEPEST_SHOWN = 5


class RatingImports(ImportKind[RatingImport, Options, Report]):
    table = RatingImport
    job = "import_ratings"
    place = "rating-uploads"
    needs = ("import_documents", "manage_queues")
    action = "ratings.import"

    def options_of(self, row: RatingImport) -> Options:
        values = dict(row.options)
        return Options(**{**values, "scale": tuple(values.get("scale", (1.0, 5.0)))})

    def look(self, source: Source) -> dict[str, Any]:
        return look(source)

    def check(self, options: Options, columns: Sequence[str]) -> None:
        check(options, columns)

    def store(
        self, *, row: RatingImport, source: Source, options: Options, progress: Progress | None
    ) -> Report:
        rubric = rubric_of(options)
        report = take_in(batch=row, source=source, options=options, rubric=rubric, progress=progress)
        audit.record(actor=row.imported_by, action=self.action, subject=row, data=report.counts())
        return report


RATINGS = RatingImports()


# ---------------------------------------------------------------- the first rows, by a mapping


class Cut(NamedTuple):
    """How many characters of a text are shown, and how many parts of what has several."""

    text: int
    keys: int
    items: int


#: The first that is short enough is taken. The last one is: at most 10^5 texts of 20 characters a record.
CUTS = (Cut(2000, 50, 20), Cut(200, 50, 5), Cut(20, 10, 2))


def look(source: Source) -> dict[str, Any]:
    """Columns, the paths that a mapping could name, and the first records, shortened."""
    found = [values for _, values in records.first(source, SAMPLE_ROWS) if not isinstance(values, str)]
    shown = next(
        shown
        for cut in CUTS
        if len(json.dumps(shown := [_shortened(record, cut) for record in found])) <= MOST_SHOWN
        or cut == CUTS[-1]
    )
    return {
        "format": source.format,
        "columns": list(source.columns),
        "paths": rows.paths_in(found),
        "records": shown,
    }


def _shortened(value: Any, cut: Cut, depth: int = 1) -> Any:
    """What a page shows of a record and tries mappings on: its first parts."""
    if depth > DEEPEST_SHOWN and isinstance(value, dict | list):
        return None
    if isinstance(value, dict):
        parts = islice(value.items(), cut.keys)
        return {str(key)[: cut.text]: _shortened(one, cut, depth + 1) for key, one in parts}
    if isinstance(value, list):
        return [_shortened(one, cut, depth + 1) for one in value[: cut.items]]
    if isinstance(value, str):
        return value[: cut.text]
    return value if value is None or isinstance(value, bool | int | float) else str(value)[: cut.text]


@dataclass(frozen=True)
class Looked:
    """One of the first rows as it would come in, or what is wrong with it."""

    number: int
    row: RatedRow | PairRow | None
    problem: str = ""


def looked(*, sample: Mapping[str, Any], options: Options, most: int = 6) -> list[Looked]:
    """Raises InvalidInput where the mapping does not fit."""
    check(options, sample["columns"])
    found: list[Looked] = []
    for number, record in enumerate(sample["records"], 1):
        for values in rows.expanded(record, options.mapping):
            if len(found) == most:
                return found
            try:
                found.append(Looked(number, rows.row_of(number, values, options.rules)))
            except Unreadable as error:
                found.append(Looked(number, None, str(error)))
    return found
