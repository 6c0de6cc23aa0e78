from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from llmops_site import embedded
from reviews.models import QueueItem, ReviewQueue
from tests import database, kept, make
from tests import settings as test_settings

pytest_plugins = ["tests.second_tries"]

# What a busy machine makes slow is no failure.
hypothesis_settings.register_profile("galley", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("galley")

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
        database.drop_what_dead_runs_left(url, test_settings.ROOT / "homes")
        yield url


@pytest.fixture(scope="session")
def making_the_template() -> Iterator[ExitStack]:
    """Closed as soon as there is one."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    database_server: str,
    django_db_modify_db_settings_parallel_suffix: None,
    making_the_template: ExitStack,
) -> None:
    """pytest-django's step before it makes the test database: the server must run by then."""
    template = database.template_name()
    if not database.has_template(database_server, template):
        making_the_template.enter_context(database.alone_with_templates(database_server))
    if database.has_template(database_server, template):
        making_the_template.close()
        settings.DATABASES["default"]["TEST"]["TEMPLATE"] = template


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None,
    database_server: str,
    django_db_blocker: DjangoDbBlocker,
    making_the_template: ExitStack,
) -> Iterator[None]:
    """The test database; processes that tests start find it in DATABASE_URL."""
    connection = connections["default"]
    name = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        if "TEMPLATE" not in settings.DATABASES["default"]["TEST"]:
            connection.close()
            database.keep_as_template(database_server, name, database.template_name())
            making_the_template.close()
        first_rows = database.FirstRows.keep(connection)
        first_rows.bring_back_after_flush(connection)
        kept.first_rows[:] = [first_rows]
    before = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = urlunsplit(urlsplit(before)._replace(path=f"/{name}"))
    yield
    os.environ["DATABASE_URL"] = before
    connections.close_all()
    database.end_sessions(database_server, name)


@pytest.fixture(autouse=True)
def copies_of_what_tests_begin_with(django_db_blocker: DjangoDbBlocker) -> None:
    """Before any other fixture of a test, so that they are of no test."""
    with django_db_blocker.unblock():
        kept.copy_what_was_asked_for(test_settings.HOME.with_name(f"{test_settings.HOME.name}-kept"))


@pytest.fixture
def cast(db: None) -> make.Cast:
    return make.cast()


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return make.queue()


@pytest.fixture
def item(queue: ReviewQueue) -> QueueItem:
    return make.queue_item(in_queue=queue)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium, quiet: it opens nothing and asks nobody by itself.

    Where it is installed, the one without windows, which Playwright itself prefers: a context costs a fifth.
    """
    without_windows = Path("/usr/lib/chromium/chromium-headless-shell")
    installed = str(without_windows) if without_windows.exists() else "/usr/bin/chromium"
    # A page of the same kind comes a moment later: what was compiled for this one is kept for it.
    keep_compiled = "--js-flags=--no-flush-bytecode"
    quiet = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    return {
        "executable_path": os.environ.get("GALLEY_TEST_CHROMIUM", installed),
        "args": ["--no-sandbox", keep_compiled, *(f"--{flag}" for flag in quiet.split())],
    }


def pytest_collection() -> None:
    gc.disable()  # what is loaded and collected stays to the end of the run


def pytest_collection_finish() -> None:
    gc.freeze()  # and is not gone through again with each test's own
    # What a test makes hardly ever hangs together in circles, and looking for them took one twentieth of all tests.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: at the end the short ones fill what time is left on each processor."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(test_settings.HOME, ignore_errors=True)
    shutil.rmtree(test_settings.HOME.with_name(f"{test_settings.HOME.name}-kept"), ignore_errors=True)
