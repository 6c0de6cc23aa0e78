"""Resolving a dispute and answering a calibration round in a browser: by key, without script, in both themes."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from reviews.models import Adjudication, QueueItem, Review
from reviews.quality import gold
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.reviews.quality.test_adjudication import FIXED, GOOD, POOR, reviewed
from tests.reviews.quality.test_gold import KNOWN, golden

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def disputed_item(cast: make.Cast) -> QueueItem:
    item = make.queue_item(in_queue=make.queue(reviews_per_item=2), wanted_reviews=2)
    reviewed(item, cast.reviewer, GOOD)
    reviewed(item, cast.another_reviewer, POOR)
    return item


def test_a_dispute_is_resolved_by_key(cast: make.Cast, enter: Enter) -> None:
    item = disputed_item(cast)
    page = enter("mila")
    page.goto(reverse("disputes"))
    with page.expect_navigation():
        page.get_by_role("link", name="Resolve", exact=True).click()
    no_violation(page)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "all of it is in sight"
    fixed = page.locator(".answer-text", has=page.locator("ins", has_text="140"))
    letter = fixed.locator("kbd").inner_text()
    page.keyboard.press(letter.lower())
    expect(page.locator("#edit")).to_have_value(FIXED)
    expect(page.locator("input[name=stars]:checked")).to_have_value("2")
    page.get_by_role("button", name="Resolve and next").click()
    expect(page.get_by_role("alert")).to_contain_text("Something is missing")
    no_violation(page)
    page.get_by_label("Why", exact=True).fill("The article says 140 piles.")
    page.get_by_role("button", name="Resolve and next").click()
    expect(page.locator("body")).to_contain_text("No reviewers differ")
    assert Adjudication.objects.get(item=item).explanation == "The article says 140 piles."


def test_a_round_explains_each_answer_and_leads_on_by_key(cast: make.Cast, enter: Enter) -> None:
    queue = make.queue()
    round_ = gold.start_round(
        name="November", golds=golden(queue, cast.ml_engineer, 2), reviewers=[cast.reviewer], actor=cast.ml_engineer
    )  # fmt: skip
    page = enter("rita")
    page.goto(reverse("desk"))
    expect(page.locator("body")).to_contain_text("November")
    page.goto(reverse("desk_next", args=[round_.slug]))
    page.wait_for_selector("[data-ready=yes]")
    assert KNOWN.explanation not in page.content()
    for name in ("consistency", "relevance", "coherence", "fluency"):
        page.locator(f"input[name=rating-{name}][value='5']").check(force=True)
    page.locator("input[name=verdict][value=good]").check(force=True)
    page.locator("input[name=stars][value='5']").check(force=True)
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    expect(page.locator("body")).to_contain_text(KNOWN.explanation)
    no_violation(page)
    page.keyboard.press("n")
    page.wait_for_selector("[data-ready=yes]")
    assert Review.objects.filter(state="submitted").count() == 1
    assert KNOWN.explanation not in page.content()


def test_pages_hold_to_axe_in_the_dark_on_a_phone_and_work_without_script(
    cast: make.Cast, enter: Enter
) -> None:
    disputed_item(cast)
    golden(make.queue(), cast.ml_engineer, 2)
    page = enter("mila", theme="dark", width=390, height=844)
    for name in ("agreement", "disputes", "gold", "gold_round", "how_i_rate"):
        page.goto(reverse(name))
        no_violation(page)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), name
    plain = enter("mila", script=False)
    plain.goto(reverse("gold_round"))
    plain.get_by_label("Name").fill("December")
    plain.get_by_label("rita").check()
    plain.get_by_role("button", name="Start the round").click()
    expect(plain.locator("body")).to_contain_text("December has begun")
    plain.goto(reverse("agreement") + "?question=fluency")
    expect(plain.locator("body")).to_contain_text("Rater bias: fluency")
