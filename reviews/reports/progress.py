"""How far the work is: mine, each queue's, the team's. Reads only; figures of others than oneself are for people
who manage queues.

My own figures are counted each time. Those of queues and team look at every assignment, so they are counted once a
minute and say when. Where there are so many that somebody would wait for it, the queue counts them ahead every
COUNTED_MINUTES minutes. Nothing is estimated where there is too little to estimate it from."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from models_app.foundation.roles import require
from reviews.models import Assignment, Preference, ProgressFigures, QueueItem, Review
from reviews.reports import statements

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
        """'about 3 December', '3 December to 7 January', '3 December or much later'; empty if none is known."""
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


def _midnight(days_ago: int = 0) -> datetime:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


def mine(*, reviewer: User) -> Mine:
    """4 queries."""
    # work of people here: what was imported belongs to nobody who sits at this desk
    submitted = Q(reviewer=reviewer, submitted_at__isnull=False, imported_from=None)
    reviews = Review.objects.filter(submitted, state__in=(Review.State.SUBMITTED, Review.State.RETURNED))
    choices = Preference.objects.filter(submitted, state=Preference.State.SUBMITTED)
    of_reviews, of_choices = (
        rows.filter(submitted_at__gte=_midnight(CHART_DAYS - 1)).values_list(
            TruncDate("submitted_at"), "active_seconds"
        )
        for rows in (reviews, choices)
    )
    answers = [Answer(*row) for row in of_reviews.union(of_choices, all=True)]
    assigned = Assignment.objects.filter(
        assigned_to=reviewer, state=Assignment.State.FREE, item__state=QueueItem.State.OPEN
    ).count()
    chart = days_of(answers)
    return Mine(
        done=reviews.count() + choices.count(),
        today=chart[-1].answers,
        week=sum(day.answers for day in chart[-7:]),
        active_today=chart[-1].active_seconds,
        assigned=assigned,
        pace=pace_of([answer.active_seconds for answer in answers if answer.day >= chart[-PACE_DAYS].day]),
        estimate=estimate(
            left=assigned,
            by_day=[day.answers for day in chart[-PACE_DAYS:] if day.answers],
            today=timezone.localdate(),
        ),
        days=chart,
    )


class Answer(NamedTuple):
    day: date
    active_seconds: int


def pace_of(seconds: Sequence[int]) -> Pace:
    """Of the active seconds of each answer, 0 where they were not measured."""
    timed = [each for each in seconds if each > 0]
    return Pace(len(seconds), len(timed), sum(timed), float(median(timed)) if timed else None)


def days_of(answers: Iterable[Answer]) -> list[Day]:
    """The last CHART_DAYS days, those without work too."""
    counts: Counter[date] = Counter()
    seconds: Counter[date] = Counter()
    for answer in answers:
        counts[answer.day] += 1
        seconds[answer.day] += answer.active_seconds
    return _charted({day: Day(day, count, seconds[day]) for day, count in counts.items()})


def _charted(found: Mapping[date, Day]) -> list[Day]:
    today = timezone.localdate()
    days = [today - timedelta(days=ago) for ago in range(CHART_DAYS - 1, -1, -1)]
    return [found.get(day, Day(day, 0, 0)) for day in days]


# ---------------------------------------------------------------- queues


@dataclass(frozen=True)
class QueueProgress:
    """`done` and `left` count assignments: an item that wants three reviews has three."""

    slug: str
    name: str
    kind: str
    done: int
    left: int
    flagged: int
    pace: Pace
    estimate: Estimate

    @property
    def total(self) -> int:
        return self.done + self.left


@dataclass(frozen=True)
class Queues:
    at: datetime
    rows: Sequence[QueueProgress]


def queues() -> Queues:
    """All active queues. At most 2 queries."""
    figures = _figures("queues")
    today = timezone.localdate()
    found = []
    for slug, name, kind, done, left, aside, by_day, pace in figures.rows:
        finish = estimate(left=left, by_day=by_day, today=today)
        found.append(QueueProgress(slug, name, kind, done, left, aside, Pace(*pace), finish))
    return Queues(figures.at, found)


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


def team(*, actor: Any | None) -> Team:
    """Everybody's figures, for people who manage queues. At most 4 queries."""
    require(actor, "manage_queues")
    figures, days = _figures("team"), _figures("days")
    people, total, done = [], Pace(), 0
    for name, count, last_at, pace in figures.rows:
        if name is None:
            total, done = Pace(*pace), count
        else:
            people.append(Person(name, count, datetime.fromisoformat(last_at), Pace(*pace)))
    people.sort(key=lambda person: (-person.pace.answers, -person.done, person.name))
    chart = [Day(date.fromisoformat(day), answers, seconds) for day, answers, seconds in days.rows]
    return Team(figures.at, people, _charted({day.day: day for day in chart}), total, done)


# ---------------------------------------------------------------- counted ahead


def _count(name: str) -> Sequence[Sequence[Any]]:
    since, zone = _midnight(PACE_DAYS - 1), timezone.get_current_timezone_name()
    if name == "queues":
        return statements.queue_figures(since=since, zone=zone)
    if name == "team":
        return statements.team_figures(since=since)
    return statements.day_figures(since=_midnight(CHART_DAYS - 1), zone=zone)


def count_ahead() -> int:
    """Count what takes long to count, and keep it for pages. Called by the queue. Returns how many counts it keeps."""
    kept = 0
    for name in ("queues", "team", "days"):
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
    """What was counted, as JSON has it."""

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
    rows = json.loads(json.dumps(_count(name), cls=DjangoJSONEncoder))
    return _Figures(rows, timezone.now(), time.monotonic() - began > SLOW_SECONDS)
