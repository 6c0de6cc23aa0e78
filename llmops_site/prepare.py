"""What a start needs before anything can answer: tables, collected static files, accounts. Quick when nothing is new.

One process does it all, because every start of Django costs half a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from llmops_site import private, tables
from models_app import doors

STAMP = ".sources"
# Pages that Galley does not show: Redoc, and the browsable API.
UNUSED = ["drf_spectacular_sidecar/redoc*", "rest_framework*"]


def migrate() -> bool:
    """Applies what is not applied yet; false if there was nothing. Raises TablesUnfit."""
    tables.refuse_another_line()
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


def collect_static_files() -> bool:
    """Collects and compresses them where a source changed since the last time; false if none did."""
    root = Path(settings.STATIC_ROOT)
    stamp = root / STAMP
    fingerprint = _fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return False
    # First gone and last written: a run that is killed half-way is made up for by the next.
    stamp.unlink(missing_ok=True)
    call_command("collectstatic", interactive=False, verbosity=0, clear=root.exists(), ignore_patterns=UNUSED)
    stamp.write_text(fingerprint)
    return True


def _fingerprint() -> str:
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m llmops_site.prepare", description=__doc__)
    parser.add_argument(
        "--accounts-to",
        type=int,
        required=True,
        metavar="FD",
        help="an open file that gets a JSON line for each account that was made: name, password, role",
    )
    options = parser.parse_args()
    private.keep_new_files_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
    doors.of_process(doors.Kind.GALLEY, "start")
    django.setup()
    logging.disable(logging.INFO)  # the console gets what `_say` says, and warnings
    from models_app.evidence import keys
    from models_app.foundation import jobs
    from models_app.foundation.errors import Unavailable
    from reviews.loop import sample_workspace

    try:
        if migrate():
            _say("The database's tables were brought up to date.")
        if collect_static_files():
            _say("The pages' static files were collected.")
        keys.signing_key()
        with os.fdopen(options.accounts_to, "w") as file:
            for account in sample_workspace.set_up(settings.ENV, say=_say):
                file.write(json.dumps([account.username, account.password, account.role]) + "\n")
                file.flush()
        # Work that the last stop interrupted goes on now, not at the reaper's next round.
        if jobs.reap():
            _say("Unfinished jobs go on.")
    except (tables.TablesUnfit, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, DatabaseError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
