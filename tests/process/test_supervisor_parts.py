from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import psutil
import psycopg
import pytest
from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from llmops_site import embedded, startable
from llmops_site.env import read_environment
from llmops_site.postgres_server import PostgresServer
from llmops_site.startable import CannotStart
from llmops_site.supervisor import galley, job_queues, preflight, readyz, welcome
from llmops_site.supervisor.database import connect
from llmops_site.supervisor.output import LogFile, is_notable
from llmops_site.supervisor.statements import Waiting
from models_app.models import Job
from tests.process.programs import QUIET, Start, program, wait_for


def test_due_work_that_nobody_takes_is_a_wedge() -> None:
    assert job_queues.is_wedged(Waiting("default", 61.0, 0), uptime=1000, patience=60)


@pytest.mark.parametrize(
    ("waiting", "uptime"),
    [
        (Waiting("default", 61.0, 1), 1000),  # it is busy with another job
        (Waiting("default", 59.0, 0), 1000),  # not for long yet
        (Waiting("default", None, 0), 1000),  # nothing is due
        (Waiting("default", 90_000.0, 0), 5),  # the cluster was started this moment
    ],
)
def test_these_are_no_wedge(waiting: Waiting, uptime: float) -> None:
    assert not job_queues.is_wedged(waiting, uptime=uptime, patience=60)


@pytest.mark.django_db(transaction=True)
def test_the_watchdog_counts_due_and_running_jobs_by_queue() -> None:
    now = timezone.now()
    old = now - timedelta(seconds=100)
    lease = {"lease_token": "00000000-0000-0000-0000-000000000001", "state": "running"}
    Job.objects.create(kind="train", queue="training", created_at=old, not_before=old)
    Job.objects.create(kind="train", queue="training", created_at=old, not_before=now + timedelta(hours=1))
    Job.objects.create(kind="train", queue="default", lease_until=now + timedelta(minutes=1), **lease)
    Job.objects.create(kind="train", queue="default", lease_until=old, **lease)
    seen = {waiting.queue: waiting for waiting in job_queues.look(os.environ["DATABASE_URL"])}
    assert (seen["default"].oldest_seconds, seen["default"].running) == (None, 1)
    assert 100 <= (seen["training"].oldest_seconds or 0) < 130
    assert seen["training"].running == 0


@pytest.mark.django_db(transaction=True)
def test_what_a_dead_cluster_had_fetched_is_freed_for_the_next() -> None:
    later = timezone.now() + timedelta(days=4)
    for queue in ("default", "training"):
        OrmQ.objects.create(key=queue, payload="x", lock=later)
    assert job_queues.unlock_fetched(os.environ["DATABASE_URL"], "training") == 1
    free = OrmQ.objects.filter(lock__lte=timezone.now())
    assert [message.key for message in free] == ["training"]


@contextlib.contextmanager
def standing_still(processes: Sequence[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_a_database_that_stands_still_keeps_the_supervisor_for_seconds_only(tmp_path: Path) -> None:
    """Whether it stands still before it is connected to or afterwards."""
    with embedded.held(tmp_path, durable=False) as url, connect(url) as connection:
        connection.execute("SELECT 1")
        with standing_still(PostgresServer(tmp_path).processes()):
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError):
                job_queues.look(url)
            assert time.monotonic() - began < 10
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="does not answer"):
                connection.execute("SELECT 1")
            assert time.monotonic() - began < 10
        assert connection.closed


def test_what_readyz_says_is_told_and_so_is_silence() -> None:
    class Handler(BaseHTTPRequestHandler):
        answers: ClassVar[list[tuple[int, bytes]]] = [
            (200, b'{"detail": "release 3"}'), (503, b'{"detail": "It is loading."}'), (502, b"<h1>?</h1>"),
        ]  # fmt: skip

        def do_GET(self) -> None:
            status, body = self.answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = [readyz.ask("0.0.0.0", server.server_port, seconds=10) for _ in range(3)]
        server.shutdown()
    assert said == [
        readyz.Answer(True, "release 3"),
        readyz.Answer(False, "It is loading."),
        readyz.Answer(False, "/readyz answers 502"),
    ]
    with pytest.raises(readyz.NoAnswer, match="does not answer \\(ConnectionRefusedError\\)"):
        readyz.ask("127.0.0.1", server.server_port, seconds=10)


@pytest.mark.django_db(transaction=True)
def test_a_wedged_cluster_is_restarted(start: Start, tmp_path: Path) -> None:
    old = timezone.now() - timedelta(seconds=100)
    Job.objects.create(kind="train", queue="training", created_at=old, not_before=old)
    start(
        program("training", QUIET, queue="training"), database=os.environ["DATABASE_URL"], wedge_seconds=0.5
    )
    log = tmp_path / "logs" / "galley.log"
    wait_for(lambda: log.exists() and log.read_text().count("training started") == 2)
    assert "training leaves due work lying for 1" in log.read_text()


JOB = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.mark.django_db(transaction=True)
def test_a_job_ended_by_a_stop_goes_on_at_the_next_start_and_has_not_failed(
    start: Start, tmp_path: Path
) -> None:
    lease = {"lease_until": timezone.now() + timedelta(minutes=1), "attempts": 2, "state": "running"}
    ours, others = [
        Job.objects.create(kind="train", queue="training", lease_token=uuid4(), **lease) for _ in range(2)
    ]
    worker = {"name": "training", "command": [sys.executable, "-c", JOB, "run_job", str(ours.pk)]}
    supervisor = start(worker, database=os.environ["DATABASE_URL"], grace_seconds=0.5)
    log = tmp_path / "logs" / "training.log"
    wait_for(lambda: log.exists() and "up" in log.read_text())
    supervisor.terminate()
    supervisor.wait(20)
    ours.refresh_from_db()
    others.refresh_from_db()
    assert ours.attempts == 1
    assert ours.lease_until is not None
    assert ours.lease_until < timezone.now()
    assert (others.attempts, others.lease_until) == (2, lease["lease_until"])


def test_a_log_is_rotated_at_its_size_and_old_ones_go(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "web.log", max_bytes=100, kept=2)
    seen = []
    with log.open_for_writing() as file:  # stays open, as in the process that writes
        for number in range(40):
            file.write(f"line {number:03}\n".encode())
            seen += log.look()
    log.close()
    assert seen == [f"line {number:03}\n".encode() for number in range(40)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["web.log", "web.log.1", "web.log.2"]
    kept = b"".join((tmp_path / name).read_bytes() for name in ("web.log.2", "web.log.1", "web.log"))
    assert kept.startswith(b"line 012\n")
    assert kept.endswith(b"line 039\n")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_log_goes_on_where_an_earlier_run_ended_and_only_what_is_new_is_seen(tmp_path: Path) -> None:
    first = LogFile(tmp_path / "web.log")
    first.write(b"first\n")
    second = LogFile(tmp_path / "web.log")
    second.write(b"second\nhal")
    assert second.look() == [b"second\n"]
    second.write(b"f\n")
    assert second.look() == [b"half\n"]
    assert (tmp_path / "web.log").read_bytes() == b"first\nsecond\nhalf\n"


@pytest.mark.parametrize(
    ("line", "notable"),
    [
        ("timestamp=2026-11-27T12:30:03Z level=info event=ready", False),
        ("timestamp=2026-11-27T12:30:03Z level=warning event=slow", True),
        ("[2026-11-27 12:29:59 +0000] [8403] [INFO] Starting gunicorn", False),
        ("[2026-11-27 12:29:59 +0000] [8403] [CRITICAL] WORKER TIMEOUT (pid:8415)", True),
        ("2026-11-27 12:30:03,737 INFO generating", False),
        ("2026-11-27 12:30:03,737 ERROR the model cannot be loaded", True),
        ("just words", False),
        ("Traceback (most recent call last):", True),
    ],
)
def test_warnings_and_worse_are_told_from_other_lines(line: str, notable: bool) -> None:
    assert is_notable(line, before=False) is notable


def test_a_line_without_a_level_belongs_to_the_one_before() -> None:
    assert is_notable('  File "manage.py", line 3', before=True)
    assert not is_notable("timestamp=2026-11-27T12:30:03Z level=info event=ready", before=True)


def test_the_box_has_address_accounts_logs_and_how_to_stop() -> None:
    accounts = [welcome.Account("admin", "s3cret-s3cret", "administrator")]
    for encoding, corner in (("utf-8", "┌"), ("ascii", "+")):
        lines = welcome.box(
            url="http://127.0.0.1:8000", accounts=accounts, logs=Path("/home/logs"), state="are served",
            encoding=encoding,
        )  # fmt: skip
        assert lines[0].startswith(corner)
        assert len({len(line) for line in lines}) == 1
        text = "\n".join(lines)
        for words in (
            "http://127.0.0.1:8000",
            "admin",
            "s3cret-s3cret",
            "/home/logs",
            "Ctrl-C",
            "are served",
        ):
            assert words in text
        text.encode(encoding)


def test_a_nearly_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CannotStart, match=r"^Only .* GB are free on the disk of .*; Galley needs 1000000000 GB"
    ):
        startable.refuse_full_disk(tmp_path, needed=10**9 * 1024**3)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotStart, match="no address of this machine"):
        startable.refuse_taken_port("192.0.2.1", 8000)


def test_a_name_that_is_no_address_is_refused() -> None:
    with pytest.raises(CannotStart, match="no address of this machine"):
        startable.refuse_taken_port("no-such-host.invalid", 8000)


def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="Cannot write to the data directory"):
        preflight.prepare_home(tmp_path / "file" / "home")


def test_a_lock_left_by_a_dead_supervisor_does_not_count(tmp_path: Path) -> None:
    preflight.prepare_home(tmp_path)
    (tmp_path / "run" / "supervisor.lock").write_text(
        json.dumps({"pid": 1, "url": "http://gone"}) + " " * 100
    )
    with preflight.only_one(tmp_path, "http://here"):
        assert json.loads((tmp_path / "run" / "supervisor.lock").read_text())["url"] == "http://here"


@pytest.mark.parametrize(
    ("environ", "bind", "url"),
    [
        ({}, "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ({"GALLEY_HOST": "0.0.0.0", "GALLEY_PORT": "9000"}, "0.0.0.0:9000", "http://localhost:9000"),
        ({"GALLEY_HOST": "::1"}, "[::1]:8000", "http://[::1]:8000"),
        ({"GALLEY_PUBLIC_URL": "https://galley.example.org"}, "127.0.0.1:8000", "https://galley.example.org"),
    ],
)
def test_the_web_process_listens_where_the_settings_say(environ: dict[str, str], bind: str, url: str) -> None:
    env = read_environment(environ)
    web = next(program for program in galley.programs(env) if program.name == "web")
    assert bind in web.command
    assert galley.public_url(env) == url


def test_each_queue_has_a_process_that_works_it_off() -> None:
    queues = {
        program.queue: program.environment["Q_CLUSTER_NAME"]
        for program in galley.programs(settings.ENV)
        if program.queue
    }
    assert queues == {name: name for name in settings.GALLEY_QUEUES}
