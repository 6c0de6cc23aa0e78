from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.datasets import exporting
from models_app.engines import prompt_spec
from models_app.management.output import written
from models_app.models import DatasetSnapshot, PromptVersion


class Command(BaseCommand):
    help = (
        "Write a snapshot's rows for other training tools, a few at a time, to a file or to standard output."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        shapes = "; ".join(f"{name}: {what}" for name, what in exporting.FORMATS.items())
        parser.add_argument("--snapshot", type=int, help="number of a snapshot; else the newest")
        parser.add_argument("--format", choices=list(exporting.FORMATS), default="sft", help=shapes)
        parser.add_argument("--split", choices=["train", "validation"], default="", help="else both")
        parser.add_argument(
            "--prompt", type=int, help="number of a prompt version; else the newest that suits"
        )
        parser.add_argument(
            "--max-words", type=int, default=60, help="what {max_words} in the prompt becomes (60)"
        )
        parser.add_argument("--output", type=Path, help="file to write; else standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        snapshot = self._snapshot(options["snapshot"])
        spec = prompt_spec(self._prompt(options["prompt"], options["format"]))
        prompting = exporting.Prompting(spec, options["max_words"])
        rows = exporting.rows_of(snapshot, options["split"])
        count = 0
        with written(options["output"]) as file:
            for line in exporting.lines(rows, format=options["format"], prompting=prompting):
                file.write(line.encode())
                count += 1
            count -= options["format"] == "csv"
            if not count:
                why = " with a draft that lost" if options["format"] == "dpo" else ""
                raise CommandError(f"Snapshot {snapshot.pk} has no such rows{why}; no file was written.")
        where = f" to {options['output']}" if options["output"] else ""
        self.stderr.write(f"{count:,} rows of snapshot {snapshot.pk}{where}")

    def _snapshot(self, number: int | None) -> DatasetSnapshot:
        rows = DatasetSnapshot.objects.order_by("-pk")
        found = rows.first() if number is None else rows.filter(pk=number).first()
        if found is None:
            raise CommandError(
                "There is no snapshot yet." if number is None else f"There is no snapshot {number}."
            )
        return found

    def _prompt(self, number: int | None, format: str) -> PromptVersion:  # noqa: A002
        rows = PromptVersion.objects.select_related("prompt").order_by("-pk")
        if number is None:
            found = rows.filter(prompt__kind="chat" if format == "chat" else "prefix").first()
        else:
            found = rows.filter(pk=number).first()
        if found is None:
            raise CommandError("There is no such prompt version; see the Prompts page for their numbers.")
        return found
