from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from reviews.external_ratings import imports, rows
from reviews.external_ratings.imports import Options
from reviews.ingest import twins
from reviews.ingest.sources.files import FORMATS, open_file
from reviews.management.progress import Progress

REFUSALS_PRINTED = 20


class Command(BaseCommand):
    help = (
        "Bring in ratings, edits and pairwise choices that people gave elsewhere, and print a report for each file. "
        "The same file twice changes nothing. Exit code 0: imported (rows may have been refused); 1: a file was not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="JSONL, JSON, CSV, TSV or Parquet"
        )
        parser.add_argument("--kind", choices=list(rows.KINDS), default="reviews")
        parser.add_argument("--format", choices=sorted(FORMATS), help="else by name and content")
        parser.add_argument(
            "--map", action="append", default=[], metavar="FIELD=PATH",
            help="column, column.key, column.*.key for each key, * for that key, =words for the same everywhere; "
            "rating.KEY for a question. Others are found by their usual names",
        )  # fmt: skip
        parser.add_argument("--scale", default="1-5", metavar="LOW-HIGH", help="of the file's numbers")
        parser.add_argument(
            "--round", action="store_true", help="take the nearest point for numbers between two"
        )
        parser.add_argument(
            "--rater", action="append", default=[], metavar="VALUE=NAME", help="a rater's name here"
        )
        parser.add_argument(
            "--choice", action="append", default=[], metavar="VALUE=CHOICE", help="before, after …"
        )
        parser.add_argument(
            "--queue", default="", help="name of the queue that holds them; else by the file's name"
        )
        parser.add_argument("--rubric", type=int, help="version of the questions, the newest unless given")
        parser.add_argument("--origin", default="", help="where new articles are from; else the file's name")
        parser.add_argument("--licence", default="", help="of new articles")
        parser.add_argument(
            "--no-proposals", action="store_true", help="edits do not become feedback examples"
        )
        parser.add_argument(
            "--look", action="store_true", help="show the first rows as they would come in, and stop"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object for each file")
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = arguments.actor(options["user"])
        wanted = Options(
            kind=options["kind"],
            format=options["format"] or "",
            scale=_scale(options["scale"]),
            rounding=options["round"],
            raters=arguments.mapping(options["rater"]),
            choices=arguments.mapping(options["choice"]),
            queue=options["queue"],
            rubric=options["rubric"],
            origin=options["origin"],
            licence=options["licence"],
            propose=not options["no_proposals"],
        )
        failed = False
        twins.sketch_missing()
        for path in options["files"]:
            try:
                self._one(path, wanted, arguments.mapping(options["map"]), actor, options)
            except GalleyError as error:
                failed = True
                if options["json"]:
                    self.stdout.write(
                        json.dumps({"name": str(path), "error": error.message, "fields": error.fields})
                    )
                else:
                    self.stderr.write(self.style.ERROR(f"{path}: {error.message}"))
        if failed:
            sys.exit(1)

    def _one(
        self, path: Path, wanted: Options, named: dict[str, str], actor: Any | None, options: dict[str, Any]
    ) -> None:
        source = open_file(path, format=options["format"])
        sample = imports.look(source)
        guessed = rows.guess(sample["paths"], imports.criteria_of(wanted), wanted.kind)
        chosen = Options(**{**wanted.__dict__, "mapping": {**guessed, **named}})
        if options["look"]:
            self._look(sample, chosen)
            return
        batch, report = imports.import_at_once(
            source=source, options=chosen, actor=actor, progress=Progress(path.name)
        )
        if options["json"]:
            self.stdout.write(json.dumps({"name": batch.name, "import": batch.pk, **report.to_dict()}))
            return
        self.stdout.write(
            f"{batch.name} (import of ratings {batch.pk}): {report.read:,} read, {report.imported:,} imported, "
            f"{report.repeated:,} there already, {report.refused_count:,} refused; {report.documents:,} new articles, "
            f"{report.summaries:,} new summaries, {report.rounded:,} numbers rounded, {report.proposed:,} examples "
            f"proposed; raters: {', '.join(report.raters) or 'none'}; queue: {report.queue}"
        )
        for row, name, reason in sorted(report.refused)[:REFUSALS_PRINTED]:
            self.stdout.write(f"  row {row}, {name}: {reason}")
        if report.refused_count > REFUSALS_PRINTED:
            self.stdout.write(f"  … and {report.refused_count - REFUSALS_PRINTED:,} more")

    def _look(self, sample: dict[str, Any], options: Options) -> None:
        self.stdout.write("paths: " + ", ".join(sample["paths"]))
        self.stdout.write("mapping: " + ", ".join(f"{name}={path}" for name, path in options.mapping.items()))
        for one in imports.looked(sample=sample, options=options):
            self.stdout.write(f"row {one.number}: {one.problem or one.row}"[:400])


def _scale(written: str) -> tuple[float, float]:
    low, _, high = written.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        raise CommandError(f"--scale {written!r}: write LOW-HIGH, such as 0-100.") from None
