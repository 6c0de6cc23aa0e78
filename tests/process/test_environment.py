"""script/python and script/environment.py: from a bare machine to an environment, or one line that says what lacks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings

SCRIPT = Path(settings.BASE_DIR) / "script"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, for a checkout in a temporary directory whose requirements need no network."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPT / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "environment", module)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "LOG": venv / "install.log",
    }.items():
        monkeypatch.setattr(module, name, value)
    for name in ("requirements.txt", "requirements-starter.txt"):
        (tmp_path / name).write_text("# nothing\n")
    return module


def fake_python(directory: Path, name: str, version: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", SCRIPT / "python"],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
    )


def test_a_python_3_11_of_any_name_is_found(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.11", "3.12")
    fake_python(tmp_path, "python3", "3.11")
    result = find_python(tmp_path)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path / 'python3'}\n")


def test_another_python_is_refused_in_one_line(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.12")
    result = find_python(tmp_path, PYTHON="python3")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Galley needs Python 3.11, and there is none here (python3 is 3.12). Install it"
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "The disk is full",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(…)'\n"
            "ERROR: No matching distribution found for django==5.2.19",
            "cannot be reached. Check the network",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x'",
            "may not be written",
        ),
        (
            "…\nERROR: No matching distribution found for torch==99",
            "ERROR: No matching distribution found for torch==99",
        ),
    ],
)
def test_pips_failures_become_one_line(environment: ModuleType, log: str, words: str) -> None:
    explanation = environment.explain(log)
    assert words in explanation
    assert "\n" not in explanation


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_requirements_change(
    environment: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.ensure([environment.RUNTIME])
    assert "Making the Python environment" in capsys.readouterr().err
    environment.ensure([environment.RUNTIME])
    assert capsys.readouterr().err == ""
    (environment.ROOT / "requirements.txt").write_text("# nothing, differently\n")
    environment.ensure([environment.RUNTIME])
    assert "Installing the libraries" in capsys.readouterr().err


@pytest.mark.slow
def test_a_broken_environment_is_made_anew(environment: ModuleType) -> None:
    environment.VENV.mkdir()
    (environment.VENV / "pyvenv.cfg").write_text("home = /gone\n")
    environment.ensure([environment.RUNTIME])
    assert subprocess.run([environment.PYTHON, "-c", "import pip"]).returncode == 0


@pytest.mark.slow
def test_without_a_network_the_first_start_says_so(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment.ROOT / "requirements.txt").write_text("a-package-from-the-index==1.0\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(
        environment.EnvironmentFailed, match=r"requirements\.txt failed: The Python package index"
    ):
        environment.ensure([environment.RUNTIME])
    assert not environment.RUNTIME.stamp.exists()


def test_a_full_disk_is_refused_before_anything_is_installed(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.VENV.mkdir()
    monkeypatch.setattr(environment, "NEEDED_BYTES", 10**18)
    with pytest.raises(environment.EnvironmentFailed, match="GB are free on the disk"):
        environment._install(environment.RUNTIME)
