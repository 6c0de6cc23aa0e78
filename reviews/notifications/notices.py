"""Telling people in the page: the bell in the head counts what they have not read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from models_app.foundation.audit import subject_of
from models_app.foundation.errors import NotFound
from models_app.texts.normalise import one_line
from reviews.models import Notification

LONGEST_TEXT = 300
#: The bell counts no further.
COUNTED = 100


def notify(*, user: User, kind: str, url: str, text: str, subject: models.Model | str) -> Notification | None:
    """Tell one person, in the caller's transaction. `text` is one plain sentence that says nothing the person may not
    know; `url` a path of this site; `subject` the row it is about.

    While an earlier one of the same kind and subject is unread, it is renewed instead of a second one being added.
    People who cannot sign in are told nothing: None.
    """
    if kind not in Notification.Kind.values:
        raise ValueError(f"unknown kind of notification: {kind}")
    if not user.is_active:
        return None
    words = textwrap.shorten(one_line(text), LONGEST_TEXT, placeholder=" …")
    unread = Notification.objects.filter(user=user, kind=kind, subject=subject_of(subject), read_at=None)
    news = {"text": words, "url": url, "at": timezone.now()}
    if not unread.update(**news, times=F("times") + 1):
        try:
            with transaction.atomic():
                return Notification.objects.create(user=user, kind=kind, subject=subject_of(subject), **news)
        except IntegrityError:  # somebody was as fast, or it is no path of ours
            if not unread.update(**news, times=F("times") + 1):
                raise
    return unread.first()


def unread_count(user: User) -> int:
    """At most COUNTED. 1 query."""
    return Notification.objects.filter(user=user, read_at=None)[:COUNTED].count()


def open_notification(*, pk: int, user: User) -> str:
    """Mark my notification as read; returns where it leads."""
    row = Notification.objects.filter(pk=pk, user=user).first()
    if row is None:
        raise NotFound("There is no such notification.")
    Notification.objects.filter(pk=row.pk, read_at=None).update(read_at=timezone.now())
    return row.url


def mark_all_read(*, user: User, up_to: datetime) -> int:
    """Those that the page showed: nothing that came or was renewed since. Returns how many."""
    return Notification.objects.filter(user=user, read_at=None, at__lte=up_to).update(read_at=timezone.now())


def mark_read_about(*, user: User, subjects: Sequence[models.Model | str]) -> int:
    """People who look at the things themselves have read what they were told about them. 1 query."""
    about = [subject_of(subject) for subject in subjects]
    return Notification.objects.filter(user=user, read_at=None, subject__in=about).update(
        read_at=timezone.now()
    )


def forget_old() -> int:
    """Notifications that were read long ago, and old ones of people who cannot sign in any more. The queue does so
    every day. Returns how many."""
    before = timezone.now() - timedelta(days=settings.GALLEY_NOTIFICATION_DAYS)
    gone = Q(read_at__lt=before) | Q(at__lt=before, user__is_active=False)
    count, _ = Notification.objects.filter(gone).delete()
    return count
