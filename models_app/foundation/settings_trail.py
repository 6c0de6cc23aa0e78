"""Settings come from outside, so no act changes them here: a start that finds others than the last one says so."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from models_app.foundation import audit
from models_app.models.audit import AuditEvent

ACTION = "settings.change"


def record_settings(settings: Mapping[str, str]) -> AuditEvent | None:
    """`settings` by name, without secrets. None where they are those of the last start that said any."""
    last = AuditEvent.objects.filter(action=ACTION).order_by("-id").first()
    before: Mapping[str, str] = last.data["settings"] if last is not None else {}
    if dict(settings) == before:
        return None
    changed = {
        name: [before.get(name), settings.get(name)]
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    }
    with transaction.atomic():
        return audit.record(
            actor=None, action=ACTION, subject="settings",
            data={"settings": dict(settings), "changed": changed if last is not None else {}},
        )  # fmt: skip
