"""All of Galley as script/run starts it, for tests that need the whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from llmops_site.prepare import STAMP
from tests import settings as test_settings
from tests.process.programs import free_port, wait_for

# Collecting and compressing the pages' static files is the longest part of a first start. A start looks whether what is
# there was made of today's sources, and makes it again if not.
STATIC = test_settings.ROOT / "static"


def bring_static_files(home: Path) -> None:
    """As an earlier installation of the tests collected them, if one did."""
    with _alone():
        if STATIC.exists() and not (home / "static").exists():
            shutil.copytree(STATIC, home / "static")


def keep_static_files(home: Path) -> None:
    """For the installations of tests that come later, of this run and of others."""
    made = home / "static"
    with _alone():
        if STATIC.exists() and (STATIC / STAMP).read_text() == (made / STAMP).read_text():
            return
        beside = STATIC.with_name("static-new")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(made, beside)
        shutil.rmtree(STATIC, ignore_errors=True)
        beside.rename(STATIC)


@contextmanager
def _alone() -> Iterator[None]:
    with STATIC.with_name("static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Run:
    """`fresh`: with nothing at all in the data directory, as on a new machine."""

    def __init__(self, home: Path, output: Path, *, fresh: bool = False, **environment: str) -> None:
        self.home = home
        if not fresh:
            bring_static_files(home)
        self.output = output
        self.port = free_port()
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GALLEY_", "DATABASE_", "DJANGO_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmops_site.supervisor"],
            cwd=settings.BASE_DIR,
            env={
                **own,
                "GALLEY_HOME": str(home),
                "GALLEY_PORT": str(self.port),
                "GALLEY_SAMPLE": "no",
                **environment,
            },
            stdout=output.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def get(self, path: str, timeout: float = 10) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
                return int(answer.status)
        except OSError:
            return 0

    def wait_until_it_answers(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return self.get("/healthz") == 200

        wait_for(answers, seconds=400)
        keep_static_files(self.home)

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        return time.monotonic() - began
