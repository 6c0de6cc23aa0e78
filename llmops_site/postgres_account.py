"""Which user of the machine runs the embedded PostgreSQL: we ourselves, or, as PostgreSQL refuses to be root, one made
for it. Knows no Django.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SYSTEM_ACCOUNT = "galley-db"


class EmbeddedDatabaseError(RuntimeError):
    """The message is one or two lines for the person who starts Galley: what is wrong and what to do."""


@dataclass(frozen=True)
class Account:
    """Who runs the server: None in both fields means whoever we are."""

    uid: int | None = None
    gid: int | None = None


def server_account(data: Path) -> Account:
    """As root: whoever owns the data already, or our own system account. Raises EmbeddedDatabaseError."""
    if os.geteuid() != 0:
        return Account()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _system_account()
    return Account(entry.pw_uid, entry.pw_gid)


def let_through(path: Path, account: Account) -> None:
    """Lets the server's user pass the directories above `path`: execute permission only, and only where it lacks."""
    if account.uid is None:
        return
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            if directory != path:  # that one is Galley's own
                print(
                    f"embedded database: chmod o+x {directory}, so that {SYSTEM_ACCOUNT} can pass",
                    file=sys.stderr,
                )
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason given"


def _system_account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_ACCOUNT)
    # A root shell made by `su` has no /usr/sbin in its path.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    command = [
        shutil.which("useradd", path=path) or "useradd",
        "--system",
        "--no-create-home",
        "--home-dir=/nonexistent",
        "--shell=/usr/sbin/nologin",
    ]
    advice = f"Create a system user named {SYSTEM_ACCOUNT}, or start Galley as a normal user."
    try:
        result = subprocess.run([*command, SYSTEM_ACCOUNT], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EmbeddedDatabaseError(
            f"PostgreSQL refuses to run as root, and useradd is missing. {advice}"
        ) from error
    try:
        # A second start may have been quicker with useradd: what counts is that the user exists.
        return pwd.getpwnam(SYSTEM_ACCOUNT)
    except KeyError as error:
        reason = last_line(result.stderr)
        raise EmbeddedDatabaseError(
            f"PostgreSQL refuses to run as root, and making a user for it failed: {reason}. {advice}"
        ) from error
