from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
from psycopg import sql

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
def django_db_setup(django_db_setup: None, database_server: str, django_db_blocker: object) -> Iterator[None]:
    """The test database; processes that tests start find it in DATABASE_URL."""
    from django.db import connections

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
