"""What people do to their own accounts, for the trail; allauth's pages do it."""

from __future__ import annotations

from django.contrib.auth.models import User

from models_app.foundation import audit


def record_own(*, person: User, action: str) -> None:
    """Must run inside the transaction of the change."""
    audit.record(
        actor=person, action=action, subject=f"user:{person.pk}", data={"name": person.get_username()}
    )
