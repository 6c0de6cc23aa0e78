"""One supervised process: how it is started, noticed to have ended, asked to stop, and made to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmops_site.supervisor.marked import Mark
from llmops_site.supervisor.output import ProcessOutput

PR_SET_PDEATHSIG = 1
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# Up for so long, a process counts as sound again and its next restart is quick.
SOUND_SECONDS = 60.0


@dataclass(frozen=True)
class Program:
    """What to run. `queue` names the job queue that it works off, for the watchdog."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    queue: str | None = None
    # Stops after those without: it answers requests that they may still have open.
    stops_last: bool = False


class Child:
    def __init__(self, program: Program, *, mark: Mark, output: ProcessOutput, directory: Path) -> None:
        self.program = program
        self.output = output
        self.started_at = 0.0
        self._mark = mark
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._start_at = 0.0
        self._kill_at: float | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def is_stopping(self) -> bool:
        return self._kill_at is not None

    def uptime(self, now: float) -> float:
        return now - self.started_at if self.is_running else 0.0

    def is_due(self, now: float) -> bool:
        return not self.is_running and now >= self._start_at

    def start(self, now: float) -> None:
        with self.output.open_for_writing() as log:
            self._process = subprocess.Popen(
                list(self.program.command),
                cwd=self._directory,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    **self.program.environment,
                    **self._mark.environment(self.name),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches the supervisor alone, which then stops things in order.
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )
        self.started_at = now

    def collect(self, now: float) -> str | None:
        """How the process ended, once it has; whatever it left behind is killed, and a new start is planned."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._kill_all()
        self._process = None
        if self.is_stopping or now - self.started_at > SOUND_SECONDS:
            self._failures = 0
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._start_at = now if self.is_stopping else now + pause
        self._failures += 0 if self.is_stopping else 1
        self._kill_at = None
        return _how_it_ended(code)

    def pause(self, now: float) -> float:
        return max(0.0, self._start_at - now)

    def ask_to_stop(self, now: float, *, grace: float) -> None:
        """TERM to the main process alone: to a whole group it kills tasks and hangs the queue's main process."""
        if self._process is None or self.is_stopping:
            return
        self._kill_at = now + grace
        self._process.terminate()

    def kill_if_overdue(self, now: float) -> bool:
        if self._process is None or self._kill_at is None or now < self._kill_at:
            return False
        self._kill_all()
        return True

    def _kill_all(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._mark.kill(self.name)


def end_with_parent() -> Callable[[], None] | None:
    """For Linux: the kernel sends TERM when the thread that called this ends, even by kill -9."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # it died before it could be watched

    return arrange


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
