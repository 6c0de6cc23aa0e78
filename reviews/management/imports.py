"""What the commands that import files share: their arguments, file after file, and a report for each."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from reviews.ingest import twins
from reviews.ingest.life import FileOptions, ImportKind
from reviews.ingest.reports import RowsReport
from reviews.ingest.sources.files import FORMATS, open_file
from reviews.ingest.sources.source import Source
from reviews.management.progress import Progress
from reviews.models import Import

REFUSALS_PRINTED = 20
Opened = tuple[str, Callable[[], Source]]


class ImportCommand(BaseCommand):
    """A file that cannot be imported hinders no other, and makes the exit code 1."""

    kind: ImportKind[Any, Any, Any]

    def add_file_arguments(
        self, parser: CommandParser, *, files: str, mapped: tuple[str, str], origin: str, licence: str
    ) -> None:
        """`files` is how many there may be, `mapped` what --map takes; `origin` and `licence` say what they are for."""
        parser.add_argument(
            "files", nargs=files, type=Path, metavar="FILE", help="JSONL, JSON, CSV, TSV or Parquet"
        )
        parser.add_argument("--format", choices=sorted(FORMATS), help="else by name and content")
        parser.add_argument("--map", action="append", default=[], metavar=mapped[0], help=mapped[1])
        parser.add_argument("--origin", default="", help=f"{origin}; else the file's name")
        parser.add_argument("--licence", default="", help=licence)
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object for each file, a line each"
        )
        arguments.add_user(parser)

    def import_all(self, options: dict[str, Any]) -> None:
        """Exits with 1 where one could not be imported, or is not well by `is_well`."""
        self.as_json: bool = options["json"]
        actor = arguments.actor(options["user"])
        failed = False
        twins.sketch_missing()
        for name, opened in self.sources(options):
            try:
                well = self.import_one(name, opened(), options, actor)
            except GalleyError as error:
                self._tell_failure(name, error)
                well = False
            failed = failed or not well
        if failed:
            sys.exit(1)

    def sources(self, options: dict[str, Any]) -> Iterator[Opened]:
        for path in options["files"]:
            yield str(path), lambda path=path: open_file(path, format=options["format"])  # type: ignore[misc]

    def import_one(self, name: str, source: Source, options: dict[str, Any], actor: Any | None) -> bool:
        row, report = self.kind.import_at_once(
            source=source, options=self.options_for(source, options), actor=actor, progress=Progress(name)
        )
        if self.as_json:
            self.stdout.write(json.dumps({"name": row.name, "import": row.pk, **report.to_dict()}))
        else:
            self._tell(row, report)
        return self.is_well(report, options)

    @abstractmethod
    def options_for(self, source: Source, options: dict[str, Any]) -> FileOptions: ...

    @abstractmethod
    def words(self, row: Import, report: Any) -> str:
        """The report in one line."""

    def is_well(self, report: Any, options: dict[str, Any]) -> bool:
        return True

    def _tell(self, row: Import, report: RowsReport) -> None:
        self.stdout.write(self.words(row, report))
        for refusal in sorted(report.refused)[:REFUSALS_PRINTED]:
            self.stdout.write(f"  row {refusal.row}, {refusal.field}: {refusal.reason}")
        if report.refused_count > REFUSALS_PRINTED:
            more = report.refused_count - REFUSALS_PRINTED
            self.stdout.write(f"  … and {more:,} more; the import's page has them")

    def _tell_failure(self, name: str, error: GalleyError) -> None:
        if self.as_json:
            self.stdout.write(json.dumps({"name": name, "error": error.message, "fields": error.fields}))
        else:
            self.stderr.write(self.style.ERROR(f"{name}: {error.message}"))
