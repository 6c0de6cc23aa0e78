from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from models_app.foundation import jobs
from models_app.models import Job
from reviews.queues.grounding import start_linking


class Command(BaseCommand):
    help = (
        "Link every summary that waits in a review queue to the sentences of its source. New items are linked by "
        "themselves; this is for after an upgrade. The queue carries it out; --wait does it here."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", action="store_true", help="carry it out here")

    def handle(self, *args: Any, **options: Any) -> None:
        job = start_linking(whole=True, deliver=not options["wait"])
        self.stdout.write(f"Summaries are linked to their sources (job {job.pk}).")
        if options["wait"]:
            done: Job = jobs.carry_out(job)
            self.stdout.write(f"{done.result['linked']:,} linked.")
