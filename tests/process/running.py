"""All of Galley as script/run starts it, for tests that need the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from django.conf import settings

from tests.process.programs import free_port, wait_for


class Run:
    def __init__(self, home: Path, output: Path, **environment: str) -> None:
        self.home = home
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

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        return time.monotonic() - began
