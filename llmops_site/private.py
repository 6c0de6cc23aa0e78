"""What Galley keeps on the disk is for its own account alone: articles, reviews, weights, keys, logs.

Knows no Django.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: Made, kept and locked by PostgreSQL, whose account may be another one; it refuses to start where others may read it.
POSTGRES = ("postgres", "postgres.new")


def keep_new_files_private() -> None:
    """Every process says so when it begins; those it starts inherit it."""
    os.umask(0o077)


def tighten(home: Path) -> int:
    """Takes from others what they may do with what is in `home` already; how many files and directories had that.

    As root, whose embedded PostgreSQL runs as an account of its own, `home` itself may be passed but not listed.
    Symbolic links are not followed: what they point to may be meant for others as well. Raises OSError.
    """
    passable = stat.S_IXGRP | stat.S_IXOTH if os.geteuid() == 0 else 0
    tightened = int(_take(home, 0o077 & ~passable))
    for entry in list(home.iterdir()):
        if entry.name in POSTGRES or entry.is_symlink():
            continue
        tightened += _take(entry, 0o077)
        if not entry.is_dir():
            continue
        for directory, directories, files in os.walk(entry):
            tightened += sum(_take(Path(directory, name), 0o077) for name in (*directories, *files))
    return tightened


def _take(path: Path, rights: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:  # another process removed it meanwhile
        return False
    if stat.S_ISLNK(status.st_mode) or not status.st_mode & rights:
        return False
    path.chmod(stat.S_IMODE(status.st_mode) & ~rights)
    return True
