"""Conversations: who may begin, see, answer and resolve one, and what nobody learns while a queue is blind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused, StaleState
from models_app.models import AuditEvent, PromptVersion
from reviews.desk import claims
from reviews.desk.undo import take_back_skip
from reviews.discussion import comments, visibility
from reviews.discussion.comments import Span
from reviews.discussion.panel import panel
from reviews.discussion.visibility import Standing
from reviews.models import Assignment, Comment, Mention, Notification, QueueItem, Review, Thread
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    """Two assignments in a blind queue, held by rita and ruben."""
    queue = make.queue(reviews_per_item=2, blind_to_peers=True)
    item = make.queue_item(make.summary(make.document(title="Old pier")), queue)
    sit(item, cast.reviewer)
    sit(item, cast.another_reviewer)
    return QueueItem.objects.select_related("queue", "summary__document").get(pk=item.pk)


def sit(item: QueueItem, person: User) -> None:
    assignment = Assignment.objects.filter(item=item, state="free").order_by("position")[0]
    Assignment.objects.filter(pk=assignment.pk).update(
        state="held", reviewer=person, lease_token="6b1f7b2e-6a51-4b9e-a2f2-3a3d6d0d0a01",
        lease_until=timezone.now() + timedelta(minutes=30),
    )  # fmt: skip


def submit(item: QueueItem, *people: User) -> None:
    for person in people:
        Review.objects.create(
            item=item, summary=item.summary, reviewer=person, rubric=item.queue.rubric, state="submitted", stars=2,
            verdict="poor", edited_text="Better.", submitted_at=timezone.now(),
        )  # fmt: skip
        Assignment.objects.filter(item=item, reviewer=person).update(state="done")


def done(item: QueueItem) -> None:
    item.state = QueueItem.State.DONE
    item.save(update_fields=["state"])


def seen(item: QueueItem | PromptVersion, user: User) -> list[str]:
    """Everything that the panel gives this person, flat."""
    return [
        word
        for thread in panel(about=item, user=user).threads
        for comment in thread.comments
        for word in (comment.who, "".join(piece.text for piece in comment.pieces))
    ]


def told(user: User) -> list[tuple[str, str]]:
    return list(
        Notification.objects.filter(user=user, read_at=None).order_by("pk").values_list("kind", "text")
    )


# ---------------------------------------------------------------- blind queues


def test_while_blind_a_reviewer_sees_their_own_conversation_and_no_peers(
    cast: make.Cast, item: QueueItem
) -> None:
    mine = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    comments.open_thread(about=item, text="I would give two stars.", actor=cast.another_reviewer)
    assert seen(item, cast.reviewer) == ["you", "Is 410 right?"]
    assert seen(item, cast.another_reviewer) == ["you", "I would give two stars."]
    with pytest.raises(NotFound):
        comments.reply(thread=mine.pk, text="Yes", actor=cast.another_reviewer)
    with pytest.raises(NotFound):
        comments.resolve(thread=mine.pk, actor=cast.another_reviewer)
    assert len(seen(item, cast.ml_engineer)) == 4
    assert seen(item, cast.ml_engineer)[0] == "rita"


def test_a_managers_answer_carries_a_name_and_a_peers_never_does(cast: make.Cast, item: QueueItem) -> None:
    mine = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    comments.reply(thread=mine.pk, text="No, ask @ruben or @otto.", actor=cast.ml_engineer)
    assert seen(item, cast.reviewer) == ["you", "Is 410 right?", "mila", "No, ask @ruben or @otto."]
    submit(item, cast.reviewer, cast.another_reviewer)
    assert seen(item, cast.another_reviewer) == [], "submitted, but the item is not done"
    done(item)
    assert seen(item, cast.another_reviewer) == [
        "a reviewer",
        "Is 410 right?",
        "mila",
        "No, ask @ruben or @otto.",
    ]
    comments.reply(thread=mine.pk, text="140, said the divers.", actor=cast.another_reviewer)
    assert seen(item, cast.reviewer)[-2:] == ["a reviewer", "140, said the divers."]
    assert "rita" not in str(panel(about=item, user=cast.another_reviewer))
    assert "ruben answered" not in str(told(cast.reviewer))
    assert told(cast.reviewer)[-1] == ("reply", "A reviewer answered in a conversation on “Old pier”.")


def test_who_is_named_by_a_manager_is_hidden_from_reviewers(cast: make.Cast, item: QueueItem) -> None:
    submit(item, cast.reviewer, cast.another_reviewer)
    done(item)
    thread = comments.open_thread(about=item, text="What did @ruben see, @rita?", actor=cast.ml_engineer)
    assert seen(item, cast.reviewer) == ["mila", "What did @somebody see, @rita?"]
    assert seen(item, cast.another_reviewer) == ["mila", "What did @ruben see, @somebody?"]
    assert told(cast.another_reviewer) == [("mention", "mila named you in a conversation on “Old pier”.")]
    assert Mention.objects.filter(comment__thread=thread).count() == 2


def test_a_manager_who_reviews_the_item_is_blind_until_it_is_done(cast: make.Cast, item: QueueItem) -> None:
    Assignment.objects.filter(item=item, reviewer=cast.another_reviewer).update(reviewer=cast.ml_engineer)
    comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    assert visibility.standing(user=cast.ml_engineer, about=item) is Standing.OWN
    assert seen(item, cast.ml_engineer) == []
    assert told(cast.ml_engineer) == []
    mine = comments.open_thread(about=item, text="Two stars, I think.", actor=cast.ml_engineer)
    assert seen(item, cast.reviewer) == ["you", "Is 410 right?"]
    assert seen(item, cast.administrator)[2] == "mila"
    submit(item, cast.reviewer, cast.ml_engineer)
    done(item)
    assert seen(item, cast.reviewer)[2:] == ["a reviewer", "Two stars, I think."], "said as a reviewer"
    assert visibility.standing(user=cast.ml_engineer, about=item) is Standing.MANAGER
    comments.resolve(thread=mine.pk, actor=cast.ml_engineer)
    shown = panel(about=item, user=cast.reviewer).threads[-1]
    assert (shown.resolved, shown.resolved_by) == (True, "a reviewer")


def test_a_manager_who_read_what_a_reviewer_thinks_gets_no_assignment_there(cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2, blind_to_peers=True)
    item = make.queue_item(in_queue=queue)
    sit(item, cast.reviewer)
    item = QueueItem.objects.select_related("queue", "summary__document").get(pk=item.pk)
    for manager in (cast.ml_engineer, cast.administrator):
        assert seen(item, manager) == [], "there is nothing to be influenced by yet"
    comments.open_thread(about=item, text="Two stars, I think.", actor=cast.reviewer)
    assert seen(item, cast.ml_engineer)[1] == "Two stars, I think."
    assert claims.hold(item=item, reviewer=cast.ml_engineer) is None
    assert claims.claim_next(queue=queue, reviewer=cast.ml_engineer) is None
    with pytest.raises(StaleState):
        take_back_skip(item=item, reviewer=cast.ml_engineer)
    assert seen(item, cast.ml_engineer)[1] == "Two stars, I think.", "she goes on reading"
    assert AuditEvent.objects.filter(action="item.step_aside", subject=f"queueitem:{item.pk}").count() == 1
    # who takes it first reads nothing of the others
    assert claims.claim_next(queue=queue, reviewer=cast.administrator) is not None
    assert seen(item, cast.administrator) == []


def test_disputed_and_flagged_items_stay_blind(cast: make.Cast, item: QueueItem) -> None:
    comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    submit(item, cast.reviewer, cast.another_reviewer)
    for state in (QueueItem.State.DISPUTED, QueueItem.State.FLAGGED):
        item.state = state
        item.save()
        assert seen(item, cast.another_reviewer) == []
    done(item)
    assert len(seen(item, cast.another_reviewer)) == 2
    item.state = QueueItem.State.OPEN
    item.save()
    assert seen(item, cast.another_reviewer) == [], "more reviews were wanted afterwards"


@pytest.mark.parametrize("who", ["approver", "operator", "stranger"])
def test_others_have_no_part_in_it(cast: make.Cast, item: QueueItem, who: str) -> None:
    person = getattr(cast, who)
    mine = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    with pytest.raises(NotFound):
        panel(about=item, user=person)
    with pytest.raises(NotAllowed):
        comments.open_thread(about=item, text="Hello", actor=person)
    for act in (
        lambda: comments.reply(thread=mine.pk, text="Hello", actor=person),
        lambda: comments.resolve(thread=mine.pk, actor=person),
    ):
        with pytest.raises(NotFound):
            act()


def test_only_those_who_work_on_a_blind_item_begin(cast: make.Cast, item: QueueItem) -> None:
    third = make.user("rosa", "reviewer")
    with pytest.raises(NotAllowed):
        comments.open_thread(about=item, text="Hello", actor=third)
    assert not panel(about=item, user=third).may_open
    item.queue.blind_to_peers = False
    assert panel(about=item, user=third).may_open


def test_where_a_queue_is_not_blind_reviewers_talk_by_name(cast: make.Cast, item: QueueItem) -> None:
    item.queue.blind_to_peers = False
    item.queue.save()
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    comments.reply(thread=thread.pk, text="No. @rita", actor=cast.another_reviewer)
    assert seen(item, cast.reviewer) == ["you", "Is 410 right?", "ruben", "No. @rita"]
    assert told(cast.reviewer) == [("mention", "ruben named you in a conversation on “Old pier”.")]


# ---------------------------------------------------------------- whom one may name


def test_nobody_learns_from_the_names_offered_who_else_reviews(cast: make.Cast, item: QueueItem) -> None:
    def offered(user: User) -> set[str]:
        place = visibility.standing(user=user, about=item)
        people = visibility.mentionable(user=user, about=item, standing=place)
        return set(people.values_list("username", flat=True))

    Assignment.objects.filter(item=item, reviewer=cast.another_reviewer).update(reviewer=cast.ml_engineer)
    assert offered(cast.reviewer) == {"mila", "alma"}
    assert offered(cast.administrator) == {"mila", "alma"}
    comments.open_thread(about=item, text="Hm. @mila @ruben @stan", actor=cast.reviewer)
    assert offered(cast.administrator) == {"mila", "alma", "rita"}
    assert set(Mention.objects.values_list("user__username", flat=True)) == {"mila"}
    assert told(cast.ml_engineer) == [], "she reviews the item herself"
    submit(item, cast.reviewer, cast.ml_engineer)
    done(item)
    assert offered(cast.reviewer) == {"mila", "alma"}
    cast.ml_engineer.is_active = False
    cast.ml_engineer.save()
    assert offered(cast.reviewer) == {"alma"}


# ---------------------------------------------------------------- what is written


def test_a_stretch_of_the_text_is_quoted_where_it_stands(cast: make.Cast, item: QueueItem) -> None:
    thread = comments.open_thread(
        about=item, text="Wrong.", span=Span("summary", "410  piles\nare"), actor=cast.reviewer
    )
    text = item.summary.text
    assert thread.quote == "410 piles are" == text[thread.start : thread.end]
    for span, field in (
        (Span("summary", "411 piles"), "quote"),
        (Span("elsewhere", "410 piles"), "side"),
        (Span("source", "  "), "quote"),
        (Span("source", "x" * 2001), "quote"),
    ):
        with pytest.raises(InvalidInput) as refused:
            comments.open_thread(about=item, text="Wrong.", span=span, actor=cast.reviewer)
        assert list(refused.value.fields) == [field]
    assert Thread.objects.count() == 1


def test_offsets_count_code_points_and_a_given_place_is_kept(cast: make.Cast, item: QueueItem) -> None:
    flags = make.summary(item.summary.document, "🇳🇴 ja 👩‍🚒 ja e\u0301ja")
    other = make.queue_item(flags, item.queue)
    sit(other, cast.reviewer)
    thread = comments.open_thread(
        about=other, text="?", span=Span("summary", "ja", start=flags.text.rindex("ja")), actor=cast.reviewer
    )
    assert thread.start == flags.text.rindex("ja")
    first = comments.open_thread(about=other, text="?", span=Span("summary", "👩‍🚒"), actor=cast.reviewer)
    assert flags.text[first.start : first.end] == "👩‍🚒"


def test_of_a_pair_no_summary_is_quoted(cast: make.Cast, item: QueueItem) -> None:
    item.other = make.summary(item.summary.document, "Another summary of the old pier.")
    item.save()
    with pytest.raises(InvalidInput) as refused:
        comments.open_thread(about=item, text="?", span=Span("summary", "410"), actor=cast.reviewer)
    assert list(refused.value.fields) == ["side"]


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b", "x" * 5001])
def test_a_comment_says_something_and_not_too_much(cast: make.Cast, item: QueueItem, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        comments.open_thread(about=item, text=text, actor=cast.reviewer)
    assert list(refused.value.fields) == ["text"]
    assert Thread.objects.count() == 0


def test_my_comment_can_be_changed_while_it_is_young_and_by_nobody_else(
    cast: make.Cast, item: QueueItem
) -> None:
    thread = comments.open_thread(about=item, text="@alma?", actor=cast.reviewer)
    comment = thread.comments.get()
    comments.edit_comment(comment=comment.pk, text="@mila?", actor=cast.reviewer)
    shown = panel(about=item, user=cast.ml_engineer).threads[0].comments[0]
    assert (shown.edited, shown.editable, shown.text) == (True, False, "")
    assert set(Mention.objects.values_list("user__username", flat=True)) == {"mila"}
    # mila may review too: not before she has left the item to others
    assert ("mention", "A reviewer named you in a conversation on “Old pier”.") in told(cast.ml_engineer)
    for person in (cast.ml_engineer, cast.another_reviewer):
        with pytest.raises(NotFound):
            comments.edit_comment(comment=comment.pk, text="Mine", actor=person)
    Comment.objects.filter(pk=comment.pk).update(at=timezone.now() - timedelta(minutes=16))
    with pytest.raises(Refused):
        comments.edit_comment(comment=comment.pk, text="Later", actor=cast.reviewer)
    assert AuditEvent.objects.filter(action="comment.edit").count() == 1


def test_resolved_conversations_rest_until_they_are_reopened(cast: make.Cast, item: QueueItem) -> None:
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    comments.resolve(thread=thread.pk, actor=cast.ml_engineer)
    assert told(cast.reviewer) == [("resolved", "mila resolved your conversation on “Old pier”.")]
    with pytest.raises(StaleState):
        comments.resolve(thread=thread.pk, actor=cast.reviewer)
    with pytest.raises(StaleState):
        comments.reply(thread=thread.pk, text="One more thing", actor=cast.reviewer)
    comments.reopen(thread=thread.pk, actor=cast.reviewer)
    comments.reply(thread=thread.pk, text="One more thing", actor=cast.reviewer)
    moves = (
        AuditEvent.objects.filter(subject=f"thread:{thread.pk}")
        .order_by("id")
        .values_list("action", flat=True)
    )
    assert list(moves) == ["thread.open", "thread.resolve", "thread.reopen"]


def test_managers_hear_of_a_question_and_those_who_take_part_of_each_answer(
    cast: make.Cast, item: QueueItem
) -> None:
    thread = comments.open_thread(about=item, text="Is 410 right?", actor=cast.reviewer)
    assert told(cast.ml_engineer) == [("question", "A reviewer began a conversation on “Old pier”.")]
    assert told(cast.reviewer) == told(cast.another_reviewer) == told(cast.approver) == []
    for text in ("No.", "It is 140."):
        comments.reply(thread=thread.pk, text=text, actor=cast.ml_engineer)
    row = Notification.objects.get(user=cast.reviewer)
    assert (row.kind, row.times, row.url) == ("reply", 2, f"/talk/{thread.pk}/")


def test_the_table_itself_refuses_a_thread_about_nothing_or_a_span_without_words(
    cast: make.Cast, item: QueueItem
) -> None:
    version = PromptVersion.objects.all()[0]
    wrong: list[dict[str, Any]] = [
        {},
        {"item": item, "prompt_version": version},
        {"item": item, "side": "summary"},
        {"item": item, "side": "summary", "start": 3, "end": 3, "quote": "x"},
        {"prompt_version": version, "side": "summary", "start": 0, "end": 1, "quote": "x"},
    ]
    for values in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Thread.objects.create(opened_by=cast.reviewer, **values)


# ---------------------------------------------------------------- prompts


def test_prompt_versions_are_talked_about_by_those_who_work_with_them(cast: make.Cast) -> None:
    version = PromptVersion.objects.select_related("prompt").get(prompt__name="news summary", number=1)
    thread = comments.open_thread(about=version, text="Numbers go missing, @mila.", actor=cast.reviewer)
    comments.reply(thread=thread.pk, text="I see.", actor=cast.ml_engineer)
    for person in (cast.another_reviewer, cast.approver, cast.operator):
        assert seen(version, person) == ["rita", "Numbers go missing, @mila.", "mila", "I see."]
    for person in (cast.approver, cast.operator):
        with pytest.raises(NotAllowed):
            comments.reply(thread=thread.pk, text="Hm.", actor=person)
        with pytest.raises(NotAllowed):
            comments.open_thread(about=version, text="Hm.", actor=person)
    with pytest.raises(NotAllowed):
        comments.resolve(thread=thread.pk, actor=cast.another_reviewer)
    with pytest.raises(NotFound):
        panel(about=version, user=cast.stranger)
    comments.resolve(thread=thread.pk, actor=cast.ml_engineer)
    with pytest.raises(InvalidInput):
        comments.open_thread(about=version, text="?", span=Span("summary", "x"), actor=cast.reviewer)


# ---------------------------------------------------------------- cost


def test_the_panel_asks_a_fixed_number_of_questions(
    cast: make.Cast, item: QueueItem, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        thread = comments.open_thread(about=item, text=f"Question {number}, @mila", actor=cast.reviewer)
        for _ in range(5):
            comments.reply(thread=thread.pk, text="@rita: yes", actor=cast.ml_engineer)
    for user in (cast.reviewer, cast.ml_engineer):
        panel(about=item, user=user)  # the first time it is noted who has read it
        fresh = User.objects.get(pk=user.pk)
        with django_assert_max_num_queries(10):  # three of them are Django's permissions
            assert len(panel(about=item, user=fresh).threads) == 6
