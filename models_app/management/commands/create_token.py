from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from models_app.foundation.errors import GalleyError
from models_app.foundation.tokens import LONGEST_DAYS, create_token
from models_app.models.access import PROGRAM_SCOPES, ApiToken


class Command(BaseCommand):
    help = (
        "Make an API token for a program that serves readers or watches, and print it: it cannot be shown again. "
        "Tokens that act in a person's name are made by that person on the page API tokens."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="name of the person that it belongs to")
        parser.add_argument(
            "--scope",
            required=True,
            action="append",
            choices=ApiToken.SCOPES,
            metavar="SCOPE",
            help=f"one of {', '.join(PROGRAM_SCOPES)}; repeat for more",
        )
        parser.add_argument(
            "--days", type=int, default=90, help=f"how long it lasts, 1 to {LONGEST_DAYS} [90]"
        )
        parser.add_argument("--name", default="made on the command line", help="what it is for")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.")
        try:
            row, token = create_token(
                user=user, name=options["name"], scopes=options["scope"], days=options["days"], actor=None
            )
        except GalleyError as error:
            raise CommandError(error.message) from error
        self.stdout.write(token)
        self.stderr.write(
            f"For {user.get_username()}, {', '.join(row.scopes)}, until {row.expiry:%Y-%m-%d %H:%M %Z}."
        )
