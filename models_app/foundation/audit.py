"""The audit trail: append-only, each event carrying the hash of the one before.

An event is written in the transaction of the change it tells of, so neither exists without the other. A transaction
advisory lock puts writers in line; ids and hashes therefore grow in the same order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from models_app import doors
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import allowed
from models_app.foundation.statements import GENESIS, append_event
from models_app.models.audit import AuditEvent

#: Characters of a reason that somebody gives for an act.
LONGEST_REASON = 2000


def said_why(given: str) -> str:
    """What a person wrote as the reason of an act that asks for one. Raises InvalidInput where it is no reason."""
    reason = given.strip()
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "Write why; the record keeps it."})
    if len(reason) > LONGEST_REASON:
        raise InvalidInput(
            "The reason is too long.", fields={"reason": f"Write at most {LONGEST_REASON:,} characters."}
        )
    return reason


_GIVEN = ("at", "actor_id", "actor_name", "action", "subject", "from_state", "to_state", "reason",
          "door", "door_which")  # fmt: skip


def subject_of(row: models.Model | str) -> str:
    """'trainingrun:12' for a row; a string passes as it is."""
    return row if isinstance(row, str) else f"{row._meta.model_name}:{row.pk}"


# What the hash is over, after the hash before it; of events that are older than their doors, without the last two.
_HASHED = ("at", "actor_id", "actor_name", "action", "subject", "from_state", "to_state", "reason", "data", "door",
           "door_which")  # fmt: skip
_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def _parts(event: AuditEvent) -> list[Any]:
    return _as_hashed([getattr(event, name) for name in _HASHED])


def _as_hashed(values: list[Any]) -> list[Any]:
    values[0] = values[0].astimezone(UTC).isoformat(timespec="microseconds")
    return values[:-2] if values[-2] == doors.Kind.UNRECORDED else values


def _digest(previous: str, parts: list[Any]) -> str:
    return hashlib.sha256(_json([previous, *parts]).encode()).hexdigest()


def record(
    *,
    actor: Any | None,
    action: str,
    subject: models.Model | str,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> AuditEvent:
    """Append one event. Must run inside the transaction of the change; `actor` None is nobody in particular: Galley
    itself, or somebody who may type commands. By which door it came, `models_app.doors` knows."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "an audit event belongs in the transaction of its change"
        )
    door = doors.current()
    event = AuditEvent(
        at=timezone.now(),
        actor=actor,
        actor_name=actor.get_username() if actor is not None else "galley",
        action=action,
        subject=subject_of(subject),
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        # through JSON once, so that the hash is over what the database gives back
        data=json.loads(json.dumps(data or {}, default=str)),
        door=door.kind.value,
        door_which=door.which,
    )
    values = {name: getattr(event, name) for name in _GIVEN}
    values |= {"data": json.dumps(event.data), "others": _json(_parts(event)).removeprefix("[")}
    event.pk, event.previous_hash, event.hash = append_event(values)
    event._state.adding = False
    event._state.db = connection.alias
    import_string(settings.GALLEY_AFTER_EVENT)(action)
    return event


@dataclass(frozen=True)
class Verification:
    """What looking at the whole chain found. `broken` is the first event that does not hold; up to the one before it
    everything does."""

    events: int
    up_to: int | None
    last_hash: str
    broken: int | None

    @property
    def whole(self) -> bool:
        return self.broken is None

    @property
    def sentence(self) -> str:
        if self.broken is not None:
            held = (
                f"Everything up to event {self.up_to:,} holds." if self.up_to else "Nothing before it holds."
            )
            return f"The chain breaks at event {self.broken:,}: it was changed, or one before it is missing. {held}"
        return f"Verified up to event {self.up_to:,}: {self.events:,} events, each linked to the one before."


VERIFIED = "audit.verify"
# Events that are read and verified at a time. More are no faster.
CHUNK = 2000


def verify(*, progress: Callable[[int], None] | None = None) -> Verification:
    """Compute every hash again, from the first event on. Reads in order and keeps little in memory.

    Rows, not instances: an instance costs more than its hash. `benchmarks/audit_speed.py`.
    """
    count, up_to, previous = 0, None, GENESIS
    rows = AuditEvent.objects.order_by("id").values_list("id", "previous_hash", "hash", *_HASHED)
    while chunk := list(rows.filter(pk__gt=up_to or 0)[:CHUNK]):
        for pk, stated, own, *values in chunk:
            if stated != previous or own != _digest(previous, _as_hashed(values)):
                return Verification(count, up_to, previous, pk)
            count, up_to, previous = count + 1, pk, own
        if progress is not None:
            progress(count)
    return Verification(count, up_to, previous, None)


def verify_and_record(*, actor: Any | None, progress: Callable[[int], None] | None = None) -> Verification:
    """Verify, and write what was found into the chain itself: that is how far pages say it is verified."""
    found = verify(progress=progress)
    with transaction.atomic():
        record(
            actor=actor, action=VERIFIED, subject="audit", reason="" if found.whole else found.sentence,
            to_state="whole" if found.whole else "broken",
            data={"events": found.events, "up_to": found.up_to, "last_hash": found.last_hash, "broken": found.broken},
        )  # fmt: skip
    return found


def last_of(*actions: str) -> dict[str, AuditEvent]:
    """By action the newest event; those of which there is none are missing."""
    newest = AuditEvent.objects.filter(action__in=actions).order_by("action", "-id").distinct("action")
    return {event.action: event for event in newest}


def data_for(event: AuditEvent, reader: User | AnonymousUser) -> dict[str, Any]:
    """What an event's data say to this reader. How somebody answered blind (`answer`) is kept in the trail, and told to
    nobody who may be asked the same."""
    if "answer" not in event.data or not allowed(reader, "review"):
        return event.data
    return {**event.data, "answer": "kept, and not shown to people who review"}
