"""The supervisor with real processes: small programs, real signals, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
from django.conf import settings

from llmops_site import embedded
from llmops_site.postgres_server import PostgresServer
from llmops_site.supervisor.marked import Mark
from tests.process.programs import QUIET, Start, free_port, program, server_runs, wait_for

# Ignores TERM, and has a child that left its session, its group and, by then, its parent.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""
RENAMED = """
import subprocess, sys, time, setproctitle
setproctitle.setproctitle("something else " * 40)
print("up", flush=True)
time.sleep(600)
"""
CRASHING = "import sys; print('no luck', flush=True); sys.exit(3)"
LOUD = """
import time
for n in range(60_000): print("timestamp=now level=warning event=", n, "x" * 80)
print("done", flush=True)
time.sleep(600)
"""
WARNING = """
import time
print("timestamp=now level=info event=usual", flush=True)
print("timestamp=now level=warning event=odd", flush=True)
time.sleep(600)
"""
WRITING_WHEN_TOLD = """
import pathlib, time
print("up", flush=True)
while not pathlib.Path("go").exists(): time.sleep(0.05)
for n in range(40_000): print(n, "x" * 80)
print("done", flush=True)
time.sleep(600)
"""


def test_a_killed_process_is_started_again_and_its_orphans_are_not_kept(start: Start, tmp_path: Path) -> None:
    start(program("one", STUBBORN))
    first = wait_for(lambda: members(tmp_path, 2))
    main = next(process for process in first if process.ppid() not in {other.pid for other in first})
    main.kill()
    wait_for(lambda: "one ended (killed by SIGKILL)" in console(tmp_path))
    second = wait_for(lambda: members(tmp_path, 2))
    assert not {process.pid for process in first} & {process.pid for process in second}


def test_term_stops_everything_even_what_ignores_it_and_left_the_session(
    start: Start, tmp_path: Path
) -> None:
    supervisor = start(
        program("one", QUIET), program("two", STUBBORN), program("three", QUIET, stops_last=True)
    )
    before = wait_for(lambda: members(tmp_path, 4))
    supervisor.terminate()
    assert supervisor.wait(10) == 0
    assert members(tmp_path) == []
    assert not [process for process in before if process.is_running()]
    assert "two did not stop by itself and was killed" in console(tmp_path)


def test_ctrl_c_stops_everything(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", QUIET))
    wait_for(lambda: members(tmp_path, 1))
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(10) == 0
    assert members(tmp_path) == []


def test_a_second_ctrl_c_does_not_wait_for_the_grace(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", STUBBORN), grace_seconds=60)
    wait_for(lambda: members(tmp_path, 2))
    supervisor.send_signal(signal.SIGINT)
    wait_for(lambda: "SIGINT: stopping" in console(tmp_path))
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(10) == 0
    assert members(tmp_path) == []


def test_a_process_that_renamed_itself_is_still_found(start: Start, tmp_path: Path) -> None:
    start(program("one", RENAMED))
    wait_for(lambda: "up" in log_of(tmp_path, "one"))
    assert len(members(tmp_path)) == 1


def test_what_needs_requests_answered_stops_after_what_asks(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("serving", QUIET, stops_last=True), program("web", QUIET))
    wait_for(lambda: members(tmp_path, 2))
    supervisor.terminate()
    supervisor.wait(10)
    lines = log_of(tmp_path, "galley")
    assert lines.index("web stopped") < lines.index("serving stopped")


def test_after_a_kill_of_the_supervisor_its_processes_are_told_to_stop(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", QUIET))
    wait_for(lambda: members(tmp_path, 1))
    supervisor.kill()
    wait_for(lambda: not members(tmp_path))


def test_the_next_start_ends_what_a_killed_supervisor_left(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", STUBBORN))
    left = wait_for(lambda: members(tmp_path, 2))
    supervisor.kill()
    supervisor.wait()
    start(program("one", QUIET))
    new = wait_for(lambda: [process for process in members(tmp_path) if process not in left])
    wait_for(lambda: members(tmp_path) == new)


def test_a_second_supervisor_of_the_same_directory_is_refused(start: Start, tmp_path: Path) -> None:
    first = start(program("one", QUIET))
    wait_for(lambda: members(tmp_path, 1))
    second = start(program("one", QUIET))
    _, error = second.communicate(timeout=10)
    assert second.returncode == 1
    assert error == f"Galley already runs on {tmp_path} (pid {first.pid}, http://stand-in). Stop it first.\n"
    assert len(members(tmp_path)) == 1


def test_a_program_that_keeps_crashing_is_tried_less_and_less_often(start: Start, tmp_path: Path) -> None:
    start(program("one", CRASHING))
    wait_for(lambda: "one ended (exit code 3); it is started again in 2.0 s" in console(tmp_path))
    pauses = [line.split("again in ")[1] for line in console(tmp_path).splitlines() if "again in" in line]
    assert pauses[:3] == ["0.5 s", "1.0 s", "2.0 s"]


def test_the_console_gets_warnings_and_the_log_gets_everything(start: Start, tmp_path: Path) -> None:
    start(program("one", WARNING))
    wait_for(lambda: "level=warning event=odd" in console(tmp_path))
    assert "level=info" in log_of(tmp_path, "one")
    assert "level=info" not in console(tmp_path)
    assert "started (pid" not in console(tmp_path)


def test_what_a_process_wrote_last_is_shown_when_it_ends_by_itself(start: Start, tmp_path: Path) -> None:
    start(program("one", CRASHING))
    wait_for(lambda: "one ended (exit code 3)" in console(tmp_path))
    assert "one      | no luck" in console(tmp_path)


def test_a_stopped_supervisor_holds_up_nobody_who_writes(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", WRITING_WHEN_TOLD))
    wait_for(lambda: "up" in log_of(tmp_path, "one"))
    supervisor.send_signal(signal.SIGSTOP)
    try:
        (tmp_path / "go").touch()
        wait_for(lambda: log_of(tmp_path, "one").endswith("done\n"))
    finally:
        supervisor.send_signal(signal.SIGCONT)


def test_a_console_that_nobody_reads_holds_nothing_up(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", LOUD), read=False)
    wait_for(lambda: (tmp_path / "logs" / "one.log").exists())
    wait_for(lambda: (tmp_path / "logs" / "one.log").read_bytes().endswith(b"done\n"))
    supervisor.terminate()
    supervisor.communicate(timeout=10)
    assert supervisor.returncode == 0


def test_a_killed_database_is_brought_back_and_stopped_at_the_end(start: Start, tmp_path: Path) -> None:
    supervisor = start(program("one", QUIET), embedded=True)
    wait_for(lambda: members(tmp_path, 1))
    first = PostgresServer(tmp_path).postmaster()
    assert first is not None
    first.kill()
    wait_for(lambda: "the database had ended; it was started again" in console(tmp_path))
    psycopg.connect(embedded.database_url(tmp_path)).close()
    supervisor.terminate()
    assert supervisor.wait(15) == 0
    assert not server_runs(tmp_path)


def test_a_taken_port_is_refused_with_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run_galley(tmp_path, GALLEY_PORT=str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"Port {port} of 127.0.0.1 is taken by {psutil.Process().name()} (pid {os.getpid()}). "
        "Stop what has it, or set GALLEY_PORT to another port.\n"
    )
    assert not (tmp_path / "postgres").exists()


def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    result = run_galley(tmp_path, GALLEY_PORT="many")
    assert result.returncode == 1
    assert "GALLEY_PORT='many'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_database_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    result = run_galley(
        tmp_path, GALLEY_PORT=str(free_port()), DATABASE_URL=f"postgres://x@127.0.0.1:{free_port()}/x"
    )
    assert result.returncode == 1
    assert result.stderr.startswith("The database named in DATABASE_URL does not answer:")
    assert result.stderr.count("\n") == 1


def run_galley(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GALLEY_", "DATABASE_", "DJANGO_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "llmops_site.supervisor"],
        cwd=settings.BASE_DIR,
        env={**base, "GALLEY_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def members(home: Path, wanted: int | None = None) -> list[psutil.Process]:
    """The living processes of the supervisor on this home; with `wanted`, none unless there are as many."""
    found = Mark.new(home).of_earlier_runs()
    return found if wanted in (None, len(found)) else []


def log_of(home: Path, name: str) -> str:
    path = home / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def console(home: Path) -> str:
    return (home / "console").read_text() if (home / "console").exists() else ""
