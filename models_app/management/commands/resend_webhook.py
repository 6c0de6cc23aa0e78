from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation.errors import GalleyError
from models_app.management.arguments import actor, add_user
from models_app.models import WebhookEndpoint
from models_app.texts.normalise import row_number
from models_app.webhooks.deliveries import replay_given_up
from models_app.webhooks.job import send_soon


class Command(BaseCommand):
    help = "Send once more what a webhook was told and did not take: all that was given up and not repeated since."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("webhook", help="its number, or its name")
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        person, endpoint = actor(options["user"]), _found(options["webhook"])
        total, left = 0, 1
        try:
            while left:
                sent, left = replay_given_up(endpoint=endpoint, actor=person)
                total += sent
        except GalleyError as error:
            raise CommandError(error.message) from error
        send_soon()
        self.stdout.write(
            f"“{endpoint.name}”: {total:,} deliver{'y is' if total == 1 else 'ies are'} sent once more."
        )


def _found(named: str) -> WebhookEndpoint:
    number = row_number(named)
    rows = WebhookEndpoint.objects.filter(pk=number) if number is not None else WebhookEndpoint.objects.none()
    found = list(rows or WebhookEndpoint.objects.filter(name=named)[:2])
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"Several webhooks are called {named!r}: give the number of one.")
    raise CommandError(f"There is no webhook {named!r}.")
