"""What a page, a fragment or the API shows of the conversations about one thing, made for its reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from models_app.foundation.errors import NotFound
from models_app.models import PromptVersion
from reviews.discussion.mentions import Piece, pieces
from reviews.discussion.visibility import (
    EDITABLE,
    SOMEBODY,
    Standing,
    about_of,
    left_to_others,
    may_open,
    may_resolve,
    name_for,
    read,
    standing,
    threads_of,
    visible_thread,
)
from reviews.models import Comment, QueueItem, Thread

# ---------------------------------------------------------------- what the panel shows


@dataclass(frozen=True)
class CommentShown:
    pk: int
    who: str
    mine: bool
    pieces: list[Piece]
    text: str  # for editing, where it is mine
    at: datetime
    edited: bool
    editable: bool

    @property
    def form(self) -> str:
        return f"comment-{self.pk}-text"


@dataclass(frozen=True)
class ThreadShown:
    pk: int
    side: str
    quote: str
    start: int | None
    end: int | None
    comments: list[CommentShown]
    resolved: bool
    resolved_by: str
    resolved_at: datetime | None
    may_reply: bool
    may_resolve: bool

    @property
    def reply_form(self) -> str:
        return f"reply-{self.pk}-text"


@dataclass(frozen=True)
class Panel:
    """Everything a page says about the conversations on one thing, for one person."""

    url: str
    people_url: str
    threads: list[ThreadShown]
    may_open: bool
    standing: Standing
    item: QueueItem | None
    version: PromptVersion | None

    @property
    def open_count(self) -> int:
        return sum(not thread.resolved for thread in self.threads)

    @property
    def rule(self) -> str:
        """Who reads what is written here."""
        if self.version is not None:
            return "Everybody who sees prompts reads this."
        if self.standing is Standing.OWN:
            return (
                "This queue is blind: only you and its managers read this. Once the item is done its other "
                "reviewers do too, without your name."
            )
        if self.standing is Standing.UNNAMED:
            return (
                "This item is done: its reviewers and the managers read this; reviewers' names stay hidden."
            )
        if self.standing is Standing.MANAGER and self.item is not None and self.item.queue.blind_to_peers:
            return (
                "This queue is blind: each conversation is between the person who began it and the managers, until "
                "the item is done. Write nothing that tells one reviewer about another. If you read here what "
                "somebody else began, you are not asked to review this item."
            )
        return "Every reviewer reads this."


@dataclass(frozen=True)
class Drawer:
    """For pages that show the panel only when it is opened."""

    url: str
    open_count: int


def drawer(*, item: QueueItem, user: User) -> Drawer:
    """At most 4 queries."""
    place = standing(user=user, about=item)
    waiting = threads_of(user=user, about=item, standing=place).filter(resolved_at=None)
    return Drawer(reverse("talk_item", args=[item.pk]), waiting.count())


def panel(*, about: QueueItem | PromptVersion, user: User) -> Panel:
    """At most 9 queries, however long the conversations are, but for the first time. As `read`, raises NotFound."""
    place, rows = read(user=user, about=about)
    about_prompt = isinstance(about, PromptVersion)
    url = reverse("talk_prompt" if about_prompt else "talk_item", args=[about.pk])
    return Panel(
        url=url,
        people_url=f"{url}people/",
        threads=shown_threads(threads=list(rows), user=user, standing=place),
        may_open=may_open(user=user, about=about, standing=place),
        standing=place,
        item=None if isinstance(about, PromptVersion) else about,
        version=about if isinstance(about, PromptVersion) else None,
    )


def shown_threads(*, threads: Sequence[Thread], user: User, standing: Standing) -> list[ThreadShown]:
    """3 queries, however many and however long they are."""
    comments: dict[int, list[Comment]] = {}
    for comment in (
        Comment.objects.filter(thread__in=threads)
        .select_related("author")
        .prefetch_related("mentions__user")
        .order_by("pk")
    ):
        comments.setdefault(comment.thread_id, []).append(comment)
    return [_thread(thread, comments.get(thread.pk, []), user, standing) for thread in threads]


def read_thread(*, pk: int, user: User) -> ThreadShown:
    """As `read`. Raises NotFound also where there is one that this person may not see."""
    thread, place = visible_thread(pk=pk, user=user)
    if thread.item is not None and thread.opened_by_id != user.pk:  # one's own tells nothing of others
        place = left_to_others(user, thread.item, place)
        if place is Standing.OWN:
            raise NotFound("There is no such conversation, or it is not yours to see.")
    return shown_threads(threads=[thread], user=user, standing=place)[0]


def _thread(thread: Thread, comments: Sequence[Comment], user: User, place: Standing) -> ThreadShown:
    return ThreadShown(
        pk=thread.pk,
        side=thread.side,
        quote=thread.quote,
        start=thread.start,
        end=thread.end,
        comments=[_comment(comment, user, place) for comment in comments],
        resolved=thread.resolved_at is not None,
        resolved_by=_resolver(thread, user, place),
        resolved_at=thread.resolved_at,
        may_reply=place is not Standing.READING,
        may_resolve=may_resolve(thread=thread, user=user, standing=place),
    )


def _resolver(thread: Thread, user: User, place: Standing) -> str:
    if thread.resolved_by is None:
        return ""
    if thread.resolved_by_id == user.pk:
        return "you"
    # only its opener and managers can resolve; a manager who opened it as a reviewer stays unnamed
    hidden = not place.sees_names and thread.resolved_by_id == thread.opened_by_id
    return SOMEBODY if hidden else thread.resolved_by.get_username()


def shown_comment(*, comment: Comment, user: User) -> CommentShown:
    return _comment(comment, user, standing(user=user, about=about_of(comment.thread)))


def _comment(comment: Comment, user: User, place: Standing) -> CommentShown:
    mine = comment.author_id == user.pk
    names = {mention.user.get_username(): mention.user_id for mention in comment.mentions.all()}
    shown = pieces(comment.text, names)
    if not mine and not place.sees_names:
        hidden = {name for name, pk in names.items() if pk != user.pk}
        shown = [Piece("@somebody", "somebody") if piece.name in hidden else piece for piece in shown]
    return CommentShown(
        pk=comment.pk,
        who=name_for(writer=comment.author, by_manager=comment.by_manager, reader=user, standing=place),
        mine=mine,
        pieces=shown,
        text=comment.text if mine else "",
        at=comment.at,
        edited=comment.edited_at is not None,
        editable=mine and timezone.now() - comment.at < EDITABLE,
    )
