"""How far the work is: mine, each queue's, the team's. Reads only; figures of others than oneself are for whoever
manages queues.

My own figures are counted each time. Those of queues and team look at every seat, so they are counted once a minute and
say when. Where there are so many that somebody would wait for it, the queue counts them ahead every COUNTED_MINUTES
minutes. Nothing is estimated where there is too little to estimate it from.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.utils import timezone

from models_app.foundation.roles import require
from reviews.models import ProgressFigures

PACE_DAYS = 14
CHART_DAYS = 30
LEAST_ANSWERS = 10
"""From fewer, nothing is said about pace."""
LEAST_FORECAST_ANSWERS = 30
LEAST_FORECAST_DAYS = 5
"""From fewer, or from fewer days with work, nothing is said about when it is finished."""
KEPT_SECONDS = 60
KEPT_LONG_SECONDS = 300
SLOW_SECONDS = 0.03
"""What takes longer to count is counted ahead, and kept longer: a page may have to wait for three such counts."""
COUNTED_MINUTES = 3
LONGEST_ESTIMATE_DAYS = 3 * PACE_DAYS
"""Further ahead, two weeks say nothing."""
_T_90 = 1.771  # Student's t for 90 %, PACE_DAYS - 1 degrees of freedom


# ---------------------------------------------------------------- pure


@dataclass(frozen=True)
class Pace:
    """Of answers in the last PACE_DAYS days. Those whose active time was not measured count as answers only."""

    answers: int = 0
    timed: int = 0
    active_seconds: int = 0
    median_seconds: float | None = None

    @property
    def per_hour(self) -> float | None:
        """Answers in an hour at work."""
        if self.timed < LEAST_ANSWERS or not self.active_seconds:
            return None
        return self.timed * 3600 / self.active_seconds

    @property
    def median(self) -> float | None:
        return self.median_seconds if self.timed >= LEAST_ANSWERS else None


@dataclass(frozen=True)
class Estimate:
    """From when to when; `latest` is None where it may take longer than can be said. `basis` says what it stands on, or
    why there is none."""

    earliest: date | None
    latest: date | None
    basis: str

    @property
    def finish(self) -> str:
        """'about 3 December', '3 December to 7 January', '3 December or much later'; empty where there is none."""
        if self.earliest is None:
            return ""
        first = f"{self.earliest:%-d %B}"
        if self.latest is None:
            return f"{first} or much later"
        return f"about {first}" if self.latest == self.earliest else f"{first} to {self.latest:%-d %B}"


def estimate(*, left: int, by_day: Sequence[int], today: date) -> Estimate:
    """When `left` answers will be there, if they go on coming as in the last PACE_DAYS days: `by_day` has the counts of
    the days with any. The range is that of the mean of all the days, 90 %."""
    if left == 0:
        return Estimate(None, None, "Nothing is left.")
    answers, days = sum(by_day), sum(count > 0 for count in by_day)
    if answers < LEAST_FORECAST_ANSWERS or days < LEAST_FORECAST_DAYS:
        some = f"{answers:,} on {days} day{'s' * (days != 1)}" if answers else "none"
        return Estimate(
            None, None,
            f"Too little to say when: {some} of the last {PACE_DAYS}. "
            f"A date is given from {LEAST_FORECAST_ANSWERS} on at least {LEAST_FORECAST_DAYS} days.",
        )  # fmt: skip
    a_day = answers / PACE_DAYS
    spread = sum((count - a_day) ** 2 for count in by_day) + (PACE_DAYS - len(by_day)) * a_day**2
    margin = _T_90 * math.sqrt(spread / (PACE_DAYS - 1) / PACE_DAYS)
    basis = f"{answers:,} on {days} of the last {PACE_DAYS} days"
    soonest = math.ceil(left / (a_day + margin))
    longest = math.ceil(left / (a_day - margin)) if a_day > margin else math.inf
    if soonest > LONGEST_ESTIMATE_DAYS:
        return Estimate(None, None, f"Further ahead than can be said: {basis}.")
    return Estimate(
        today + timedelta(days=soonest),
        None if longest > LONGEST_ESTIMATE_DAYS else today + timedelta(days=int(longest)),
        basis,
    )


# ---------------------------------------------------------------- mine


@dataclass(frozen=True)
class Day:
    day: date
    answers: int
    active_seconds: int


@dataclass(frozen=True)
class Mine:
    done: int
    today: int
    week: int
    active_today: int
    assigned: int
    pace: Pace
    estimate: Estimate  # of what is assigned to me
    days: Sequence[Day]


# Work of people here: what was imported belongs to nobody who sits at this desk.
_ANSWERS = """
SELECT submitted_at, active_seconds, reviewer_id, item_id FROM reviews_review
 WHERE state IN ('submitted', 'returned') AND submitted_at IS NOT NULL AND imported_from_id IS NULL {review}
UNION ALL
SELECT submitted_at, active_seconds, reviewer_id, item_id FROM reviews_preference
 WHERE state = 'submitted' AND imported_from_id IS NULL {choice}
"""
# All that were ever handed in, from the indexes alone: the rows are wide, and only those of the window are read.
_COUNTED = """
SELECT reviewer_id, submitted_at FROM reviews_review
 WHERE state IN ('submitted', 'returned') AND submitted_at IS NOT NULL AND imported_from_id IS NULL
UNION ALL
SELECT reviewer_id, submitted_at FROM reviews_preference WHERE state = 'submitted' AND imported_from_id IS NULL
"""
_DONE = f"SELECT count(*) FROM ({_COUNTED}) handed_in {{whose}}"  # nosec B608
_PACE = """count(*) FILTER (WHERE submitted_at >= %(since)s),
       count(*) FILTER (WHERE submitted_at >= %(since)s AND active_seconds > 0),
       coalesce(sum(active_seconds) FILTER (WHERE submitted_at >= %(since)s), 0),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds)
         FILTER (WHERE submitted_at >= %(since)s AND active_seconds > 0)"""


def _window() -> dict[str, Any]:
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "midnight": midnight,
        "week": midnight - timedelta(days=6),
        "since": midnight - timedelta(days=PACE_DAYS - 1),
        "chart": midnight - timedelta(days=CHART_DAYS - 1),
        "zone": timezone.get_current_timezone_name(),
    }


def _answers(condition: str) -> str:
    return _ANSWERS.format(review=condition, choice=condition)


def mine(*, reviewer: User) -> Mine:
    """2 queries."""
    values = {**_window(), "me": reviewer.pk}
    recent = _answers("AND reviewer_id = %(me)s AND submitted_at >= %(since)s")
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT {_PACE},
                       ({_DONE.format(whose="WHERE reviewer_id = %(me)s")}),
                       count(*) FILTER (WHERE submitted_at >= %(midnight)s),
                       count(*) FILTER (WHERE submitted_at >= %(week)s),
                       coalesce(sum(active_seconds) FILTER (WHERE submitted_at >= %(midnight)s), 0),
                       (SELECT count(*) FROM reviews_reviewslot seat
                          JOIN reviews_queueitem item ON item.id = seat.item_id AND item.state = 'open'
                         WHERE seat.assigned_to_id = %(me)s AND seat.state = 'free')
                  FROM ({recent}) answer""",  # nosec B608
            values,
        )
        *pace, done, today, week, active_today, assigned = cursor.fetchone()
        own = _answers("AND reviewer_id = %(me)s AND submitted_at >= %(chart)s")
        cursor.execute(_BY_DAY.format(answers=own), values)
        days = cursor.fetchall()
    found, chart = Pace(*pace), _filled(days)
    return Mine(
        done, today, week, active_today, assigned, found,
        estimate(
            left=assigned,
            by_day=[day.answers for day in chart[-PACE_DAYS:] if day.answers],
            today=timezone.localdate(),
        ),
        chart,
    )  # fmt: skip


_BY_DAY = """SELECT (submitted_at AT TIME ZONE %(zone)s)::date::text, count(*), coalesce(sum(active_seconds), 0)
  FROM ({answers}) answer GROUP BY 1"""


def _filled(rows: Sequence[Sequence[Any]]) -> list[Day]:
    """The last CHART_DAYS days, those without work too."""
    found = {
        date.fromisoformat(day): Day(date.fromisoformat(day), count, seconds) for day, count, seconds in rows
    }
    today = timezone.localdate()
    days = [today - timedelta(days=ago) for ago in range(CHART_DAYS - 1, -1, -1)]
    return [found.get(day, Day(day, 0, 0)) for day in days]


# ---------------------------------------------------------------- queues


@dataclass(frozen=True)
class QueueProgress:
    """`done` and `left` count seats: an item that wants three reviews has three."""

    slug: str
    name: str
    kind: str
    done: int
    left: int
    set_aside: int
    pace: Pace
    estimate: Estimate

    @property
    def total(self) -> int:
        return self.done + self.left


@dataclass(frozen=True)
class Queues:
    at: datetime
    rows: Sequence[QueueProgress]


_QUEUES = f"""
WITH recent AS (SELECT item.queue_id, answer.* FROM ({_answers("AND submitted_at >= %(since)s")}) answer
                  JOIN reviews_queueitem item ON item.id = answer.item_id),
     pace AS (SELECT queue_id, {_PACE} FROM recent GROUP BY queue_id),
     daily AS (SELECT queue_id, array_agg(answers) AS answers FROM (
                      SELECT queue_id, count(*) AS answers FROM recent
                       GROUP BY queue_id, (submitted_at AT TIME ZONE %(zone)s)::date) a_day GROUP BY queue_id),
     -- state by state, as the indexes of seats are
     seats AS (SELECT queue_id, sum(done)::bigint AS done, sum(open)::bigint AS open FROM (
                      SELECT queue_id, count(*) AS done, 0 AS open FROM reviews_reviewslot
                       WHERE state = 'done' GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_reviewslot
                       WHERE state = 'free' AND assigned_to_id IS NULL GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_reviewslot
                       WHERE state = 'free' AND assigned_to_id IS NOT NULL GROUP BY queue_id
               UNION ALL SELECT queue_id, 0, count(*) FROM reviews_reviewslot
                       WHERE state = 'held' GROUP BY queue_id) counted GROUP BY queue_id),
     -- an item that is done has seats left only where somebody settled it
     closed AS (SELECT id FROM reviews_queueitem WHERE state IN ('set aside', 'disputed')
                 UNION ALL SELECT item.id FROM reviews_adjudication settled
                             JOIN reviews_queueitem item ON item.id = settled.item_id AND item.state = 'done'),
     aside AS (SELECT seat.queue_id, count(*) AS seats, count(DISTINCT closed.id) AS items
                 FROM closed JOIN reviews_reviewslot seat ON seat.item_id = closed.id
                WHERE seat.state <> 'done' GROUP BY 1)
SELECT queue.slug, queue.name, queue.kind, coalesce(seats.done, 0),
       greatest(coalesce(seats.open, 0) - coalesce(aside.seats, 0), 0),
       coalesce(aside.items, 0), coalesce(daily.answers, '{{}}'), pace.*
  FROM reviews_reviewqueue queue
  LEFT JOIN seats ON seats.queue_id = queue.id
  LEFT JOIN aside ON aside.queue_id = queue.id
  LEFT JOIN pace ON pace.queue_id = queue.id
  LEFT JOIN daily ON daily.queue_id = queue.id
 WHERE queue.active ORDER BY queue.name
"""


def queues() -> Queues:
    """All active queues. At most 2 queries."""
    figures = _figures("queues")
    today = timezone.localdate()
    found = []
    for slug, name, kind, done, left, aside, by_day, _, *counted in figures.rows:
        finish = estimate(left=left, by_day=by_day, today=today)
        found.append(QueueProgress(slug, name, kind, done, left, aside, _pace(counted), finish))
    return Queues(figures.at, found)


def _pace(counted: Sequence[Any]) -> Pace:
    answers, timed, seconds, median = counted
    return Pace(answers or 0, timed or 0, seconds or 0, median)


# ---------------------------------------------------------------- the team


@dataclass(frozen=True)
class Person:
    name: str
    done: int
    last_at: datetime
    pace: Pace


@dataclass(frozen=True)
class Team:
    at: datetime
    people: Sequence[Person]
    days: Sequence[Day]
    pace: Pace
    done: int


_TEAM = f"""
WITH pace AS (SELECT reviewer_id, {_PACE} FROM ({_answers("AND submitted_at >= %(since)s")}) answer
               GROUP BY GROUPING SETS ((reviewer_id), ())),
     done AS (SELECT reviewer_id, count(*) AS count, max(submitted_at) AS last_at
                FROM ({_COUNTED}) handed_in GROUP BY GROUPING SETS ((reviewer_id), ()))
SELECT person.username, done.count, done.last_at, pace.*
  FROM done LEFT JOIN pace ON pace.reviewer_id IS NOT DISTINCT FROM done.reviewer_id
  LEFT JOIN auth_user person ON person.id = done.reviewer_id
"""


def team(*, actor: Any | None) -> Team:
    """Everybody's figures, for whoever manages queues. At most 4 queries."""
    require(actor, "manage_queues")
    figures, days = _figures("team"), _figures("days")
    people, total, done = [], Pace(), 0
    for name, count, last_at, _, *counted in figures.rows:
        if name is None:
            total, done = _pace(counted), count
        else:
            people.append(Person(name, count, datetime.fromisoformat(last_at), _pace(counted)))
    people.sort(key=lambda person: (-person.pace.answers, -person.done, person.name))
    return Team(figures.at, people, _filled(days.rows), total, done)


# ---------------------------------------------------------------- counted ahead


_STATEMENTS = {
    "queues": _QUEUES,
    "team": _TEAM,
    "days": _BY_DAY.format(answers=_answers("AND submitted_at >= %(chart)s")),
}


def count_ahead() -> int:
    """What takes long to count, kept for whoever looks next. Called by the queue; how many it keeps."""
    kept = 0
    for name in _STATEMENTS:
        counted = _counted(name)
        if counted.slow:
            ProgressFigures.objects.update_or_create(
                name=name, defaults={"rows": counted.rows, "at": counted.at}
            )
            kept += 1
        else:
            ProgressFigures.objects.filter(name=name).delete()
    return kept


@dataclass(frozen=True)
class _Figures:
    """The rows of a statement, as JSON has them."""

    rows: list[list[Any]]
    at: datetime
    slow: bool


def _figures(name: str) -> _Figures:
    kept: _Figures | None = cache.get(f"progress:{name}")
    if kept is None:
        fresh = timezone.now() - timedelta(seconds=KEPT_LONG_SECONDS)
        ahead = ProgressFigures.objects.filter(name=name, at__gt=fresh).first()
        if ahead is not None:
            return _Figures(ahead.rows, ahead.at, True)
        kept = _counted(name)
        cache.set(f"progress:{name}", kept, KEPT_LONG_SECONDS if kept.slow else KEPT_SECONDS)
    return kept


def _counted(name: str) -> _Figures:
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[name], _window())
        rows = json.loads(json.dumps(cursor.fetchall(), cls=DjangoJSONEncoder))
    return _Figures(rows, timezone.now(), time.monotonic() - began > SLOW_SECONDS)
