"""Passwords and codes that are tried: how many, for one account from one address.

A try is counted before it is looked at and taken back when it was right, so that no number of requests at the same
instant, in however many processes, is answered beyond the limit. Addresses do not share a limit: nobody locks an
account for its owner elsewhere. Only codes have a limit over all addresses too, and only somebody who knows the
password gets as far as a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from models_app.foundation import addresses, audit
from models_app.foundation.errors import TooManyTries
from models_app.models.people import Tries

PASSWORD, CODE = "password", "code"
EVERYWHERE = "everywhere"
KEPT = timedelta(days=1)
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limit:
    tries: int
    window: timedelta


FROM_ONE_ADDRESS = Limit(8, timedelta(minutes=15))
OF_CODES_EVERYWHERE = Limit(100, timedelta(hours=1))


@dataclass(frozen=True)
class Try:
    """One that was counted: wrong, unless `right()` is called."""

    what: str
    account: str
    address: str

    def right(self) -> None:
        counted = Tries.objects.filter(what=self.what, account=self.account)
        counted.filter(address=self.address).delete()
        # of all addresses together: the wrong ones of others stay counted
        counted.filter(address=EVERYWHERE, count__gt=0).update(count=F("count") - 1)


def count(what: str, *, user: User | None, name: str = "") -> Try:
    """Counts a try at the password or a code of `user`, or at that of the unknown `name`, before it is looked at.
    Raises TooManyTries, the same for both, so that the answer does not tell which accounts there are."""
    account = f"user:{user.pk}" if user is not None else f"name:{name.lower()[:150]}"
    address = addresses.counted(addresses.current.get())
    _count(what, account, address, FROM_ONE_ADDRESS, user)
    if what == CODE:
        _count(what, account, EVERYWHERE, OF_CODES_EVERYWHERE, user)
    return Try(what, account, address)


def forget_passwords(user: User) -> None:
    """A new password is no longer what was tried."""
    Tries.objects.filter(what=PASSWORD, account=f"user:{user.pk}").delete()


def is_password_of(user: User, password: str) -> bool:
    """`user.check_password`, counted. Raises TooManyTries."""
    attempt = count(PASSWORD, user=user)
    if not user.check_password(password):
        return False
    attempt.right()
    return True


def _count(what: str, account: str, address: str, limit: Limit, user: User | None) -> None:
    now = timezone.now()
    with transaction.atomic():
        row = _row(what, account, address, now)
        _once_more(row, limit, now)
        refused = row.count > limit.tries
        if row.count == limit.tries + 1:  # told once in each window: a storm must not fill the trail
            _tell(what, account, address, limit, user)
    if refused:
        seconds = max(1, round((row.began_at + limit.window - now).total_seconds()))
        minutes = -(-seconds // 60)
        raise TooManyTries(
            "Too many wrong tries for this account. Nothing was checked; "
            f"try again in {minutes} minute{'' if minutes == 1 else 's'}.",
            retry_after=seconds,
        )


def _row(what: str, account: str, address: str, now: datetime) -> Tries:
    """The count, locked. Another try with the right password at this instant takes it away."""
    counts = Tries.objects.filter(what=what, account=account, address=address)
    while True:
        row = counts.select_for_update().first()
        if row is not None:
            return row
        new = Tries(what=what, account=account, address=address, began_at=now, count=0)
        Tries.objects.bulk_create([new], ignore_conflicts=True)


def _once_more(row: Tries, limit: Limit, now: datetime) -> None:
    if row.began_at <= now - limit.window:
        row.began_at, row.count = now, 0
    row.count += 1
    row.save(update_fields=["began_at", "count"])


def _tell(what: str, account: str, address: str, limit: Limit, user: User | None) -> None:
    log.warning("tries_refused", what=what, account=account, address=address, tries=limit.tries)
    if user is not None:  # anybody can make up names; the trail is about accounts that there are
        audit.record(
            actor=None, action="sign_in.refused", subject=f"user:{user.pk}",
            data={"name": user.get_username(), "what": what, "address": address, "tries": limit.tries},
        )  # fmt: skip


def forget_old() -> int:
    """Counts whose window is long over. Called every hour."""
    return Tries.objects.filter(began_at__lt=timezone.now() - KEPT).delete()[0]
