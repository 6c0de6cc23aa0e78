from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.gates.public_sets import declare_training
from models_app.management.arguments import actor, add_user
from models_app.models import ModelVersion


class Command(BaseCommand):
    help = "Say on which set a model that comes from elsewhere was trained; the leakage gate names it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", type=int, help="the number of the model version")
        parser.add_argument(
            "name", help="of the set; one that load_fingerprints made known is found by its name"
        )
        parser.add_argument("--note", default="", help="where it says so, such as the model's card")
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        version = ModelVersion.objects.filter(pk=options["model"]).first()
        if version is None:
            raise CommandError(f"There is no model {options['model']}.")
        try:
            made = declare_training(
                model_version=version,
                name=options["name"],
                note=options["note"],
                actor=actor(options["user"]),
            )
        except GalleyError as error:
            raise CommandError(error.message) from error
        known = "known by fingerprints" if made.fingerprints_id else "not known by fingerprints"
        self.stdout.write(f"Model {version.pk} is declared to have learnt {made.name}, which is {known}.")
