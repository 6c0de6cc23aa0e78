"""Rating and submitting at the review desk by keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from reviews.models import (
    DeskPreferences,
    QueueItem,
    Review,
)
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import BETTER, DRAFT, another_item, at_desk, eventually, saved

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_review_by_keyboard_alone_and_the_next_item_stands_there(
    enter: Enter, cast: make.Cast, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    for digit in "2455":  # consistency, relevance, coherence, fluency
        page.keyboard.press(digit)
    expect(page.locator("#edit")).to_be_focused()
    expect(page.get_by_text("from your ratings", exact=True)).to_be_visible()
    page.keyboard.press("Alt+1")  # overall: poor, whatever the ratings come to
    expect(page.get_by_text("from your ratings", exact=True)).to_be_hidden()
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.press("Alt+2")  # two stars
    page.keyboard.press("Control+A")
    page.keyboard.type(BETTER)
    expect(page.locator("[data-diff] del")).to_have_text("410")
    expect(page.locator("[data-diff] ins")).to_have_text("140")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.type("A digit was swapped.")
    page.keyboard.press("Alt+t")  # inside the box: with Alt
    expect(page.get_by_label("Needs retraining")).to_be_checked()
    with another_item(page):
        page.keyboard.press("Control+Enter")
    review = Review.objects.select_related("item").get(state="submitted")
    assert review.reviewer == cast.reviewer
    assert (review.stars, review.verdict, review.edited_text) == (2, "poor", BETTER)
    assert review.ratings == {"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5}
    assert not review.overall_from_ratings
    assert (review.comment, review.wants_retrain, review.wants_refine) == (
        "A digit was swapped.",
        True,
        False,
    )
    assert review.item.state == "done"
    expect(page.locator("[name=verdict]:checked, [name=stars]:checked")).to_have_count(0)
    expect(page.locator("#comment")).to_have_value("")


def test_five_keys_rate_edit_submit_and_bring_the_next(enter: Enter, items: list[QueueItem]) -> None:
    """Beside the typing of the correction itself."""
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    for digit in "2343":
        page.keyboard.press(digit)
    expect(page.locator("#edit")).to_be_focused()
    page.keyboard.type("Typed at once. ")
    with another_item(page):
        page.keyboard.press("Control+Enter")
    review = Review.objects.get(state="submitted")
    assert (review.stars, review.verdict, review.overall_from_ratings) == (3, "fair", True)
    assert "Typed at once." in review.edited_text
    assert page.evaluate("scrollY") == 0
    for digit in "5555":  # a summary that needs no correction: the same, without the typing
        page.keyboard.press(digit)
    page.keyboard.press("Control+Enter")
    eventually(page, lambda: Review.objects.filter(state="submitted").count() == 2)
    review = Review.objects.filter(state="submitted").latest("submitted_at")
    assert (review.stars, review.verdict, review.edited_text) == (5, "good", DRAFT)


def test_what_the_ratings_come_to_is_taken_until_somebody_chooses(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    derived, again = page.locator("[data-derived]"), page.locator("[data-derive]")
    for digit in "234":
        page.keyboard.press(digit)
    expect(page.locator("[name=stars]:checked")).to_have_count(0)
    page.keyboard.press("4")  # mean 3.25
    expect(page.locator("[name=stars]:checked")).to_have_value("3")
    page.locator("[name=rating-consistency][value='3']").check(force=True)  # mean 3.5
    expect(page.locator("[name=stars]:checked")).to_have_value("4")
    expect(page.locator("[name=verdict]:checked")).to_have_value("good")
    saved(page)
    assert Review.objects.get().overall_from_ratings
    page.locator("[name=verdict][value=poor]").check(force=True)
    expect(derived).to_be_hidden()
    page.locator("[name=rating-fluency][value='1']").check(force=True)
    expect(page.locator("[name=stars]:checked")).to_have_value("4")
    saved(page)
    page.reload()
    expect(page.locator("[name=verdict]:checked")).to_have_value("poor")
    again.click()
    expect(page.locator("[name=stars]:checked")).to_have_value("3")
    expect(page.locator("[name=verdict]:checked")).to_have_value("fair")
    expect(derived).to_be_visible()
    saved(page)
    page.reload()
    expect(derived).to_be_visible()


def test_rating_inside_the_text_box_leaves_the_text_alone(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.locator("#edit").focus()
    for key in ("Alt+3", "Alt+4", "Alt+ArrowUp", "Alt+5"):
        page.keyboard.press(key)
    expect(page.locator("[name=rating-consistency][value='3']")).to_be_checked()
    expect(page.locator("[name=rating-relevance][value='5']")).to_be_checked()
    expect(page.locator("[name=rating-coherence]:checked")).to_have_count(0)
    expect(page.locator("#edit")).to_have_value(DRAFT)
    expect(page.locator("#edit")).to_be_focused()


def test_what_is_missing_is_said_at_its_line_and_the_keyboard_is_there(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("5")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Rate relevance.", exact=True)).to_be_visible()
    expect(page.get_by_text("Rate consistency.", exact=True)).to_have_count(0)
    expect(page.locator("[name=rating-relevance]").first).to_be_focused()
    page.keyboard.press("4")
    expect(page.get_by_text("Rate relevance.", exact=True)).to_have_count(0)
    assert not Review.objects.filter(state="submitted").exists()


def test_enter_on_a_scale_hands_nothing_in(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    for digit in "4554":
        page.keyboard.press(digit)
    page.locator("[name=stars]:checked").focus()
    page.keyboard.press("Enter")
    saved(page)
    assert not Review.objects.filter(state="submitted").exists()


def test_single_keys_can_be_switched_off(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("?")
    page.get_by_label("Single keys").uncheck()
    eventually(page, lambda: DeskPreferences.objects.filter(single_keys=False).exists())  # on every computer
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    expect(page.locator("input[type=radio]:checked")).to_have_count(0)
    page.keyboard.press("Alt+3")
    expect(page.locator("[name=rating-consistency][value='3']")).to_be_checked()


def test_somebody_s_own_keys_work_and_are_shown_on_the_buttons(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("?")
    with page.expect_navigation():
        page.get_by_role("link", name="Choose other keys").click()
    field = page.get_by_label("correct the summary")
    field.focus()
    page.keyboard.press("c")
    page.get_by_label("submit and get the next, from anywhere").focus()
    page.keyboard.press("Control+Shift+Enter")
    with page.expect_navigation():
        page.get_by_role("button", name="Use these keys").click()
    expect(page.get_by_text("The same key as “comment”.")).to_be_visible()
    no_violation(page)
    expect(page.get_by_label("submit and get the next, from anywhere")).to_have_value("ctrl+shift+enter")
    page.get_by_label("comment", exact=True).focus()
    page.keyboard.press("e")
    page.get_by_role("button", name="Use these keys").click()
    expect(page.locator("form[data-ready]")).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator("#comment")).to_be_focused()
    page.keyboard.press("Alt+c")
    expect(page.locator("#edit")).to_be_focused()
    expect(page.locator("[data-submit] kbd")).to_have_text("Ctrl Shift ↵")
    for digit in "5555":
        page.keyboard.press(f"Alt+{digit}")
    saved(page)
    page.keyboard.press("Control+Enter")
    saved(page)
    assert not Review.objects.filter(state="submitted").exists(), "it is not my key any more"
    page.keyboard.press("Control+Shift+Enter")
    eventually(page, lambda: Review.objects.filter(state="submitted").exists())


def test_digits_with_shift_are_written_as_they_are_read(enter: Enter, items: list[QueueItem]) -> None:
    """Shift and 1 make an exclamation mark, which the desk reads as Shift and 1."""
    page = at_desk(enter("rita"))
    page.keyboard.press("?")
    with page.expect_navigation():
        page.get_by_role("link", name="Choose other keys").click()
    field = page.get_by_label("correct the summary")
    field.focus()
    page.keyboard.press("Alt+Shift+Digit1")
    expect(field).to_have_value("alt+shift+1")
    page.get_by_role("button", name="Use these keys").click()
    expect(page.locator("form[data-ready]")).to_be_visible()
    page.keyboard.press("Alt+Shift+Digit1")
    expect(page.locator("#edit")).to_be_focused()
