"""The embedded PostgreSQL, with real servers in short-lived directories."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from llmops_site import embedded, postgres_server
from llmops_site.postgres_account import EmbeddedDatabaseError
from llmops_site.postgres_server import PostgresServer
from tests.process.programs import server_runs


@pytest.fixture(scope="module")
def home(playground: Path) -> Iterator[Path]:
    home = playground / "home"
    embedded.start(home, durable=False)
    yield home
    embedded.stop(home)


def test_starting_again_joins_the_running_server(home: Path) -> None:
    embedded.start(home, durable=False)
    before = PostgresServer(home).postmaster()
    assert embedded.start(home, durable=False) == embedded.database_url(home)
    assert PostgresServer(home).postmaster() == before


def test_rows_survive_a_kill_of_the_server(home: Path) -> None:
    url = embedded.start(home, durable=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    _kill_postmaster(home)
    embedded.start(home, durable=False)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]


def test_a_backend_that_outlives_the_killed_server_does_not_stop_the_next_start(home: Path) -> None:
    url = embedded.start(home, durable=False)
    with subprocess.Popen([sys.executable, "-c", BUSY_CLIENT, url], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        _kill_postmaster(home)
        embedded.start(home, durable=False)
        client.kill()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pid_file_whose_number_belongs_to_another_process_is_no_running_server(home: Path) -> None:
    embedded.start(home, durable=False)
    embedded.stop(home)
    lines = [
        str(os.getpid()),
        str(home / "postgres"),
        str(int(time.time())),
        "5432",
        str(home),
        "",
        "",
        "ready",
    ]
    (home / "postgres" / "postmaster.pid").write_text("\n".join(lines))
    assert not server_runs(home)
    embedded.start(home, durable=False)
    assert server_runs(home)


def test_the_last_user_to_leave_stops_the_server(tmp_path: Path) -> None:
    with embedded.held(tmp_path, durable=False):
        with embedded.held(tmp_path, durable=False) as url:
            psycopg.connect(url).close()
        assert server_runs(tmp_path)
    assert not server_runs(tmp_path)


def test_the_application_is_no_superuser(home: Path) -> None:
    with psycopg.connect(embedded.start(home, durable=False)) as connection:
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (False,)


def test_nobody_else_may_enter_the_socket_directory(home: Path) -> None:
    assert PostgresServer(home).socket_directory.stat().st_mode & 0o077 == 0


def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    home = tmp_path / ("long-" * 20)
    with embedded.held(home, durable=False) as url:
        assert len(str(home)) > postgres_server.LONGEST_SOCKET_PATH
        psycopg.connect(url).close()
        directory = PostgresServer(home).socket_directory
    directory.rmdir()


def test_the_url_and_the_django_settings_reach_the_same_database(home: Path) -> None:
    embedded.start(home, durable=False)
    entry = embedded.connection_settings(home)
    with (
        psycopg.connect(embedded.database_url(home)) as by_url,
        psycopg.connect(
            host=entry["HOST"], port=entry["PORT"], user=entry["USER"], dbname=entry["NAME"]
        ) as by_entry,
    ):
        question = "SELECT current_user, current_database(), pg_postmaster_start_time()"
        assert by_url.execute(question).fetchone() == by_entry.execute(question).fetchone()


def test_data_of_another_version_is_refused_and_kept(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedDatabaseError, match=r"made by PostgreSQL 16.*docs/operations\.md"):
        embedded.start(tmp_path)
    assert (data / "PG_VERSION").read_text() == "16\n"


def test_a_directory_with_something_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "holiday.jpg").write_text("x")
    with pytest.raises(EmbeddedDatabaseError, match="neither empty nor a PostgreSQL data directory"):
        embedded.start(tmp_path)
    assert (data / "holiday.jpg").exists()


def test_an_initdb_killed_half_way_leaves_nothing_to_trip_over(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded.held(tmp_path, durable=False) as url:
        psycopg.connect(url).close()
    assert not (tmp_path / "postgres.new").exists()


def test_a_nearly_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "NEEDED_BYTES", 10**18)
    with pytest.raises(EmbeddedDatabaseError, match="nearly full"):
        embedded.start(tmp_path)
    assert not (tmp_path / "postgres").exists()


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedDatabaseError, match="Cannot write"):
        embedded.start(tmp_path / "file" / "home")


def test_a_broken_configuration_is_named(home: Path) -> None:
    embedded.stop(home)
    configuration = home / "postgres" / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text(sound + "\nshared_buffers = 'many'\n")
    try:
        with pytest.raises(EmbeddedDatabaseError, match="did not start"):
            embedded.start(home, durable=False)
    finally:
        configuration.write_text(sound)
    embedded.start(home, durable=False)


def test_a_command_runs_with_the_database_up_and_its_exit_status_is_handed_on(tmp_path: Path) -> None:
    arguments = [
        "--home",
        str(tmp_path),
        "with",
        "--",
        sys.executable,
        "-c",
        PROBE,
        embedded.database_url(tmp_path),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "llmops_site.embedded", *arguments]
    result = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (5, "(1,)\n"), result.stderr
    assert not server_runs(tmp_path)


PROBE = "import sys, psycopg; print(psycopg.connect(sys.argv[1]).execute('SELECT 1').fetchone()); sys.exit(5)"
BUSY_CLIENT = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
print("connected", flush=True)
connection.execute("SELECT count(*) FROM generate_series(1, 10000000000)")
"""


def _kill_postmaster(home: Path) -> None:
    process = PostgresServer(home).postmaster()
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait(10)
