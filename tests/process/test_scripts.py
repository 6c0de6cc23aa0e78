"""What script/lint, script/test and script/shell start, in which order, and how they end; the tools are stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

SCRIPT = Path(settings.BASE_DIR) / "script"
QUICK = [
    "ruff check .",
    "ruff format --check .",
    "deno fmt --check --quiet",
    "deno lint --quiet",
    "djangofmt --check templates",
    "djangofmt check templates",
    "lint-imports",
]
THOROUGH = [
    "bandit -q --confidence-level medium -c pyproject.toml -r llmops_site reviews models_app",
    "mypy",
]
COMPILING = "python -m pytest --collect-only -q"
Run = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script in a checkout whose tools only write down how they were called; `broken` fails."""
    bin_directory, scripts = tmp_path / ".venv" / "bin", tmp_path / "script"
    bin_directory.mkdir(parents=True)
    scripts.mkdir()
    for name in ("lint", "test", "shell"):
        shutil.copy(SCRIPT / name, scripts)
    log = tmp_path / "log"
    noted = f'echo "$(basename "$0") $*" | sed "s/ *$//" >>{log}; [ "$(basename "$0")" != "${{BROKEN:-}}" ]'
    tools = [
        bin_directory / name
        for name in ("ruff", "deno", "djangofmt", "lint-imports", "bandit", "mypy", "python")
    ]
    for path in [*tools, scripts / "manage"]:
        path.write_text(f"#!/bin/bash\n{noted}\n")
        path.chmod(0o755)
    (scripts / "python").write_text(
        "#!/bin/sh\necho true\n"
    )  # what makes the environment has tests of its own
    (scripts / "python").chmod(0o755)

    def run(
        script: str, *arguments: str, broken: str = ""
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        environ = {**os.environ, "BROKEN": broken, "GALLEY_TEST_WORKERS": "2"}
        done = subprocess.run(
            ["/bin/bash", scripts / script, *arguments], env=environ, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        return done, log.read_text().splitlines() if log.exists() else []

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"), [((), QUICK + THOROUGH), (("quick",), QUICK), (("thorough",), THOROUGH)]
)
def test_lint_runs_its_checks(run: Run, arguments: tuple[str, ...], expected: list[str]) -> None:
    done, called = run("lint", *arguments)
    assert (done.returncode, called) == (0, expected)


@pytest.mark.parametrize("tool", ["ruff", "deno", "djangofmt", "lint-imports", "bandit", "mypy"])
def test_lint_ends_with_the_first_check_that_fails(run: Run, tool: str) -> None:
    done, called = run("lint", broken=tool)
    assert done.returncode == 1
    assert called[-1].split()[0] == tool


def test_lint_refuses_what_it_does_not_know(run: Run) -> None:
    done, called = run("lint", "models_app")
    assert (done.returncode, called) == (2, [])
    assert "it knows no “models_app”" in done.stderr


def test_one_file_of_tests_runs_without_anything_else(run: Run) -> None:
    done, called = run("test", "tests/web/test_charts.py", "-k", "lines")
    assert (done.returncode, called) == (0, ["python -m pytest tests/web/test_charts.py -k lines"])


@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="script/test would install it")
def test_all_tests_run_after_the_quick_checks_and_beside_the_thorough_ones(run: Run) -> None:
    done, called = run("test")
    assert done.returncode == 0, done.stdout + done.stderr
    tests = "python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=40"
    assert called.index(COMPILING) < called.index(tests), "each worker would compile every test file"
    called.remove(COMPILING)
    assert called[: len(QUICK)] == QUICK
    assert sorted(called[len(QUICK) :]) == sorted([*THOROUGH, tests])


@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="script/test would install it")
@pytest.mark.parametrize("tool", ["ruff", "bandit", "mypy", "python"])
def test_all_tests_fail_with_any_check(run: Run, tool: str) -> None:
    done, called = run("test", broken=tool)
    assert done.returncode == 1
    assert any(line.startswith("python -m pytest -q") for line in called) is (tool != "ruff"), (
        "nothing runs on bad style"
    )


def test_the_shell_is_djangos_on_the_running_installation(run: Run) -> None:
    done, called = run("shell", "-c", "print(1)")
    assert (done.returncode, called) == (0, ["manage shell -c print(1)"])
