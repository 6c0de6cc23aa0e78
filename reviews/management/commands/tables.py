from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from models_app.monitoring.traffic import Window
from reviews.reports.tables import as_markdown, tables


def moment(text: str) -> datetime:
    """A date or a time, in the installation's time zone where none is given."""
    try:
        found = parse_datetime(text)
        if found is None:
            day = parse_date(text)
            found = datetime(day.year, day.month, day.day) if day else None  # noqa: DTZ001 (made aware below)
    except ValueError as error:
        raise CommandError(f"{text!r} is no date: {error}.") from error
    if found is None:
        raise CommandError(f"{text!r} is no date. Write 2026-11-24 or 2026-11-24T10:30.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)


class Command(BaseCommand):
    help = "Print the five tables of this installation: ROUGE, service, use, voices, before and after each release."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="length of the window (30)")
        parser.add_argument("--from", dest="start", help="begin of the window instead of --days")
        parser.add_argument("--to", dest="end", help="end of the window (now)")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        end = moment(options["end"]) if options["end"] else timezone.now()
        if options["days"] < 1:
            raise CommandError("--days: at least 1.")
        start = moment(options["start"]) if options["start"] else end - timedelta(days=options["days"])
        if start >= end:
            raise CommandError("The window ends before it begins.")
        found = tables(Window(start, end))
        if options["format"] == "json":
            window = {"from": start.isoformat(), "to": end.isoformat()}
            self.stdout.write(
                json.dumps({"window": window, "tables": [t.to_dict() for t in found]}, indent=2)
            )
        else:
            self.stdout.write(as_markdown(found))
