from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.ml.recipe import PRESETS
from models_app.models import DatasetSnapshot, Job, TrainingRun
from models_app.training.choosing import family_of, prompt_for, recipe_for
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
        parser.add_argument(
            "--recipe",
            type=arguments.json_object('{"epochs": 3}'),
            default={},
            metavar="JSON",
            help='changes, as JSON: {"epochs": 3}',
        )
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
        try:
            family = family_of(options["base"])
            run = start_training(
                snapshot=snapshot,
                base=options["base"],
                prompt_version=prompt_for(family, options["prompt"]),
                recipe=recipe_for(
                    options["base"], family, preset=options["preset"], changes=options["recipe"]
                ),
                actor=arguments.actor(options["user"]),
                name=options["name"],
                deliver=not options["wait"],
            )
            self.stdout.write(f"Training {run.pk} is {run.state}.")
            if options["wait"]:
                self._wait(run)
        except GalleyError as error:
            raise CommandError(error.message) from error

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
