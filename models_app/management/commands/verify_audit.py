from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import audit, audit_anchors
from models_app.foundation.errors import InvalidInput
from models_app.models import AuditEvent


class Command(BaseCommand):
    help = (
        "Compute every hash of the audit trail again. Ends with 1 where the chain is broken, or differs from anchors "
        "that were written elsewhere (--anchors FILE). The hash that it prints can be kept elsewhere too: --contains "
        "HASH tells later whether the trail still has that event."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--contains", metavar="HASH", help="a hash that an earlier verification printed")
        parser.add_argument(
            "--anchors", type=Path, metavar="FILE",
            help="a file of anchors, as anchor_audit and GALLEY_AUDIT_ANCHOR_FILE write it",
        )  # fmt: skip
        parser.add_argument(
            "--read-only", action="store_true", help="do not write the finding into the trail"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            anchors = audit_anchors.read_anchors(options["anchors"]) if options["anchors"] else None
        except InvalidInput as error:
            raise CommandError(error.message) from error
        found = audit.verify() if options["read_only"] else audit.verify_and_record(actor=None)
        agreement = None if anchors is None else audit_anchors.compare(anchors)
        wrong = [] if found.whole else [found.sentence]
        if agreement is not None and not agreement.whole:
            wrong.append(agreement.sentence)
        if wrong:
            raise CommandError(" ".join(wrong))
        wanted = options["contains"]
        if wanted and not AuditEvent.objects.filter(hash=wanted).exists():
            raise CommandError(f"The chain is whole, but has no event of hash {wanted}: its end was cut off.")
        if found.up_to is None:
            self.stdout.write("The audit trail is empty.")
        else:
            self.stdout.write(f"{found.sentence}\nHash of event {found.up_to:,}: {found.last_hash}")
        if agreement is not None:
            self.stdout.write(agreement.sentence)
