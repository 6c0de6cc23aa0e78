"""Which user of the machine runs the embedded PostgreSQL: we ourselves, or, as PostgreSQL refuses to be root, one made
for it. Knows no Django.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SYSTEM_ACCOUNT = "galley-db"
ADVICE = f"Create a system user named {SYSTEM_ACCOUNT}, or start Galley as a normal user."


class EmbeddedDatabaseError(RuntimeError):
    """The message is one or two lines for the person who starts Galley: what is wrong and what to do."""


@dataclass(frozen=True)
class Account:
    """Who runs the server: None in both fields means our own account."""

    uid: int | None = None
    gid: int | None = None


def server_account(data: Path) -> Account:
    """As root: the owner of the data that is there, or our own system account. Raises EmbeddedDatabaseError."""
    if os.geteuid() != 0:
        return Account()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _system_account(data)
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


def find_useradd() -> str | None:
    """Also where the path lacks it: a root shell made by `su` has no /usr/sbin in its own."""
    return shutil.which(
        "useradd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    )


def refuse_missing_useradd(data: Path) -> None:
    """Raises EmbeddedDatabaseError where a user has to be made for the server and cannot be; makes none."""
    if os.geteuid() != 0 or (data.exists() and data.stat().st_uid != 0) or _existing() is not None:
        return
    if find_useradd() is None:
        raise EmbeddedDatabaseError(
            f"PostgreSQL refuses to run as root, and useradd is missing (Debian: apt-get install passwd). {ADVICE}"
        )


def _existing() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_ACCOUNT)
    except KeyError:
        return None


def _system_account(data: Path) -> pwd.struct_passwd:
    if (found := _existing()) is not None:
        return found
    refuse_missing_useradd(data)
    options = ["--system", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
    result = subprocess.run(
        [find_useradd() or "useradd", *options, SYSTEM_ACCOUNT], capture_output=True, text=True, check=False
    )
    # A second start may have been quicker with useradd: what counts is that the user exists.
    if (made := _existing()) is not None:
        return made
    raise EmbeddedDatabaseError(
        f"PostgreSQL refuses to run as root, and making a user for it failed: {last_line(result.stderr)}. {ADVICE}"
    )
