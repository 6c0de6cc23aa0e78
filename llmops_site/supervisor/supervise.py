"""Starts the programs, keeps them up, and stops every one of them with all that it started."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil
import psycopg

from llmops_site.postgres_account import EmbeddedDatabaseError
from llmops_site.supervisor import job_queues, orphans
from llmops_site.supervisor.child import Child, Program
from llmops_site.supervisor.marked import Mark
from llmops_site.supervisor.output import Console, LogFile, ProcessOutput

TICK_SECONDS = 0.1
# With the database's own stop these stay below the 15 seconds that a stop may take.
GRACE_SECONDS = 7.0
WEDGED_GRACE_SECONDS = 3.0
WATCHDOG_SECONDS = 5.0
SECOND_LOOK_SECONDS = 2.0
DATABASE_SECONDS = 1.0
DATABASE_PAUSE_SECONDS = 15.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """Set by TERM, Ctrl-C or a closed terminal; a second one asks for haste."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def urgent(self) -> bool:
        return self.count > 1

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.name = signal.Signals(number).name


@dataclass(frozen=True)
class Database:
    """Where the jobs are, and how to bring the server back where that is ours to do."""

    url: str
    revive: Callable[[], bool] | None = None


class Supervisor:
    def __init__(
        self,
        programs: Sequence[Program],
        *,
        home: Path,
        directory: Path,
        mark: Mark,
        console: Console,
        stop: StopRequest,
        database: Database | None = None,
        wedge_seconds: float = 60.0,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._console = console
        self._logs = home / "logs"
        self._own_output = self._output("galley")
        self._mark = mark
        self._stop = stop
        self._database = database
        self._wedge_seconds = wedge_seconds
        self._grace_seconds = grace_seconds
        self._watchdog_at = 0.0
        self._database_at = 0.0
        self._suspected: set[str] = set()
        self._children = [
            Child(program, mark=mark, output=self._output(program.name), directory=directory)
            for program in programs
        ]

    def log(self, text: str) -> None:
        """Into galley.log only."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._own_output.line(f"{stamp} {text}".encode())

    def say(self, text: str) -> None:
        """What the person at the console should know, too."""
        self.log(text)
        self._console.show("galley", text)

    def run(self) -> None:
        """Returns when everything was stopped, and nothing of it is left."""
        try:
            while not self._stop:
                self._tick(time.monotonic())
                time.sleep(TICK_SECONDS)
            self.say(f"{self._stop.name}: stopping")
        finally:
            self._stop_all()

    def _tick(self, now: float) -> None:
        self._follow_outputs()
        self._revive_database(now)
        for child in self._children:
            self._restart_if_ended(child, now)
            if child.kill_if_overdue(now):
                self.say(f"{child.name} did not stop by itself and was killed")
            if child.is_due(now):
                self._unlock_fetched(child.program.queue)
                child.start(now)
                self.log(f"{child.name} started (pid {child.pid})")
        self._collect_orphans()
        self._restart_wedged(now)

    def _follow_outputs(self) -> None:
        for output in (self._own_output, *(child.output for child in self._children)):
            output.follow()

    def _collect_orphans(self) -> None:
        orphans.collect(own=[child.pid for child in self._children if child.pid is not None])

    def _restart_if_ended(self, child: Child, now: float) -> None:
        how = child.collect(now)
        if how is not None:
            child.output.show_last_lines()
            self.say(f"{child.name} ended ({how}); it is started again in {child.pause(now):.1f} s")

    def _revive_database(self, now: float) -> None:
        if self._database is None or self._database.revive is None or now < self._database_at:
            return
        self._database_at = now + DATABASE_SECONDS
        try:
            if self._database.revive():
                self.say("the database had ended; it was started again")
        except EmbeddedDatabaseError as error:
            self._database_at = now + DATABASE_PAUSE_SECONDS
            self.say(f"the database has ended and cannot be started: {error}")

    def _unlock_fetched(self, queue: str | None) -> None:
        if self._database is None or queue is None:
            return
        try:
            job_queues.unlock_fetched(self._database.url, queue)
        except psycopg.Error as error:
            self.say(f"cannot free what the {queue} queue's last cluster held: {_one_line(error)}")

    def _restart_wedged(self, now: float) -> None:
        clusters = {child.program.queue: child for child in self._children if child.program.queue}
        if self._database is None or not clusters or now < self._watchdog_at:
            return
        self._watchdog_at = now + WATCHDOG_SECONDS
        try:
            queues = job_queues.look(self._database.url)
        except psycopg.Error as error:
            self.say(f"cannot look at the job queues: {_one_line(error)}")
            return
        suspected = set()
        for waiting in queues:
            child = clusters.get(waiting.queue)
            if child is None or child.is_stopping:
                continue
            if not job_queues.is_wedged(waiting, uptime=child.uptime(now), patience=self._wedge_seconds):
                continue
            suspected.add(waiting.queue)
            # Between two jobs nobody is at work for a moment, and the next one may have waited long.
            if waiting.queue in self._suspected:
                self.say(
                    f"{child.name} leaves due work lying for {waiting.oldest_seconds:.0f} s; it is restarted"
                )
                child.ask_to_stop(now, grace=WEDGED_GRACE_SECONDS)
        self._suspected = suspected
        if suspected:
            self._watchdog_at = now + SECOND_LOOK_SECONDS

    def _stop_all(self) -> None:
        began = time.monotonic()
        jobs = self._jobs_at_work()
        front = [child for child in self._children if not child.program.stops_last]
        back = [child for child in self._children if child.program.stops_last]
        for child in front:
            child.ask_to_stop(began, grace=self._grace_seconds)
        while any(child.is_running for child in self._children) and not self._stop.urgent:
            now = time.monotonic()
            if not any(child.is_running for child in front) or now - began > self._grace_seconds * 2 / 3:
                for child in back:
                    child.ask_to_stop(now, grace=max(0.0, began + self._grace_seconds - now))
            for child in self._children:
                if child.kill_if_overdue(now):
                    self.say(f"{child.name} did not stop by itself and was killed")
                if child.collect(now):
                    self.log(f"{child.name} stopped")
            self._follow_outputs()
            time.sleep(TICK_SECONDS / 2)
        self._mark.kill()
        self._follow_outputs()
        self._collect_orphans()
        self._hand_back(jobs)
        self.say(f"everything stopped in {time.monotonic() - began:.1f} s")

    def _jobs_at_work(self) -> list[int]:
        """By their processes, `manage.py run_job ID`: those of other machines and of commands are not ours to end."""
        jobs = []
        for process in self._mark.of_this_run():
            with contextlib.suppress(psutil.Error, ValueError, IndexError):
                command = process.cmdline()
                jobs.append(int(command[command.index("run_job") + 1]))
        return jobs

    def _hand_back(self, jobs: list[int]) -> None:
        if self._database is None or not jobs:
            return
        try:
            if count := job_queues.hand_back(self._database.url, jobs):
                self.say(f"{count} unfinished job(s) go on at the next start")
        except psycopg.Error as error:
            self.say(f"cannot hand unfinished jobs back: {_one_line(error)}")

    def _output(self, name: str) -> ProcessOutput:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ProcessOutput(name, LogFile(self._logs / f"{name}.log"), self._console)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
