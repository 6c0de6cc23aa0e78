from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmops_site import embedded
from llmops_site.supervisor.marked import Mark
from tests import settings as test_settings
from tests.process.running import Run


@pytest.fixture
def passable() -> Iterator[Path]:
    """A directory that other accounts can pass. Not below pytest's own, which it closes to them."""
    with _directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def installation() -> Iterator[Run]:
    """All of Galley, started on an empty data directory. What needs it stands in one file whose tests share it, because
    a start takes a processor half a minute."""
    with _directory() as directory:
        home = directory / "home"
        run = Run(home, directory / "output")
        try:
            run.wait_until_it_answers()
            yield run
        finally:
            run.process.terminate()
            run.process.wait(60)
            Mark.new(home).kill_earlier_runs()
            embedded.stop(home)


@contextmanager
def _directory() -> Iterator[Path]:
    test_settings.HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=test_settings.HOME) as directory:
        for path in (test_settings.ROOT, test_settings.HOME.parent, test_settings.HOME, Path(directory)):
            path.chmod(0o711)
        yield Path(directory)
