from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.ml.recipe import PRESETS, Recipe, default_recipe
from models_app.models import DatasetSnapshot, Job, ModelVersion, PromptVersion, TrainingRun
from models_app.training.starting import start_training


class Command(BaseCommand):
    help = "Start a training run on a snapshot; by default the training queue carries it out, --wait does it here."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--snapshot", type=int, required=True, help="number of the snapshot")
        parser.add_argument(
            "--base", default="starter", help="model:ID, starter, a directory or a Hugging Face name"
        )
        parser.add_argument(
            "--preset", choices=sorted(PRESETS), help="recipe to start from; else one that suits"
        )
        parser.add_argument("--recipe", type=json.loads, default={}, help='changes, as JSON: {"epochs": 3}')
        parser.add_argument(
            "--prompt", type=int, help="number of a prompt version; else the newest that suits"
        )
        parser.add_argument("--name", default="")
        arguments.add_user(parser)
        parser.add_argument(
            "--wait", action="store_true", help="carry it out in this process and print its progress"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        snapshot = DatasetSnapshot.objects.filter(pk=options["snapshot"]).first()
        if snapshot is None:
            raise CommandError(f"There is no snapshot {options['snapshot']}.")
        family = self._family(options["base"])
        try:
            run = start_training(
                snapshot=snapshot,
                base=options["base"],
                prompt_version=self._prompt(options["prompt"], family),
                recipe=self._recipe(options, family),
                actor=arguments.actor(options["user"]),
                name=options["name"],
                deliver=not options["wait"],
            )
            self.stdout.write(f"Training {run.pk} is {run.state}.")
            if options["wait"]:
                self._wait(run)
        except GalleyError as error:
            raise CommandError(error.message) from error

    def _family(self, base: str) -> str:
        number = base.removeprefix("model:")
        if base.startswith("model:"):
            version = ModelVersion.objects.filter(pk=number).first() if number.isdigit() else None
            if version is None:
                raise CommandError(f"There is no model {number}.")
            return version.family
        return "llama" if base == "starter" else "t5"

    def _prompt(self, number: int | None, family: str) -> PromptVersion:
        if number is not None:
            version = PromptVersion.objects.filter(pk=number).first()
        else:
            kind = "chat" if family == "llama" else "prefix"
            version = PromptVersion.objects.filter(prompt__kind=kind).order_by("-pk").first()
        if version is None:
            raise CommandError("There is no such prompt version; see the Prompts page for their numbers.")
        return version

    def _recipe(self, options: dict[str, Any], family: str) -> Recipe:
        device = "cuda" if settings.GALLEY_DEVICE == "cuda" else "cpu"
        recipe = PRESETS[options["preset"]] if options["preset"] else default_recipe(family, device)
        try:
            return recipe.but(base=options["base"], **options["recipe"])
        except (ValueError, TypeError) as error:
            raise CommandError(f"Recipe: {error}") from error

    def _wait(self, run: TrainingRun) -> None:
        if run.job is None or run.job.state != Job.State.QUEUED:
            raise CommandError(f"Training {run.pk} is {run.state} already; look at its page.")
        phase, step = "", -1

        def watch(job: Job) -> None:
            nonlocal phase, step
            if job.phase != phase or job.step >= step + max(1, job.total // 20):
                phase, step = job.phase, job.step
                self.stdout.write(f"{job.phase}" + (f" {job.step}/{job.total}" if job.total else ""))
                self.stdout.flush()

        done = jobs.carry_out(run.job, watch=watch)
        self.stdout.write(f"Model {done.result['model_version']} is registered.")
