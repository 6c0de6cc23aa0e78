"""Talking on the desk: names, quotes and keys that stay in the drawer; the bell that rings without a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from reviews.discussion import comments
from reviews.models import Mention, QueueItem, Review, Thread
from tests import make
from tests.browser.conftest import Enter, no_violation

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
MARK = """(words) => {
  const text = document.querySelector("#summary p").firstChild;
  const start = text.textContent.indexOf(words);
  getSelection().setBaseAndExtent(text, start, text, start + words.length);
}"""


@pytest.fixture
def item(cast: make.Cast) -> QueueItem:
    return make.queue_item(make.summary(make.document(title="Old pier")), make.queue(blind_to_peers=True))


@pytest.mark.parametrize(("theme", "width", "height"), [("light", 1440, 900), ("dark", 390, 844)])
def test_a_reviewer_asks_from_the_desk_by_keyboard_without_touching_the_review(
    enter: Enter, cast: make.Cast, item: QueueItem, theme: str, width: int, height: int
) -> None:
    page = enter("rita", theme=theme, width=width, height=height)
    page.goto(f"/desk/item/{item.pk}/")
    page.locator("#talk-drawer > summary").press("Enter")
    box = page.get_by_label("A new conversation")
    expect(page.locator(".talk-rule")).to_contain_text("only you and its managers read this")
    page.evaluate(MARK, "410 piles")
    page.get_by_role("button", name="Quote the selection").click()
    expect(page.get_by_label("About these words")).to_have_value("410 piles")
    expect(box).to_be_focused()
    box.press_sequentially("Is 4 right, @m")
    names = page.get_by_role("listbox", name="People you can mention")
    expect(names.get_by_role("option")).to_have_text(["mila"])
    no_violation(page)
    box.press("Enter")
    expect(box).to_have_value("Is 4 right, @mila ")
    box.press("Control+Enter")
    thread = page.locator(".thread")
    expect(thread).to_contain_text("410 piles")
    expect(thread.locator(".mention")).to_have_text("@mila")
    no_violation(page)
    assert Mention.objects.get().user == cast.ml_engineer
    thread.locator("summary", has_text="Answer").click()
    thread.get_by_label("Your answer").fill("I mean it.")
    thread.get_by_role("button", name="Answer").click()
    expect(thread.locator(".comment")).to_have_count(2)
    thread.get_by_role("button", name="Resolve").click()
    expect(thread).to_contain_text("by you")
    page.get_by_label("A new conversation").press("Escape")
    expect(page.locator("#talk-drawer")).not_to_have_attribute("open", "")
    expect(page.locator("#talk-drawer > summary")).to_be_focused()
    page.locator("#talk-drawer > summary").click()
    page.get_by_role("button", name="Close the conversations").click()
    expect(page.locator("#talk-drawer > summary")).to_be_focused()
    assert page.url.endswith(f"/desk/item/{item.pk}/")
    assert not Review.objects.filter(stars__isnull=False).exists(), "no key of the desk was heard"


def test_the_bell_asks_again_when_the_page_is_looked_at(
    enter: Enter, cast: make.Cast, item: QueueItem
) -> None:
    page = enter("rita")
    page.goto(f"/desk/item/{item.pk}/")
    row = QueueItem.objects.select_related("queue", "summary__document").get(pk=item.pk)
    thread = comments.open_thread(about=row, text="Is 410 right?", actor=cast.reviewer)
    comments.reply(thread=thread.pk, text="No.", actor=cast.ml_engineer)
    bell = page.locator("#bell")
    expect(bell).to_have_accessible_name("Notifications")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(bell).to_have_accessible_name("Notifications, 1 unread")
    bell.click()
    no_violation(page)
    page.get_by_role("link", name="mila answered").click()
    page.wait_for_url(f"**/talk/item/{item.pk}/#thread-{thread.pk}")
    expect(page.locator("#bell")).to_have_accessible_name("Notifications")
    assert Thread.objects.count() == 1


def test_without_script_a_conversation_is_a_page(enter: Enter, cast: make.Cast, item: QueueItem) -> None:
    page = enter("rita", script=False)
    page.goto(f"/desk/item/{item.pk}/")
    page.locator("#talk-drawer > summary").click()
    page.get_by_role("link", name="Conversations on this item").click()
    page.get_by_label("A new conversation").fill("Is 410 right?")
    page.get_by_role("button", name="Post").click()
    expect(page.locator(".thread")).to_contain_text("Is 410 right?")
