"""script/manage on a data directory that does not exist yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from llmops_site import embedded, tables

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    embedded.stop(home)


def manage(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """As script/manage runs it, without looking after the environment."""
    return run(home, "manage.py", *arguments, **environ)


def run(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Python with `arguments`, beside the embedded database."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GALLEY_", "DATABASE_", "DJANGO_"))
    }
    command = [sys.executable, "-m", "llmops_site.embedded", "with", "--", sys.executable]
    return subprocess.run(
        [*command, *arguments],
        cwd=settings.BASE_DIR,
        env={**own, "GALLEY_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_command_on_an_empty_directory_makes_database_and_tables_in_one_line_each(home: Path) -> None:
    first = manage(home, "tables")
    assert first.returncode == 0, first.stderr
    # Directories of tests are closed to the database's user; those of people seldom are.
    lines = [line for line in first.stderr.splitlines() if "chmod o+x" not in line]
    assert lines == [
        f"An embedded PostgreSQL is made in {home}.",
        "The database is empty: its tables are made now.",
    ]
    assert first.stdout

    documents = home / "none.jsonl"
    loop = ["run_loop", "--documents", str(documents), "--train", "1", "--validation", "1", "--test", "1"]
    refused = manage(home, *loop, "--report", str(home / "report"))
    assert refused.returncode == 1
    assert refused.stderr == "CommandError: none.jsonl does not exist.\n"

    documents.write_text(json.dumps({"text": "too short", "reference": "short"}) + "\n")
    refused = manage(home, *loop, "--report", str(home / "report"))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr

    with embedded.held(home) as url, psycopg.connect(url) as connection:
        connection.execute("DELETE FROM django_migrations WHERE app = 'reviews' AND name LIKE '0003_%'")
    old = manage(home, "tables")
    assert (old.returncode, old.stderr.count("\n")) == (1, 1)
    assert "older version" in old.stderr

    with embedded.held(home) as url, psycopg.connect(url) as connection:
        connection.execute("UPDATE django_migrations SET name = '0001_initial' WHERE name = '0001_tables'")
    for arguments in (["manage.py", "tables"], ["-m", "llmops_site.prepare", "--accounts-to", "1"]):
        another = run(home, *arguments)
        assert another.returncode == 1
        assert "before 0.1.0" in another.stderr
        assert "Traceback" not in another.stderr


def test_a_database_that_does_not_answer_is_told_in_one_line(home: Path) -> None:
    result = manage(home, "tables", DATABASE_URL="postgres://x@127.0.0.1:9/x")
    assert result.returncode == 1
    assert result.stderr.startswith("The database does not answer: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], False),
        (["migrate"], False),
        (["run_loop", "--help"], False),
        (["run_loop", "--train", "1"], True),
        (["changepassword", "admin"], True),
    ],
)
def test_only_commands_that_read_tables_wait_for_them(arguments: list[str], needed: bool) -> None:
    assert tables.needs_tables(arguments) is needed
