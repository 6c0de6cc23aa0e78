"""The web program is killed and comes back while somebody is at a desk: nothing is lost, nothing comes in twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from playwright.sync_api import Page, Route, expect

from llmops_site.env import read_environment
from llmops_site.supervisor.galley import programs
from reviews.models import Assignment, Preference, QueueItem, Review
from tests import make
from tests.browser.conftest import Enter
from tests.browser.desk import BETTER, another_item, at_desk, eventually
from tests.browser.test_pairwise import paired
from tests.database import somebody_waits_for_a_lock
from tests.process.programs import free_port, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class Web:
    """The web program by the supervisor's own command, on a port that it comes back to."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://localhost:{port}"
        self.environment = {
            **os.environ,
            "GALLEY_PORT": str(port),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }
        self.program = next(one for one in programs(read_environment(self.environment)) if one.name == "web")

    def start(self) -> None:
        self.process = subprocess.Popen(
            list(self.program.command),
            cwd=settings.BASE_DIR,
            env={**self.environment, **self.program.environment},
            start_new_session=True,
        )
        wait_for(self._answers)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def web(transactional_db: None) -> Iterator[Web]:
    call_command("collectstatic", interactive=False, verbosity=0)
    web = Web()
    web.start()
    yield web
    web.kill()


@contextmanager
def locked_items() -> Iterator[None]:
    """Nobody else changes an item meanwhile."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(QueueItem.objects.select_for_update(of=("self",)))
            held.set()
            release.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(20)
        yield
    finally:
        release.set()
        holder.join()


def chip(page: Page, words: str) -> None:
    expect(page.locator("[data-saved]")).to_have_text(words)


OFFLINE = "Not saved · kept in this browser"


def test_what_is_typed_while_the_server_is_gone_is_saved_when_it_is_back(
    enter: Enter, items: list[QueueItem], web: Web
) -> None:
    page = at_desk(enter("rita"), f"{web.url}/desk/new-drafts/")
    first = page.locator("h1").inner_text()
    page.locator("#edit").fill(BETTER)
    chip(page, "Saved")
    web.kill()
    page.locator("#edit").fill(f"{BETTER} More.")
    chip(page, OFFLINE)
    for digit in "4554":
        page.keyboard.press(f"Alt+{digit}")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    page.locator("#edit").fill(f"{BETTER} More still.")
    assert Review.objects.get().edited_text == BETTER
    web.start()
    chip(page, "Saved")  # by itself
    kept = Review.objects.get()
    assert (kept.edited_text, kept.state) == (f"{BETTER} More still.", "draft")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    kept.refresh_from_db()
    assert (kept.state, kept.late, kept.stars, kept.edited_text) == (
        "submitted", False, 5, f"{BETTER} More still.",
    )  # fmt: skip


def test_a_review_that_the_server_died_over_is_submitted_once(
    enter: Enter, items: list[QueueItem], web: Web
) -> None:
    page, answer_gets_lost = enter("rita"), threading.Event()

    def submitting(route: Route) -> None:
        if not answer_gets_lost.is_set():
            route.continue_()
            return
        route.fetch()
        web.kill()
        answer_gets_lost.clear()
        route.abort()

    # Before the page is there: what is pressed right after a page began to be listened to may overtake that.
    page.route("**/submit/", submitting)
    at_desk(page, f"{web.url}/desk/new-drafts/")
    for digit in "4554":
        page.keyboard.press(digit)
    page.locator("#edit").fill(BETTER)
    chip(page, "Saved")
    with locked_items():
        page.keyboard.press("Control+Enter")
        eventually(page, somebody_waits_for_a_lock)
        web.kill()
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    assert Review.objects.get().state == "draft", "half of a review came in"
    web.start()
    with another_item(page):
        page.keyboard.press("Control+Enter")
    review = Review.objects.get(state="submitted")
    assert (review.edited_text, review.late) == (BETTER, False)
    assert QueueItem.objects.filter(state="done").count() == 1
    assert Assignment.objects.filter(state="done").count() == 1

    # it came in, and the server died before it could say so
    for digit in "4444":
        page.keyboard.press(digit)
    answer_gets_lost.set()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    assert not answer_gets_lost.is_set()
    with another_item(page):
        web.start()
        page.keyboard.press("Control+Enter")
    assert Review.objects.filter(state="submitted").count() == 2


def test_a_judgement_outlives_the_server_too(enter: Enter, cast: make.Cast, web: Web) -> None:
    page, pairs = enter("rita"), paired(cast)
    page.goto(f"{web.url}/pairwise/{pairs.slug}/")
    expect(page.locator("form[data-ready]")).to_be_visible()
    first = page.locator("h1").inner_text()
    page.keyboard.press("2")
    chip(page, "Saved")
    web.kill()
    page.locator("#reason").fill("The number is right here.")
    chip(page, OFFLINE)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    web.start()
    chip(page, "Saved")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    kept = Preference.objects.get(state="submitted")
    assert (kept.strength, kept.reason) == (2, "The number is right here.")
