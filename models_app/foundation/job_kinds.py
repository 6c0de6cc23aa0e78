"""Names the code behind each kind of job; the settings list them. No Django here, since settings import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobKind:
    """How a kind of job is carried out: dotted names, loaded on use.

    `run(JobContext) -> dict | None` does the work; `ended(Job)` (optional) brings the job's subject in step, in the
    transaction that ends the job, and may be called more than once. `again(Job) -> Job | None` (optional) tries an
    ended job once more where its subject has a state of its own that has to move with it; elsewhere the payload is
    queued again.

    `long` kinds take minutes: of a queue with several workers they leave one free, so that nobody waits for them who
    wants a file or a link.
    """

    run: str
    ended: str = ""
    again: str = ""
    long: bool = False
