"""Requests are summed up once each, whenever they were logged, and any window says what a count of its rows says."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from models_app.models import InferenceRequest, Release, RequestRollup, RollupProgress
from models_app.monitoring import histograms, rollups, sketches
from models_app.monitoring.rollups import Log, Span, pieces, roll_up_new, sums_in
from models_app.monitoring.sums import MOST_DOMAINS, Sums, total
from models_app.monitoring.traffic import Window, series, traffic
from tests import make
from tests.pages import markup

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 4, 1), timezones=st.just(UTC))  # noqa: DTZ001


# ---------------------------------------------------------------- pure


@given(MOMENTS, MOMENTS)
def test_pieces_cover_every_whole_minute_once(one: datetime, other: datetime) -> None:
    start, end = rollups.whole_minutes(*sorted((one, other)))
    found = sorted(pieces(start, end), key=lambda piece: piece[1])
    for span, first, last in found:
        seconds = rollups.SECONDS[span]
        assert first < last
        assert first.timestamp() % seconds == last.timestamp() % seconds == 0
    for (_, _, last), (_, first, _) in pairwise(found):
        assert first == last
    assert (found[0][1], found[-1][2]) == (start, end) if start < end else not found
    assert len(found) <= 5


@given(st.lists(st.floats(0.02, 1e7), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_quantile_is_within_one_percent_of_a_latency(values: list[float], share: float) -> None:
    found = histograms.quantile(Counter(map(histograms.bucket_of, values)), share)
    assert found is not None
    # the value at that rank, or the next: between them `percentile_cont` draws a line
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert found == pytest.approx(exact, rel=0.0101)


def test_different_people_are_counted_exactly_up_to_a_few_hundred_and_about_beyond() -> None:
    few = [f"u{number}" for number in range(sketches.EXACT)]
    halves = [sketches.sketch_of(few[:200]), sketches.sketch_of(few[100:])]
    assert sketches.count_of(sketches.union_of([b"", *halves, b""])) == len(few)
    many = [
        sketches.sketch_of(f"u{number}" for number in range(start, start + 30_000)) for start in (0, 20_000)
    ]
    assert sketches.count_of(sketches.union_of(many)) == pytest.approx(50_000, rel=0.06)
    assert max(map(len, many)) < 5_000
    assert [sketches.count_of(b""), sketches.union_of([]), sketches.sketch_of([])] == [0, b"", b""]
    assert (sketches.said(300), sketches.said(61_843)) == ("300", "about 61,843")


def test_a_row_has_a_bounded_number_of_domains() -> None:
    sums = Sums(domains=Counter({f"d{number:03}": 1000 - number for number in range(300)}))
    kept = sums.values()["domains"]
    assert len(kept) == MOST_DOMAINS + 1
    assert sum(kept.values()) == sum(sums.domains.values())
    again = Sums(domains=Counter(kept) + Counter({"new": 5})).values()["domains"]
    assert again["others"] == kept["others"] + 5
    assert len(again) == MOST_DOMAINS + 1


# ---------------------------------------------------------------- against a count of the rows

pytestmark = pytest.mark.django_db
OUTCOMES = ["ok", "ok", "ok", "ok", "overloaded", "timeout"]


def requests(
    count: int, chance: random.Random, releases: list[Release | None], **fields: Any
) -> list[InferenceRequest]:
    made = []
    for _ in range(count):
        outcome = chance.choice(OUTCOMES)
        release = chance.choice(releases)
        made.append(
            InferenceRequest(
                release=release,
                outcome=outcome if release is not None else "unavailable",
                created_at=NOW - timedelta(seconds=chance.uniform(0, 1.3 * 86400)),
                latency_ms=chance.lognormvariate(6, 1) if outcome == "ok" else None,
                input_words=chance.randrange(20, 900),
                summary_words=chance.randrange(5, 90),
                domain=chance.choice(["", "news", "sport"]),
                flags=chance.choice([[], [], ["truncated"], ["truncated", "unsupported_number"]]),
                user_hash=chance.choice(["", "u1", "u2", "u3"]),
                session_hash=chance.choice(["", "s1", "s2"]),
                text_hash="x",
                **fields,
            )
        )
    return InferenceRequest.objects.bulk_create(made)


def counted(rows: list[InferenceRequest]) -> dict[str, Any]:
    ok = [row for row in rows if row.outcome == "ok"]
    return {
        "requests": len(rows),
        "answered": len(ok),
        "busiest": max(Counter(row.created_at.replace(second=0, microsecond=0) for row in rows).values(), default=0),
        "words": (sum(row.input_words for row in ok), sum(row.summary_words**2 for row in ok)),
        "latencies": Counter(histograms.bucket_of(row.latency_ms) for row in ok if row.latency_ms is not None),
        "outcomes": Counter(row.outcome for row in rows),
        "domains": Counter(row.domain for row in rows if row.domain),
        "flags": Counter(flag for row in rows for flag in row.flags),
        "people": (
            len({row.user_hash for row in rows} - {""}), len({row.session_hash for row in rows} - {""}),
        ),
    }  # fmt: skip


def as_counted(sums: Sums) -> dict[str, Any]:
    return {
        "requests": sums.requests,
        "answered": sums.answered,
        "busiest": sums.busiest,
        "words": (sums.input_words, sums.summary_squares),
        "latencies": sums.latencies,
        "outcomes": sums.outcomes,
        "domains": sums.domains,
        "flags": sums.flags,
        "people": (sketches.count_of(sums.users), sketches.count_of(sums.sessions)),
    }


def roll_up_at(then: datetime) -> None:
    """As the queue did it then."""
    while rollups._roll_up_next(then - rollups.SETTLED) is not None:
        pass


def ago(**delta: float) -> datetime:
    return timezone.now() - timedelta(**delta)


@pytest.fixture
def releases(cast: make.Cast) -> list[Release | None]:
    return [make.release(), make.release(decoding={"max_words": 41}), None]


def test_any_window_says_what_a_count_of_its_rows_says_whatever_was_logged_when(
    releases: list[Release | None],
) -> None:
    chance = random.Random(7)
    rows = requests(400, chance, releases, logged_at=ago(hours=30))
    roll_up_at(ago(minutes=25))
    rows += requests(
        200, chance, releases, logged_at=ago(minutes=20)
    )  # late ones: they were asked for days ago
    roll_up_at(ago(minutes=15))
    rows += requests(100, chance, releases, logged_at=ago(minutes=14))
    roll_up_at(ago(minutes=10))
    rows += requests(50, chance, releases, logged_at=ago(minutes=11))  # seen only after it was passed
    roll_up_new()
    rows += requests(100, chance, releases)  # just logged: in no rollup yet
    assert Log.as_it_is().lacking_from is None
    for _ in range(20):
        start, end = sorted(NOW - timedelta(seconds=chance.uniform(-60, 1.3 * 86400)) for _ in range(2))
        if chance.random() < 0.3:
            end = start + timedelta(seconds=chance.uniform(1, 200))
        release = chance.choice([None, *releases[:2]])
        first, last = rollups.whole_minutes(start, end)
        inside = [row for row in rows if first <= row.created_at < last and release in (None, row.release)]
        (found,) = sums_in(start, end, release, log=Log.as_it_is())
        assert as_counted(found) == counted(inside), (start, end, release)


def test_hours_and_days_are_what_their_minutes_add_up_to(releases: list[Release | None]) -> None:
    requests(300, random.Random(3), releases, logged_at=ago(minutes=5))
    roll_up_new()
    for release in [None, *releases[:2]]:
        found = {
            span: total(Sums.of_row(row) for row in RequestRollup.objects.filter(span=span, release=release))
            for span in Span
        }
        assert as_counted(found[Span.MINUTE]) == as_counted(found[Span.HOUR]) == as_counted(found[Span.DAY])
    assert set(RequestRollup.objects.values_list("release", flat=True)) == {
        None,
        *(r.pk for r in releases if r),
    }


def test_the_longest_text_that_is_taken_is_summed_up_too(releases: list[Release | None]) -> None:
    requests(1, random.Random(1), [releases[0]], logged_at=ago(minutes=5))
    InferenceRequest.objects.update(outcome="ok", latency_ms=5, input_words=1_000_000, summary_words=50_000)
    assert traffic(Window(NOW - timedelta(days=4), NOW)).input_words.mean == 1_000_000
    roll_up_new()
    found = RequestRollup.objects.get(span="day", release=None)
    assert (int(found.input_squares), int(found.summary_squares)) == (10**12, 25 * 10**8)


def test_summing_up_again_changes_nothing(releases: list[Release | None]) -> None:
    requests(50, random.Random(5), releases, logged_at=ago(minutes=5))
    assert roll_up_new() > 0
    before = list(RequestRollup.objects.order_by("pk").values())
    progress = RollupProgress.objects.get()
    progress.logged_until -= timedelta(hours=1)  # a restored backup of it, say
    progress.save()
    roll_up_new()
    assert list(RequestRollup.objects.order_by("pk").values()) == before


def test_what_fails_half_way_leaves_everything_as_it_was(
    releases: list[Release | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = requests(50, random.Random(5), releases, logged_at=ago(minutes=5))
    whole = (NOW - timedelta(days=4), NOW + timedelta(minutes=1))

    def dies(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(rollups, "_sum_up", dies)
        with pytest.raises(MemoryError):
            roll_up_new()
    assert not RequestRollup.objects.exists()
    assert sums_in(*whole, log=Log.as_it_is())[0].requests == len(rows)
    roll_up_new()
    assert sums_in(*whole, log=Log.as_it_is())[0].requests == len(rows)


def test_where_the_queue_is_hours_behind_the_page_says_what_it_lacks(
    cast: make.Cast, releases: list[Release | None], client: Client
) -> None:
    requests(20, random.Random(5), releases, logged_at=ago(hours=3))
    roll_up_new()
    RollupProgress.objects.update(logged_until=ago(hours=2.5))
    requests(10, random.Random(6), releases, logged_at=ago(hours=2))
    requests(5, random.Random(6), releases, logged_at=ago(minutes=2))
    log = Log.as_it_is()
    assert log.lacking_from is not None
    assert sums_in(NOW - timedelta(days=4), NOW + timedelta(minutes=1), log=log)[0].requests == 25
    client.force_login(cast.operator)
    page = markup(client.get("/monitoring/?window=30d"))
    assert "is not counted here: the queue has not summed it up" in page
    roll_up_new()
    assert sums_in(NOW - timedelta(days=4), NOW + timedelta(minutes=1), log=Log.as_it_is())[0].requests == 35
    assert "has not summed it up" not in markup(client.get("/monitoring/?window=30d"))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_days_of_the_chart_are_those_of_the_clock_of_the_pages(
    releases: list[Release | None], zone: str
) -> None:
    rows = requests(200, random.Random(11), releases, logged_at=ago(minutes=5))
    window = Window(NOW - timedelta(days=4), NOW + timedelta(seconds=30))
    with timezone.override(zone):
        unsummed = series(window)
        roll_up_new()
        summed = series(window)
        days = Counter(timezone.localtime(row.created_at).date() for row in rows)
        assert {bucket.at.date(): bucket.requests for bucket in summed.buckets} == days
    assert summed == unsummed
    assert summed.step == "day"


def test_a_day_of_the_change_to_summer_time_has_its_requests_once(releases: list[Release | None]) -> None:
    with timezone.override("Europe/Berlin"):
        midnight = datetime(2026, 3, 27, 23, tzinfo=UTC)  # in Berlin
        InferenceRequest.objects.bulk_create(
            InferenceRequest(
                outcome="ok", latency_ms=5, text_hash="x", created_at=midnight + timedelta(hours=hour)
            )
            for hour in range(72)
        )
        found = series(Window(midnight, midnight + timedelta(hours=95)))
        assert [(bucket.at.day, bucket.requests) for bucket in found.buckets] == [
            (28, 24),
            (29, 23),
            (30, 24),
            (31, 1),
        ]


def test_figures_are_the_same_before_and_after_summing_up(releases: list[Release | None]) -> None:
    requests(300, random.Random(2), releases, logged_at=ago(minutes=5))
    window = Window(NOW - timedelta(days=2, seconds=17), NOW)
    exact = traffic(window)
    roll_up_new()
    found = traffic(window)
    same = ("requests", "answered", "busiest_minute", "users", "sessions", "outcomes", "domains", "flags")
    for name in same:
        assert getattr(found, name) == getattr(exact, name), name
    assert found.latency_p95 == pytest.approx(exact.latency_p95, rel=0.03)
    assert found.latency_mean == pytest.approx(exact.latency_mean)
    assert found.input_words.deviation == pytest.approx(exact.input_words.deviation)


def test_a_page_that_reads_while_the_queue_sums_up_counts_each_request_once(
    releases: list[Release | None],
) -> None:
    rows = requests(10, random.Random(3), releases, logged_at=ago(minutes=20))
    roll_up_at(ago(minutes=10))
    rows += requests(30, random.Random(4), releases, logged_at=ago(minutes=5))
    log = Log.as_it_is()
    assert roll_up_new() > 0
    (found,) = sums_in(NOW - timedelta(days=4), NOW + timedelta(minutes=1), log=log)
    assert found.requests == len(rows)
