from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """In place of Django's, which would write nothing down."""

    help = "Not here: administrators make accounts on the page People, and the audit trail says who."

    def add_arguments(self, parser: Any) -> None:
        for name in ("--username", "--email", "--noinput", "--no-input"):
            parser.add_argument(name, nargs="?", help="ignored")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "Accounts are made by administrators on the page People, and the audit trail says by whom. Where no "
            "administrator can sign in any more, `password_link NAME` lets one in again."
        )
