from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.gates.public_sets import load_fingerprints
from models_app.management.arguments import actor, add_user


class Command(BaseCommand):
    help = (
        "Make a public set known by fingerprints of its texts, so that test documents that occur in it are named. "
        "No text of it is kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="such as 'cnn_dailymail test'")
        parser.add_argument(
            "file",
            type=Path,
            help="JSON Lines: article (or text, document, source) and reference (or highlights, summary), each a text, "
            "or a fingerprint with sketch and shingles",
        )
        parser.add_argument("--note", default="", help="where it is from, and under which licence")
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = load_fingerprints(
                name=options["name"], file=options["file"], note=options["note"], actor=actor(options["user"])
            )
        except GalleyError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from error
        self.stdout.write(f"{made.name} is known: {made.rows:,} rows, SHA-256 {made.digest}.")
