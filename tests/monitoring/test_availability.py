"""Availability counts what was not seen as well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from llmops_site.supervisor.availability import KEEP_DAYS, AvailabilityProbe
from llmops_site.supervisor.readyz import Answer
from models_app.models import ServiceInterval
from models_app.monitoring.availability import UNSEEN, Seen, availability, measure
from models_app.monitoring.traffic import Window

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def seen(state: str, began: float, until: float, reason: str = "") -> Seen:
    return Seen(state, at(began), at(until), reason)


# ---------------------------------------------------------------- pure


def test_a_machine_that_was_off_counts_as_down_though_nothing_was_logged() -> None:
    found = measure([seen("ready", 0, 60), seen("ready", 90, 120)], start=at(0), end=at(120))
    assert found.share == 0.75
    assert [(outage.start, outage.end, outage.reason) for outage in found.outages] == [
        (at(60), at(90), UNSEEN)
    ]


def test_what_readyz_said_is_the_reason_of_an_outage() -> None:
    rows = [seen("ready", 0, 50), seen("not ready", 50, 60, "The model is loading."), seen("ready", 60, 100)]
    found = measure(rows, start=at(0), end=at(100))
    assert found.share == 0.9
    assert [outage.reason for outage in found.outages] == ["The model is loading."]


def test_a_stop_that_somebody_asked_for_does_not_count_and_is_told() -> None:
    rows = [seen("ready", 0, 60), seen("stopped", 60, 60), seen("not ready", 90, 91), seen("ready", 91, 120)]
    found = measure(rows, start=at(0), end=at(120))
    assert (found.ready_seconds, found.planned_seconds, found.outage_seconds) == (89 * 60, 30 * 60, 60)
    assert found.share == 89 / 90


def test_a_stop_lasts_into_the_window_and_to_its_end() -> None:
    assert measure([seen("stopped", -30, -30)], start=at(0), end=at(60)).planned_seconds == 3600
    assert measure([seen("stopped", -30, -30)], start=at(0), end=at(60)).share is None
    killed = measure([seen("ready", -30, -20)], start=at(0), end=at(60))
    assert (killed.share, killed.outage_seconds) == (0.0, 3600)


def test_the_seconds_since_the_last_answer_are_not_an_outage_yet() -> None:
    found = measure([seen("ready", 0, 59.9)], start=at(0), end=at(60))
    assert (found.share, list(found.outages)) == (1.0, [])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ready", "not ready", "stopped"]), st.integers(-50, 150), st.integers(0, 80)
        ),
        max_size=12,
    )
)
@examples(deadline=None)
def test_every_second_of_the_window_is_one_of_the_three(raw: list[tuple[str, int, int]]) -> None:
    rows = [
        seen(state, began, began if state == "stopped" else began + long)
        for state, began, long in sorted(raw, key=lambda row: row[1])
    ]
    found = measure(rows, start=at(0), end=at(100))
    whole = found.ready_seconds + found.outage_seconds + found.planned_seconds
    assert whole == pytest.approx(6000) or 6000 - whole <= 45
    assert sum(outage.seconds for outage in found.outages) == pytest.approx(found.outage_seconds)


# ---------------------------------------------------------------- written by a process that is killed


class Galley:
    """Answers /readyz as it is told."""

    def __init__(self) -> None:
        outer = self
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(b'{"detail": "The model is loading."}')

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def galley() -> Iterator[Galley]:
    served = Galley()
    yield served
    served.server.shutdown()


PROBE = """
import signal, sys, time
from llmops_site.supervisor.availability import AvailabilityProbe
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
probe = AvailabilityProbe(host="127.0.0.1", port=int(sys.argv[1]), database_url=sys.argv[2],
                          stopping=lambda: bool(asked), log=print, pause_seconds=0.3, gap_seconds=3, forget_seconds=0.5)
probe.start()
while not asked:
    time.sleep(0.05)
probe.stop()
"""


@pytest.fixture
def start(galley: Galley) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def probing() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROBE, str(galley.port), os.environ["DATABASE_URL"]]
        started.append(subprocess.Popen(command, cwd=settings.BASE_DIR))
        return started[-1]

    yield probing
    for process in started:
        process.kill()
        process.wait()


def states() -> list[str]:
    return list(ServiceInterval.objects.order_by("id").values_list("state", flat=True))


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, states()
        time.sleep(0.1)


@pytest.mark.django_db(transaction=True)
def test_the_time_after_a_kill_counts_and_the_time_after_a_stop_does_not(
    galley: Galley, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    began = timezone.now()
    first = start()
    eventually(lambda: states() == ["ready"])
    time.sleep(1)
    first.kill()  # of everything: nothing is written any more
    first.wait()
    time.sleep(2)
    second = start()
    eventually(lambda: states() == ["ready", "ready"])
    time.sleep(1)
    galley.status = 503
    eventually(lambda: states() == ["ready", "ready", "not ready"])
    second.send_signal(signal.SIGTERM)
    second.wait(10)
    eventually(lambda: states() == ["ready", "ready", "not ready", "stopped"])
    time.sleep(1)
    found = availability(Window(began, timezone.now()))
    assert [outage.reason for outage in found.outages] == [UNSEEN, "The model is loading."]
    assert found.outages[0].seconds > 2
    assert found.planned_seconds >= 1
    assert 0 < (found.share or 0) < 1


@pytest.mark.django_db(transaction=True)
def test_one_row_is_kept_for_as_long_as_the_answer_stays(
    galley: Galley, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    start()
    eventually(lambda: states() == ["ready"])
    eventually(lambda: _length() > timedelta(seconds=1))
    assert states() == ["ready"]


@pytest.mark.django_db(transaction=True)
def test_old_rows_go_while_galley_runs(start: Callable[[], subprocess.Popen[bytes]]) -> None:
    start()
    eventually(lambda: states() == ["ready"])
    for days in (KEEP_DAYS + 1, KEEP_DAYS - 1):
        at = timezone.now() - timedelta(days=days)
        ServiceInterval.objects.create(state="stopped", began_at=at, seen_at=at)
    eventually(lambda: ServiceInterval.objects.filter(state="stopped").count() == 1)
    assert ServiceInterval.objects.get(state="stopped").seen_at == at


def _length() -> timedelta:
    row = ServiceInterval.objects.get()
    return row.seen_at - row.began_at


def test_a_database_that_is_away_is_logged_once_and_ends_nothing() -> None:
    said: list[str] = []
    probe = AvailabilityProbe(
        host="127.0.0.1", port=9, database_url="postgres://nobody@127.0.0.1:9/none", stopping=lambda: False,
        log=said.append,
    )  # fmt: skip
    probe.note(Answer(True))
    probe.note(Answer(True))
    assert len(said) == 1
    assert said[0].startswith("cannot write down whether summaries are served:")


@pytest.mark.django_db
def test_before_galley_was_ready_for_the_first_time_nothing_counts() -> None:
    now = timezone.now()
    assert availability(Window(now - timedelta(hours=1), now)).share is None
    ServiceInterval.objects.create(
        state="not ready", began_at=now - timedelta(minutes=50), seen_at=now - timedelta(minutes=40)
    )
    assert availability(Window(now - timedelta(hours=1), now)).share is None
    ServiceInterval.objects.create(state="ready", began_at=now - timedelta(minutes=30), seen_at=now)
    found = availability(Window(now - timedelta(hours=1), now))
    assert (found.share, found.since) == (1.0, now - timedelta(minutes=30))
