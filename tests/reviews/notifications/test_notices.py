from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.utils import timezone

from models_app.foundation.errors import NotFound
from models_app.models import PromptVersion
from reviews.models import Notification
from reviews.notifications.notices import (
    forget_old,
    mark_all_read,
    mark_read_about,
    notify,
    open_notification,
    unread_count,
)
from reviews.prompts.suggestions import decline_suggestion, suggest_prompt
from tests import make


def tell(
    cast: make.Cast, text: str = "mila answered.", subject: str = "thread:1", url: str = "/talk/1/"
) -> None:
    notify(user=cast.reviewer, kind="reply", url=url, text=text, subject=subject)


@pytest.mark.django_db
def test_while_unread_more_of_the_same_renews_it_and_reading_ends_that() -> None:
    cast = make.cast()
    tell(cast)
    tell(cast, "ruben answered.")
    tell(cast, subject="thread:2")
    row = Notification.objects.get(subject="thread:1")
    assert (row.times, row.text, unread_count(cast.reviewer)) == (2, "ruben answered.", 2)
    assert open_notification(pk=row.pk, user=cast.reviewer) == "/talk/1/"
    tell(cast)
    assert Notification.objects.filter(subject="thread:1").count() == 2
    assert mark_read_about(user=cast.reviewer, subjects=["thread:1", "thread:2"]) == 2
    assert unread_count(cast.reviewer) == 0


@pytest.mark.django_db
def test_it_is_mine_alone_and_leads_nowhere_else() -> None:
    cast = make.cast()
    tell(cast)
    row = Notification.objects.get()
    with pytest.raises(NotFound):
        open_notification(pk=row.pk, user=cast.another_reviewer)
    assert mark_all_read(user=cast.another_reviewer, up_to=timezone.now()) == 0
    for url in ("https://example.org/", "//example.org/", "talk/1/"):
        with pytest.raises(IntegrityError):
            tell(cast, subject="thread:9", url=url)
    with pytest.raises(ValueError, match="unknown kind"):
        notify(user=cast.reviewer, kind="gossip", url="/", text="?", subject="thread:1")
    cast.reviewer.is_active = False
    assert notify(user=cast.reviewer, kind="reply", url="/", text="?", subject="thread:5") is None


@pytest.mark.django_db
def test_marking_all_as_read_leaves_what_came_since() -> None:
    cast = make.cast()
    tell(cast)
    shown = Notification.objects.get().at
    tell(cast)  # renewed after the page was shown
    assert mark_all_read(user=cast.reviewer, up_to=shown) == 0
    assert mark_all_read(user=cast.reviewer, up_to=timezone.now() + timedelta(seconds=1)) == 1


@pytest.mark.django_db
def test_old_ones_go_once_they_are_read_or_can_be_read_no_more(settings: Any) -> None:
    settings.GALLEY_NOTIFICATION_DAYS = 30
    cast = make.cast()
    now, long_ago = timezone.now(), timezone.now() - timedelta(days=31)
    for subject in ("read", "read lately", "unread"):
        tell(cast, subject=subject)
    Notification.objects.update(at=long_ago)
    Notification.objects.filter(subject="read").update(read_at=long_ago)
    Notification.objects.filter(subject="read lately").update(read_at=now)
    for subject in ("gone", "gone lately"):
        notify(user=cast.another_reviewer, kind="reply", url="/", text="?", subject=subject)
    Notification.objects.filter(subject="gone").update(at=long_ago)
    assert forget_old() == 1
    assert not Notification.objects.filter(subject="read").exists()
    User.objects.filter(pk=cast.another_reviewer.pk).update(is_active=False)
    assert forget_old() == 1
    left = set(Notification.objects.values_list("subject", flat=True))
    assert left == {"read lately", "unread", "gone lately"}


@pytest.mark.django_db(transaction=True)
def test_two_that_tell_the_same_at_once_make_one() -> None:
    cast = make.cast()
    gate = threading.Barrier(4)

    def together() -> None:
        gate.wait()
        tell(cast)
        connection.close()

    threads = [threading.Thread(target=together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Notification.objects.get().times == 4


@pytest.mark.django_db
def test_a_decided_suggestion_is_told_with_the_reason() -> None:
    cast = make.cast()
    suggestion = suggest_prompt(
        document=make.document(), based_on=PromptVersion.objects.get(prompt__name="news summary", number=1),
        template="Three sentences: {text}", actor=cast.reviewer,
    )  # fmt: skip
    decline_suggestion(suggestion=suggestion, reason="Too long.", actor=cast.ml_engineer)
    row = Notification.objects.get(user=cast.reviewer)
    assert (row.kind, row.text) == ("suggestion", "Your prompt suggestion was declined: Too long.")
