"""A database that ended or stands still, by parts. A whole Galley without its database: test_a_running_galley."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import pytest
from django.conf import settings
from django.test import Client

from models_app.models import Job


@pytest.mark.django_db
def test_a_mistake_of_ours_is_not_told_as_a_database_that_is_away(client: Client) -> None:
    with mock.patch(
        "models_app.serving.readiness.readiness", side_effect=lambda: list(Job.objects.raw("SELECT no_such"))
    ):
        ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "refused what was asked" in ready.json()["detail"]


@pytest.mark.slow
def test_a_statement_of_a_page_ends_after_fifteen_seconds_one_of_a_job_does_not(database_server: str) -> None:
    """As the web process sets it, and as `manage.py` does."""
    show = "from django.db import connection as c; k = c.cursor(); k.execute('SHOW statement_timeout')\n"
    show += "print(k.fetchone()[0])"
    for start, limit in (("import llmops_site.wsgi", "15s"), ("import django; django.setup()", "0")):
        result = subprocess.run(
            [sys.executable, "-c", f"{start}\n{show}"],
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "DATABASE_URL": database_server,
                "DJANGO_SETTINGS_MODULE": "llmops_site.settings",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.split()[-1] == limit
