"""Conversations by program: begun, read, answered, and as blind as on the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.foundation.errors import InvalidInput
from models_app.foundation.tokens import create_token
from models_app.models import PromptVersion
from reviews.discussion import comments, visibility
from reviews.models import Assignment, Comment, Notification, QueueItem, Thread
from tests import make
from tests.api.conftest import Api, error
from tests.reviews.discussion.test_comments import done, sit, submit


@pytest.fixture
def rita(cast: make.Cast) -> Api:
    return Api(cast.reviewer, "comments:write")


@pytest.fixture
def ruben(cast: make.Cast) -> Api:
    return Api(cast.another_reviewer, "comments:write")


@pytest.fixture
def mila(cast: make.Cast) -> Api:
    """She manages queues and writes prompts."""
    return Api(cast.ml_engineer, "comments:write")


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    """Two assignments in a blind queue, held by rita and ruben."""
    queue = make.queue(reviews_per_item=2, blind_to_peers=True)
    made = make.queue_item(
        make.summary(make.document(title="Old pier"), "It closes 👷🏽. 410 piles, 410."), queue
    )
    sit(made, cast.reviewer)
    sit(made, cast.another_reviewer)
    return QueueItem.objects.select_related("queue", "summary__document").get(pk=made.pk)


def seen(api: Api, path: str) -> list[tuple[str, str]]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.content
    return [
        (comment["who"], comment["text"])
        for thread in answer.json()["results"]
        for comment in thread["comments"]
    ]


def test_a_conversation_is_begun_answered_and_read(rita: Api, mila: Api, item: QueueItem) -> None:
    path = f"items/{item.pk}/threads/"
    body = {"text": "Is 410 right?", "side": "summary", "quote": "410", "start": 25}
    begun = rita.post(path, body, **{"Idempotency-Key": "a"})
    assert begun.status_code == 201, begun.content
    thread = begun.json()
    assert (thread["side"], thread["quote"], thread["start"], thread["end"], thread["resolved"]) == (
        "summary", "410", 25, 28, False,
    )  # fmt: skip
    assert rita.post(path, body, **{"Idempotency-Key": "a"}).json() == thread, "sent twice, begun once"
    assert Thread.objects.count() == 1
    answered = mila.post(f"threads/{thread['id']}/comments/", {"text": "140, @rita."})
    assert (answered.status_code, answered.json()["who"], answered.json()["text"]) == (
        201,
        "you",
        "140, @rita.",
    )
    assert seen(rita, path) == [("you", "Is 410 right?"), ("mila", "140, @rita.")]
    assert seen(mila, path) == [("rita", "Is 410 right?"), ("you", "140, @rita.")]
    told = Notification.objects.get(user=rita.user)
    assert (told.kind, told.read_at) == ("mention", None), "told once, and reading by program is not reading"
    # without an offset, or with a wrong one, the quote is looked for
    for more in ({}, {"start": 3}):
        found = rita.post(path, {"text": "And here?", "side": "summary", "quote": "410", **more}).json()
        assert found["start"] == item.summary.text.index("410")


def test_who_may_resolves_and_reopens(rita: Api, ruben: Api, mila: Api, item: QueueItem) -> None:
    path = f"items/{item.pk}/threads/"
    first, second = (rita.post(path, {"text": text}).json()["id"] for text in ("One?", "Two?"))
    assert error(ruben.post(f"threads/{first}/resolve/", {})) == (404, "not_found"), "he does not see it"
    answer = mila.post(f"threads/{first}/resolve/", {}, **{"Idempotency-Key": "r"})
    assert (answer.status_code, answer.json()["resolved"], answer.json()["resolved_by"]) == (200, True, "you")
    assert mila.post(f"threads/{first}/resolve/", {}, **{"Idempotency-Key": "r"}).json() == answer.json()
    assert error(rita.post(f"threads/{first}/resolve/", {})) == (409, "stale")
    assert error(rita.post(f"threads/{first}/comments/", {"text": "No."})) == (409, "stale")
    listed = rita.get(f"{path}?page_size=1")
    assert (listed.json()["count"], listed.json()["results"][0]["id"]) == (2, second), "the open ones first"
    last = rita.get(listed.json()["next"].split("/api/v1/")[1]).json()
    assert (last["next"], last["results"][0]["id"], last["results"][0]["resolved_by"]) == (
        None,
        first,
        "mila",
    )
    assert rita.post(f"threads/{first}/reopen/", {}).json()["resolved_at"] is None
    assert error(rita.post(f"threads/{first}/reopen/", {})) == (409, "stale")


def test_at_a_prompt_only_its_opener_and_writers_of_prompts_resolve(rita: Api, ruben: Api) -> None:
    version = PromptVersion.objects.first()
    assert version is not None
    thread = rita.post(f"prompt-versions/{version.pk}/threads/", {"text": "Shorter?"}).json()["id"]
    seen_by_ruben = ruben.get(f"prompt-versions/{version.pk}/threads/").json()["results"][0]
    assert seen_by_ruben["may_resolve"] is False
    assert error(ruben.post(f"threads/{thread}/resolve/", {})) == (403, "forbidden")


def test_my_comment_is_changed_while_it_is_young(rita: Api, ruben: Api, mila: Api, item: QueueItem) -> None:
    path = f"items/{item.pk}/threads/"
    comment = rita.post(path, {"text": "410?"}).json()["comments"][0]
    assert comment["editable"] is True
    changed = rita.put(f"comments/{comment['id']}/", {"text": "140, @mila?"})
    assert (changed.status_code, changed.json()["text"], changed.json()["edited"]) == (
        200,
        "140, @mila?",
        True,
    )
    assert Notification.objects.filter(user=mila.user, kind="mention").count() == 1
    for other in (ruben, mila):
        assert error(other.put(f"comments/{comment['id']}/", {"text": "Mine"})) == (404, "not_found")
    empty = rita.put(f"comments/{comment['id']}/", {"text": " "})
    assert (empty.status_code, list(empty.json()["error"]["fields"])) == (422, ["text"])
    Comment.objects.update(at=timezone.now() - visibility.EDITABLE)
    assert rita.get(path).json()["results"][0]["comments"][0]["editable"] is False
    assert error(rita.put(f"comments/{comment['id']}/", {"text": "Late"})) == (409, "refused")
    assert Comment.objects.get().text == "140, @mila?"


def test_while_blind_peers_learn_nothing_of_each_other(
    rita: Api, ruben: Api, mila: Api, item: QueueItem, cast: make.Cast
) -> None:
    path = f"items/{item.pk}/threads/"
    thread = rita.post(path, {"text": "I would give two stars."}).json()["id"]
    mila.post(f"threads/{thread}/comments/", {"text": "So would @ruben?"})
    answer = ruben.get(path)
    assert (answer.status_code, answer.json()["count"], answer.json()["results"]) == (200, 0, [])
    assert error(ruben.post(f"threads/{thread}/comments/", {"text": "Yes"})) == (404, "not_found")
    submit(item, cast.reviewer, cast.another_reviewer)
    assert seen(ruben, path) == [], "submitted, but the item is not done"
    done(item)
    comments.reply(thread=thread, text="Three, @mila.", actor=cast.another_reviewer)
    comments.open_thread(about=item, text="What did @ruben see, @rita?", actor=cast.ml_engineer)
    assert seen(ruben, path)[0] == ("a reviewer", "I would give two stars.")
    assert seen(ruben, path)[-1] == ("mila", "What did @ruben see, @somebody?")
    assert "rita" not in ruben.get(path).content.decode()
    assert ("a reviewer", "Three, @somebody.") in seen(rita, path)
    assert "ruben" not in rita.get(path).content.decode().replace("So would @ruben?", "")


@pytest.mark.parametrize("way", ["list", "resolve"])
def test_a_manager_who_read_by_program_is_not_given_the_item(
    cast: make.Cast, rita: Api, item: QueueItem, way: str
) -> None:
    Assignment.objects.filter(item=item, reviewer=cast.another_reviewer).update(
        state="free", reviewer=None, lease_token=None, lease_until=None
    )
    mila = Api(cast.ml_engineer, "comments:write", "reviews:write")
    path = f"items/{item.pk}/threads/"
    thread = rita.post(path, {"text": "Two stars."}).json()["id"]
    shown = mila.get(path) if way == "list" else mila.post(f"threads/{thread}/resolve/", {})
    assert "Two stars." in shown.content.decode()
    assert mila.post("queues/new-drafts/next/", {}).status_code == 204


def test_who_does_not_work_on_a_blind_item_begins_nothing_there(cast: make.Cast, item: QueueItem) -> None:
    third = make.user("rosa", "reviewer")
    rosa = Api(third, "comments:write")
    assert error(rosa.post(f"items/{item.pk}/threads/", {"text": "Hello"})) == (403, "forbidden")
    assert seen(rosa, f"items/{item.pk}/threads/") == []
    assert not Thread.objects.exists()


def test_of_two_summaries_side_by_side_none_can_be_quoted(rita: Api, cast: make.Cast) -> None:
    document = make.document()
    queue = make.queue(slug="weak-outputs", kind="pairwise")
    pair = make.queue_item(make.summary(document, "A."), queue, other=make.summary(document, "B."))
    sit(pair, cast.reviewer)
    body = {"text": "This one?", "side": "summary", "quote": "A."}
    answer = rita.post(f"items/{pair.pk}/threads/", body)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, ["side"])
    assert rita.post(f"items/{pair.pk}/threads/", {"text": "Which?"}).status_code == 201


def test_a_prompt_version_is_talked_about_by_name(rita: Api, ruben: Api) -> None:
    version = PromptVersion.objects.first()
    assert version is not None
    path = f"prompt-versions/{version.pk}/threads/"
    thread = rita.post(path, {"text": "Say “at most” words."}).json()
    assert (thread["side"], thread["start"]) == ("", None)
    assert ruben.post(f"threads/{thread['id']}/comments/", {"text": "Yes."}).status_code == 201
    assert seen(rita, path) == [("you", "Say “at most” words."), ("ruben", "Yes.")]
    quoted = rita.post(path, {"text": "Here", "side": "summary", "quote": "words"})
    assert (quoted.status_code, list(quoted.json()["error"]["fields"])) == (422, ["side"])
    assert rita.get("prompt-versions/999999/threads/").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "  "}, "text"),
        ({"text": 7}, "text"),
        ({"text": "x" * 5001}, "text"),
        ({"text": "x", "side": "margin", "quote": "410"}, "side"),
        ({"text": "x", "quote": "410"}, "side"),
        ({"text": "x", "side": "summary"}, "quote"),
        ({"text": "x", "side": "summary", "quote": "999 piles"}, "quote"),
        ({"text": "x", "side": "summary", "quote": "410", "start": "25"}, "start"),
        ({"text": "x", "side": "summary", "quote": "410", "start": -1}, "start"),
    ],
)
def test_nonsense_is_refused_with_its_field(
    rita: Api, item: QueueItem, body: dict[str, Any], field: str
) -> None:
    answer = rita.post(f"items/{item.pk}/threads/", body)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, [field]), answer.content
    assert not Thread.objects.exists()


def test_only_tokens_with_the_scope_of_people_who_review(cast: make.Cast, item: QueueItem, rita: Api) -> None:
    without = Api(cast.ml_engineer, "reviews:write")
    for path in (f"items/{item.pk}/threads/", "prompt-versions/1/threads/"):
        assert without.get(path).status_code == 403
        assert without.post(path, {"text": "Hello"}).status_code == 403
        assert Client().get(f"/api/v1/{path}").status_code == 401
    for path in ("threads/1/comments/", "threads/1/resolve/", "threads/1/reopen/"):
        assert without.post(path, {"text": "Hello"}).status_code == 403
    assert without.put("comments/1/", {"text": "Hello"}).status_code == 403
    with pytest.raises(InvalidInput):
        create_token(user=cast.approver, name="x", scopes=["comments:write"], days=1, actor=cast.approver)
    assert rita.get(f"items/{2**70}/threads/").status_code == 404
    for path in ("comments", "resolve", "reopen"):
        assert rita.post(f"threads/{2**70}/{path}/", {"text": "Hello"}).status_code == 404
    assert rita.put(f"comments/{2**70}/", {"text": "Hello"}).status_code == 404
    assert not Comment.objects.exists()


def test_long_conversations_take_a_fixed_number_of_queries(
    rita: Api, item: QueueItem, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    path = f"items/{item.pk}/threads/"
    for number in range(3):
        thread = rita.post(path, {"text": f"Question {number}, @mila"}).json()["id"]
        for _ in range(3):
            rita.post(f"threads/{thread}/comments/", {"text": "More"})
    with django_assert_max_num_queries(10):
        assert len(seen(rita, path)) == 12
