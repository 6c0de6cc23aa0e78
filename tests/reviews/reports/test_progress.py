"""Progress: my own figures for everybody, queues' totals, the team's for those who manage queues; nothing made up."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from models_app.foundation.errors import NotAllowed
from reviews.models import Assignment, Preference, ProgressFigures, QueueItem, Review
from reviews.reports import progress
from reviews.reports.progress import Pace, estimate
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)


@pytest.fixture
def cast() -> make.Cast:
    cache.clear()
    return make.cast()


def done(by: Any, *, days_ago: int = 0, seconds: int = 90, **fields: Any) -> Review:
    item = fields.pop("item", None) or make.queue_item()
    at = timezone.now() - timedelta(days=days_ago)
    Assignment.objects.filter(item=item, state="free").update(state="done", reviewer=by)
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    values = {
        "state": "submitted", "stars": 4, "verdict": "good", "edited_text": "Fine.", "active_seconds": seconds,
        "submitted_at": at, "rubric": item.queue.rubric,
    }  # fmt: skip
    return Review.objects.create(item=item, summary=item.summary, reviewer=by, **{**values, **fields})


# ---------------------------------------------------------------- pure


def test_pace_is_answers_in_an_hour_at_work_and_says_nothing_of_a_few() -> None:
    assert Pace(answers=20, timed=20, active_seconds=1800, median_seconds=80).per_hour == 40
    assert Pace(answers=20, timed=20, active_seconds=1800, median_seconds=80).median == 80
    for few in (Pace(), Pace(9, 9, 900, 100.0), Pace(50, 9, 900, 100.0)):
        assert few.per_hour is None
        assert few.median is None


@pytest.mark.parametrize(
    ("left", "by_day", "words"),
    [
        (0, [10] * 14, "Nothing is left"),
        (50, [], "none of the last 14"),
        (600, [10], "Too little to say when: 10 on 1 day of the last 14"),
        (50, [29], "29 on 1 day"),
        (50, [100, 100, 100, 100], "400 on 4 days"),
        (50, [5, 6, 6, 6, 6], "29 on 5 days"),
        (10**6, [10] * 14, "Further ahead than can be said"),
    ],
)
def test_no_finish_is_forecast_from_little_or_far_ahead(left: int, by_day: list[int], words: str) -> None:
    found = estimate(left=left, by_day=by_day, today=TODAY)
    assert (found.earliest, found.latest) == (None, None)
    assert words in found.basis


def test_a_finish_is_a_range_as_wide_as_the_days_differ() -> None:
    even = estimate(left=100, by_day=[10] * 14, today=TODAY)
    assert even.earliest == even.latest == TODAY + timedelta(days=10)
    assert even.basis == "140 on 14 of the last 14 days"
    # 20 on each of ten working days: a mean of 14.3 a day, ± 4.4
    weekdays = estimate(left=200, by_day=[20] * 10, today=TODAY)
    assert (weekdays.earliest, weekdays.latest) == (TODAY + timedelta(days=11), TODAY + timedelta(days=21))
    # most on one day: it may take much longer
    uneven = estimate(left=100, by_day=[120, 5, 5, 5, 5], today=TODAY)
    assert uneven.earliest is not None
    assert uneven.latest is None


def test_the_range_holds_the_true_finish_in_about_nine_of_ten_cases() -> None:
    rng = random.Random(4)
    held = 0
    for _ in range(400):
        days = [sum(rng.random() < 0.4 for _ in range(25)) for _ in range(14)]
        found = estimate(left=300, by_day=[count for count in days if count], today=TODAY)
        assert found.earliest is not None
        true = TODAY + timedelta(days=30)  # 10 a day
        held += found.earliest <= true and (found.latest is None or true <= found.latest)
    assert held >= 0.85 * 400


# ---------------------------------------------------------------- counted


def test_my_figures_are_mine_alone(cast: make.Cast) -> None:
    for number in range(12):
        done(cast.reviewer, days_ago=number // 4, seconds=60 + number)
    done(cast.reviewer, days_ago=20)
    done(cast.another_reviewer, seconds=5)
    done(cast.reviewer, state="draft", submitted_at=None)
    done(cast.reviewer, state="withdrawn")
    pair = make.queue_item()
    Preference.objects.create(
        item=pair,
        reviewer=cast.reviewer,
        choice="tie",
        state="submitted",
        submitted_at=timezone.now(),
        active_seconds=0,
    )
    assigned = make.queue_item()
    Assignment.objects.filter(item=assigned).update(assigned_to=cast.reviewer)
    me = progress.mine(reviewer=cast.reviewer)
    assert (me.done, me.today, me.week, me.assigned) == (14, 5, 13, 1)
    assert me.active_today == sum(range(60, 64))
    assert (me.pace.answers, me.pace.timed, me.pace.active_seconds) == (13, 12, sum(range(60, 72)))
    assert me.pace.median == 65.5
    assert me.pace.per_hour == 12 * 3600 / sum(range(60, 72))
    assert "13 on 3 days" in me.estimate.basis
    assert len(me.days) == progress.CHART_DAYS
    assert [day.answers for day in me.days[-3:]] == [4, 4, 5]
    assert sum(day.answers for day in me.days) == 14


def test_a_queue_counts_assignments_and_leaves_out_what_is_flagged(cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    first = make.queue_item()
    assignment = Assignment.objects.filter(item=first).first()
    assert assignment is not None
    Assignment.objects.filter(pk=assignment.pk).update(state="done", reviewer=cast.reviewer)
    make.queue_item()
    aside = make.queue_item()
    QueueItem.objects.filter(pk=aside.pk).update(state="flagged")
    found = {row.slug: row for row in progress.queues().rows}[queue.slug]
    assert (found.done, found.left, found.flagged, found.total) == (1, 3, 1, 4)
    assert found.estimate.earliest is None
    assert "Too little to say" in found.estimate.basis
    make.queue(active=False)
    cache.clear()
    assert queue.slug not in {row.slug for row in progress.queues().rows}


def test_what_took_long_to_count_is_kept_longer(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(progress, "KEPT_LONG_SECONDS", 0)
    monkeypatch.setattr(progress, "SLOW_SECONDS", 60)
    for queries in (2, 0):
        with django_assert_num_queries(queries):
            progress.queues()
    cache.clear()
    monkeypatch.setattr(progress, "SLOW_SECONDS", -1)
    for _ in range(2):
        with django_assert_num_queries(2):
            progress.queues()


def test_the_queue_counts_ahead_what_takes_long(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        done(cast.reviewer, days_ago=number)
    here = progress.queues(), progress.team(actor=cast.ml_engineer)
    cache.clear()
    assert progress.count_ahead() == 0, "what is counted at once is counted at each look"
    monkeypatch.setattr(progress, "SLOW_SECONDS", -1)
    assert progress.count_ahead() == 3
    with django_assert_num_queries(3), monkeypatch.context() as patch:
        patch.setattr(progress, "_counted", None)  # nobody waits for it
        ahead = progress.queues(), progress.team(actor=cast.ml_engineer)
    assert replace(ahead[0], at=here[0].at) == here[0]
    assert replace(ahead[1], at=here[1].at) == here[1]
    assert ahead[0].at > here[0].at
    late = timezone.now() - timedelta(seconds=progress.KEPT_LONG_SECONDS)
    ProgressFigures.objects.update(at=late)
    assert progress.queues().at > ahead[0].at, "where the queue is behind, it is counted here"


def test_a_queue_that_is_worked_on_has_an_estimate_with_its_basis(cast: make.Cast) -> None:
    for number in range(30):
        done(cast.reviewer, days_ago=number % 5)
    for _ in range(3):
        make.queue_item()
    found = {row.slug: row for row in progress.queues().rows}["new-drafts"]
    assert (found.done, found.left) == (30, 3)
    assert found.pace.per_hour == 40
    # 30 on 5 of 14 days: 2.1 a day, ± 1.4
    today = timezone.localdate()
    assert (found.estimate.earliest, found.estimate.latest) == (today + timedelta(1), today + timedelta(5))
    assert found.estimate.basis == "30 on 5 of the last 14 days"


def test_the_team_is_for_those_who_manage_queues(cast: make.Cast) -> None:
    for _ in range(11):
        done(cast.another_reviewer, seconds=36)
    done(cast.reviewer)
    found = progress.team(actor=cast.ml_engineer)
    assert [(person.name, person.pace.answers, person.pace.per_hour) for person in found.people] == [
        ("ruben", 11, 100), ("rita", 1, None),
    ]  # fmt: skip
    assert (found.done, found.pace.answers) == (12, 12)
    for person in (cast.reviewer, cast.approver, cast.stranger):
        with pytest.raises(NotAllowed):
            progress.team(actor=person)


# ---------------------------------------------------------------- the page


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_reviewers_see_themselves_and_queues_and_nobody_else(cast: make.Cast) -> None:
    for _ in range(12):
        done(cast.another_reviewer)
    page = markup(signed_in(cast.reviewer).get("/progress/"))
    assert "ruben" not in page
    assert "The team" not in page
    assert "New drafts" in page or "new-drafts" in page
    assert "shown from 10 reviews on" in page
    everybody = markup(signed_in(cast.ml_engineer).get("/progress/"))
    assert "ruben" in everybody
    for person in (cast.stranger, cast.approver):
        assert signed_in(person).get("/progress/").status_code == 403


def test_the_page_costs_the_same_whatever_was_done(cast: make.Cast) -> None:
    def cost() -> int:
        client = signed_in(cast.ml_engineer)
        client.get("/progress/")
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/progress/").status_code == 200
        return len(queries)

    before = cost()
    for number in range(15):
        done(cast.reviewer if number % 2 else cast.ml_engineer, days_ago=number)
    assert cost() == before


@pytest.mark.parametrize(
    ("earliest", "latest", "said"),
    [
        (None, None, ""),
        (date(2026, 12, 3), date(2026, 12, 3), "about 3 December"),
        (date(2026, 12, 3), date(2027, 1, 7), "3 December to 7 January"),
        (date(2026, 12, 3), None, "3 December or much later"),
    ],
)
def test_an_estimate_says_from_when_to_when(earliest: date | None, latest: date | None, said: str) -> None:
    assert progress.Estimate(earliest, latest, "").finish == said
