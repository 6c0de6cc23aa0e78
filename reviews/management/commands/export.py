from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from models_app.foundation.errors import GalleyError, NotAllowed
from models_app.management import arguments
from models_app.management.commands import export as snapshots
from models_app.management.output import written
from reviews.exports import requests
from reviews.exports.request import FORMATS, KINDS, Request
from reviews.management.progress import Progress

SNAPSHOT = "snapshot"


class Command(snapshots.Command):
    help = (
        "Write a snapshot's rows, or reviews, ratings, spans, edits, preferences and training data straight from the "
        "desk, a few rows at a time, to a file or to standard output."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = "; ".join(f"{name}: {words}" for name, words in KINDS.items())
        parser.add_argument(
            "what",
            nargs="?",
            default=SNAPSHOT,
            choices=[SNAPSHOT, *KINDS],
            help=f"snapshot unless given; {what}",
        )
        super().add_arguments(parser)
        for action in parser._actions:
            if action.dest == "format":
                shapes = "; ".join(f"{name}: {words}" for name, words in FORMATS.items())
                action.choices = [*(action.choices or ()), *(name for name in FORMATS if name != "csv")]
                action.default, action.help = None, f"of a snapshot {action.help}. Of the others {shapes}"
        rest = parser.add_argument_group("for all but snapshots")
        rest.add_argument("--queue", default="", metavar="SLUG", help="only this queue's")
        rest.add_argument("--since", type=arguments.day, metavar="DAY", help="submitted on or after")
        rest.add_argument("--until", type=arguments.day, metavar="DAY", help="submitted on or before")
        rest.add_argument("--mine", action="store_true", help="only those of --user")
        rest.add_argument("--names", action="store_true", help="reviewers' names instead of pseudonyms")
        rest.add_argument("--no-articles", action="store_true", help="without the articles' text")
        rest.add_argument("--gzip", action="store_true", help="pack JSON Lines or CSV")
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == SNAPSHOT:
            options["format"] = options["format"] or "sft"
            if options["format"] not in ("sft", "chat", "dpo", "csv"):
                raise CommandError("A snapshot is written as sft, chat, dpo or csv.")
            super().handle(*args, **options)
            return
        actor = arguments.actor(options["user"])
        if options["mine"] and actor is None:
            raise CommandError("--mine: say whose, by --user.")
        request = Request(
            kind=options["what"],
            format=options["format"] or "jsonl",
            compressed=options["gzip"],
            queue=options["queue"],
            since=options["since"],
            until=options["until"],
            mine=options["mine"],
            reviewers="names" if options["names"] else "pseudonyms",
            texts=not options["no_articles"],
            split=options["split"] or "train",
            prompt=options["prompt"],
            max_words=options["max_words"],
        )
        try:
            self._write(request, actor, options["output"])
        except GalleyError as error:
            more = " Name somebody else by --user." if isinstance(error, NotAllowed) else ""
            raise CommandError(error.message + more) from error

    def _write(self, request: Request, actor: Any | None, output: Path | None) -> None:
        progress = Progress(request.kind)
        if request.format == "datasets":
            if output is None:
                raise CommandError("A folder for datasets needs --output DIRECTORY.")
            count = requests.write_folder_now(request=request, folder=output, actor=actor, progress=progress)
            if not count:
                raise CommandError(requests.nothing_to_export(request))
        else:
            with written(output) as file:
                count = requests.write_now(request=request, file=file, actor=actor, progress=progress)
                if not count:
                    raise CommandError(requests.nothing_to_export(request))
        self.stderr.write(f"{count:,} rows ({request.kind}){f' to {output}' if output else ''}")
