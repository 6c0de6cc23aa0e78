"""State moves: an UPDATE that only finds the row where it is still in the expected state, and its audit event."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from models_app.foundation import audit
from models_app.foundation.errors import Refused, StaleState


def move(
    row: models.Model,
    *,
    to: str,
    actor: Any | None,
    action: str,
    expected: str | None = None,
    reason: str = "",
    data: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Move `row` (whose table declares MOVES) to `to`, writing `changes` with it.

    Raises Refused where the table does not allow the move, StaleState where the row is no longer in `expected`
    (its state as the caller loaded it, unless given). The instance is updated in place.
    """
    machine: dict[str, tuple[str, ...]] = getattr(type(row), "MOVES")  # noqa: B009 (typed access to a table's declaration)
    state: str = getattr(row, "state")  # noqa: B009
    before = expected if expected is not None else state
    if to not in machine.get(before, ()):
        raise Refused(f"{str(row).capitalize()} is {before}; it cannot become {to}.")
    with transaction.atomic():
        changed = type(row)._default_manager.filter(pk=row.pk, state=before).update(state=to, **changes)
        if not changed:
            raise StaleState(f"{str(row).capitalize()} is no longer {before}. Look again before you decide.")
        audit.record(
            actor=actor, action=action, subject=row, from_state=before, to_state=to, reason=reason, data=data
        )
    row.state = to  # type: ignore[attr-defined]
    for name, value in changes.items():
        setattr(row, name, value)
