"""Agreement of reviewers from what they handed in: by question, queue and pair, and who is strict.

A page computes it itself while there are few reviews; from INLINE reviews on it shows what the queue computed last.
Counted are handed-in reviews of items that more than one person reviewed, late ones too; not gold items, calibration
rounds and pairs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from numpy.typing import NDArray

from models_app.foundation import jobs
from models_app.foundation.roles import require
from models_app.models import Job
from reviews.models import AgreementReport, Criterion
from reviews.quality.agreement import (
    Agreement,
    Offset,
    Scale,
    counts_of,
    krippendorff,
    offset_of,
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

_SHARED = """
SELECT id, item_id, queue_id, reviewer_id, stars, verdict, submitted_at
  FROM (SELECT review.id, review.item_id, item.queue_id, review.reviewer_id, review.stars, review.verdict,
               review.submitted_at, count(*) OVER (PARTITION BY review.item_id) AS reviewers
          FROM reviews_review review
          JOIN reviews_queueitem item ON item.id = review.item_id
          JOIN reviews_reviewqueue queue ON queue.id = item.queue_id
         WHERE review.state = 'submitted' AND review.submitted_at >= %(since)s
           AND item.reason <> 'gold item' AND item.other_id IS NULL AND NOT queue.calibration) counted
 WHERE reviewers > 1
"""
_REVIEWS = f"""
SELECT id, item_id, queue_id, reviewer_id, stars - 1, array_position(ARRAY['poor', 'fair', 'good'], verdict::text) - 1,
       extract(epoch FROM submitted_at)::bigint
  FROM ({_SHARED}) shared ORDER BY id
"""  # nosec B608 (made of constants of this module; values are parameters)
_RATINGS = f"""
SELECT criterion.key, array_agg(shared.id ORDER BY shared.id), array_agg(rating.value - 1 ORDER BY shared.id)
  FROM ({_SHARED}) shared
  JOIN reviews_reviewrating rating ON rating.review_id = shared.id
  JOIN reviews_criterion criterion ON criterion.id = rating.criterion_id
 GROUP BY criterion.key
"""  # nosec B608 (as above)
_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


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


def read(since: datetime | None = None) -> Answered:
    """2 queries."""
    values = {"since": since or _LONG_AGO}
    with connection.cursor() as cursor:
        cursor.execute(_REVIEWS, values)
        rows = np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, 7)
        cursor.execute(_RATINGS, values)
        ratings = cursor.fetchall()
    given = {STARS: rows[:, 4], VERDICT: rows[:, 5]}
    for key, reviews, points in ratings:
        column = np.full(len(rows), -1, dtype=np.int64)
        column[np.searchsorted(rows[:, 0], np.array(reviews, dtype=np.int64))] = points
        given[key] = column
    return Answered(rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 6], given)


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
    if _reviews_in(days, now) <= INLINE:
        data = measure(read(since(days, now)), scales=[scale], pairs_for=[question])
        return Report(data, now, stored=False, stale=False, job=None)
    kept = AgreementReport.objects.filter(days=days).first()
    job = Job.objects.filter(unique_key=KIND, state__in=Job.ACTIVE).first()
    if kept is None:
        return Report(None, None, stored=True, stale=True, job=job)
    return Report(kept.data, kept.computed_at, stored=True, stale=now - kept.computed_at > STALE, job=job)


def _reviews_in(days: int, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM reviews_review"
            " WHERE state = 'submitted' AND submitted_at >= %s LIMIT %s) counted",
            [since(days, now) or _LONG_AGO, INLINE + 1],
        )
        found: int = cursor.fetchone()[0]
    return found


def start_measuring(*, actor: Any | None) -> Job:
    """Let the queue compute all windows anew; asked while it does, that job is given."""
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

_OWN = """
WITH mine AS (
  SELECT review.id, review.item_id, review.stars
    FROM reviews_review review
    JOIN reviews_queueitem item ON item.id = review.item_id
    JOIN reviews_reviewqueue queue ON queue.id = item.queue_id
   WHERE review.reviewer_id = %(reviewer)s AND review.state = 'submitted'
     AND item.state <> 'open' AND item.reason <> 'gold item' AND item.other_id IS NULL AND NOT queue.calibration
   ORDER BY review.submitted_at DESC LIMIT %(latest)s
), apart AS (
  SELECT 'stars' AS key, mine.stars - avg(other.stars) AS away
    FROM mine
    JOIN reviews_review other ON other.item_id = mine.item_id AND other.id <> mine.id AND other.state = 'submitted'
   GROUP BY mine.id, mine.stars
   UNION ALL
  SELECT criterion.key, rating.value - avg(theirs.value)
    FROM mine
    JOIN reviews_reviewrating rating ON rating.review_id = mine.id
    JOIN reviews_criterion criterion ON criterion.id = rating.criterion_id
    JOIN reviews_review other ON other.item_id = mine.item_id AND other.id <> mine.id AND other.state = 'submitted'
    JOIN reviews_reviewrating theirs ON theirs.review_id = other.id AND theirs.criterion_id = rating.criterion_id
   GROUP BY rating.id, rating.value, criterion.key
)
SELECT key, count(*), avg(away)::float, stddev_samp(away)::float FROM apart GROUP BY key
"""


@dataclass(frozen=True)
class Beside:
    """One question, as far as I answered it on items that others answered too. `offset` only from LEAST_OWN_ITEMS
    shared items on, so that no single peer's answer shows."""

    shared: int
    offset: Offset | None


def beside_others(reviewer: User) -> dict[str, Beside]:
    """By question, over my latest reviews of items that nobody else is asked for any more. 1 query."""
    require(reviewer, "review")
    with connection.cursor() as cursor:
        cursor.execute(_OWN, {"reviewer": reviewer.pk, "latest": LATEST_OWN})
        rows = cursor.fetchall()
    return {
        key: Beside(n, offset_of(n, mean, spread) if n >= LEAST_OWN_ITEMS else None)
        for key, n, mean, spread in rows
    }


def agreement_of(row: Mapping[str, Any]) -> Agreement:
    """One of a report's cells back as what it was."""
    return Agreement(**{name: row[name] for name in Agreement.__dataclass_fields__})
