from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError, CommandParser

from models_app.management import arguments
from reviews.external_ratings import rows
from reviews.external_ratings.imports import RATINGS, look, looked
from reviews.external_ratings.options import Options, criteria_of
from reviews.external_ratings.storing import Report
from reviews.ingest.sources.source import Source
from reviews.management.imports import ImportCommand
from reviews.models import Import


class Command(ImportCommand):
    help = (
        "Bring in ratings, edits and pairwise choices that people gave elsewhere, and print a report for each file. "
        "The same file twice changes nothing. Exit code 0: imported (rows may have been refused); 1: a file was not."
    )
    kind = RATINGS

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_file_arguments(
            parser,
            files="+",
            mapped=(
                "FIELD=PATH",
                "column, column.key, column.*.key for each key, * for that key, =words for the same everywhere; "
                "rating.KEY for a question. Others are found by their usual names",
            ),
            origin="where new articles are from",
            licence="of new articles",
        )
        parser.add_argument("--kind", choices=list(rows.KINDS), default="reviews")
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
        parser.add_argument(
            "--no-proposals", action="store_true", help="edits do not become feedback examples"
        )
        parser.add_argument(
            "--look", action="store_true", help="show the first rows as they would come in, and stop"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("map", "rater", "choice"):
            options[name] = arguments.mapping(options[name])
        options["scale"] = _scale(options["scale"])
        self.import_all(options)

    def import_one(self, name: str, source: Source, options: dict[str, Any], actor: Any | None) -> bool:
        if not options["look"]:
            return super().import_one(name, source, options, actor)
        sample, chosen = look(source), self.options_for(source, options)
        self.stdout.write("paths: " + ", ".join(sample["paths"]))
        self.stdout.write(
            "mapping: " + ", ".join(f"{field}={path}" for field, path in chosen.mapping.items())
        )
        for one in looked(sample=sample, options=chosen):
            self.stdout.write(f"row {one.number}: {one.problem or one.row}"[:400])
        return True

    def options_for(self, source: Source, options: dict[str, Any]) -> Options:
        """What --map leaves out is found by usual names in the first rows."""
        wanted = Options(
            kind=options["kind"],
            format=options["format"] or "",
            scale=options["scale"],
            rounding=options["round"],
            raters=options["rater"],
            choices=options["choice"],
            queue=options["queue"],
            rubric=options["rubric"],
            origin=options["origin"],
            licence=options["licence"],
            propose=not options["no_proposals"],
        )
        guessed = rows.guess(look(source)["paths"], criteria_of(wanted), wanted.kind)
        return replace(wanted, mapping={**guessed, **options["map"]})

    def words(self, row: Import, report: Report) -> str:
        return (
            f"{row.name} (import of ratings {row.pk}): {report.read:,} read, {report.imported:,} imported, "
            f"{report.repeated:,} there already, {report.refused_count:,} refused; {report.documents:,} new articles, "
            f"{report.summaries:,} new summaries, {report.rounded:,} numbers rounded, {report.proposed:,} examples "
            f"proposed; raters: {', '.join(report.raters) or 'none'}; queue: {report.queue}"
        )


def _scale(written: str) -> tuple[float, float]:
    low, _, high = written.partition("-")
    try:
        return float(low), float(high)
    except ValueError:
        raise CommandError(f"--scale {written!r}: write LOW-HIGH, such as 0-100.") from None
