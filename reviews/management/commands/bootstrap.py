from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from reviews.loop import sample_workspace


class Command(BaseCommand):
    help = "Make the administrator and the sample workspace, where they are missing. script/run does it at each start."

    def handle(self, *args: Any, **options: Any) -> None:
        for account in sample_workspace.set_up(settings.ENV, say=self.stdout.write):
            self.stdout.write(f"{account.username:<10} {account.password:<20} {account.role}")
