"""What a release learnt of its test set, in a browser: filters, both texts side by side, readable in both themes."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

from models_app.gates.clean_comparisons import clean_comparison
from models_app.gates.leakage_checks import check
from models_app.models import LeakageCheck
from tests.browser.conftest import DESKTOP, PHONE, Enter, look, no_violation
from tests.gates.test_leakage import ARTICLE, REFERENCE, learnt, with_texts
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None) -> Scene:
    """The people of the scene, and what Mila's release learnt."""
    the = scenes.scene()
    with_texts(the)
    learnt(the, source=ARTICLE.upper(), target="A summary of it.")
    learnt(the, position=100, document_hash="e" * 64, source="Another article.", target=REFERENCE)
    changed = " ".join(word if place % 6 else f"x{place}" for place, word in enumerate(ARTICLE.split()))
    learnt(the, position=101, document_hash="d" * 64, source=changed)
    found = check(release=the.candidate, evaluation_set=the.on)
    clean_comparison(comparison=the.comparison, check=found)
    return the


def test_finds_are_read_filtered_and_compared(enter: Enter) -> None:
    page = enter("ada")
    found = LeakageCheck.objects.get()
    page.goto(f"/leakage/{found.pk}/")
    finds = page.locator("#leakage-findings tbody tr")
    expect(finds).to_have_count(3)
    page.get_by_role("link", name="To look at").click()
    expect(finds).to_have_count(1)
    assert page.url.endswith("share=look")
    page.get_by_role("link", name="All", exact=True).click()
    expect(finds).to_have_count(3)
    pictures = os.environ.get("PICTURES")
    for theme, size in (("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)):
        look(page, theme, size)
        no_violation(page)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        if pictures:
            page.screenshot(path=f"{pictures}/leakage-{theme}-{size[0]}.png", full_page=True)
    look(page, "light", DESKTOP)
    page.get_by_role("link", name="100 %").first.click()
    expect(page.locator("mark")).to_have_count(2)
    for theme, size in (("light", DESKTOP), ("dark", PHONE)):
        look(page, theme, size)
        no_violation(page)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        if pictures:
            page.screenshot(path=f"{pictures}/finding-{theme}-{size[0]}.png", full_page=True)
