"""Talking about an item, a stretch of its texts, or a prompt version: threads, comments, mentions.

Who sees what is decided in `reviews.discussion.visibility`; here it is asked before anything is written or
anybody is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused, StaleState
from models_app.models import PromptVersion
from models_app.texts.normalise import normalise
from reviews.discussion import visibility
from reviews.discussion.mentions import named_in
from reviews.discussion.visibility import Standing, about_of, may_see, name_for, visible_thread
from reviews.models import Comment, Mention, Notification, QueueItem, Thread
from reviews.notifications.notices import notify
from reviews.queues.blindness import sees_answers

LONGEST_CHARACTERS = 5000
LONGEST_QUOTE = 2000
MOST_OPEN_THREADS = 50


@dataclass(frozen=True)
class Span:
    """A stretch that somebody marked. `start` in code points where it is known; else the quote is looked for."""

    side: str
    quote: str
    start: int | None = None


def open_thread(
    *, about: QueueItem | PromptVersion, text: str, span: Span | None = None, actor: User
) -> Thread:
    """Begin a conversation with its first comment. Managers are told of a reviewer's, writers of the prompt of theirs.

    Raises NotAllowed; InvalidInput at `text`, `side` or `quote`."""
    place = visibility.standing(user=actor, about=about)
    if not visibility.may_open(user=actor, about=about, standing=place):
        raise NotAllowed("Only those who work on this item, and managers of queues, talk about it.")
    text = _checked(text)
    found = _found(about, span) if span is not None else {}
    which = {"prompt_version": about} if isinstance(about, PromptVersion) else {"item": about}
    with transaction.atomic():
        open_ones = Thread.objects.filter(**which, opened_by=actor, resolved_at=None).count()
        if open_ones >= MOST_OPEN_THREADS:
            raise Refused(f"You have {open_ones} open conversations here. Resolve some of them first.")
        thread = Thread.objects.create(**which, **found, opened_by=actor)
        audit.record(
            actor=actor, action="thread.open", subject=thread, data={"about": audit.subject_of(about)}
        )
        _write(thread, text, actor, place, first=True)
    return thread


def reply(*, thread: int, text: str, actor: User) -> Comment:
    """Add to a conversation; a resolved one has to be reopened first. Raises NotFound where it is not seen."""
    row, place = visible_thread(pk=thread, user=actor)
    if place is Standing.READING:
        raise NotAllowed("Your role reads conversations about prompts, but takes no part in them.")
    text = _checked(text)
    with transaction.atomic():
        locked = Thread.objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
        if locked.resolved_at is not None:
            raise StaleState("This conversation was resolved meanwhile. Reopen it to write more.")
        return _write(row, text, actor, place)


def edit_comment(*, comment: int, text: str, actor: User) -> Comment:
    """Change my own comment within 15 minutes. Those who are newly named are told."""
    row = Comment.objects.select_related("thread").filter(pk=comment, author=actor).first()
    if row is None:
        raise NotFound("There is no such comment of yours.")
    thread, place = visible_thread(pk=row.thread_id, user=actor)
    text = _checked(text)
    with transaction.atomic():
        row = Comment.objects.select_for_update(of=("self",)).get(pk=row.pk)
        if timezone.now() - row.at >= visibility.EDITABLE:
            raise Refused(f"A comment can be changed for {_minutes()} minutes. Write another one.")
        if row.text == text:
            return row
        row.text, row.edited_at = text, timezone.now()
        row.save(update_fields=["text", "edited_at"])
        before = set(Mention.objects.filter(comment=row).values_list("user", flat=True))
        named = _named(thread, text, actor, place)
        Mention.objects.filter(comment=row).exclude(user__in=named).delete()
        fresh = [person for person in named if person.pk not in before]
        Mention.objects.bulk_create(Mention(comment=row, user=person) for person in fresh)
        audit.record(actor=actor, action="comment.edit", subject=thread, data={"comment": row.pk})
        _tell(thread, row, fresh, Notification.Kind.MENTION)
    return row


def resolve(*, thread: int, actor: User) -> Thread:
    return _set_resolved(thread, actor, resolved=True)


def reopen(*, thread: int, actor: User) -> Thread:
    return _set_resolved(thread, actor, resolved=False)


def _set_resolved(pk: int, actor: User, *, resolved: bool) -> Thread:
    thread, place = visible_thread(pk=pk, user=actor)
    if not visibility.may_resolve(thread=thread, user=actor, standing=place):
        raise NotAllowed("Only the person who began a conversation, or a manager, resolves and reopens it.")
    values = {"resolved_at": timezone.now() if resolved else None, "resolved_by": actor if resolved else None}
    with transaction.atomic():
        changed = Thread.objects.filter(pk=pk, resolved_at__isnull=resolved).update(**values)
        if not changed:
            raise StaleState(f"This conversation was {'resolved' if resolved else 'reopened'} meanwhile.")
        states = ("open", "resolved") if resolved else ("resolved", "open")
        audit.record(
            actor=actor, action="thread.resolve" if resolved else "thread.reopen", subject=thread,
            from_state=states[0], to_state=states[1],
        )  # fmt: skip
        if thread.opened_by_id != actor.pk and may_see(user=thread.opened_by, thread=thread):
            who = _called(actor, place is Standing.MANAGER, thread.opened_by, thread)
            done = "resolved" if resolved else "reopened"
            notify(
                user=thread.opened_by, kind=Notification.Kind.RESOLVED, url=_url(thread), subject=thread,
                text=f"{who} {done} your conversation on {_title(thread)}.",
            )  # fmt: skip
    thread.refresh_from_db(fields=["resolved_at", "resolved_by"])
    return thread


# ---------------------------------------------------------------- what is written


def _checked(text: str) -> str:
    text = normalise(text)
    if not text:
        raise InvalidInput("Nothing is written yet.", fields={"text": "Write something."})
    if len(text) > LONGEST_CHARACTERS:
        message = f"At most {LONGEST_CHARACTERS:,} characters."
        raise InvalidInput("The comment is too long.", fields={"text": message})
    return text


def _minutes() -> int:
    return int(visibility.EDITABLE / timedelta(minutes=1))


def _found(about: QueueItem | PromptVersion, span: Span) -> dict[str, str | int]:
    """Where the quote stands in the text it was marked in. A page may show line breaks as spaces."""
    if isinstance(about, PromptVersion) or span.side not in Thread.Side.values:
        raise InvalidInput("A stretch of which text?", fields={"side": "summary or source."})
    if span.side == Thread.Side.SUMMARY and about.other_id is not None:
        message = "Of two summaries side by side none can be quoted: it would tell which is which."
        raise InvalidInput(message, fields={"side": message})
    quote = span.quote.strip()
    if not quote or len(quote) > LONGEST_QUOTE:
        raise InvalidInput(
            "Select the words that it is about.", fields={"quote": f"1 to {LONGEST_QUOTE:,} characters."}
        )
    summary = about.summary
    text = summary.text if span.side == Thread.Side.SUMMARY else summary.document.text
    if span.start is not None and text[span.start : span.start + len(quote)] == quote:
        start, end = span.start, span.start + len(quote)
    else:
        match = re.search(r"\s+".join(re.escape(word) for word in quote.split()), text)
        if match is None:
            message = f"These words do not stand in the {span.side}."
            raise InvalidInput(message, fields={"quote": message})
        start, end = match.span()
    return {"side": span.side, "start": start, "end": end, "quote": text[start:end]}


def _write(thread: Thread, text: str, actor: User, place: Standing, *, first: bool = False) -> Comment:
    comment = Comment.objects.create(
        thread=thread, author=actor, text=text, by_manager=place is Standing.MANAGER
    )
    named = _named(thread, text, actor, place)
    Mention.objects.bulk_create(Mention(comment=comment, user=person) for person in named)
    _tell(thread, comment, named, Notification.Kind.MENTION)
    told = {person.pk for person in named}
    others = _awaiting(thread, place) if first else _taking_part(thread)
    kind = Notification.Kind.QUESTION if first else Notification.Kind.REPLY
    _tell(thread, comment, [person for person in others if person.pk not in told], kind)
    return comment


def _named(thread: Thread, text: str, actor: User, place: Standing) -> list[User]:
    spellings = named_in(text)
    if not spellings:
        return []
    people = visibility.mentionable(user=actor, about=about_of(thread), standing=place)
    return list(people.filter(username__in=spellings).exclude(pk=actor.pk).order_by("pk"))


# ---------------------------------------------------------------- who is told


def _awaiting(thread: Thread, place: Standing) -> Iterable[User]:
    """Who should hear of a new conversation: managers of a reviewer's, the writers of a prompt of one about it."""
    if thread.prompt_version is not None:
        writers = {thread.prompt_version.created_by_id, *thread.prompt_version.authors}
        return User.objects.filter(pk__in=writers - {None})
    return [] if place is Standing.MANAGER else visibility.managers(about_of(thread))


def _taking_part(thread: Thread) -> Iterable[User]:
    writers = Comment.objects.filter(thread=thread).values("author")
    return User.objects.filter(pk__in=writers).order_by("pk")


def _tell(thread: Thread, comment: Comment, people: Iterable[User], kind: Notification.Kind) -> None:
    """Only those who may see the conversation, each with the names that they may know."""
    does = {
        Notification.Kind.MENTION: "named you in a conversation on",
        Notification.Kind.QUESTION: "began a conversation on",
        Notification.Kind.REPLY: "answered in a conversation on",
    }[kind]
    for person in people:
        if person.pk != comment.author_id and may_see(user=person, thread=thread):
            who = _called(comment.author, comment.by_manager, person, thread)
            notify(
                user=person,
                kind=kind,
                url=_url(thread),
                subject=thread,
                text=f"{who} {does} {_title(thread)}.",
            )


def _called(writer: User, by_manager: bool, reader: User, thread: Thread) -> str:
    about = about_of(thread)
    place = visibility.standing(user=reader, about=about)
    if isinstance(about, QueueItem) and not sees_answers(item=about, reader=reader):
        place = (
            Standing.OWN
        )  # a notification comes unasked: it must not tell a manager who may review who does
    name = name_for(writer=writer, by_manager=by_manager, reader=reader, standing=place)
    return "A reviewer" if name == visibility.SOMEBODY else name


def _title(thread: Thread) -> str:
    if thread.prompt_version is not None:
        return str(thread.prompt_version)
    assert thread.item is not None  # nosec B101 (a constraint of the table)
    return f"“{thread.item.summary.document}”"


def _url(thread: Thread) -> str:
    return reverse("talk_thread", args=[thread.pk])
