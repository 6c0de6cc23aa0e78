"""The model card beside the weights that it is about, for those who take a copy of the directory.

What lies in a directory of the artefact store never changes, and the manifest's digest covers weights and conversions.
Cards lie outside of that, in `cards/release-N/`: a card tells of a release, several releases share weights, and what it
says of gates and reviews is only known when the release is approved. So each has a digest of its own: in
`README.md.sha256`, which `sha256sum -c` reads, and in the audit trail. Regular work writes what is missing or is not
what the trail says, so that a process which is killed half-way leaves nothing that stays half.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from django.db import transaction

from models_app.evidence.card import model_card
from models_app.foundation import audit
from models_app.models import AuditEvent, Release
from models_app.training.registering import files_are_missing, store

NAME = "README.md"
ACTION = "release.card"
#: Decided on, or live without a decision as the first of an environment.
CARRIED = (Release.State.APPROVED, Release.State.WARMING, *Release.ROLLING_OUT, Release.State.LIVE)


def place(release: Release) -> Path:
    """Below the artefact store. A release without weights, such as leading sentences, has none."""
    return Path(release.model_version.artefact) / "cards" / f"release-{release.pk}"


def write_missing() -> int:
    """Regular work. Returns how many were written; where a disk refuses one, the others are written all the same."""
    written, problems = 0, []
    rows = Release.objects.filter(state__in=CARRIED).select_related(
        "model_version__training_run__snapshot", "prompt_version__prompt", "environment",
        "comparison__candidate__evaluation_set", "comparison__baseline",
    )  # fmt: skip
    for release in rows.exclude(model_version__artefact=""):
        if files_are_missing(release.model_version) or is_written(release):
            continue
        try:
            write(release)
        except (OSError, ValueError) as error:
            problems.append(error)
        else:
            written += 1
    if problems:
        raise ExceptionGroup("model cards could not be written; they are tried again in a minute", problems)
    return written


def told(release: Release) -> AuditEvent | None:
    """The event that says what was written last: `file` below the artefact store, and its `sha256`. 1 query."""
    events = AuditEvent.objects.filter(subject=audit.subject_of(release), action=ACTION)
    return events.order_by("-id").first()


def is_written(release: Release) -> bool:
    """Whether the files are there, and are what the trail says was written."""
    event = told(release)
    if event is None:
        return False
    directory, digest = store() / place(release), event.data["sha256"]
    try:
        card, beside = (directory / NAME).read_bytes(), (directory / f"{NAME}.sha256").read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(card).hexdigest() == digest and beside == _beside(digest)


def write(release: Release) -> AuditEvent:
    """The card as it is now, then its digest, then the event: what comes later is only there with what came before."""
    content = model_card(release).encode()
    digest = hashlib.sha256(content).hexdigest()
    directory = store() / place(release)
    with transaction.atomic():
        Release.objects.select_for_update(no_key=True).get(pk=release.pk)  # one writer at a time
        directory.mkdir(parents=True, exist_ok=True)
        _put(directory / NAME, content)
        _put(directory / f"{NAME}.sha256", _beside(digest))
        return audit.record(
            actor=None, action=ACTION, subject=release,
            data={"file": (place(release) / NAME).as_posix(), "sha256": digest},
        )  # fmt: skip


def _beside(digest: str) -> bytes:
    return f"{digest}  {NAME}\n".encode()


def _put(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")  # what a killed writer left is written over
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
