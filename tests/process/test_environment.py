"""script/python and script/environment.py: from a bare machine to an environment, or one line that says what lacks."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import rouge_score
from django.conf import settings
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags

from llmops_site import postgres_account
from tests.process.programs import free_port

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


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_a_newer_python_is_taken_where_there_is_no_3_11(tmp_path: Path, version: str) -> None:
    fake_python(tmp_path, "python3", version)
    result = find_python(tmp_path, PYTHON="python3")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path / 'python3'}\n", "")


def test_another_python_is_refused_in_one_line(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.10")
    result = find_python(tmp_path, PYTHON="python3")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Galley needs Python 3.11, 3.12 or 3.13, and there is none here (python3 is 3.10). Install it"
    )
    assert result.stderr.count("\n") == 1


def test_the_version_that_was_not_tested_is_named_in_one_line(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "TESTED", (3, 10))
    monkeypatch.setattr(environment.venv, "EnvBuilder", _NoEnvironment)
    environment._make()
    ours = ".".join(str(part) for part in sys.version_info[:2])
    line = f"This is Python {ours}: every library has a release for it, but this Galley was tested on 3.10.\n"
    assert line in capsys.readouterr().err


class _NoEnvironment:
    def __init__(self, **options: Any) -> None:
        pass

    def create(self, path: Path) -> None:
        path.mkdir(exist_ok=True)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_build_server_installs_what_the_python_that_it_has_lacks(tmp_path: Path, version: str) -> None:
    """A Debian's Python without its venv package, apt, and no Chromium."""
    made = {
        "bin/python3": f'case "$2" in *ensurepip*) exit 1;; *) echo {version};; esac',
        "bin/apt-get": f'echo "$@" >>{tmp_path}/apt.log',
        "bin/useradd": "",
        "script/test": f"echo tested >>{tmp_path}/apt.log",
    }
    for name, body in made.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    for tool in ("bash", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    shutil.copy(SCRIPT / "python", tmp_path / "script" / "python")
    shutil.copytree(Path(settings.BASE_DIR) / ".ci", tmp_path / ".ci")
    environment = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "PYTHON": "python3"}
    subprocess.run(["/bin/bash", tmp_path / ".ci" / "run"], env=environment, check=True)
    assert (tmp_path / "apt.log").read_text().splitlines() == [
        "update -qq",
        f"install -y -qq --no-install-recommends python{version}-venv chromium",
        "tested",
    ]


def serves(pin: Requirement, version: str) -> bool:
    """Whether the wheel that is installed here is one for that Python, too: pip would take the same."""
    installed = distribution(pin.name)
    number = int(version.split(".")[0]), int(version.split(".")[1])
    accepted = {str(tag) for tag in (*cpython_tags(number), *compatible_tags(number))}
    tags = re.findall(r"^Tag: (\S+)$", installed.read_text("WHEEL") or "", re.MULTILINE)
    return (
        pin.specifier.contains(installed.version)
        and not accepted.isdisjoint(tags)
        and SpecifierSet(installed.metadata["Requires-Python"] or "").contains(f"{version}.0")
    )


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_every_pinned_library_has_a_wheel_for_each_python_that_is_accepted(
    tmp_path: Path, version: str, environment: ModuleType
) -> None:
    lines = (Path(settings.BASE_DIR) / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    # Comes as source only, and is Python alone: any version builds it.
    assert not list(Path(rouge_score.__path__[0]).rglob("*.so"))
    missing = [pin for pin in pins if pin.name != "rouge-score" and not serves(pin, version)]
    # pip fetches a wheel to read what is in it: half a gigabyte for this one, which is only looked for.
    looked_for = [pin for pin in missing if pin.name == "torch"]
    fetched = [pin for pin in missing if pin not in looked_for]
    (tmp_path / "pins.txt").write_text("\n".join(map(str, fetched)))
    of_that_python = ["--disable-pip-version-check", "--only-binary=:all:", "--python-version", version]

    def pip(*words: str) -> str:
        command = [sys.executable, "-m", "pip", *words, *of_that_python]
        result = subprocess.run(command, capture_output=True, text=True)
        log = result.stdout + result.stderr
        if "package index cannot be reached" in environment.explain(log) and result.returncode:
            pytest.skip("the package index cannot be reached")
        assert result.returncode == 0, log[-2000:]
        return log

    into = ("--target", str(tmp_path / "target"))
    pip("install", "--dry-run", "--no-deps", *into, "-r", str(tmp_path / "pins.txt"))
    for pin in looked_for:
        (found,) = re.findall(r"^Available versions: (.+)$", pip("index", "versions", pin.name), re.MULTILINE)
        assert list(pin.specifier.filter(found.split(", "))), found


def refusal(environment: ModuleType, **environ: str) -> str:
    with pytest.raises(environment.EnvironmentFailed) as caught:
        environment.refuse_what_cannot_start(environ)
    return str(caught.value)


def test_a_taken_port_is_refused_before_anything_is_installed(
    environment: ModuleType, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        words = refusal(
            environment, GALLEY_HOME=str(tmp_path), GALLEY_PORT=port, DATABASE_URL="postgres://x/x"
        )
    assert (
        words == f"Port {port} of 127.0.0.1 is taken. Stop what has it, or set GALLEY_PORT to another port."
    )


def test_a_data_directory_that_cannot_be_made_is_refused_before_anything_is_installed(
    environment: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert "Cannot write to the data directory" in refusal(
        environment, GALLEY_HOME=str(tmp_path / "file" / "home")
    )


def test_an_address_of_another_machine_and_a_full_disk_are_refused_before_anything_is_installed(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are by a start."""
    elsewhere = {"GALLEY_HOME": str(tmp_path), "GALLEY_HOST": "192.0.2.1", "DATABASE_URL": "postgres://x/x"}
    assert "no address of this machine" in refusal(environment, **elsewhere)
    free = SimpleNamespace(free=1024**2)
    monkeypatch.setattr("llmops_site.startable.shutil.disk_usage", lambda path: free)
    assert "Free some space" in refusal(environment, GALLEY_HOME=str(tmp_path / "not" / "made"))


def test_what_is_asked_first_needs_the_standard_library_only() -> None:
    """Without `site` there are no packages."""
    subprocess.run(
        [sys.executable, "-S", "-c", "import llmops_site.startable, llmops_site.postgres_account"],
        cwd=settings.BASE_DIR,
        check=True,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a user for the database")
def test_root_without_useradd_is_refused_before_anything_is_installed(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_account, "SYSTEM_ACCOUNT", "nobody-has-this-name")
    monkeypatch.setattr("llmops_site.postgres_account.shutil.which", lambda name, path: None)
    words = refusal(environment, GALLEY_HOME=str(tmp_path), GALLEY_PORT=str(free_port()))
    assert "PostgreSQL refuses to run as root, and useradd is missing" in words


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a user for the database")
def test_a_root_shell_without_sbin_in_its_path_finds_useradd(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_account, "SYSTEM_ACCOUNT", "nobody-has-this-name")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    environment.refuse_what_cannot_start({"GALLEY_HOME": str(tmp_path), "GALLEY_PORT": str(free_port())})


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
def test_a_broken_environment_is_made_again(environment: ModuleType) -> None:
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
