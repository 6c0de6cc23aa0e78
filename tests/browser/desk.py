"""What tests do at the review desk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

DRAFT = "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


def eventually(page: Page, true: Callable[[], Any], seconds: float = 10) -> None:
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


def marks_of(page: Page) -> list[dict[str, Any]]:
    return json.loads(page.locator("[name=marks]").input_value())
