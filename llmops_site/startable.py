"""What a start needs of the machine. Needs the standard library only: it is also asked before anything is installed.

Each refusal is one line that says what to do.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

NEEDED_BYTES = 1024**3


class CannotStart(RuntimeError):
    """The message is for the person at the console."""


def unwritable(home: Path, why: str) -> CannotStart:
    return CannotStart(f"Cannot write to the data directory {home}: {why}. GALLEY_HOME names it.")


def refuse_unwritable(home: Path) -> None:
    """Makes nothing: it looks at what is there of the path. Raises CannotStart."""
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not existing.is_dir():
        raise unwritable(home, f"{existing} is no directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise unwritable(home, os.strerror(errno.EACCES))


def refuse_full_disk(home: Path, needed: int = NEEDED_BYTES) -> None:
    """Of a directory that there is. Raises CannotStart."""
    free = shutil.disk_usage(home).free
    if free < needed:
        raise CannotStart(
            f"Only {free / 1024**3:.1f} GB are free on the disk of {home}; Galley needs {needed / 1024**3:.0f} GB "
            "to start. Free some space, or let GALLEY_HOME name another disk."
        )


def refuse_taken_port(host: str, port: int, listener: Callable[[int], str] = lambda port: "") -> None:
    """`listener` tells who has a port, such as " by nginx (pid 7)", where that can be found. Raises CannotStart."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotStart(f"GALLEY_HOST={host!r} is no address of this machine: {error.strerror}.") from error
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CannotStart(_why_not_bound(error, host, port, listener)) from error


def _why_not_bound(error: OSError, host: str, port: int, listener: Callable[[int], str]) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken{listener(port)}. Stop what has it, or set GALLEY_PORT to another port."
    if error.errno == errno.EACCES:
        return f"Port {port} may be opened by root only. Set GALLEY_PORT to a port above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"GALLEY_HOST={host!r} is no address of this machine."
    return f"Cannot listen on {host}:{port}: {error.strerror}."
