"""An installation of their own for benchmarks that need a database: in a temporary directory, gone afterwards."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@contextmanager
def temporary() -> Iterator[Path]:
    """Django is set up inside with a migrated database; import what needs it inside too."""
    from llmops_site import embedded

    with tempfile.TemporaryDirectory(prefix="galley-") as directory:
        home = Path(directory)
        os.environ.update(
            {
                "GALLEY_HOME": str(home),
                "DATABASE_URL": embedded.database_url(home),
                "DJANGO_SETTINGS_MODULE": "llmops_site.settings",
                "GALLEY_LOG_LEVEL": "WARNING",
            }
        )
        with embedded.held(home):
            import django

            django.setup()
            from django.core.management import call_command
            from django.db import connections

            call_command("migrate", verbosity=0)
            try:
                yield home
            finally:
                connections.close_all()
