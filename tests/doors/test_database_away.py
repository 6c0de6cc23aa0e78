"""A database that ended or stands still: clients are told so, soon, and all goes on by itself afterwards."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from unittest import mock

import psutil
import pytest
from django.conf import settings
from django.test import Client

from llmops_site import embedded
from llmops_site.postgres_server import PostgresServer
from models_app.models import Job
from tests.process.programs import wait_for
from tests.process.running import Run

PAGE = ("/documents/", {"Cookie": "galley_session=" + "a" * 32})
#: A token that nobody has: to know that, the database has to be asked.
API = ("/api/v1/releases/live/", {"Authorization": "Token gly_" + "a" * 60})
#: Without limits of Galley's own a request hangs for as long as the database stands still.
HANGS_SECONDS = 25


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def ask(run: Run, path: str, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=HANGS_SECONDS)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        return Answer(answer.status, dict(answer.getheaders()), body)
    finally:
        connection.close()


@contextmanager
def frozen(run: Run) -> Iterator[None]:
    processes = PostgresServer(run.home).processes()
    assert processes
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def stopped(run: Run) -> Iterator[None]:
    """The supervisor would start it again within a second, so that it stands still meanwhile."""
    run.process.send_signal(signal.SIGSTOP)
    try:
        embedded.stop(run.home)
        yield
    finally:
        run.process.send_signal(signal.SIGCONT)


def kept_up(run: Run) -> set[int]:
    """Web, serving and the two queues."""
    children = psutil.Process(run.process.pid).children()
    return {child.pid for child in children if child.name() != "postgres"}


def is_well(run: Run) -> bool:
    return ask(run, *PAGE).status == 302 and ask(run, *API).status == 401


def check_what_is_said(run: Run) -> None:
    """By pages and API, to twelve clients each at the same time."""
    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(lambda what: ask(run, *what), [PAGE, API] * 12))
    for page in answers[::2]:
        assert page.status == 503
        assert page.headers["Retry-After"] == "5"
        assert "<h1>" in page.body
        assert "database" in page.body
        assert "Traceback" not in page.body
    for call in answers[1::2]:
        assert call.status == 503
        assert call.headers["Retry-After"] == "5"
        assert json.loads(call.body)["error"]["code"] == "unavailable"


@pytest.mark.slow
@pytest.mark.parametrize("away", [stopped, frozen])
def test_without_the_database_clients_are_told_when_to_try_again_and_all_goes_on_afterwards(
    installation: Run, away: object
) -> None:
    wait_for(lambda: is_well(installation), seconds=60)
    before = kept_up(installation)
    with away(installation):  # type: ignore[operator]
        check_what_is_said(installation)
        assert ask(installation, "/healthz").status == 200
        ready = ask(installation, "/readyz")
        assert ready.status == 503
        assert json.loads(ready.body) == {"status": "unavailable", "detail": "The database does not answer."}
        check_what_is_said(installation)
    wait_for(lambda: is_well(installation), seconds=60)
    with ThreadPoolExecutor(24) as clients:
        calls = list(clients.map(lambda what: ask(installation, *what).status, [PAGE, API] * 12))
    assert set(calls) == {302, 401}, "a thread kept a connection that is of no use"
    assert kept_up(installation) == before, "a process ended over it"


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
