"""Agreement of reviewers from what they submitted: by question, queue and pair, and who is strict.

A page computes it itself while there are few reviews; from INLINE reviews on it shows what the queue computed last.
Counted are submitted reviews of items that more than one person reviewed, late ones too; not gold items, calibration
rounds and pairs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from django.contrib.auth.models import User
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import BigIntegerField, Case, Count, F, Q, QuerySet, When, Window
from django.db.models.functions import Cast, Extract
from django.utils import timezone
from numpy.typing import NDArray

from models_app.foundation import jobs
from models_app.foundation.roles import require
from models_app.models import Job
from reviews.models import AgreementReport, Criterion, QueueItem, Review, ReviewRating
from reviews.quality.agreement import (
    Agreement,
    Offset,
    Scale,
    counts_of,
    krippendorff,
    offsets,
    pairs_of,
)

Ints: TypeAlias = NDArray[np.int64]

KIND = "measure_agreement"
WINDOWS = (7, 30, 90, 0)
SCALES: tuple[Scale, ...] = ("ordinal", "nominal", "interval")
#: More reviews than that are the queue's work: on two cores a page would take longer than 150 ms.
INLINE = 2000
STALE = timedelta(hours=1)
MOST_PAIRS = 100
MOST_OFFSETS = 200
#: Below that, one's own offset would tell what single peers answered.
LEAST_OWN_ITEMS = 10
LATEST_OWN = 1000
STARS, VERDICT = "stars", "verdict"
SIZES = {VERDICT: 3}


@dataclass(frozen=True)
class Answered:
    """Reviews of shared items, one place each: item, queue, reviewer, second of submit, and what each question got,
    counted from 0; −1 where a rubric did not ask it."""

    items: Ints
    queues: Ints
    raters: Ints
    seconds: Ints
    values: dict[str, Ints]

    def where(self, chosen: NDArray[np.bool_]) -> Answered:
        return Answered(
            self.items[chosen], self.queues[chosen], self.raters[chosen], self.seconds[chosen],
            {key: values[chosen] for key, values in self.values.items()},
        )  # fmt: skip


def _counted() -> QuerySet[Review]:
    return Review.objects.filter(
        state=Review.State.SUBMITTED, item__other=None, item__queue__calibration=False
    ).exclude(item__reason=QueueItem.Reason.GOLD)


def read(reviews: QuerySet[Review] | None = None) -> Answered:
    """Those of items that more than one of `reviews` is of; all that count unless given. 2 queries."""
    rows = _counted() if reviews is None else reviews
    shared = rows.alias(reviewers=Window(Count("pk"), partition_by="item")).filter(reviewers__gt=1)
    verdict = Case(*(When(verdict=name, then=place) for place, name in enumerate(Review.VERDICTS)))
    second = Cast(Extract("submitted_at", "epoch", tzinfo=UTC), BigIntegerField())
    columns = shared.order_by("pk").values_list(
        "pk", "item", "item__queue", "reviewer", F("stars") - 1, verdict, second
    )
    found = np.array(columns, dtype=np.int64).reshape(-1, 7)
    given = {STARS: found[:, 4], VERDICT: found[:, 5]}
    ratings = (
        ReviewRating.objects.filter(review__in=shared.values("pk"))
        .values_list("criterion__key")
        .annotate(
            reviews=ArrayAgg("review", order_by="review"), points=ArrayAgg(F("value") - 1, order_by="review")
        )
    )
    for key, ids, points in ratings.order_by():
        column = np.full(len(found), -1, dtype=np.int64)
        column[np.searchsorted(found[:, 0], np.array(ids, dtype=np.int64))] = points
        given[key] = column
    return Answered(found[:, 1], found[:, 2], found[:, 3], found[:, 6], given)


def _agreement(answered: Answered, key: str, scale: Scale) -> Agreement:
    values = answered.values[key]
    asked = values >= 0
    items, raters = answered.items[asked], answered.raters[asked]
    counts = counts_of(items, values[asked], SIZES.get(key, 5))
    return krippendorff(counts, scale=scale, raters=len(np.unique(raters)))


def measure(
    answered: Answered, *, scales: Sequence[Scale] = SCALES, pairs_for: Sequence[str] | None = None
) -> dict[str, Any]:
    """Everything that the page shows, as JSON: agreement by question and scale, in all and by queue; the pairs that
    share most items (of the questions in `pairs_for`, all unless given) and each person's offset by question."""

    def by_question(chosen: Answered) -> dict[str, Any]:
        return {
            key: {scale: _agreement(chosen, key, scale).to_dict() for scale in scales}
            for key in chosen.values
        }

    pairs, strictness = {}, {}
    for key, values in answered.values.items():
        asked = values >= 0
        triple = (answered.items[asked], answered.raters[asked], values[asked])
        found = offsets(*triple)
        most = sorted(found, key=lambda person: -found[person].n)[:MOST_OFFSETS]
        strictness[key] = {str(person): found[person].to_dict() for person in most}
        if pairs_for is None or key in pairs_for:
            rows, total = pairs_of(*triple, size=SIZES.get(key, 5), scale="ordinal", most=MOST_PAIRS)
            pairs[key] = {"total": total, "rows": [row.to_dict() for row in rows]}
    return {
        "reviews": len(answered.items),
        "items": len(np.unique(answered.items)),
        "all": by_question(answered),
        "queues": {
            str(queue): by_question(answered.where(answered.queues == queue)) for queue in np.unique(answered.queues)
        },
        "pairs": pairs,
        "offsets": strictness,
    }  # fmt: skip


def since(days: int, now: datetime) -> datetime | None:
    return now - timedelta(days=days) if days else None


@dataclass(frozen=True)
class Report:
    """`data` as `measure` gives it; None where the queue has yet to compute it. `job` is computing at the moment."""

    data: dict[str, Any] | None
    computed_at: datetime | None
    stored: bool
    stale: bool
    job: Job | None


def find_report(*, days: int, scale: Scale, question: str) -> Report:
    """At most 3 queries, whatever the number of reviews."""
    now = timezone.now()
    begin = since(days, now)
    window = Q() if begin is None else Q(submitted_at__gte=begin)
    if Review.objects.filter(window, state=Review.State.SUBMITTED)[: INLINE + 1].count() <= INLINE:
        data = measure(read(_counted().filter(window)), scales=[scale], pairs_for=[question])
        return Report(data, now, stored=False, stale=False, job=None)
    kept = AgreementReport.objects.filter(days=days).first()
    job = Job.objects.filter(unique_key=KIND, state__in=Job.ACTIVE).first()
    if kept is None:
        return Report(None, None, stored=True, stale=True, job=job)
    return Report(kept.data, kept.computed_at, stored=True, stale=now - kept.computed_at > STALE, job=job)


def start_measuring(*, actor: Any | None) -> Job:
    """Let the queue compute all windows again. Asked while it does, it returns that job."""
    require(actor, "manage_queues")
    return jobs.enqueue(kind=KIND, actor=actor, unique_key=KIND, deadline_seconds=1800)


def measure_all(*, progress: Any = None) -> dict[str, Any]:
    """Compute and keep every window, from one reading."""
    now = timezone.now()
    answered = read()
    for done, days in enumerate(WINDOWS):
        if progress is not None:
            progress(done, len(WINDOWS))
        started = time.perf_counter()
        begin = since(days, now)
        chosen = answered if begin is None else answered.where(answered.seconds >= begin.timestamp())
        data = measure(chosen)
        AgreementReport.objects.update_or_create(
            days=days,
            defaults={
                "data": data, "reviews": data["reviews"], "seconds": time.perf_counter() - started, "computed_at": now
            },
        )  # fmt: skip
    return {"reviews": len(answered.items)}


def question_names(keys: Sequence[str]) -> dict[str, str]:
    """What the questions are called, in the newest rubric that has them; stars and verdict last. 1 query."""
    names: dict[str, str] = {}
    for key, name in (
        Criterion.objects.filter(key__in=keys)
        .order_by("-rubric__number", "position")
        .values_list("key", "name")
    ):
        names.setdefault(key, name)
    return {**names, STARS: "Stars", VERDICT: "Verdict"}


# ---------------------------------------------------------------- one's own


@dataclass(frozen=True)
class Beside:
    """One question, as far as I answered it on items that others answered too. `offset` only from LEAST_OWN_ITEMS
    shared items on, so that no single peer's answer shows."""

    shared: int
    offset: Offset | None


def beside_others(reviewer: User) -> dict[str, Beside]:
    """By question, over my latest reviews of items that nobody else is asked for any more. 2 queries."""
    require(reviewer, "review")
    mine = _counted().filter(reviewer=reviewer).exclude(item__state=QueueItem.State.OPEN)
    latest = mine.order_by("-submitted_at").values("item")[:LATEST_OWN]
    answered = read(_counted().filter(item__in=latest))
    found = {}
    for key, values in answered.values.items():
        if key == VERDICT:
            continue  # no points
        asked = values >= 0
        own = offsets(answered.items[asked], answered.raters[asked], values[asked]).get(reviewer.pk)
        if own is not None:
            found[key] = Beside(own.n, own if own.n >= LEAST_OWN_ITEMS else None)
    return found


def agreement_of(row: Mapping[str, Any]) -> Agreement:
    """One of a report's cells back as what it was."""
    return Agreement(**{name: row[name] for name in Agreement.__dataclass_fields__})
