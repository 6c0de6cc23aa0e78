"""From one item of the review desk to another: the next, later, back, undo."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from reviews.models import (
    Assignment,
    QueueItem,
    Review,
    Skip,
)
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import BETTER, another_item, at_desk, saved

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_the_next_item_is_there_without_asking_for_it_again(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    assert Assignment.objects.filter(state="held").count() == 2
    for digit in "4554":
        page.keyboard.press(digit)
    saved(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    first = page.locator("h1").inner_text()
    with another_item(page):
        page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    assert [url for url in asked if url.endswith("/desk/new-drafts/")] == []
    before_it_showed = page.evaluate("""() => {
        const at = name => performance.getEntriesByName(name).at(-1).startTime;
        return performance.getEntriesByType("resource").map(entry => [entry.startTime, entry.name])
            .filter(([start]) => start >= at("galley:submit") && start <= at("galley:next-shown"))
            .map(([, name]) => name);
    }""")
    assert [url.rpartition("/desk/item/")[2].partition("/")[2] for url in before_it_showed] == ["submit/"]
    expect(page.locator("form[data-ahead]")).to_be_visible()
    page.locator("#comment").fill("It works here too.")
    saved(page)
    assert Review.objects.get(state="draft").comment == "It works here too."


def test_a_desk_that_is_left_does_not_say_that_it_listens(enter: Enter, items: list[QueueItem]) -> None:
    page = enter("rita")
    page.route(
        "**/desk/new-drafts/?ahead=*", lambda route: route.abort()
    )  # so that the next one is a page of its own
    at_desk(page)
    page.evaluate("""addEventListener("pagehide", () => {
        sessionStorage.setItem("left", document.querySelector("form[data-desk]").dataset.ready || "not ready");
    })""")
    for digit in "4554":
        page.keyboard.press(digit)
    with another_item(page):
        page.keyboard.press("Control+Enter")
    assert page.evaluate("sessionStorage.getItem('left')") == "not ready"


def test_the_day_is_counted_also_where_the_next_item_was_fetched_ahead(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("[data-day] b")).to_have_text("0 of 3")
    expect(page.locator("form[data-ahead]")).to_be_visible()
    for digit in "4554":
        page.keyboard.press(digit)
    with another_item(page):
        page.keyboard.press("Control+Enter")
    expect(page.locator("[data-day] b")).to_have_text("1 of 3")
    expect(page.locator("form[data-ahead]")).to_be_visible()
    expect(page.locator(".nav-links a[aria-current] .count")).to_have_text("2")


def test_later_keeps_the_draft_and_brings_another(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    first = page.locator("h1").inner_text()
    page.locator("#edit").fill(BETTER)
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    expect(page.locator("h1")).not_to_have_text(first)
    assert Skip.objects.get().meaning == Skip.Meaning.SNOOZE
    assert Review.objects.get().edited_text == BETTER


def test_a_flag_asks_for_the_reason(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    first = page.locator("h1").inner_text()
    page.keyboard.press("f")
    page.locator("#flag-reason").fill("This is a table, not an article.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    assert Skip.objects.get().reason == "This is a table, not an article."
    assert QueueItem.objects.filter(state="flagged").count() == 1


def test_undo_brings_what_was_submitted_back_as_a_draft(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    for digit in "4554":
        page.keyboard.press(digit)
    page.keyboard.type("One more word. ")
    with another_item(page):
        page.keyboard.press("Control+Enter")
    expect(page.locator("[data-undo-offer]")).to_contain_text("Submitted.")
    page.locator("#comment").fill("Begun already.")
    with another_item(page):
        page.keyboard.press("Alt+u")  # what was begun on the next one is saved first
    expect(page.locator("h1")).to_have_text(first)
    expect(page.get_by_text("Taken back: it is a draft again.")).to_be_visible()
    expect(page.locator("#edit")).to_have_value(re.compile("One more word"))
    expect(page.locator("[data-submit]")).to_contain_text("Submit and next")
    assert Review.objects.get(item__summary__document__title=first).state == "draft"
    assert Review.objects.get(comment="Begun already.").state == "draft"
    with another_item(page):
        page.keyboard.press("Control+Enter")
    expect(page.locator("#comment")).to_have_value("Begun already.")


def test_undo_brings_an_item_back_that_was_passed_by_and_goes_after_ten_seconds(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = enter("rita")
    page.clock.install()
    at_desk(page)
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    with another_item(page):
        page.keyboard.press("n")
    with another_item(page):
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_have_text(first)
    assert not Skip.objects.exists()
    expect(page.locator("form[data-ahead]")).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    with another_item(page):
        page.keyboard.press("l")
    page.clock.run_for(9_900)
    expect(page.locator("[data-undo-offer]")).to_be_visible()
    page.clock.run_for(200)
    expect(page.locator("[data-undo-offer]")).to_have_count(0)


def test_back_through_my_last_and_forward_to_where_i_was(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    titles = []
    for digits in ("4554", "2222"):
        titles.append(page.locator("h1").inner_text())
        for digit in digits:
            page.keyboard.press(digit)
        with another_item(page):
            page.keyboard.press("Control+Enter")
    here = page.locator("h1").inner_text()
    page.locator("#comment").fill("Half a thou")
    with another_item(page):
        page.keyboard.press("Alt+o")
    expect(page.locator("h1")).to_have_text(titles[1])
    expect(page.locator("#saved")).to_have_text("Submitted")
    with another_item(page):
        page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text(titles[0])
    with page.expect_navigation():
        page.keyboard.press("o")
    expect(page.get_by_text("This is the oldest")).to_be_visible()
    with another_item(page):
        page.keyboard.press("w")
    expect(page.locator("h1")).to_have_text(titles[1])
    page.locator("#edit").fill(BETTER)
    with another_item(page):
        page.keyboard.press("Control+Enter")  # corrected, and back where I was
    expect(page.locator("h1")).to_have_text(here)
    expect(page.locator("#comment")).to_have_value("Half a thou")
    assert Review.objects.get(edited_text=BETTER).revisions.count() == 2
    page.keyboard.press("r")
    recent = page.get_by_role("dialog", name="Recent")
    expect(recent.get_by_role("link")).to_have_count(2)
    expect(recent.get_by_role("link").first).to_be_focused()
    no_violation(page)
    page.keyboard.press("ArrowDown")
    with another_item(page):
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(titles[0])
    with another_item(page):
        page.get_by_role("link", name="Back to where you were").click()
    expect(page.locator("h1")).to_have_text(here)


def test_what_was_submitted_can_be_corrected_from_my_feedback(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    for digit in "4554":
        page.keyboard.press(digit)
    first = page.locator("h1").inner_text()
    with another_item(page):
        page.keyboard.press("Control+Enter")
    page.goto("/my-feedback/")
    with page.expect_navigation():
        page.get_by_role("link", name=first).click()
    expect(page.locator("#saved")).to_have_text("Submitted")
    page.locator("#edit").fill(BETTER)
    saved(page, "Not submitted yet")
    page.reload()  # a correction is kept in this browser until it is submitted
    expect(page.locator("#edit")).to_have_value(BETTER)
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/my-feedback/")
    expect(page.locator(".diff ins")).to_have_text("140")
    assert Review.objects.get(state="submitted").revisions.count() == 2
