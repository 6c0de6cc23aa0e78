from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.foundation import audit
from models_app.models import AuditEvent


class Command(BaseCommand):
    help = (
        "Compute every hash of the audit trail again. Ends with 1 where the chain is broken. The hash that it prints "
        "can be kept elsewhere: --contains HASH tells later whether the trail still has that event."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--contains", metavar="HASH", help="a hash that an earlier verification printed")
        parser.add_argument(
            "--read-only", action="store_true", help="do not write the finding into the trail"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = audit.verify() if options["read_only"] else audit.verify_and_record(actor=None)
        if not found.whole:
            raise CommandError(found.sentence)
        wanted = options["contains"]
        if wanted and not AuditEvent.objects.filter(hash=wanted).exists():
            raise CommandError(f"The chain is whole, but has no event of hash {wanted}: its end was cut off.")
        if found.up_to is None:
            self.stdout.write("The audit trail is empty.")
        else:
            self.stdout.write(f"{found.sentence}\nHash of event {found.up_to:,}: {found.last_hash}")
