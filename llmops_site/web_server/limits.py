"""How long and how much a client may take of the web process. docs/security.md says why each is what it is."""

from __future__ import annotations

import resource

#: From a request's first byte to the end of its headers.
HEAD_SECONDS = 10.0
LONGEST_HEAD = 64 * 1024
#: A body, or an answer, may stand still for so long in all; beyond that it has to move at the least rate.
GRACE_SECONDS = 10.0
LEAST_BYTES_PER_SECOND = 16 * 1024
#: For a client to take in a refusal of what it is still sending.
LINGER_SECONDS = 2.0
#: After the order to stop, for requests that clients may already be sending over kept-alive connections.
STOP_SECONDS = 2.0
MOST_OF_ONE_ADDRESS = 100
#: Bodies that are larger than what the application takes outside of files. They lie on the disk until they are whole.
LARGE_BODY = 6 * 1024**2
MOST_LARGE_BODIES = 8
MOST_LARGE_BODIES_OF_ONE_ADDRESS = 4
#: Of a request, or of an answer that its client does not take; what is beyond lies on the disk.
IN_MEMORY = 256 * 1024


def deadline(began: float, moved: int) -> float:
    """By when a transfer that began then and has moved so many bytes has to have moved more."""
    return began + GRACE_SECONDS + moved / LEAST_BYTES_PER_SECOND


def most_connections(wanted: int) -> int:
    """Of one process, whose open files have to suffice for the database, slots and bodies too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + 200
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, max(1, (soft - 200) // 2))
