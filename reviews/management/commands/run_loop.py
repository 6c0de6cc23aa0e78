from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.texts.needs import mistakes
from reviews.loop.report import write_report
from reviews.loop.run import LoopOptions, run_loop


class Command(BaseCommand):
    help = (
        "Run the whole loop on a file of documents with references standing in for reviewers' edits: import, draft, "
        "snapshot, fine-tune, evaluate before, after and lead-3, compare, submit for approval; write a report."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--documents", required=True, type=Path, help="JSONL, CSV or Parquet with references"
        )
        parser.add_argument("--train", required=True, type=int, help="training documents")
        parser.add_argument(
            "--validation", required=True, type=int, help="documents that choose the checkpoint"
        )
        parser.add_argument("--test", required=True, type=int, help="documents that judge")
        parser.add_argument("--model", default="starter", help="starter, a directory, or a Hugging Face name")
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument(
            "--report", required=True, type=Path, help="directory for report.md and report.json"
        )
        parser.add_argument("--preset", default="", help="training recipe to start from")
        parser.add_argument(
            "--recipe",
            type=arguments.json_object('{"epochs": 3}'),
            default={},
            metavar="JSON",
            help='changes to it, as JSON: {"epochs": 3}',
        )
        parser.add_argument(
            "--decoding",
            type=arguments.json_object('{"beams": 4}'),
            default={},
            metavar="JSON",
            help="decoding settings, as JSON",
        )
        parser.add_argument(
            "--prompt", default="", help="template with {text}, instead of the family's prompt"
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="FIELD=COLUMN",
            help="e.g. text=article; may be repeated",
        )
        parser.add_argument(
            "--drafts",
            type=int,
            help="documents that the base model drafts summaries for (all that may be learnt from)",
        )
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = arguments.actor(options["user"])
        loop = LoopOptions(
            documents=options["documents"],
            train=options["train"],
            validation=options["validation"],
            test=options["test"],
            model=options["model"],
            seed=options["seed"],
            preset=options["preset"],
            recipe=options["recipe"],
            decoding=options["decoding"],
            prompt=options["prompt"],
            mapping=dict(pair.split("=", 1) for pair in options["map"] if "=" in pair),
            drafts=options["drafts"],
        )
        if wrong := mistakes(loop):
            raise CommandError(" ".join(f"--{name}: {words}" for name, words in wrong.items()))
        try:
            result = run_loop(options=loop, actor=actor, say=self._say)
        except GalleyError as error:
            raise CommandError(error.message) from error
        command = "script/manage run_loop " + " ".join(shlex.quote(part) for part in sys.argv[2:])
        markdown, data = write_report(result, options["report"], command=command)
        self.stdout.write(f"{markdown}\n{data}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
