"""A canary that is held, moved on and rolled back on its page, by keyboard and mouse."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from playwright.sync_api import Page, expect

from models_app.models import Release, Rollout, Route
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless, no_violation
from tests.rollouts import scene
from tests.rollouts.scene import minutes_pass, requests

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None) -> None:
    """The scene brings them along."""
    cache.clear()


@pytest.fixture
def rollout(cast: None) -> Rollout:
    found = scene.rolling_out()
    requests(found.beside, 270, errors=2)
    requests(found.release, 30, errors=1, arm="canary")
    return found


def test_a_canary_is_held_moved_on_and_rolled_back(enter: Enter, rollout: Rollout) -> None:
    page = enter("otto")
    page.goto("/deployments/")
    page.get_by_role("link", name="Open the rollout").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("takes 10 % of the requests")
    no_violation(page)

    page.get_by_role("button", name="Pause").first.click()
    page.get_by_label("Why").fill("We read the texts first.")
    page.get_by_role("button", name="Pause", exact=True).last.click()
    expect(page.locator(".verdict-word")).to_have_text("On hold")
    expect(page.locator("#rollout")).to_contain_text("by otto: We read the texts first.")
    assert Release.objects.get(pk=rollout.release_id).state == "held"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".verdict-word")).to_have_text("On course")

    page.get_by_role("button", name="Advance").click()
    expect(page.get_by_text("30 of 40 requests. 0 of 5 minutes.").first).to_be_visible()
    assert Route.objects.get().canary_weight == 10, "no condition is walked round"
    requests(rollout.release, 20, arm="canary")
    minutes_pass(rollout)
    page.get_by_role("button", name="Advance").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("takes 50 % of the requests")

    page.get_by_role("button", name="Roll back").first.click()
    page.get_by_label("What you saw, and where").fill("It writes French.")
    page.get_by_role("button", name="Roll back now").click()
    expect(page.locator(".verdict-word")).to_have_text("Rolled back by a person")
    expect(page.locator("#rollout")).to_contain_text("It writes French.")
    assert Route.objects.get().canary is None
    no_violation(page)


def test_the_page_has_no_violation_and_nothing_hangs_over(enter: Enter, rollout: Rollout) -> None:
    page: Page = enter("otto")
    for path in (f"/deployments/rollouts/{rollout.pk}/", "/deployments/"):
        faultless(page, path, ("light", DESKTOP), ("dark", PHONE))
