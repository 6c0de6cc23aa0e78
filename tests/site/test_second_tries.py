"""The rule of tests/second_tries.py, tried on a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

FILE = """
import pathlib
import time

import pytest
from django.db import transaction

from models_app.foundation import audit
from models_app.models import AuditEvent


def fail_at_the_first_try(name):
    trace = pathlib.Path(__file__).with_name(name)
    if not trace.exists():
        trace.touch()
        pytest.fail("the first try")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_wavers():
    assert not AuditEvent.objects.exists()
    with transaction.atomic():
        audit.record(actor=None, action="test.note", subject="test:1")
    fail_at_the_first_try("wavers")


@pytest.mark.browser
def test_is_broken():
    raise AssertionError("always")


def test_drives_no_browser():
    fail_at_the_first_try("drives no browser")


@pytest.mark.browser
def test_holds():
    pass


@pytest.mark.browser
@pytest.mark.timeout(2)
def test_hangs_at_the_second_try():
    fail_at_the_first_try("hangs")
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_only_a_browser_test_is_tried_again_and_named_when_it_passes_then(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_tries.py").write_text(FILE)
    outer = {"GALLEY_TEST_SUFFIX", "GALLEY_TEST_RUN", "DATABASE_URL", "GALLEY_HOME", "PYTEST_XDIST_WORKER"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "pyproject.toml",
        "-q",
        "-n",
        workers,
        "--dist",
        "loadfile",
    ]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        cwd=settings.BASE_DIR,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 1, run.stdout + run.stderr
    assert "3 failed, 2 passed" in lines[-2]
    assert "3 rerun" in lines[-2]
    assert lines[-1].startswith("flaky: ")
    assert "test_tries.py::test_wavers passed only at its second try; the first ended in: " in lines[-1]
    assert "Failed: the first try" in lines[-1], "what the first try failed with"
    failed = {line.partition(" - ")[0].rpartition("::")[2] for line in lines if line.startswith("FAILED ")}
    assert failed == {"test_is_broken", "test_drives_no_browser", "test_hangs_at_the_second_try"}
