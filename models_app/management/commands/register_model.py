from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.training.registering import start_registering


class Command(BaseCommand):
    help = "Register a base model: check it, copy it into the artefact store, convert it for serving."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "reference", help="starter, a directory, or a Hugging Face name such as google-t5/t5-small"
        )
        parser.add_argument("--name", default="", help="how pages call it")
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job = start_registering(
                reference=options["reference"],
                name=options["name"],
                actor=arguments.actor(options["user"]),
                deliver=False,
            )
            done = jobs.carry_out(job)
        except GalleyError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Model {done.result['model_version']} is registered.")
