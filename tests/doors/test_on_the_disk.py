"""Another account of the machine reads nothing of what Galley keeps."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from llmops_site.supervisor import preflight

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def what_somebody_else_gets(home: Path) -> list[str]:
    """Of every path in `home`, tried as the account nobody, which is told them all."""
    paths = [home, *(path for path in home.rglob("*") if not path.is_symlink())]
    assert len(paths) > 4
    nobody = pwd.getpwnam("nobody")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            got = [said for path in paths if (said := _attempt(path))]
            with os.fdopen(writing, "w") as answer:
                json.dump(got, answer)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        got = json.load(answer)
    os.waitpid(child, 0)
    return list(got)


def _attempt(path: Path) -> str:
    try:
        if path.is_dir():
            return f"lists {path}: {sorted(path.iterdir())}"
        with path.open("rb") as file:
            return f"reads {path}: {file.read(20)!r}"
    except OSError:
        return ""


def open_to_others(home: Path) -> list[str]:
    """What another account could use: rights of group and others on anything but PostgreSQL's own."""
    return [
        f"{path} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in home.rglob("*")
        if not path.is_symlink()
        and not path.is_socket()
        and path.relative_to(home).parts[0] != "postgres"
        and path.lstat().st_mode & 0o077
    ]


@pytest.fixture
def old_home(passable: Path) -> Path:
    """As an earlier version left it: the umask of most systems, readable for all."""
    home = passable / "old"
    for name in ("uploads/3/articles.csv", "snapshots/1/train.jsonl", "artefacts/m/model.bin", "secret_key"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("an article that is nobody else's business")
        path.chmod(0o644)
    for directory in (home, *(path for path in home.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    return home


@needs_root
def test_another_account_reads_nothing_of_a_home_that_was_open_once_galley_has_started(
    old_home: Path,
) -> None:
    assert len(what_somebody_else_gets(old_home)) > 8, "the attempt itself does not work"
    preflight.prepare_home(old_home)
    assert what_somebody_else_gets(old_home) == []


def test_what_is_there_at_a_start_belongs_to_the_owner_alone(old_home: Path) -> None:
    linked = old_home.parent / "for everybody"
    linked.mkdir(mode=0o755)
    linked.chmod(0o755)
    (old_home / "bases").symlink_to(linked)
    preflight.prepare_home(old_home)
    assert open_to_others(old_home) == []
    assert stat.S_IMODE(old_home.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert stat.S_IMODE(linked.stat().st_mode) == 0o755, "what a link points to is not ours"


@pytest.mark.parametrize(
    "begin",
    [
        "import sys; sys.argv = ['manage.py', 'help']; import manage; manage.main()",
        "import llmops_site.wsgi",
        "import sys, llmops_site.supervisor.__main__ as m; sys.argv = ['run', '--help']\n"
        "try: m.main()\nexcept SystemExit: pass",
        "import sys, llmops_site.embedded as m; m.main(['--home', '/nonexistent', 'status'])",
    ],
    ids=["manage.py", "web", "supervisor", "embedded"],
)
def test_every_process_makes_files_for_its_own_account_alone(begin: str) -> None:
    code = f"import os; os.umask(0o022)\n{begin}\nprint('umask', oct(os.umask(0)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "umask 0o77"
