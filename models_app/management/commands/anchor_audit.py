from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from models_app.foundation import audit_anchors
from models_app.foundation.errors import GalleyError


class Command(BaseCommand):
    help = (
        "Write down the newest event of the audit trail with its hash: as a line of GALLEY_AUDIT_ANCHOR_FILE, to the "
        "webhooks that are told of audit.anchored, and on the terminal. verify_audit --anchors compares it later."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = audit_anchors.anchor_trail(actor=None)
        except GalleyError as error:
            raise CommandError(error.message) from error
        if made is None:
            raise CommandError("The audit trail is empty.")
        self.stdout.write(made.line)
        if settings.GALLEY_AUDIT_ANCHOR_FILE is None:
            self.stderr.write("GALLEY_AUDIT_ANCHOR_FILE names no file: keep the line above yourself.")
