from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from models_app.models import Release, Slot
from tests import make
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless, no_violation

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def releases(cast: make.Cast) -> list[Release]:
    """Three that went live one after the other, and one that warms up."""
    made = []
    for number in range(3):
        release = make.release(state="warming")
        now = timezone.now()
        Slot.objects.create(
            release=release, state="ready", pid=4700 + number, rss_bytes=420 << 20, heartbeat_at=now, ready_at=now,
            started_at=now - timedelta(seconds=3),
        )  # fmt: skip
        make.put_live(release)
        made.append(release)
    return [*made, make.release(state="warming")]


# The other two of the four are taken by test_axe.
def test_pages_have_no_violation_and_nothing_hangs_over(enter: Enter, releases: list[Release]) -> None:
    page = enter("otto")
    for path in ("/deployments/", "/tokens/"):
        faultless(page, path, ("dark", DESKTOP), ("light", PHONE))


def test_rolling_back_without_script(enter: Enter, releases: list[Release]) -> None:
    page = enter("otto", script=False)
    page.goto("/deployments/")
    roll_back(page, releases[1])


def test_rolling_back_with_the_keyboard_alone(enter: Enter, releases: list[Release]) -> None:
    page = enter("otto")
    page.goto("/deployments/")
    page.get_by_role("button", name="Roll back to release").focus()
    page.keyboard.press("Enter")
    no_violation(page)
    page.keyboard.type("It invents numbers.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Rolled back: release {releases[1].pk} is live again.")).to_be_visible()


def roll_back(page: Page, to: Release) -> None:
    page.get_by_role("button", name=f"Roll back to release {to.pk}").click()
    page.get_by_label("Why").first.fill("It invents numbers.")
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.get_by_text(f"Rolled back: release {to.pk} is live again.")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text(f"Release {to.pk}")


def test_the_page_follows_what_happens_and_leaves_a_dialog_alone(
    enter: Enter, releases: list[Release]
) -> None:
    *_, live, warming = releases
    page = enter("otto")
    page.goto("/deployments/")
    expect(page.locator(".verdict")).to_contain_text(f"Release {live.pk}")
    page.get_by_role("button", name="Stop", exact=True).click()
    reason = page.locator("#stop-warming textarea")
    reason.fill("Wrong day")
    make.put_live(warming)
    page.wait_for_timeout(4500)  # two polls
    expect(reason).to_have_value("Wrong day")
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.locator(".verdict")).to_contain_text(f"Release {warming.pk}")


def test_a_new_token_can_be_copied(enter: Enter, cast: make.Cast) -> None:
    page = enter("rita")
    # A browser with windows lets a click write there; the one without asks nobody and refuses.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/tokens/")
    page.get_by_label("What it is for").fill("web shop")
    page.get_by_label("Ask for summaries and read them").check()
    page.get_by_role("button", name="Make the token").click()
    token = page.locator("#token-value")
    expect(token).to_have_text(re.compile(r"^gly_[0-9a-f]{64}$"))
    no_violation(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == token.inner_text()
