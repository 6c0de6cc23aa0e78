from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.foundation.errors import GalleyError
from models_app.serving.supervising import SlotSupervisor


class Command(BaseCommand):
    help = (
        "Serve what is live, what was before, and what warms up or rolls out, one process each, until Ctrl-C."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            SlotSupervisor().run()
        except GalleyError as error:
            raise CommandError(error.message) from error
