"""All of Galley on an empty data directory, as script/run starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from llmops_site import embedded
from llmops_site.supervisor.marked import Mark
from tests.process.programs import free_port, wait_for

pytestmark = pytest.mark.slow


class Run:
    def __init__(self, home: Path, output: Path) -> None:
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
            env={**own, "GALLEY_HOME": str(home), "GALLEY_PORT": str(self.port), "GALLEY_SAMPLE": "no"},
            stdout=output.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return int(answer.status)
        except OSError:
            return 0

    def wait_until_it_answers(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return self.get("/healthz") == 200

        wait_for(answers, seconds=180)

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        return time.monotonic() - began


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    Mark.new(home).kill_earlier_runs()
    embedded.stop(home)


def test_it_starts_on_nothing_stops_at_a_signal_and_leaves_no_process(home: Path, tmp_path: Path) -> None:
    first = Run(home, tmp_path / "first")
    first.wait_until_it_answers()
    assert first.get("/accounts/login/") == 200
    wait_for(
        lambda: (
            len({process.environ()["GALLEY_SUPERVISED"] for process in Mark.new(home).of_earlier_runs()}) == 4
        )
    )
    assert first.stop() < 15
    assert Mark.new(home).of_earlier_runs() == []
    assert not embedded.is_running(home)

    shown = re.findall(r"^ +admin +(\S{12,}) +administrator$", first.output.read_text(), re.MULTILINE)
    assert len(shown) == 1
    assert not [log for log in (home / "logs").rglob("*.log") if shown[0] in log.read_text()]

    second = Run(home, tmp_path / "second")
    second.wait_until_it_answers()
    second.process.kill()
    third = Run(home, tmp_path / "third")
    third.wait_until_it_answers()
    assert third.stop() < 15
    text = second.output.read_text() + third.output.read_text()
    assert "administrator" not in text
    assert "brought up to date" not in text
    assert Mark.new(home).of_earlier_runs() == []
