"""Making and changing review queues, and new versions of the rubric."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.text import slugify

from models_app.foundation import audit, jobs, locks
from models_app.foundation.errors import InvalidInput
from models_app.foundation.roles import require
from models_app.models import Job
from models_app.texts.needs import Between, OneOf, mistakes, needs_of
from models_app.texts.normalise import normalise, one_line
from reviews.models import Criterion, ReviewQueue, RubricVersion
from reviews.models.answers import POINTS
from reviews.models.queues import LEASE_MINUTES, OVERLAP_PERCENT, REVIEWS_PER_ITEM
from reviews.queues.assignments import fit_assignments, own_queue
from reviews.queues.statements import Rearranged

AT_ONCE = 5000  # items
_MOVING = ("reviews_per_item", "overlap_percent", "order")
_RUBRIC_LOCK = 0x2B1C
_RESERVED = ("new", "rubrics", "item", "my")  # pages of their own stand at these addresses


@dataclass(frozen=True)
class QueueSettings:
    """What can be set on a queue. `rubric` is the number of a version."""

    name: Annotated[str, Between(1, ReviewQueue.LONGEST_NAME_CHARACTERS)]
    rubric: int
    description: Annotated[str, Between(0, ReviewQueue.LONGEST_DESCRIPTION_CHARACTERS)] = ""
    kind: Annotated[str, OneOf(ReviewQueue.Kind.values)] = ReviewQueue.Kind.RATE_AND_EDIT
    reviews_per_item: Annotated[int, Between(*REVIEWS_PER_ITEM)] = 1
    overlap_percent: Annotated[int, Between(*OVERLAP_PERCENT)] = 100
    lease_minutes: Annotated[int, Between(*LEASE_MINUTES)] = 30
    order: Annotated[str, OneOf(ReviewQueue.Order.values)] = ReviewQueue.Order.PRIORITY
    blind_to_peers: bool = True
    blind_to_model: bool = True
    calibration: bool = False
    active: bool = True

    @staticmethod
    def of(queue: ReviewQueue) -> QueueSettings:
        names = [name for name in QueueSettings.__dataclass_fields__ if name != "rubric"]
        return QueueSettings(rubric=queue.rubric.number, **{name: getattr(queue, name) for name in names})


@dataclass(frozen=True)
class Question:
    """One criterion of a new rubric version; `anchors` word the five points from 1 to 5."""

    name: Annotated[
        str,
        Between(
            1,
            Criterion.LONGEST_NAME_CHARACTERS,
            said=f"A name of 1 to {Criterion.LONGEST_NAME_CHARACTERS} characters, with letters or digits.",
        ),
    ]
    question: Annotated[
        str,
        Between(
            1, Criterion.LONGEST_QUESTION_CHARACTERS,
            said=f"The question in 1 to {Criterion.LONGEST_QUESTION_CHARACTERS} characters.",
        ),
    ]  # fmt: skip
    anchors: Sequence[str]
    key: str = ""


def create_queue(*, settings: QueueSettings, slug: str = "", actor: Any | None) -> ReviewQueue:
    """An empty queue; without a `slug` its address is made from its name."""
    require(actor, "manage_queues")
    values = _checked(settings)
    slug = slug or _address(values["name"])
    if not slug:
        raise InvalidInput(
            "The queue needs a name.", fields={"name": "With letters or digits; its address is made of it."}
        )
    try:
        with transaction.atomic():
            queue = ReviewQueue.objects.create(slug=slug, **values)
            audit.record(actor=actor, action="queue.create", subject=queue, data=asdict(settings))
    except IntegrityError as error:
        raise _taken() from error
    return queue


def _address(name: str) -> str:
    """Of the name, with a number where a queue that is called otherwise by now has kept it; empty if no letter fits."""
    slug = slugify(name)[:50]
    if slug in _RESERVED:
        slug = f"{slug}-queue"
    taken = set(ReviewQueue.objects.filter(slug__startswith=slug).values_list("slug", flat=True))
    numbered = (f"{slug}-{number}" for number in itertools.count(2))
    return slug if slug not in taken else next(one for one in numbered if one not in taken)


def change_queue(*, queue: ReviewQueue, settings: QueueSettings, actor: Any | None) -> Rearranged:
    """Change a queue while people work in it, and bring all its items in step, in one transaction.

    More reviews an item: items get assignments and finished ones open again. Fewer: free assignments go, assignments
    that somebody holds or has answered from stay, and items that have enough are done. Reviews begun keep the rubric
    they began with."""
    require(actor, "manage_queues")
    values = _checked(settings)
    try:
        with transaction.atomic():
            own_queue(queue.pk)
            locked = (
                ReviewQueue.objects.select_for_update(of=("self",), no_key=True)
                .select_related("rubric")
                .get(pk=queue.pk)
            )
            before, after = asdict(QueueSettings.of(locked)), asdict(settings)
            changes = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
            if "kind" in changes and locked.items.exists():
                raise InvalidInput(
                    "A queue with items keeps its kind.", fields={"kind": "Make another queue for it."}
                )
            for name, value in values.items():
                setattr(locked, name, value)
            locked.save(update_fields=list(values))
            moved = Rearranged(0, 0, 0, ())
            if changes.keys() & set(_MOVING):
                moved = fit_assignments(queue=locked)
                _look_for_disputes_later(locked, moved.closed)
            if changes:
                audit.record(
                    actor=actor, action="queue.change", subject=locked,
                    data={**changes, "moved": {**asdict(moved), "closed": len(moved.closed)}},
                )  # fmt: skip
    except IntegrityError as error:
        raise _taken() from error
    queue.refresh_from_db()
    return moved


def change_queue_or_later(*, queue: ReviewQueue, settings: QueueSettings, actor: User) -> Rearranged | Job:
    """`change_queue` at once, or by the queue's worker where so many items have to be brought in step that nobody
    should wait for it at a page. Either way a claim that comes meanwhile waits until it is through."""
    require(actor, "manage_queues")
    _checked(settings)
    before = QueueSettings.of(queue)
    moves = any(getattr(before, name) != getattr(settings, name) for name in _MOVING)
    if not moves or not queue.items.order_by("pk")[AT_ONCE : AT_ONCE + 1].exists():
        return change_queue(queue=queue, settings=settings, actor=actor)
    return jobs.enqueue(
        kind="change_queue", actor=actor, subject=f"reviewqueue:{queue.pk}", unique_key=f"change_queue:{queue.pk}",
        payload={"queue": queue.pk, "settings": asdict(settings), "actor": actor.pk},
    )  # fmt: skip


def _look_for_disputes_later(queue: ReviewQueue, closed: Sequence[int]) -> None:
    """Items that are done by the change alone: their last reviewer did not bring up that they differ."""
    if closed and queue.kind in ReviewQueue.AT_DESK:
        jobs.enqueue(
            kind="look_for_disputes",
            actor=None,
            subject=f"reviewqueue:{queue.pk}",
            payload={"items": list(closed)},
        )


def create_rubric_version(
    *, instructions: str, questions: Sequence[Question], actor: Any | None
) -> RubricVersion:
    """The next version of the questions. Queues go on asking the version they have until they are changed."""
    require(actor, "manage_queues")
    instructions = normalise(instructions)
    criteria = _checked_questions(instructions, questions)
    with transaction.atomic():
        locks.alone(_RUBRIC_LOCK)  # two at once must not want the same number
        last = RubricVersion.objects.aggregate(last=Max("number"))["last"] or 0
        rubric = RubricVersion.objects.create(number=last + 1, instructions=instructions)
        Criterion.objects.bulk_create(
            Criterion(rubric=rubric, position=position, **values) for position, values in enumerate(criteria)
        )
        audit.record(
            actor=actor, action="rubric.create", subject=rubric,
            data={"number": rubric.number, "criteria": [values["key"] for values in criteria]},
        )  # fmt: skip
    return rubric


def _taken() -> InvalidInput:
    return InvalidInput(
        "There is a queue of this name already.", fields={"name": "There is a queue of this name already."}
    )


def _checked(settings: QueueSettings) -> dict[str, Any]:
    """The columns to write. Raises InvalidInput naming each field that is wrong."""
    tidy = replace(settings, name=one_line(settings.name), description=one_line(settings.description))
    wrong = mistakes(tidy)
    rubric = RubricVersion.objects.filter(number=settings.rubric).first()
    if rubric is None:
        wrong["rubric"] = f"There is no rubric version {settings.rubric}."
    if wrong:
        raise InvalidInput("The queue cannot be set like this.", fields=wrong)
    return {**asdict(tidy), "rubric": rubric}


def _checked_questions(instructions: str, questions: Sequence[Question]) -> list[dict[str, Any]]:
    wrong = {}
    if len(instructions) > RubricVersion.LONGEST_INSTRUCTIONS_CHARACTERS:
        wrong["instructions"] = f"At most {RubricVersion.LONGEST_INSTRUCTIONS_CHARACTERS:,} characters."
    if not 1 <= len(questions) <= RubricVersion.MOST_CRITERIA:
        wrong["questions"] = f"From 1 to {RubricVersion.MOST_CRITERIA} questions."
    criteria: list[dict[str, Any]] = []
    for place, given in enumerate(questions):
        question = replace(given, name=one_line(given.name), question=one_line(given.question))
        anchors = [one_line(anchor) for anchor in question.anchors]
        key = question.key or slugify(question.name)[:40]
        wrong |= {f"{name}-{place}": words for name, words in mistakes(question).items()}
        if not key:
            wrong[f"name-{place}"] = needs_of(Question)["name"].words
        elif key in {values["key"] for values in criteria}:
            wrong.setdefault(f"name-{place}", "Two questions have the same name.")
        longest = Criterion.LONGEST_ANCHOR_CHARACTERS
        if len(anchors) != len(POINTS) or not all(1 <= len(anchor) <= longest for anchor in anchors):
            wrong[f"anchors-{place}"] = (
                f"Word each of the {len(POINTS)} points, in at most {longest} characters."
            )
        criteria.append(
            {"key": key, "name": question.name, "question": question.question, "anchors": anchors}
        )
    if wrong:
        raise InvalidInput("The rubric is not whole.", fields=wrong)
    return criteria
