from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from models_app.models import Release, Slot
from models_app.releases.deploying import install_first_release
from models_app.serving.routing import router
from tests import make


def until(condition: Callable[[], Any], *, seconds: float = 60.0) -> float:
    """Wait for it; returns how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"did not come true within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began


def state(release: Release) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=release.pk)


def slot(release: Release) -> Slot:
    return Slot.objects.get(release=release)


class Supervisor:
    """`manage.py serve_slots` as a process of its own."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve_slots", "--skip-checks"],  # as Galley's supervisor does
                cwd=settings.BASE_DIR,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def slots(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> float:
        """TERM; returns the seconds until it had ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        return time.monotonic() - began

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(15)


@pytest.fixture
def supervise(tmp_path: Path, transactional_db: None) -> Iterator[Callable[..., Supervisor]]:
    """Starts serving supervisors on the test's database; none of their processes is left afterwards."""
    started: list[Supervisor] = []

    def start(**environment: str) -> Supervisor:
        started.append(Supervisor(tmp_path / "serve_slots.log", **environment))
        return started[-1]

    router.reread()
    yield start
    for supervisor in started:
        if supervisor.process.poll() is None:
            supervisor.stop()
    if (tmp_path / "serve_slots.log").exists():
        print((tmp_path / "serve_slots.log").read_text())


@pytest.fixture
def serving(supervise: Callable[..., Supervisor]) -> Supervisor:
    """A supervisor with a first release live in it."""
    make.cast()
    supervisor = supervise()
    release = install_first_release(release=make.release(origin="initial"))
    until(lambda: state(release) == "live")
    router.reread()
    return supervisor


@contextlib.contextmanager
def not_running(processes: list[psutil.Process]) -> Iterator[None]:
    yield
    _gone, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive, f"still running: {alive}"
