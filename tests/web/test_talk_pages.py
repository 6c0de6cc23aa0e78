from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.models import PromptVersion
from reviews.discussion import comments
from reviews.models import Assignment, Comment, Notification, QueueItem, Thread
from reviews.notifications.notices import notify
from tests import make
from tests.pages import markup
from tests.reviews.discussion.test_comments import done, sit, submit

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    queue = make.queue(reviews_per_item=2, blind_to_peers=True)
    item = make.queue_item(make.summary(make.document(title="Old pier")), queue)
    sit(item, cast.reviewer)
    sit(item, cast.another_reviewer)
    return QueueItem.objects.select_related("queue", "summary__document").get(pk=item.pk)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_conversation_works_without_script(cast: make.Cast, item: QueueItem) -> None:
    client = signed_in(cast.reviewer)
    path = f"/talk/item/{item.pk}/"
    answer = client.post(path, {"text": "Is <b>410</b> right?", "side": "summary", "quote": "410 piles"})
    thread = Thread.objects.get()
    assert answer["Location"] == f"{path}#thread-{thread.pk}"
    shown = markup(client.get(path))
    assert "Is &lt;b&gt;410&lt;/b&gt; right?" in shown
    assert "410 piles" in shown
    assert "only you and its managers read this" in shown
    assert client.post(f"/talk/{thread.pk}/reply/", {"text": "I mean it."}).status_code == 302
    comment = Comment.objects.latest("pk")
    client.post(f"/talk/comment/{comment.pk}/", {"text": "I do mean it."})
    client.post(f"/talk/{thread.pk}/resolve/")
    shown = markup(client.get(path))
    assert "I do mean it." in shown
    assert "resolved" in shown
    client.post(f"/talk/{thread.pk}/reopen/")
    assert client.get(f"/talk/{thread.pk}/")["Location"] == f"{path}#thread-{thread.pk}"


def test_what_is_refused_comes_back_with_the_words_at_its_field(cast: make.Cast, item: QueueItem) -> None:
    client = signed_in(cast.reviewer)
    answer = client.post(
        f"/talk/item/{item.pk}/", {"text": "Hm", "side": "source", "quote": "nowhere"}, headers=HTMX
    )
    assert answer.status_code == 422
    assert "These words do not stand in the source." in markup(answer)
    assert ">Hm</textarea>" in markup(answer)
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    for path in (f"/talk/{thread.pk}/reply/", f"/talk/comment/{thread.comments.get().pk}/"):
        answer = client.post(path, {"text": " "}, headers=HTMX)
        assert answer.status_code == 422, path
        assert "Write something." in markup(answer)
        assert "<html" not in markup(answer)


def test_no_payload_of_a_blind_item_tells_of_peers(cast: make.Cast, item: QueueItem) -> None:
    secret = "SECRET two stars"
    theirs = comments.open_thread(about=item, text=secret, actor=cast.another_reviewer)
    comments.reply(thread=theirs.pk, text="@ruben noted", actor=cast.ml_engineer)
    client = signed_in(cast.reviewer)
    paths = [
        "/desk/", f"/desk/item/{item.pk}/", f"/talk/item/{item.pk}/", f"/talk/item/{item.pk}/people/",
        "/notifications/", "/my-feedback/",
    ]  # fmt: skip
    for path in paths:
        for headers in ({}, HTMX):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 200, path
            body = markup(answer)
            assert "SECRET" not in body, path
            assert "ruben" not in body, path
    assert client.get(f"/talk/{theirs.pk}/").status_code == 404
    for act in ("reply", "resolve", "reopen"):
        assert client.post(f"/talk/{theirs.pk}/{act}/", {"text": "x"}).status_code == 404, act
    assert client.post(f"/talk/comment/{theirs.comments.all()[0].pk}/", {"text": "x"}).status_code == 404
    submit(item, cast.reviewer, cast.another_reviewer)
    done(item)
    body = markup(client.get(f"/talk/item/{item.pk}/"))
    assert secret in body
    assert "ruben" not in body
    assert "@somebody noted" in body.replace('<span class="mention">', "").replace("</span>", "")


def test_a_manager_who_reads_is_told_and_leaves_the_item_to_others(cast: make.Cast, item: QueueItem) -> None:
    Assignment.objects.filter(item=item, reviewer=cast.another_reviewer).update(
        state="free", reviewer=None, lease_token=None, lease_until=None
    )
    comments.open_thread(about=item, text="Two stars.", actor=cast.reviewer)
    mila = signed_in(cast.ml_engineer)
    panel = markup(mila.get(f"/talk/item/{item.pk}/"))
    assert "began, you are not asked to review this item" in panel
    refused = mila.get(f"/desk/item/{item.pk}/")
    assert (refused.status_code, "You have left this item to others" in markup(refused)) == (
        409,
        True,
    )
    assert not Assignment.objects.filter(item=item, reviewer=cast.ml_engineer).exists()


@pytest.mark.parametrize("who", ["approver", "operator", "stranger"])
def test_others_find_nothing(cast: make.Cast, item: QueueItem, who: str) -> None:
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    client = signed_in(getattr(cast, who))
    assert client.get(f"/talk/item/{item.pk}/").status_code == 404
    assert client.get(f"/talk/{thread.pk}/").status_code == 404
    assert client.get(f"/talk/item/{item.pk}/people/").json() == {"people": []}
    assert client.post(f"/talk/item/{item.pk}/", {"text": "x"}).status_code == 403
    assert Client().get(f"/talk/item/{item.pk}/").status_code == 302


def test_names_are_offered_as_they_are_begun(cast: make.Cast, item: QueueItem) -> None:
    people = signed_in(cast.reviewer).get(f"/talk/item/{item.pk}/people/?q=MI").json()
    assert people == {"people": ["mila"]}
    version = PromptVersion.objects.all()[0]
    path = f"/talk/prompt/{version.pk}/people/?q=r"
    assert signed_in(cast.ml_engineer).get(path).json() == {"people": ["rita", "ruben"]}
    assert signed_in(cast.approver).get(path).json() == {"people": []}, "an approver reads only"


def test_prompt_versions_link_to_their_conversations(cast: make.Cast) -> None:
    version = PromptVersion.objects.get(prompt__name="news summary", number=1)
    comments.open_thread(about=version, text="Numbers go missing.", actor=cast.reviewer)
    shown = markup(signed_in(cast.ml_engineer).get(f"/prompts/{version.prompt_id}/"))
    assert f'href="/talk/prompt/{version.pk}/"' in shown
    assert "1 open" in shown
    shown = markup(signed_in(cast.approver).get(f"/talk/prompt/{version.pk}/"))
    assert "Numbers go missing." in shown
    assert "talk-new" not in shown


# ---------------------------------------------------------------- the bell


def test_the_bell_counts_is_asked_cheaply_and_rests_when_nothing_changed(
    cast: make.Cast, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(cast.reviewer)
    assert 'aria-label="Notifications"' in markup(client.get("/desk/"))
    notify(user=cast.reviewer, kind="reply", url="/desk/", text="mila answered.", subject="thread:1")
    assert 'aria-label="Notifications, 1 unread"' in markup(client.get("/desk/"))
    with django_assert_max_num_queries(4):  # session, user, its bookkeeping, the count
        answer = client.get("/notifications/bell/?shown=0", headers=HTMX)
    assert "1 unread" in markup(answer)
    assert client.get("/notifications/bell/?shown=1").status_code == 204


def test_following_a_notification_or_looking_at_its_thread_reads_it(cast: make.Cast, item: QueueItem) -> None:
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    client = signed_in(cast.ml_engineer)
    row = Notification.objects.get(user=cast.ml_engineer)
    assert "A reviewer began a conversation" in markup(client.get("/notifications/?show=unread"))
    assert client.get(f"/notifications/{row.pk}/")["Location"] == f"/talk/{thread.pk}/"
    row.refresh_from_db()
    assert row.read_at is not None
    assert signed_in(cast.reviewer).get(f"/notifications/{row.pk}/").status_code == 404
    comments.reply(thread=thread.pk, text="Well?", actor=cast.reviewer)
    client.get(f"/talk/item/{item.pk}/")
    assert not Notification.objects.filter(user=cast.ml_engineer, read_at=None).exists()


def test_all_are_marked_as_read_up_to_what_was_shown(cast: make.Cast) -> None:
    client = signed_in(cast.reviewer)
    for number in range(3):
        notify(user=cast.reviewer, kind="reply", url="/desk/", text="New.", subject=f"thread:{number}")
    up_to = client.get("/notifications/").context["up_to"]
    notify(user=cast.reviewer, kind="reply", url="/desk/", text="Newer.", subject="thread:9")
    client.post("/notifications/read/", {"up_to": up_to})
    assert Notification.objects.filter(user=cast.reviewer, read_at=None).count() == 1
    for wrong in ("", "yesterday", "2026-13-45T00:00:00Z", "2026-01-01T00:00:00"):
        assert client.post("/notifications/read/", {"up_to": wrong}).status_code == 422, wrong
