from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import jobs


class Command(BaseCommand):
    help = "Carry out one claimed job in this process. Called by the queue's workers."
    requires_system_checks: tuple[
        ()
    ] = ()  # they import every page, which a job has no use for; the tests run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        token = os.environ.get("GALLEY_JOB_TOKEN")
        if not token:
            raise CommandError(
                "run_job is called by a queue worker, which passes its claim in GALLEY_JOB_TOKEN."
            )
        sys.exit(jobs.run(options["job"], token))
