"""Whether the database has the tables that this version's commands need; an empty one is given them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder

APPS = ("models_app", "reviews")
# They make or describe tables, need none (evidence is checked on other machines), or are started by the supervisor once
# the tables are there.
WITHOUT = frozenset(
    {
        "check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages",
        "makemigrations", "migrate", "qcluster", "run_job", "serve_slot", "serve_slots", "showmigrations",
        "sqlmigrate", "squashmigrations", "test", "verify_evidence", "version",
    }
)  # fmt: skip


class TablesUnfit(Exception):
    """The message is one line for the person at the console."""


def needs_tables(arguments: Sequence[str]) -> bool:
    asks_for_help = any(argument in ("-h", "--help", "--version") for argument in arguments)
    return bool(arguments) and arguments[0] not in WITHOUT and not asks_for_help


def make_sure_of_tables() -> None:
    """Raises TablesUnfit where the database does not answer or holds another version's tables."""
    django.setup()
    try:
        if "django_migrations" not in connection.introspection.table_names():
            print("The database is empty: its tables are made now.", file=sys.stderr, flush=True)
            call_command("migrate", interactive=False, verbosity=0)
            return
        missing = _missing()
    except DatabaseError as error:
        reason = " ".join(str(error).split())
        raise TablesUnfit(
            f"The database does not answer: {reason} (script/manage starts the embedded one for a command)"
        ) from error
    if missing:
        raise TablesUnfit(
            "The database's tables are of an older version: start script/run once, or run script/manage migrate."
        )


def refuse_another_line() -> None:
    """Raises TablesUnfit where the tables were made by a version that this one does not follow."""
    if "django_migrations" in connection.introspection.table_names():
        _missing()


def _missing() -> set[tuple[str, str]]:
    """Which of Galley's own migrations are still to be applied. Raises TablesUnfit where others were."""
    applied = {(app, name) for app, name in MigrationRecorder(connection).applied_migrations() if app in APPS}
    ours = {(app, name) for app in APPS for name in _names(app)}
    missing, foreign = ours - applied, applied - ours
    if foreign and missing:
        raise TablesUnfit(
            "The database's tables were made by a version before 0.1.0, from which nothing leads to this one: "
            "start with another GALLEY_HOME, or another database in DATABASE_URL."
        )
    if foreign:
        raise TablesUnfit("The database's tables are of a newer version of Galley than this one.")
    return missing


def _names(app: str) -> set[str]:
    directory = Path(apps.get_app_config(app).path) / "migrations"
    return {file.stem for file in directory.glob("[0-9]*.py")}
