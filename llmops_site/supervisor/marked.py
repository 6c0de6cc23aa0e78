"""Finding every process of one Galley, however deep and in whatever session, by a mark in its environment.

A process group or a parent's pid would miss what changed its group or lost its parent; an environment is inherited and
stays. `SPT_NOENV` keeps libraries that rename processes from writing over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

INSTANCE = "GALLEY_INSTANCE"
PROGRAM = "GALLEY_SUPERVISED"


@dataclass(frozen=True)
class Mark:
    """One run of the supervisor on one data directory."""

    place: str
    run: str

    @classmethod
    def new(cls, home: Path) -> Mark:
        place = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
        return cls(place, secrets.token_hex(4))

    def environment(self, program: str) -> dict[str, str]:
        return {INSTANCE: f"{self.place}-{self.run}", PROGRAM: program, "SPT_NOENV": "1"}

    def of_this_run(self, program: str | None = None) -> list[psutil.Process]:
        return _matching(f"{self.place}-{self.run}", program)

    def of_earlier_runs(self) -> list[psutil.Process]:
        ours = {process.pid for process in self.of_this_run()}
        return [process for process in _matching(f"{self.place}-", None) if process.pid not in ours]

    def kill(self, program: str | None = None) -> None:
        """Returns when no such process is left, also none that was being born meanwhile."""
        while processes := self.of_this_run(program):
            _kill(processes)

    def kill_earlier_runs(self) -> int:
        killed = 0
        while processes := self.of_earlier_runs():
            killed += len(processes)
            _kill(processes)
        return killed


def _matching(instance_prefix: str, program: str | None) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # Ended, ended but not collected, or not ours to look into.
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if not environment.get(INSTANCE, "").startswith(instance_prefix) or process.pid == os.getpid():
                continue
            if program in (None, environment.get(PROGRAM)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=1)
