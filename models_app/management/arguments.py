"""Arguments that several commands take."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser


def add_user(parser: CommandParser) -> None:
    parser.add_argument("--user", help="on whose behalf; without it, the installation itself")


def actor(username: str | None, *, returncode: int = 1) -> User | None:
    if username is None:
        return None
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {username!r}.", returncode=returncode)
    return user


def day(words: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError as error:
        raise ArgumentTypeError(f"{words!r} is no day; write it as 2026-11-24") from error


def json_object(such_as: str) -> Callable[[str], dict[str, Any]]:
    """For `type=`: what is written in JSON, such as `such_as`."""

    def read(words: str) -> dict[str, Any]:
        try:
            found = json.loads(words)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ArgumentTypeError(f"{words[:60]!r} is not an object in JSON, such as {such_as}")
        return found

    return read


def mapping(pairs: Sequence[str]) -> dict[str, str]:
    """FIELD=COLUMN arguments as a mapping; an empty COLUMN leaves the field out."""
    found = {}
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not sign or not name:
            raise CommandError(f"--map {pair!r}: write FIELD=COLUMN, such as text=article.")
        found[name.strip()] = column.strip()
    return found
