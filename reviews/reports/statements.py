"""Figures over everybody's answers, and what waits elsewhere than at the desks.

Answers are of two tables: the ORM aggregates nothing over a union of two. Read by it instead, 60,000 answers cost a
page 400 ms of CPU before anything is counted (`benchmarks/review_desk.py`, "progress, counted again").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models.expressions import RawSQL

from reviews.lists.compiled import Statement, compiled
from reviews.models import FeedbackExample, PromptSuggestion
from reviews.notifications.notices import COUNTED
from reviews.queues.blindness import readable_examples, readable_suggestions

# Work of people here: what was imported belongs to nobody who sits at this desk.
_RECENT = """
SELECT submitted_at, active_seconds, reviewer_id, item_id FROM reviews_review
 WHERE state IN ('submitted', 'returned') AND submitted_at IS NOT NULL AND imported_from_id IS NULL
   AND submitted_at >= %(since)s
UNION ALL
SELECT submitted_at, active_seconds, reviewer_id, item_id FROM reviews_preference
 WHERE state = 'submitted' AND imported_from_id IS NULL AND submitted_at >= %(since)s
"""
# All that were ever submitted, from the indexes alone: the rows are wide, and only those of the window are read.
_EVER = """
SELECT reviewer_id, submitted_at FROM reviews_review
 WHERE state IN ('submitted', 'returned') AND submitted_at IS NOT NULL AND imported_from_id IS NULL
UNION ALL
SELECT reviewer_id, submitted_at FROM reviews_preference WHERE state = 'submitted' AND imported_from_id IS NULL
"""
_PACE = """count(*), count(*) FILTER (WHERE active_seconds > 0), coalesce(sum(active_seconds), 0),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds) FILTER (WHERE active_seconds > 0)"""


class PaceOf(NamedTuple):
    """The median is None where no time was measured."""

    answers: int
    timed: int
    active_seconds: int
    median_seconds: float | None


class QueueFigures(NamedTuple):
    """`by_day` has the counts of the days with any answer; the pace is of the same window."""

    slug: str
    name: str
    kind: str
    done: int
    left: int
    flagged: int
    by_day: list[int]
    pace: PaceOf


class PersonFigures(NamedTuple):
    """Of everybody together where there is no name."""

    name: str | None
    done: int
    last_at: datetime
    pace: PaceOf


class DayFigures(NamedTuple):
    day: str
    answers: int
    active_seconds: int


_QUEUES = f"""
WITH recent AS (SELECT item.queue_id, answer.* FROM ({_RECENT}) answer
                  JOIN reviews_queueitem item ON item.id = answer.item_id),
     pace AS (SELECT queue_id, {_PACE} FROM recent GROUP BY queue_id),
     daily AS (SELECT queue_id, array_agg(answers) AS answers FROM (
                      SELECT queue_id, count(*) AS answers FROM recent
                       GROUP BY queue_id, (submitted_at AT TIME ZONE %(zone)s)::date) a_day GROUP BY queue_id),
     -- state by state, as the indexes of assignments are
     assignments AS (SELECT queue_id, sum(done)::bigint AS done, sum(open)::bigint AS open FROM (
                      SELECT queue_id, count(*) AS done, 0 AS open FROM reviews_assignment
                       WHERE state = 'done' GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_assignment
                       WHERE state = 'free' AND assigned_to_id IS NULL GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_assignment
                       WHERE state = 'free' AND assigned_to_id IS NOT NULL GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_assignment
                       WHERE state = 'held' GROUP BY queue_id) counted GROUP BY queue_id),
     -- an item that is done has assignments left only where somebody resolved it
     closed AS (SELECT id FROM reviews_queueitem WHERE state IN ('flagged', 'disputed')
                 UNION ALL SELECT item.id FROM reviews_adjudication final
                             JOIN reviews_queueitem item ON item.id = final.item_id AND item.state = 'done'),
     aside AS (SELECT placed.queue_id, count(*) AS assignments, count(DISTINCT closed.id) AS items
                 FROM closed JOIN reviews_assignment placed ON placed.item_id = closed.id
                WHERE placed.state <> 'done' GROUP BY 1)
SELECT queue.slug, queue.name, queue.kind, coalesce(assignments.done, 0),
       greatest(coalesce(assignments.open, 0) - coalesce(aside.assignments, 0), 0),
       coalesce(aside.items, 0), coalesce(daily.answers, '{{}}'), pace.*
  FROM reviews_reviewqueue queue
  LEFT JOIN assignments ON assignments.queue_id = queue.id
  LEFT JOIN aside ON aside.queue_id = queue.id
  LEFT JOIN pace ON pace.queue_id = queue.id
  LEFT JOIN daily ON daily.queue_id = queue.id
 WHERE queue.active ORDER BY queue.name
"""  # nosec B608 (made of constants of this module; values are parameters)
_TEAM = f"""
WITH pace AS (SELECT reviewer_id, {_PACE} FROM ({_RECENT}) answer GROUP BY GROUPING SETS ((reviewer_id), ())),
     done AS (SELECT reviewer_id, count(*) AS count, max(submitted_at) AS last_at
                FROM ({_EVER}) submitted GROUP BY GROUPING SETS ((reviewer_id), ()))
SELECT person.username, done.count, done.last_at, pace.*
  FROM done LEFT JOIN pace ON pace.reviewer_id IS NOT DISTINCT FROM done.reviewer_id
  LEFT JOIN auth_user person ON person.id = done.reviewer_id
"""  # nosec B608 (as above)
_DAYS = f"""
SELECT (submitted_at AT TIME ZONE %(zone)s)::date::text, count(*), coalesce(sum(active_seconds), 0)
  FROM ({_RECENT}) answer GROUP BY 1
"""  # nosec B608 (as above)


def queue_figures(*, since: datetime, zone: str) -> list[QueueFigures]:
    """Of active queues by name: all their assignments, and the answers since then. `benchmarks/review_desk.py`."""
    found = _rows(_QUEUES, {"since": since, "zone": zone})
    return [
        QueueFigures(slug, name, kind, done, left, aside, by_day, _pace(pace))
        for slug, name, kind, done, left, aside, by_day, _, *pace in found
    ]


def team_figures(*, since: datetime) -> list[PersonFigures]:
    """Of each person and of all together: what they ever did, and their pace since then.
    `benchmarks/review_desk.py`."""
    found = _rows(_TEAM, {"since": since})
    return [PersonFigures(name, done, last_at, _pace(pace)) for name, done, last_at, _, *pace in found]


def day_figures(*, since: datetime, zone: str) -> list[DayFigures]:
    """Of the days, in that time zone, on which anybody answered. `benchmarks/review_desk.py`."""
    return [DayFigures(*row) for row in _rows(_DAYS, {"since": since, "zone": zone})]


def _pace(values: Sequence[Any]) -> PaceOf:
    answers, timed, seconds, median = values
    return PaceOf(answers or 0, timed or 0, seconds or 0, median)


def _rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


# ---------------------------------------------------------------- what waits, for every page

#: Counting stops here: nobody needs to know whether 100 or 40,000 wait, and every page counts them.
ENOUGH = 100

_ELSEWHERE = """
SELECT (SELECT count(*) FROM ({feedback}) x),
       (SELECT count(*) FROM ({suggestions}) x),
       (SELECT count(*) FROM models_app_trainingrun WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM models_app_release WHERE state = 'awaiting approval'),
       (SELECT count(*) FROM models_app_job WHERE state IN ('queued', 'running')),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_notification
                               WHERE user_id = %(user)s AND read_at IS NULL LIMIT %(unread)s) x),
       (SELECT count(*) FROM (SELECT 1 FROM reviews_queueitem WHERE state = 'disputed' LIMIT %(enough)s) x)
"""


class Elsewhere(NamedTuple):
    """Counts up to ENOUGH; `unread` notifications up to where the bell counts."""

    feedback: int
    suggestions: int
    training: int
    approval: int
    jobs: int
    unread: int
    disputes: int


@dataclass(frozen=True)
class _Anybody:
    """Stands for the reader in a statement that the ORM makes once."""

    reviews: bool
    is_active = True
    pk = RawSQL("%%(reader)s", [])

    def has_perm(self, capability: str) -> bool:
        return self.reviews


def waiting_elsewhere(*, user: Any, reviews: bool) -> Elsewhere:
    """What the lists of this person would show. Every page asks: making the questions by the ORM each time would take
    5 to 13 ms (`benchmarks/review_desk.py`, part `cost`)."""
    statement = _elsewhere(reviews, ENOUGH)
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.values | {"user": user.pk, "reader": user.pk})
        return Elsewhere(*cursor.fetchone())


@cache
def _elsewhere(reviews: bool, enough: int) -> Statement:
    reader: Any = _Anybody(reviews)
    proposed = readable_examples(FeedbackExample.objects.filter(state="proposed"), reader)
    suggested = readable_suggestions(PromptSuggestion.objects.filter(state="open"), reader)
    feedback = compiled(proposed.order_by().values("pk")[:enough], "feedback")
    suggestions = compiled(suggested.order_by().values("pk")[:enough], "suggestions")
    return Statement(
        _ELSEWHERE.format(feedback=feedback.text, suggestions=suggestions.text),
        {"enough": enough, "unread": COUNTED, **feedback.values, **suggestions.values},
    )


def estimated_rows(*tables: str) -> dict[str, int]:
    """Rows of whole tables: exact while they are small, PostgreSQL's estimate, for which the ORM has no words, once
    counting would take long."""
    counts = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, reltuples::bigint FROM pg_class WHERE relname = ANY(%s)", [list(tables)]
        )
        estimates = dict(cursor.fetchall())
        for table in tables:
            if estimates.get(table, -1) > 50_000:
                counts[table] = int(estimates[table])
            else:
                # Our own tables' names, and quoted.
                cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # nosec B608
                counts[table] = cursor.fetchone()[0]
    return counts
