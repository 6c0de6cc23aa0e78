"""What tests do at the review desk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import Error, Page, expect

DRAFT = "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


def eventually(page: Page, true: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true"
        page.wait_for_timeout(50)


def saved(page: Page, words: str = "Saved") -> None:
    expect(page.locator("#saved")).to_have_text(words)


def at_desk(page: Page, path: str = "/desk/new-drafts/") -> Page:
    page.goto(path)
    expect(page.locator("form[data-ready]")).to_be_visible()
    return page


@contextmanager
def another_item(page: Page) -> Iterator[None]:
    """Around what leads to another item; afterwards the desk of that one listens.

    The last one's answer is in the database before the browser moves on: a key pressed in between goes with the page.
    """
    here = page.locator("form[data-item]").get_attribute("data-item")
    yield
    expect(page.locator(f"form[data-ready]:not([data-item='{here}'])")).to_be_visible()


def stopped_clock(page: Page) -> Page:
    """Time passes on this page by `page.clock.run_for` alone, however long the machine takes."""
    now = timezone.now()
    page.clock.install(time=now)
    page.clock.pause_at(now + timedelta(seconds=1))
    return page


def computed(page: Page) -> Callable[[], float]:
    """Seconds that the page's own thread has computed since: whatever else the machine does is not in it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def now() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

    began = now()
    return lambda: now() - began


def crash(page: Page) -> None:
    """The page is gone without a word: closed alone, it would still send what it has."""
    with page.expect_event("crash"), suppress(Error):
        page.goto("chrome://crash")
    page.close()


def marks_of(page: Page) -> list[dict[str, Any]]:
    return json.loads(page.locator("[name=marks]").input_value())
