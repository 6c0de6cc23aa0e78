"""Galley's own processes, and the order in which an installation comes up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from llmops_site import embedded
from llmops_site.env import BASE_DIR, Environment
from llmops_site.supervisor import orphans, preflight
from llmops_site.supervisor.child import Program, end_with_parent
from llmops_site.supervisor.marked import Mark
from llmops_site.supervisor.output import Console
from llmops_site.supervisor.preflight import CannotStart
from llmops_site.supervisor.readiness import ReadinessProbe
from llmops_site.supervisor.supervise import Database, StopRequest, Supervisor

WEB_GRACE_SECONDS = 5
PREPARE_STOP_SECONDS = 10


def run(env: Environment) -> int:
    """Until it is told to stop. Raises CannotStart and EmbeddedDatabaseError with what to tell the person."""
    began = time.monotonic()
    home: Path = env.home
    stop = StopRequest()
    console = Console()
    mark = Mark.new(home)
    url = public_url(env)
    os.environ["GALLEY_HOME"] = str(home)
    orphans.adopt()
    preflight.prepare_home(home)
    with preflight.only_one(home, url):
        preflight.refuse_full_disk(home)
        if killed := mark.kill_earlier_runs():
            console.show(
                "galley", f"an earlier run was killed; {killed} of its processes still lived and were ended"
            )
        preflight.refuse_taken_port(env.host, env.port)
        with _database(env) as database:
            if not _prepare(mark, stop):
                return 0
            supervisor = Supervisor(
                programs(env),
                home=home,
                directory=BASE_DIR,
                mark=mark,
                console=console,
                stop=stop,
                database=database,
                wedge_seconds=env.wedge_seconds,
            )
            probe = ReadinessProbe(host=env.host, port=env.port, url=url, say=supervisor.say, since=began)
            probe.start()
            supervisor.run()
            probe.stop()
        orphans.collect()
    console.close()
    return 0


def programs(env: Environment) -> list[Program]:
    manage = [sys.executable, str(BASE_DIR / "manage.py")]
    # Django's checks import every page; the tests run them.
    skip = "--skip-checks"
    # Several threads of several processes on the same cores are much slower than one each.
    threads = {"OMP_NUM_THREADS": str(env.torch_threads), "TOKENIZERS_PARALLELISM": "false"}
    return [
        Program("web", _web_command(env), {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
        Program(
            "serving", [*manage, "serve_slots", skip], {"TOKENIZERS_PARALLELISM": "false"}, stops_last=True
        ),
        # The name goes by the environment: with `--name` django-q2 quietly runs the default cluster.
        Program(
            "queue", [*manage, "qcluster", skip], {**threads, "Q_CLUSTER_NAME": "default"}, queue="default"
        ),
        Program(
            "training",
            [*manage, "qcluster", skip],
            {**threads, "Q_CLUSTER_NAME": "training"},
            queue="training",
        ),
    ]


def public_url(env: Environment) -> str:
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(env.host, env.host)  # nosec B104
    return env.public_url or f"http://{_bracketed(host)}:{env.port}"


def _web_command(env: Environment) -> list[str]:
    options = {
        "bind": f"{_bracketed(env.host)}:{env.port}",
        "worker-class": "llmops_site.web_worker.PatientWorker",
        "workers": str(env.web_workers),
        "threads": str(env.web_threads),
        # A summary may take its time, and then some.
        "timeout": str(env.request_seconds + 30),
        "graceful-timeout": str(WEB_GRACE_SECONDS),
        "keep-alive": "5",
        "log-level": env.log_level.lower(),
    }
    if Path("/dev/shm").is_dir():  # nosec B108
        # On a busy disk a worker's sign of life could come too late.
        options["worker-tmp-dir"] = "/dev/shm"  # nosec B108
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "gunicorn", *flags, "--no-control-socket", "llmops_site.wsgi:application"]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _database(env: Environment) -> Iterator[Database]:
    if env.database_url:
        preflight.refuse_silent_database(env.database_url)
        yield Database(env.database_url)
        return
    with embedded.held(env.home) as url:
        yield Database(url, revive=lambda: embedded.revive(env.home))


def _prepare(mark: Mark, stop: StopRequest) -> bool:
    """Tables, static files, accounts. Its lines go straight to the console: passwords belong in no log file."""
    process = subprocess.Popen(
        [sys.executable, "-m", "llmops_site.prepare"],
        cwd=BASE_DIR,
        env={**os.environ, **mark.environment("prepare")},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent(),
    )
    while process.poll() is None and not stop:
        time.sleep(0.02)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PREPARE_STOP_SECONDS)
        mark.kill()
        return False
    if process.returncode:
        raise CannotStart("Galley could not prepare its database; the lines above say why.")
    return not stop
