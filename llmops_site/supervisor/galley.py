"""Galley's own processes, and the order in which an installation comes up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmops_site import embedded, startable
from llmops_site.env import BASE_DIR, Environment
from llmops_site.startable import CannotStart
from llmops_site.supervisor import orphans, preflight, welcome
from llmops_site.supervisor.availability import AvailabilityProbe
from llmops_site.supervisor.child import Program, end_with_parent
from llmops_site.supervisor.marked import Mark
from llmops_site.supervisor.output import Console
from llmops_site.supervisor.readiness import ReadinessProbe
from llmops_site.supervisor.supervise import Database, StopRequest, Supervisor
from llmops_site.supervisor.welcome import Account

WEB_GRACE_SECONDS = 5
PREPARE_STOP_SECONDS = 10


def run(env: Environment) -> int:
    """Until it is told to stop. Raises CannotStart and EmbeddedDatabaseError with what to tell the person."""
    with contextlib.closing(Console()) as console:
        return _run(env, StopRequest(), console)


def _run(env: Environment, stop: StopRequest, console: Console) -> int:
    began = time.monotonic()
    home: Path = env.home
    mark = Mark.new(home)
    url = public_url(env)
    os.environ["GALLEY_HOME"] = str(home)
    orphans.adopt()
    preflight.prepare_home(home)
    with preflight.only_one(home, url):
        startable.refuse_full_disk(home)
        console.say(f"Galley starts; its data is in {home}.")
        if killed := mark.kill_earlier_runs():
            console.say(f"An earlier run was killed; {killed} of its processes still lived and were ended.")
        startable.refuse_taken_port(env.host, env.port, preflight.listener)
        with _database(env, console) as database:
            accounts = _prepare(mark, stop, console)
            if accounts is None:
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
            front = _Front(console, url=url, accounts=accounts, logs=home / "logs", since=began)
            probe = ReadinessProbe(
                host=env.host,
                port=env.port,
                on_answer=front.pages_answer,
                on_ready=front.summaries_are_served,
                log=supervisor.log,
            )
            availability = AvailabilityProbe(
                host=env.host,
                port=env.port,
                database_url=database.url,
                stopping=lambda: bool(stop),
                log=supervisor.log,
            )
            probe.start()
            availability.start()
            try:
                supervisor.run()
            finally:
                probe.stop()
                availability.stop()
                front.close()
        orphans.collect()
    return 0


class _Front:
    """What the console says once pages answer and once summaries are served."""

    def __init__(
        self, console: Console, *, url: str, accounts: Sequence[Account], logs: Path, since: float
    ) -> None:
        self._console = console
        self._url = url
        self._accounts = accounts
        self._logs = logs
        self._since = since
        self._shown = False

    def pages_answer(self, ready: bool, detail: str) -> None:
        state = (
            "are served"
            if ready
            else f"not served yet ({detail.rstrip('.')}); a line below says when they are"
        )
        self._show(state)

    def summaries_are_served(self) -> None:
        self._console.say(
            f"Summaries are served now, {time.monotonic() - self._since:.0f} s after the start."
        )

    def close(self) -> None:
        """Passwords that were made are shown, even if Galley is stopped before its pages answer."""
        if self._accounts and not self._shown:
            self._show("stopped before its pages answered")

    def _show(self, state: str) -> None:
        self._shown = True
        for line in welcome.box(
            url=self._url,
            accounts=self._accounts,
            logs=self._logs,
            state=state,
            encoding=sys.stdout.encoding or "ascii",
        ):
            self._console.say(line)


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
        "worker-class": "llmops_site.web_server.worker.WholeRequestWorker",
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
def _database(env: Environment, console: Console) -> Iterator[Database]:
    if env.database_url:
        preflight.refuse_silent_database(env.database_url)
        console.say("The database named in DATABASE_URL answers.")
        yield Database(env.database_url)
        return
    with embedded.held(env.home) as url:
        console.say("The embedded PostgreSQL runs.")
        yield Database(url, revive=lambda: embedded.revive(env.home))


def _prepare(mark: Mark, stop: StopRequest, console: Console) -> list[Account] | None:
    """Tables, static files, accounts; the accounts that were made, or None if it was told to stop meanwhile.

    The passwords come through a pipe and go to the console only: they belong in no log file.
    """
    ours, its = os.pipe()
    with os.fdopen(ours) as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmops_site.prepare", "--accounts-to", str(its)],
            cwd=BASE_DIR,
            env={**os.environ, **mark.environment("prepare")},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(),
            pass_fds=[its],
        )
        os.close(its)
        while process.poll() is None and not stop:
            time.sleep(0.02)
        stopped = process.poll() is None
        if stopped:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PREPARE_STOP_SECONDS)
            mark.kill()
        accounts = [Account(*json.loads(line)) for line in told]
    if not process.returncode and not stop:
        return accounts
    for account in accounts:
        console.say(f"Account {account.username} ({account.role}) was made: {account.password}")
    if stop:
        return None
    raise CannotStart("Galley could not prepare its database; the lines above say why.")
