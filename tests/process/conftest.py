from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from llmops_site import embedded
from llmops_site.supervisor.marked import Mark
from tests import settings as test_settings
from tests.process.programs import Start


@pytest.fixture(scope="session")
def playground() -> Iterator[Path]:
    """For data directories. Not below pytest's own: it closes that to other users, and PostgreSQL may run as one."""
    test_settings.HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=test_settings.HOME) as directory:
        yield Path(directory)


@pytest.fixture
def tmp_path(playground: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=playground))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*programs: dict[str, Any], read: bool = True, **more: Any) -> subprocess.Popen[str]:
        plan = json.dumps({"home": str(tmp_path), "programs": programs, **more})
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.stand_in", plan],
            cwd=settings.BASE_DIR,
            stdout=(tmp_path / "console").open("ab") if read else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    Mark.new(tmp_path).kill_earlier_runs()
    embedded.stop(tmp_path)
