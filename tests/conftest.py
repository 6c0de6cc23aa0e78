from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from pytest_django import DjangoDbBlocker

from llmops_site import embedded
from tests import settings as test_settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """The URL of the server's own database, kept up while the run lasts; the last run to leave stops the server."""
    with ExitStack() as stack:
        url = os.environ.get("GALLEY_TEST_DATABASE_URL")
        if not url:
            url = stack.enter_context(embedded.held(test_settings.ROOT, durable=False))
        _drop_databases_of_dead_runs(url)
        yield url


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    database_server: str, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """pytest-django's step before it makes the test database: the server must run by then."""


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, database_server: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """The test database; processes that tests start find it in DATABASE_URL."""
    with django_db_blocker.unblock():
        _bring_first_rows_back_after_flush(connections["default"])
    name = connections["default"].settings_dict["NAME"]
    before = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = urlunsplit(urlsplit(before)._replace(path=f"/{name}"))
    yield
    os.environ["DATABASE_URL"] = before
    connections.close_all()
    with psycopg.connect(database_server, autocommit=True) as connection:
        # Threads and processes of tests may have left sessions open; the database could not be dropped.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def _bring_first_rows_back_after_flush(connection: BaseDatabaseWrapper) -> None:
    """Lets tests with real transactions clean up after themselves.

    Django truncates every table then, which the append-only tables refuse, and what the migrations put in would be gone
    for the tests that follow.
    """
    kept: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA first_rows")
        # Not Django's list of its tables: it lacks those of a library's swapped models.
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [table for (table,) in cursor.fetchall() if table != "django_migrations"]
        for table in tables:
            cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
            if cursor.fetchone() != (True,):
                continue
            cursor.execute(f'CREATE TABLE first_rows."{table}" AS TABLE "{table}"')
            cursor.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'",
                [table],
            )
            kept[table] = [f'"{column}"' for (column,) in cursor.fetchall()]
        cursor.execute("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgtype & 32 <> 0")
        refusing = [table for (table,) in cursor.fetchall()]

    def flush(sql_list: Iterable[str]) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for table in refusing:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute("TRUNCATE " + ", ".join(f'"{table}"' for table in tables))
            for table in refusing:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            for table, columns in kept.items():
                names = ", ".join(columns)
                cursor.execute(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM first_rows."{table}"')

    connection.ops.execute_sql_flush = flush  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium, quiet: it opens nothing and asks nobody by itself."""
    quiet = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    return {
        "executable_path": os.environ.get("GALLEY_TEST_CHROMIUM", "/usr/bin/chromium"),
        "args": ["--no-sandbox", *(f"--{flag}" for flag in quiet.split())],
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(test_settings.HOME, ignore_errors=True)


def _drop_databases_of_dead_runs(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^test_galley_[0-9]+'"
        ).fetchall()
        for (name,) in rows:
            pid = re.findall(r"\d+", name)[0]
            if psutil.pid_exists(int(pid)):
                continue
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
            for home in (test_settings.ROOT / "homes").glob(f"{pid}*"):
                shutil.rmtree(home, ignore_errors=True)
