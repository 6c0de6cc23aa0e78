from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """In place of Django's, which would write nothing down."""

    help = "Not here: `password_link NAME` prints a link by which the person sets a password."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("username", nargs="?", default="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "Nobody sets somebody else's password: `password_link "
            f"{options['username']}` prints a link by which the person does, and the audit trail says so."
        )
