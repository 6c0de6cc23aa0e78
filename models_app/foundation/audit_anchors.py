"""The head of the audit trail, written down where who changes the trail cannot reach.

A chain of hashes shows that an event was changed, unless all that follow are computed again; only what was said outside
about an event's hash shows that. An anchor is one line of a file: when, which event, its hash.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.models.audit import AuditEvent

ACTION = "audit.anchor"
_LINE = re.compile(r"(\S{20,40}) ([0-9]{1,18}) ([0-9a-f]{64})")
_LONGEST_LINE = 200
_AT_ONCE = 5000


@dataclass(frozen=True)
class Anchor:
    at: datetime
    event: int
    hash: str

    @property
    def line(self) -> str:
        return f"{self.at.astimezone(UTC).isoformat(timespec='microseconds')} {self.event} {self.hash}"


def anchor_trail(*, actor: Any | None) -> Anchor | None:
    """Write the newest event's hash to the file of the settings, if there is one, and into the trail, from where
    webhooks tell it. None where the trail is empty. Raises Unavailable where the file cannot be written.

    The file is written first: an anchor whose event is missing still says what is true.
    """
    newest = AuditEvent.objects.order_by("-id").values_list("id", "hash").first()
    if newest is None:
        return None
    anchor = Anchor(timezone.now(), *newest)
    file: Path | None = settings.GALLEY_AUDIT_ANCHOR_FILE
    with transaction.atomic():
        if file is not None:
            _append(file, anchor)
        audit.record(
            actor=actor, action=ACTION, subject="audit",
            data={"up_to": anchor.event, "hash": anchor.hash, "file": str(file or "")},
        )  # fmt: skip
    return anchor


def something_is_new() -> bool:
    """Whether anything has happened since the last anchor."""
    newest = AuditEvent.objects.order_by("-id").values_list("action", flat=True).first()
    return newest is not None and newest != ACTION


def _append(file: Path, anchor: Anchor) -> None:
    """On the disk when this returns. A line that a power cut left half is ended first."""
    try:
        is_new = not file.exists()
        with os.fdopen(
            os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0
        ) as open_file:
            line = f"{anchor.line}\n".encode()
            if end := open_file.seek(0, os.SEEK_END):
                open_file.seek(end - 1)
                line = line if open_file.read(1) == b"\n" else b"\n" + line
            if open_file.write(line) != len(line):
                raise OSError("only a part of the line could be written")
            os.fsync(open_file.fileno())
        if is_new:
            _keep_name(file.parent)
    except OSError as error:
        raise Unavailable(
            f"The anchor cannot be written to {file}: {error.strerror or error}. GALLEY_AUDIT_ANCHOR_FILE names it."
        ) from error


def _keep_name(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- compared


def read_anchors(file: Path) -> list[Anchor]:
    """Raises InvalidInput, with the number of a line that is no anchor."""
    try:
        with file.open("rb") as lines:
            return list(_anchors(file, lines))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or error}.") from error


def _anchors(file: Path, lines: Any) -> Iterator[Anchor]:
    number = 0
    while raw := lines.readline(_LONGEST_LINE):
        number += 1
        words = raw.decode("ascii", "replace").strip()
        if not words or words.startswith("#"):
            continue
        found = _LINE.fullmatch(words)
        try:
            if found is None:
                raise ValueError
            yield Anchor(datetime.fromisoformat(found[1]), int(found[2]), found[3])
        except ValueError:
            raise InvalidInput(
                f"Line {number} of {file} is no anchor: a time, an event's number and a hash of 64 digits."
            ) from None


@dataclass(frozen=True)
class Agreement:
    """What the trail says of events that were anchored. `agrees` is the last anchor before the first that `differs`,
    by the events' numbers; `found` is the hash that the trail has there now, empty where the event is gone."""

    anchors: int
    agrees: Anchor | None
    differs: Anchor | None
    found: str = ""

    @property
    def whole(self) -> bool:
        return self.differs is None

    @property
    def sentence(self) -> str:
        if self.differs is None:
            last = f", the last at event {self.agrees.event:,}" if self.agrees else ""
            return f"The trail agrees with {self.anchors:,} anchors{last}."
        what = "has another hash" if self.found else "is gone"
        since = f"{self.differs.at:%Y-%m-%d %H:%M} UTC"
        from_where = (
            f"The trail is what it was up to event {self.agrees.event:,}; it was rewritten somewhere after that."
            if self.agrees
            else "No earlier anchor agrees: it may have been rewritten from the beginning."
        )
        event = f"event {self.differs.event:,}, anchored {since}, {what}"
        return f"The trail differs from the anchors: {event}. {from_where}"


def compare(anchors: Sequence[Anchor]) -> Agreement:
    """By the hashes that the rows state: whether these are those of the rows is for `audit.verify`."""
    agrees: Anchor | None = None
    ordered = sorted(anchors, key=lambda anchor: anchor.event)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        hashes = dict(
            AuditEvent.objects.filter(pk__in=[anchor.event for anchor in part]).values_list("pk", "hash")
        )
        for anchor in part:
            found = hashes.get(anchor.event, "")
            if found != anchor.hash:
                return Agreement(len(ordered), agrees, anchor, found)
            agrees = anchor
    return Agreement(len(ordered), agrees, None)
