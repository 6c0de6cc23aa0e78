from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from models_app.foundation.errors import GalleyError
from models_app.people.links import make_password_link


class Command(BaseCommand):
    help = (
        "Print a link by which a person sets a new password: good once, for 48 hours. The old password and all "
        "sessions end now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="name of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(username=options["name"]).first()
        if person is None:
            raise CommandError(f"There is no account {options['name']!r}.")
        try:
            link, secret = make_password_link(person=person, actor=None)
        except GalleyError as error:
            raise CommandError(error.message) from error
        self.stdout.write(settings.PUBLIC_URL + reverse("password_link_opened", args=[secret]))
        self.stderr.write(f"For {person.get_username()}, until {link.expires_at:%Y-%m-%d %H:%M %Z}.")
