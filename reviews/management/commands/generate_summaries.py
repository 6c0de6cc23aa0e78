from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.models import Job, Release
from reviews.filling.drafts import start_drafting, usual_writer
from reviews.ingest.search import DocumentFilter
from reviews.models import Split


class Command(BaseCommand):
    help = (
        "Let a release draft summaries of documents and put them into a review queue. The queue carries it out; "
        "--wait does it here and prints its progress."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--release", type=int, help="number of a release; else the live one")
        parser.add_argument(
            "--document", type=int, action="append", default=[], help="a document; may be repeated"
        )
        parser.add_argument("--split", choices=Split.values, default="", help="of this split")
        parser.add_argument("--domain", default="", help="of this domain")
        parser.add_argument("--origin", default="", help="of this origin, such as a file's name")
        parser.add_argument("--batch", type=int, help="of this import")
        parser.add_argument(
            "--find", default="", metavar="WORDS", help="with these words in title or beginning"
        )
        parser.add_argument(
            "--again", action="store_true", help="also those that some release has summarised already"
        )
        parser.add_argument(
            "--limit", type=int, default=1000, help="at most so many, the newest first (1,000)"
        )
        parser.add_argument(
            "--queue", default="new-drafts", help="review queue by its short name; '' for none"
        )
        parser.add_argument("--wait", action="store_true", help="carry it out here")
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit: at least 1.")
        try:
            release = self._release(options["release"])
            job = start_drafting(
                documents=self._documents(options),
                release=release,
                queue=options["queue"],
                actor=arguments.actor(options["user"]),
                deliver=not options["wait"],
            )
            self.stdout.write(
                f"Release {release.pk} drafts {len(job.payload['documents']):,} summaries (job {job.pk})."
            )
            if options["wait"]:
                done = jobs.carry_out(job, watch=self._watch)
                self.stdout.write(f"{done.result['drafted']:,} written.")
        except GalleyError as error:
            raise CommandError(" ".join(error.fields.values()) or error.message) from error

    def _release(self, number: int | None) -> Release:
        if number is None:
            return usual_writer()
        release = Release.objects.filter(pk=number).first()
        if release is None:
            raise CommandError(f"There is no release {number}.")
        return release

    def _documents(self, options: dict[str, Any]) -> list[int]:
        if options["document"]:
            return list(options["document"])
        wanted = DocumentFilter(
            text=options["find"],
            split=options["split"],
            domain=options["domain"],
            origin=options["origin"],
            batch=options["batch"],
            drafted="" if options["again"] else "no",
        )
        found = list(wanted.rows().values_list("pk", flat=True)[: options["limit"]])
        if not found:
            raise CommandError("No document fits that has no summary yet; --again takes those that have one.")
        return found

    def _watch(self, job: Job) -> None:
        if job.total and job.step != getattr(self, "_told", None):
            self._told = job.step
            self.stdout.write(f"{job.phase} {job.step}/{job.total}")
            self.stdout.flush()
