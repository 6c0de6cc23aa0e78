from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from models_app.management import arguments
from reviews.ingest.documents import ImportReport
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.ingest.sources.hub import open_hub
from reviews.ingest.sources.source import Source
from reviews.management.imports import ImportCommand, Opened
from reviews.models import Import


class Command(ImportCommand):
    help = (
        "Take documents in from files or from a Hugging Face data set, and print a report for each. Exit code 0: all "
        "were imported (rows may have been refused); 1: one could not be imported, or with --strict a row was refused."
    )
    kind = DOCUMENTS

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_file_arguments(
            parser,
            files="*",
            mapped=(
                "FIELD=COLUMN",
                "text, title, reference, id, domain, group or licence = a column; may be repeated",
            ),
            origin="where they are from",
            licence="for rows that name none",
        )
        parser.add_argument(
            "--hub", metavar="NAME", help="a Hugging Face data set, such as abisee/cnn_dailymail"
        )
        parser.add_argument(
            "--config", default="", help="the data set's configuration (abisee/cnn_dailymail: 3.0.0)"
        )
        parser.add_argument("--part", default="", help="the data set's part, train unless given")
        parser.add_argument("--limit", type=int, help="rows to read of each file")
        parser.add_argument("--domain", default="", help="for rows that name none")
        parser.add_argument(
            "--keep", action="append", default=[], metavar="COLUMN",
            help="keep it as a field of each document, by which slices may be cut; may be repeated",
        )  # fmt: skip
        parser.add_argument("--strict", action="store_true", help="a refused row makes the exit code 1")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["files"] and not options["hub"]:
            raise CommandError("Name a file or, by --hub, a data set.")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit: at least 1.")
        options["map"] = arguments.mapping(options["map"])
        self.import_all(options)

    def sources(self, options: dict[str, Any]) -> Iterator[Opened]:
        yield from super().sources(options)
        if (name := options["hub"]) is not None:
            yield name, lambda: open_hub(name, config=options["config"], split=options["part"])

    def options_for(self, source: Source, options: dict[str, Any]) -> ImportOptions:
        same = ("limit", "domain", "origin", "licence")
        return ImportOptions(
            format=options["format"] or "", mapping=options["map"], keep=tuple(options["keep"]),
            **{name: options[name] for name in same},
        )  # fmt: skip

    def words(self, row: Import, report: ImportReport) -> str:
        splits = ", ".join(f"{count:,} {split}" for split, count in sorted(report.splits.items()))
        return (
            f"{row.name} (import {row.pk}): {report.read:,} read, {report.imported:,} imported"
            + (f" ({splits})" if splits else "")
            + f", {report.duplicates:,} duplicates, {report.refused_count:,} refused"
        )

    def is_well(self, report: ImportReport, options: dict[str, Any]) -> bool:
        return not (options["strict"] and report.refused_count)
