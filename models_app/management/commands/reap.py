from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from models_app.foundation import jobs


class Command(BaseCommand):
    help = "Close or requeue jobs whose worker vanished. The queue does this every minute by itself."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{jobs.reap()} jobs")
