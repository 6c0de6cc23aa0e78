from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from reviews.ingest import imports, twins
from reviews.ingest.documents import ImportReport
from reviews.ingest.imports import ImportOptions
from reviews.ingest.sources.files import FORMATS, open_file
from reviews.ingest.sources.hub import open_hub
from reviews.ingest.sources.source import Source
from reviews.management.progress import Progress
from reviews.models import ImportBatch

REFUSALS_PRINTED = 20


class Command(BaseCommand):
    help = (
        "Take documents in from files or from a Hugging Face data set, and print a report for each. Exit code 0: all "
        "were imported (rows may have been refused); 1: one could not be imported, or with --strict a row was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files", nargs="*", type=Path, metavar="FILE", help="JSONL, JSON, CSV, TSV or Parquet"
        )
        parser.add_argument(
            "--hub", metavar="NAME", help="a Hugging Face data set, such as abisee/cnn_dailymail"
        )
        parser.add_argument(
            "--config", default="", help="the data set's configuration (abisee/cnn_dailymail: 3.0.0)"
        )
        parser.add_argument("--part", default="", help="the data set's part, train unless given")
        parser.add_argument("--format", choices=sorted(FORMATS), help="else by name and content")
        parser.add_argument(
            "--map", action="append", default=[], metavar="FIELD=COLUMN",
            help="text, title, reference, id, domain, group or licence = a column; may be repeated",
        )  # fmt: skip
        parser.add_argument("--limit", type=int, help="rows to read of each file")
        parser.add_argument("--domain", default="", help="for rows that name none")
        parser.add_argument("--licence", default="", help="for rows that name none")
        parser.add_argument("--origin", default="", help="where they are from; else the file's name")
        parser.add_argument("--strict", action="store_true", help="a refused row makes the exit code 1")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object for each file, a line each"
        )
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["files"] and not options["hub"]:
            raise CommandError("Name a file or, by --hub, a data set.")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit: at least 1.")
        actor = arguments.actor(options["user"])
        wanted = ImportOptions(
            format=options["format"] or "",
            mapping=arguments.mapping(options["map"]),
            limit=options["limit"],
            domain=options["domain"],
            origin=options["origin"],
            licence=options["licence"],
        )
        failed = False
        twins.sketch_missing()
        for name, open_source in self._sources(options):
            try:
                batch, report = imports.import_at_once(
                    source=open_source(), options=wanted, actor=actor, progress=Progress(name)
                )
            except GalleyError as error:
                failed = True
                self._tell_failure(name, error, options["json"])
                continue
            failed = failed or (options["strict"] and report.refused_count > 0)
            self._tell(batch, report, options["json"])
        if failed:
            sys.exit(1)

    def _sources(self, options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Source]]]:
        for path in options["files"]:
            yield str(path), lambda path=path: open_file(path, format=options["format"])  # type: ignore[misc]
        if options["hub"]:
            yield (
                options["hub"],
                lambda: open_hub(options["hub"], config=options["config"], split=options["part"]),
            )

    def _tell(self, batch: ImportBatch, report: ImportReport, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"name": batch.name, "batch": batch.pk, **report.to_dict()}))
            return
        splits = ", ".join(f"{count:,} {split}" for split, count in sorted(report.splits.items()))
        self.stdout.write(
            f"{batch.name} (import {batch.pk}): {report.read:,} read, {report.imported:,} imported"
            + (f" ({splits})" if splits else "")
            + f", {report.duplicates:,} duplicates, {report.refused_count:,} refused"
        )
        for refusal in sorted(report.refused, key=lambda refusal: refusal.row)[:REFUSALS_PRINTED]:
            self.stdout.write(f"  row {refusal.row}, {refusal.field}: {refusal.reason}")
        if report.refused_count > REFUSALS_PRINTED:
            self.stdout.write(
                f"  … and {report.refused_count - REFUSALS_PRINTED:,} more; the import's page has them"
            )

    def _tell_failure(self, name: str, error: GalleyError, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"name": name, "error": error.message}))
        else:
            self.stderr.write(self.style.ERROR(error.message))
