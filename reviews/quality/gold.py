"""Gold items: summaries whose right answer is known, to see how well somebody rates and to learn rating from.

They come unannounced, as a share of each reviewer's work in a queue, or all together in a calibration round, where each
answer is explained right after it was given. What counts is the answer that was submitted first: the explanation can be
read from then on, so neither an undo nor a correction changes it. Nothing is learnt from reviews of gold items, and
they count in no agreement of reviewers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.text import slugify

from models_app.evaluation.statistics import wilson_interval
from models_app.foundation import audit
from models_app.foundation.errors import GalleyError, InvalidInput, NotFound, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.texts.normalise import normalise, one_line
from reviews.models import (
    Adjudication,
    Assignment,
    GoldAnswer,
    QueueItem,
    Review,
    ReviewQueue,
    RubricVersion,
    Skip,
    Summary,
)
from reviews.models.queues import GOLD_PERCENT
from reviews.quality.statements import gold_figures
from reviews.queues.grounding import link
from reviews.queues.rubrics import left_open

PERCENT_WORDS = f"From {GOLD_PERCENT[0]} to {GOLD_PERCENT[1]} per cent."
MOST_TOLERANCE = 2
BLOCK = 100
STARS, VERDICT = "stars", "verdict"


@dataclass(frozen=True)
class Known:
    """The right answer. `tolerance` is how many points off still count as right."""

    stars: int | None
    verdict: str
    ratings: Mapping[str, int] = field(default_factory=dict)
    tolerance: int = 1
    explanation: str = ""


# ---------------------------------------------------------------- what is gold


def mark_gold(*, summary: Summary, rubric: RubricVersion, known: Known, actor: User) -> GoldAnswer:
    """Make a summary gold by this version of the questions. One that was retired gets the new answer.

    Refused while reviews of it are still wanted: they would be judged before they are done, or taught from gold.
    """
    require(actor, "manage_queues")
    values = _checked(rubric, known)
    with transaction.atomic():
        Summary.objects.select_for_update(no_key=True).get(pk=summary.pk)
        if why := objection(summary):
            raise why
        gold, _ = GoldAnswer.objects.update_or_create(
            summary=summary,
            defaults={**values, "rubric": rubric, "created_by": actor, "active": True},
        )
        link(summaries=[summary.pk])  # lacking what other items have would give it away
        audit.record(actor=actor, action="gold.mark", subject=gold, to_state="active",
                     data={"summary": summary.pk, **{key: values[key] for key in ("stars", "verdict", "ratings")}},
                     reason=values["explanation"][:300])  # fmt: skip
    return gold


def objection(summary: Summary) -> GalleyError | None:
    """Why this summary cannot be made gold now."""
    if GoldAnswer.objects.filter(summary=summary, active=True).exists():
        return StaleState("This summary is gold already. Retire it first to give another answer.")
    waits = QueueItem.objects.filter(summary=summary, state__in=["open", "disputed"]).exclude(
        reason=QueueItem.Reason.GOLD
    )
    if waits.exists():
        return Refused(
            "Reviews of this summary are still wanted. Mark it once they are in and no dispute is left.",
            code="waits",
        )
    return None


def _checked(rubric: RubricVersion, known: Known) -> dict[str, Any]:
    explanation = normalise(known.explanation)
    wrong = left_open(
        rubric.pk, stars=known.stars, verdict=known.verdict, ratings=known.ratings, explanation=explanation,
        why="Say why. Reviewers read it after they answer.",
    )  # fmt: skip
    if not 0 <= known.tolerance <= MOST_TOLERANCE:
        wrong["tolerance"] = f"From 0 to {MOST_TOLERANCE} points."
    if wrong:
        raise InvalidInput("Something is missing before this can be gold.", fields=wrong)
    return {
        "stars": known.stars, "verdict": known.verdict, "ratings": dict(known.ratings), "tolerance": known.tolerance,
        "explanation": explanation,
    }  # fmt: skip


def retire_gold(*, gold: GoldAnswer, reason: str, actor: User) -> None:
    """Give it to nobody any more; what was answered to it no longer counts. Assignments that nobody has taken go."""
    require(actor, "manage_queues")
    reason = one_line(reason)
    if not reason:
        raise InvalidInput("Say why it is retired.", fields={"reason": "It is kept in the audit trail."})
    with transaction.atomic():
        if not GoldAnswer.objects.filter(pk=gold.pk, active=True).update(active=False):
            raise StaleState("This gold item has been retired already.")
        items = QueueItem.objects.filter(summary=gold.summary_id, reason=QueueItem.Reason.GOLD)
        Assignment.objects.filter(item__in=items, state=Assignment.State.FREE).delete()
        items.filter(state="open").exclude(assignments__state="held").update(state="done")
        audit.record(
            actor=actor, action="gold.retire", subject=gold, from_state="active", to_state="retired",
            reason=reason[: audit.LONGEST_REASON],
        )  # fmt: skip


# ---------------------------------------------------------------- unannounced, as a share of a reviewer's work


def set_gold_percent(*, queue: ReviewQueue, percent: int, actor: Any | None) -> None:
    require(actor, "manage_queues")
    least, most = GOLD_PERCENT
    if not least <= percent <= most:
        raise InvalidInput("That is too large a share.", fields={"percent": PERCENT_WORDS})
    if queue.calibration and percent:
        raise Refused("A calibration round is all gold.")
    with transaction.atomic():
        if ReviewQueue.objects.filter(pk=queue.pk).exclude(gold_percent=percent).update(gold_percent=percent):
            audit.record(actor=actor, action="queue.gold_percent", subject=queue, data={"percent": percent})


def is_turn(place: int, percent: int, seed: str) -> bool:
    """Whether the item at this place of somebody's work is a gold one: `percent` of each hundred, at places that the
    seed scatters, so that nobody can count them out. The same seed gives the same places."""
    block, within = divmod(place, BLOCK)
    places = sorted(range(BLOCK), key=lambda at: hashlib.sha256(f"{seed}:{block}:{at}".encode()).digest())
    return within in places[:percent]


def due(*, queue: ReviewQueue, reviewer: User) -> QueueItem | None:
    """The gold item that this reviewer gets next in this queue, with a free assignment; None where it is not its turn
    or none is left. To be called in the transaction of the claim, one claim of a person after another.

    Nobody gets one twice, nor one that they answered, wrote, resolved or skipped. It looks like any other item.
    """
    if not queue.gold_percent:
        return None
    place = Assignment.objects.filter(queue=queue, reviewer=reviewer).count()
    if not is_turn(place, queue.gold_percent, f"{queue.pk}:{reviewer.pk}"):
        return None
    left = list(
        _open_to(reviewer)
        .filter(rubric=queue.rubric_id)
        .exclude(
            Exists(
                QueueItem.objects.filter(queue=queue, summary=OuterRef("summary")).exclude(
                    reason=QueueItem.Reason.GOLD
                )
            )
        )
        .values_list("pk", "summary")
    )
    if not left:
        return None
    _, summary = min(left, key=lambda row: hashlib.sha256(f"{row[0]}:{reviewer.pk}".encode()).digest())
    QueueItem.objects.bulk_create(
        [QueueItem(queue=queue, summary_id=summary, reason=QueueItem.Reason.GOLD)], ignore_conflicts=True
    )
    item = QueueItem.objects.locked().get(queue=queue, summary=summary, other=None)
    if item.state != QueueItem.State.OPEN:
        QueueItem.objects.filter(pk=item.pk).update(state="open")
    if not Assignment.objects.filter(item=item, state="free", assigned_to=None).exists():
        _assignment(item)
    return QueueItem.objects.select_related("queue", "summary").get(pk=item.pk)


def _assignment(item: QueueItem, person: User | None = None) -> None:
    """One more assignment at an item that is locked."""
    last = (
        Assignment.objects.filter(item=item).order_by("-position").values_list("position", flat=True).first()
    )
    position = 0 if last is None else last + 1
    Assignment.objects.create(item=item, queue_id=item.queue_id, position=position, assigned_to=person)


def _open_to(reviewer: User) -> QuerySet[GoldAnswer]:
    """Gold that somebody can be asked: not their own, and nothing they have seen."""
    same = OuterRef("summary")
    return GoldAnswer.objects.filter(active=True).exclude(
        Q(created_by=reviewer)
        | Exists(Review.objects.filter(summary=same, reviewer=reviewer))
        | Exists(Assignment.objects.filter(item__summary=same, reviewer=reviewer))
        | Exists(Skip.objects.filter(item__summary=same, reviewer=reviewer))
        | Exists(Adjudication.objects.filter(item__summary=same, adjudicator=reviewer))
    )


# ---------------------------------------------------------------- a calibration round


def start_round(
    *, name: str, golds: Sequence[GoldAnswer], reviewers: Sequence[User], actor: User
) -> ReviewQueue:
    """A queue of these gold items with an assignment for each of these people, where each answer is explained once
    given."""
    require(actor, "manage_queues")
    name = one_line(name)[:100]
    slug = slugify(name)[:60]
    wrong = {}
    if not slug:
        wrong["name"] = "Name the round."
    elif ReviewQueue.objects.filter(Q(name=name) | Q(slug=slug)).exists():
        wrong["name"] = "There is a queue of that name already."
    if not golds:
        wrong["golds"] = "Choose at least one gold item."
    elif len({gold.rubric_id for gold in golds}) > 1:
        wrong["golds"] = "These items answer different versions of the questions; choose those of one."
    elif any(not gold.active for gold in golds):
        wrong["golds"] = "One of them has been retired."
    if not reviewers:
        wrong["reviewers"] = "Choose at least one person."
    elif not all(allowed(person, "review") for person in reviewers):
        wrong["reviewers"] = "One of them is not a reviewer."
    if wrong:
        raise InvalidInput("This round cannot be started yet.", fields=wrong)
    with transaction.atomic():
        queue = ReviewQueue.objects.create(
            name=name, slug=slug, calibration=True, rubric_id=golds[0].rubric_id, order=ReviewQueue.Order.OLDEST,
            description="A calibration round: each answer is explained as soon as you have given yours. "
            "Your first answer counts.",
        )  # fmt: skip
        for gold in golds:
            QueueItem.objects.create(queue=queue, summary_id=gold.summary_id, reason=QueueItem.Reason.GOLD)
        assignments = sum(_invite(queue, person) for person in reviewers)
        if not assignments:
            raise Refused("Each of these people knows all of these items already.", code="known")
        audit.record(
            actor=actor, action="gold.start_round", subject=queue,
            data={
                "golds": [gold.pk for gold in golds], "reviewers": [person.pk for person in reviewers],
                "assignments": assignments,
            },
        )  # fmt: skip
    return queue


def invite(*, queue: ReviewQueue, reviewer: User, actor: User) -> int:
    """An assignment at each item of a round that this person does not know yet; how many there were."""
    require(actor, "manage_queues")
    if not queue.calibration:
        raise Refused("That queue is no calibration round.")
    if not allowed(reviewer, "review"):
        raise InvalidInput("That person is not a reviewer.", fields={"reviewer": "Choose a reviewer."})
    with transaction.atomic():
        assignments = _invite(queue, reviewer)
        if not assignments:
            raise Refused(
                "That person has an assignment at each of these items, or knows them already.", code="known"
            )
        audit.record(
            actor=actor,
            action="gold.invite",
            subject=queue,
            data={"reviewer": reviewer.pk, "assignments": assignments},
        )
    return assignments


def _invite(queue: ReviewQueue, reviewer: User) -> int:
    known = set(_open_to(reviewer).values_list("summary", flat=True))
    items = QueueItem.objects.locked().filter(queue=queue).order_by("pk")
    seated = set(Assignment.objects.filter(queue=queue, assigned_to=reviewer).values_list("item", flat=True))
    assignments = 0
    for item in items:
        if item.summary_id in known and item.pk not in seated:
            QueueItem.objects.filter(pk=item.pk).exclude(state="open").update(state="open")
            _assignment(item, reviewer)
            assignments += 1
    return assignments


# ---------------------------------------------------------------- how well it was answered


@dataclass(frozen=True)
class Judged:
    """One question: what was answered, what is right, and whether it is within the tolerance."""

    key: str
    given: int | str
    right: int | str
    holds: bool


@dataclass(frozen=True)
class Explained:
    """My answer to a gold item, as I submitted it first, beside the right one."""

    review: Review
    gold: GoldAnswer
    questions: list[Judged]
    submitted_again: bool

    @property
    def right(self) -> int:
        return sum(question.holds for question in self.questions)


def judge(gold: GoldAnswer, answer: Mapping[str, Any]) -> list[Judged]:
    """An answer as it was submitted (a revision's data) against the gold one. A verdict next to the right one counts
    as right where a point off does."""
    places = (Review.VERDICTS.index(answer[VERDICT]), Review.VERDICTS.index(gold.verdict))
    found = [
        Judged(key, answer["ratings"][key], right, abs(answer["ratings"][key] - right) <= gold.tolerance)
        for key, right in gold.ratings.items()
        if key in answer["ratings"]
    ]
    found.append(
        Judged(VERDICT, answer[VERDICT], gold.verdict, abs(places[0] - places[1]) <= min(gold.tolerance, 1))
    )
    found.append(Judged(STARS, answer[STARS], gold.stars, abs(answer[STARS] - gold.stars) <= gold.tolerance))
    return found


def explained(*, review_id: int, reviewer: User) -> Explained:
    """My own answer to a gold item, once it is submitted. Raises NotFound for anything else, whatever it is: nobody
    learns from this which items are gold."""
    require(reviewer, "review")
    review = (
        Review.objects.select_related("summary__document", "summary__gold", "item__queue")
        .filter(
            pk=review_id, reviewer=reviewer, state="submitted", item__reason=QueueItem.Reason.GOLD,
            summary__gold__active=True,
        )
        .first()
    )  # fmt: skip
    if review is None:
        raise NotFound("There is no answer of yours to a gold item here.")
    return _explained(review)


def _explained(review: Review) -> Explained:
    first, *later = sorted(review.revisions.all(), key=lambda revision: revision.number)
    gold = review.summary.gold
    return Explained(review, gold, judge(gold, first.data), bool(later))


def my_answers(reviewer: User, limit: int = 50) -> list[Explained]:
    """My answers to gold items, the latest first. 2 queries."""
    reviews = (
        Review.objects.select_related("summary__document", "summary__gold", "item__queue")
        .prefetch_related("revisions")
        .filter(reviewer=reviewer, state="submitted", item__reason=QueueItem.Reason.GOLD, summary__gold__active=True)
        .order_by("-submitted_at")[:limit]
    )  # fmt: skip
    return [_explained(review) for review in reviews]


@dataclass(frozen=True)
class Share:
    """How many of `n` answers to one question were right, with the 95 % interval (Wilson 1927)."""

    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.n)


def results(*, reviewer: User | None = None) -> dict[int, dict[str, Share]]:
    """By reviewer and question: the share of right answers to gold items that are active. 1 query."""
    found: dict[int, dict[str, Share]] = {}
    for row in gold_figures(reviewer=reviewer.pk if reviewer else None):
        found.setdefault(row.reviewer, {})[row.question] = Share(row.right, row.answers)
    return found


def gold_rows() -> QuerySet[GoldAnswer]:
    """Active ones first, with `answers`: how many people answered each."""
    answered = Q(summary__reviews__state="submitted", summary__reviews__item__reason=QueueItem.Reason.GOLD)
    return (
        GoldAnswer.objects.select_related("summary__document", "created_by", "rubric")
        .defer("summary__document__text", "summary__document__reference")
        .annotate(answers=Count("summary__reviews", filter=answered))
        .order_by("-active", "-pk")
    )


@dataclass(frozen=True)
class RoundRow:
    """A calibration round: how many of its assignments are answered, and who sits in it."""

    queue: ReviewQueue
    items: int
    answered: int
    assignments: int
    people: list[str]


def round_rows(limit: int = 20) -> list[RoundRow]:
    """The latest first. 2 queries."""
    queues: list[Any] = list(
        ReviewQueue.objects.filter(calibration=True)
        .annotate(
            items_in=Count("items", distinct=True),
            places=Count("assignments", distinct=True),
            answered=Count("assignments", filter=Q(assignments__state="done"), distinct=True),
        )
        .order_by("-pk")[:limit]
    )
    people: dict[int, list[str]] = {}
    seated = Assignment.objects.filter(queue__in=[queue.pk for queue in queues], assigned_to__isnull=False)
    names = seated.values_list("queue", "assigned_to__username").distinct()
    for queue, name in names.order_by("queue", "assigned_to__username"):
        people.setdefault(queue, []).append(name)
    return [RoundRow(row, row.items_in, row.answered, row.places, people.get(row.pk, [])) for row in queues]
