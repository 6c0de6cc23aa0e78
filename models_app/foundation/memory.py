"""A limit on what a piece of work may take of the machine's memory, held by the kernel.

RLIMIT_DATA counts what a process has for itself (heap, anonymous mappings, stacks), not what libraries map from files:
above it an allocation fails, in Python as MemoryError, in Arrow as its kin, and the process lives on. It is counted
from what the process has already, so that the libraries it stands on do not use it up. For a process that does one
thing at a time: threads beside it are bound as well.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TAKEN = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)


class OutOfMemory(Exception):
    """The work needed more than it was allowed."""


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Raises OutOfMemory where what is done inside needs more."""
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = taken() + (megabytes << 20)
    if before != resource.RLIM_INFINITY:
        allowed = min(allowed, before)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def taken() -> int:
    """Bytes that count against RLIMIT_DATA."""
    found = _TAKEN.search(Path("/proc/self/status").read_text())
    assert found is not None, "the kernel says VmData of every process"
    return int(found[1]) << 10
