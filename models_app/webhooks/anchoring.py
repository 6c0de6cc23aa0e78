"""When the head of the audit trail is written down: every hour in which something happened, where anybody takes it."""

from __future__ import annotations

from django.conf import settings

from models_app.foundation import audit_anchors, jobs
from models_app.models import Job, WebhookEndpoint

EVENT = "audit.anchored"


def anchor_later() -> Job | None:
    """Called every hour."""
    taken = settings.GALLEY_AUDIT_ANCHOR_FILE is not None or (
        WebhookEndpoint.objects.filter(disabled_at=None, events__contains=[EVENT]).exists()
    )
    if not taken or not audit_anchors.something_is_new():
        return None
    return jobs.enqueue(
        kind="anchor_audit", actor=None, subject="audit", unique_key="anchor_audit", max_attempts=1
    )
