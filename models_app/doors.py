"""By which door something came about: a page, a token, a command, a job, Galley itself, or a program on the server.

The code that opens a door says so once: a middleware for pages, the authentication for tokens,
`manage.py` for commands, the job's child for jobs, Galley's own processes for themselves. `audit.record` reads it and
nobody passes it on. What comes by none of these is a program on the server that calls Galley's code, and is called so,
by its name. No Django here: `manage.py` says its command before it loads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    PAGE = "page"
    TOKEN = "token"
    COMMAND = "command"
    JOB = "job"
    GALLEY = "galley"
    PROGRAM = "program"
    UNRECORDED = "unrecorded"


WORDS = {
    Kind.PAGE: "page",
    Kind.TOKEN: "token",
    Kind.COMMAND: "command",
    Kind.JOB: "job",
    Kind.GALLEY: "Galley itself",
    Kind.PROGRAM: "a program on the server",
    Kind.UNRECORDED: "not recorded",
}
LONGEST = 100
# Commands that are Galley's own processes: nobody types them.
PROCESSES = {"qcluster": "queue", "serve_slots": "serving"}


@dataclass(frozen=True)
class Door:
    """`which`: the page's name, the token's first characters, the command, the job's kind and number, the program."""

    kind: Kind
    which: str = ""


_here: ContextVar[Door | None] = ContextVar("door", default=None)
_of_process: Door | None = None


def current() -> Door:
    return _here.get() or _of_process or Door(Kind.PROGRAM, Path(sys.argv[0]).name[:LONGEST])


@contextmanager
def through(kind: Kind, which: str = "") -> Iterator[None]:
    """For what happens inside, in this thread."""
    before = _here.set(Door(kind, which[:LONGEST]))
    try:
        yield
    finally:
        _here.reset(before)


def known_to_be(kind: Kind, which: str) -> None:
    """Within `through`: now it is known more exactly."""
    if _here.get() is not None:
        _here.set(Door(kind, which[:LONGEST]))


def of_process(kind: Kind, which: str) -> None:
    """For all that this process does outside of `through`, in all its threads and children by fork."""
    global _of_process
    _of_process = Door(kind, which[:LONGEST])


def of_command(name: str) -> None:
    if name in PROCESSES:
        of_process(Kind.GALLEY, PROCESSES[name])
    else:
        of_process(Kind.COMMAND, name)
