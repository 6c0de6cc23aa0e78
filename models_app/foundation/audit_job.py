from __future__ import annotations

from typing import Any

from models_app.foundation import audit, audit_anchors
from models_app.foundation.errors import Refused
from models_app.foundation.jobs import JobContext
from models_app.models import AuditEvent


def run(context: JobContext) -> dict[str, Any]:
    """Verify the whole audit trail and write the finding into it."""
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first()
    context.phase("verifying", total=newest or 0)
    found = audit.verify_and_record(actor=context.job.requested_by, progress=context.step)
    return {"events": found.events, "up_to": found.up_to, "broken": found.broken, "sentence": found.sentence}


def anchor(context: JobContext) -> dict[str, Any]:
    """Write the head of the trail down outside of it."""
    context.phase("anchoring")
    made = audit_anchors.anchor_trail(actor=context.job.requested_by)
    if made is None:
        raise Refused("The audit trail is empty.")
    return {"up_to": made.event, "hash": made.hash}
