"""The pairwise desk as somebody uses it: by keyboard alone, with undo, on a phone, without script."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from models_app.models import HumanVote
from reviews.filling.pairs import pair_releases, pairwise_queue
from reviews.models import Preference, QueueItem, ReviewQueue, Skip
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import another_item, crash
from tests.reviews.desk.test_choices import compared

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def paired(cast: make.Cast) -> ReviewQueue:
    """A queue of three pairs, of which one text each has the right number."""
    before, after = make.release(), make.release()
    queue = pairwise_queue(actor=cast.ml_engineer)
    for _ in range(3):
        document = make.document(split="test")
        make.summary(document, "The old pier closes for nine months. 410 piles are rotten.", release=before)
        make.summary(document, "The old pier closes for nine months. 140 piles are rotten.", release=after)
    pair_releases(before=before, after=after, queue=queue, limit=9, actor=cast.ml_engineer)
    return queue


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return paired(cast)


def at_pair(page: Page, queue: ReviewQueue) -> Page:
    page.goto(f"/pairwise/{queue.slug}/")
    expect(page.locator("form[data-ready]")).to_be_visible()
    return page


def test_two_keys_a_judgement_and_the_next_pair_stands_there(enter: Enter, queue: ReviewQueue) -> None:
    page = at_pair(enter("rita"), queue)
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    page.keyboard.press("d")
    marked = "getComputedStyle(document.querySelector('.differs')).backgroundColor"
    assert page.evaluate(marked) != "rgba(0, 0, 0, 0)"
    assert sorted(page.locator(".differs").all_inner_texts()) == ["140", "410"]
    no_violation(page)
    good = "left" if "140" in page.locator("[data-side=left]").inner_text() else "right"
    page.evaluate("window.sameWindow = true")
    page.keyboard.press("1" if good == "left" else "6")
    with another_item(page):
        page.keyboard.press("Control+Enter")
    assert page.evaluate("window.sameWindow") is True
    kept = Preference.objects.get(state="submitted")
    assert (kept.choice, kept.strength) == ("after", 3)
    assert HumanVote.objects.filter(preferred="candidate").count() == 1
    expect(page.locator("[name=choice]:checked")).to_have_count(0)
    expect(page.locator("[data-differences]")).to_be_checked()
    expect(page.locator("[data-day] b")).to_have_text("1 of 3")
    # ten seconds to think again, also from the next pair
    with another_item(page):
        page.keyboard.press("u")
    expect(page.locator("h1")).to_have_text(first)
    expect(page.locator(f"[name=choice][value='{good} 3']")).to_be_checked()
    page.keyboard.press("t")
    page.keyboard.press("c")
    page.keyboard.type("b: both say the same")  # letters in the box are no keys
    with another_item(page):
        page.keyboard.press("Control+Enter")
    kept.refresh_from_db()
    assert (kept.choice, kept.reason) == ("tie", "b: both say the same")


def judge(page: Page, key: str, times: int) -> None:
    """Choose the newer text with `key` as if it stood on the left, or press a key that means neither side."""
    for _ in range(times):
        expect(page.locator("form[data-ready][data-held=yes]")).to_be_visible()
        here = page.locator("h1").inner_text()
        newer_is_right = "New" in page.locator("[data-side=right]").inner_text()
        page.keyboard.press(str(7 - int(key)) if key.isdecimal() and newer_is_right else key)
        page.keyboard.press("Control+Enter")
        expect(page.locator("h1")).not_to_have_text(here)


def test_what_people_choose_stands_beside_the_metrics(enter: Enter, cast: make.Cast) -> None:
    before, after = make.release(), make.release()
    outputs = [(f"Old words, number {number}.", f"New words, number {number}.") for number in range(8)]
    comparison = compared(cast, before, after, outputs)
    mila, rita = enter("mila"), enter("rita")
    mila.goto(f"/comparisons/{comparison.pk}/")
    mila.get_by_role("link", name="Start human evaluation").click()
    expect(mila.get_by_text("8 of 8 documents")).to_be_visible()
    mila.get_by_role("button", name="Add").click()
    expect(mila.get_by_text("8 pairs put in.")).to_be_visible()
    rita.goto("/pairwise/")
    rita.get_by_role("link", name="Start").click()
    judge(rita, "1", times=2)
    mila.goto(f"/comparisons/{comparison.pk}/")
    people = mila.get_by_role("region", name="What people prefer")
    expect(people).to_contain_text("2 choices: 2 after better")
    expect(people).to_contain_text(
        "2 test documents, 2 for after, 0 for before: no preference is established"
    )
    expect(people).to_contain_text("15 documents with a side are the least that can tell")
    expect(people.locator(".chip")).to_have_text("inconclusive")
    judge(rita, "3", times=5)
    judge(rita, "t", times=1)
    ada = enter("ada", width=390, theme="dark")
    for page, path in ((mila, f"/comparisons/{comparison.pk}/"), (ada, f"/releases/{after.pk}/")):
        page.goto(path)
        people = page.get_by_role("region", name="What people prefer")
        expect(people).to_contain_text("8 choices: 7 after better, 1 no difference")
        expect(people).to_contain_text("8 test documents, 7 for after, 0 for before, 1 for neither")
        expect(people.locator(".chip")).to_have_text("inconclusive")
        no_violation(page)


def test_what_is_missing_is_said_and_a_draft_saves_itself(enter: Enter, queue: ReviewQueue) -> None:
    page = at_pair(enter("rita"), queue)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-error]")).to_have_text("Which one is better?")
    page.keyboard.press("b")
    expect(page.locator("[data-error]")).to_be_empty()
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    assert Preference.objects.get(revision=1).choice == "both bad"
    page.reload()
    expect(page.locator("[name=choice][value='both bad']")).to_be_checked()
    page.keyboard.press("?")
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("[name=choice][value='both bad']")).to_be_checked()
    page.keyboard.press("Alt+t")
    expect(page.locator("[name=choice][value='tie']")).to_be_checked()


def test_the_last_pair_can_be_taken_back_too(enter: Enter, queue: ReviewQueue) -> None:
    QueueItem.objects.filter(pk__gt=QueueItem.objects.earliest("pk").pk).update(state="flagged")
    page = at_pair(enter("rita"), queue)
    page.keyboard.press("t")
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="All done here")).to_be_visible()
    expect(page.locator("[data-undo-button]")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("form[data-ready] [name=choice][value=tie]")).to_be_checked()


def test_a_skip_is_undone_and_the_reason_comes_back_with_it(enter: Enter, queue: ReviewQueue) -> None:
    page = at_pair(enter("rita"), queue)
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    page.keyboard.press("c")
    page.keyboard.type("Half a thought")
    with another_item(page):
        page.keyboard.press("Alt+l")
    expect(page.locator("[data-undo-offer]")).to_contain_text("Snoozed")
    no_violation(page)
    page.locator("#reason").fill("Begun already.")
    with another_item(page):
        page.keyboard.press("Alt+u")  # what was begun on the next one is saved first
    expect(page.locator("h1")).to_have_text(first)
    expect(page.locator("#reason")).to_have_value("Half a thought")
    assert not Skip.objects.exists()
    assert Preference.objects.get(reason="Begun already.").state == "draft"
    # also where a whole page is loaded, and where the pair was flagged
    QueueItem.objects.exclude(summary__document__title=first).update(state="flagged")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.locator("#flag-reason").fill("A table.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-undo-button]")).to_be_visible()
    assert Skip.objects.get().reason == "A table."
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_have_text(first)
    assert not Skip.objects.exists()


def test_a_reason_survives_a_crash_a_lost_connection_and_another_tab(
    enter: Enter, queue: ReviewQueue
) -> None:
    page = at_pair(enter("rita"), queue)
    chip = "[data-saved]"
    page.context.set_offline(True)
    page.keyboard.press("2")
    page.locator("#reason").fill("Three piles were swapped.")
    expect(page.locator(chip)).to_have_text("Not saved · kept in this browser")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not submitted yet")
    crash(page)
    assert not Preference.objects.filter(revision__gt=0).exists()
    page.context.set_offline(False)
    other = at_pair(page.context.new_page(), queue)
    expect(other.locator("#reason")).to_have_value("Three piles were swapped.")
    expect(other.locator("[name=choice][value='left 2']")).to_be_checked()
    expect(other.locator("#notices")).to_contain_text("is back")
    expect(other.locator(chip)).to_have_text("Saved")
    assert Preference.objects.get(revision__gt=0).reason == "Three piles were swapped."
    assert other.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('galley-desk:'))") == []
    # a stale tab is told, and either goes on
    stale = at_pair(other.context.new_page(), queue)
    other.locator("#reason").fill("From the first tab.")
    expect(other.locator(chip)).to_have_text("Saved")
    stale.evaluate("localStorage.clear()")
    sent: list[str] = []
    stale.on("request", lambda request: sent.append(request.url) if request.url.endswith("/draft/") else None)
    stale.locator("#reason").fill("From the second tab.")
    dialog = stale.locator("#stale")
    expect(dialog).to_contain_text("left clearly")
    expect(dialog).to_contain_text("From the first tab.")
    expect(dialog).to_contain_text("From the second tab.")
    no_violation(stale)
    stale.wait_for_timeout(1000)
    assert len(sent) == 1, "a save while somebody chooses would ask again after they have chosen"
    dialog.get_by_role("button", name="Keep what is typed here").click()
    expect(stale.locator(chip)).to_have_text("Saved")
    assert Preference.objects.get(revision__gt=0).reason == "From the second tab."
    # who was signed out is told and loses nothing
    stale.context.clear_cookies()
    stale.locator("#reason").fill("Typed after the session ended.")
    expect(stale.locator(chip)).to_have_text("Not saved · signed out")
    expect(stale.get_by_role("link", name="Sign in")).to_be_visible()
    kept = stale.evaluate(
        "JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('galley-desk:'))[1])"
    )
    assert kept["answers"] == {"choice": "left 2", "reason": "Typed after the session ended."}


def test_somebody_s_own_keys_choose_here_too(enter: Enter, queue: ReviewQueue) -> None:
    page = at_pair(enter("rita"), queue)
    page.keyboard.press("?")
    no_violation(page)
    with page.expect_navigation():
        page.get_by_role("link", name="Choose other keys").click()
    for label, key in (("left: much better", "x"), ("snooze for two hours", "i"), ("both are bad", "x")):
        page.get_by_label(label, exact=True).focus()
        page.keyboard.press(key)
    with page.expect_navigation():
        page.get_by_role("button", name="Use these keys").click()
    expect(page.get_by_text("The same key as “left: much better”.")).to_be_visible()
    no_violation(page)
    page.get_by_label("both are bad", exact=True).focus()
    page.keyboard.press("h")
    page.get_by_role("button", name="Use these keys").click()
    expect(page.locator("form[data-ready]")).to_be_visible()
    page.keyboard.press("x")
    expect(page.locator("[name=choice][value='left 3']")).to_be_checked()
    page.keyboard.press("1")  # nobody's key any more
    page.keyboard.press("b")
    expect(page.locator("[name=choice][value='left 3']")).to_be_checked()
    page.keyboard.press("h")
    expect(page.locator("[name=choice][value='both bad']")).to_be_checked()
    expect(page.locator(".both-bad kbd")).to_have_text("H")
    first = page.locator("h1").inner_text()
    page.keyboard.press("l")
    expect(page.locator("h1")).to_have_text(first)
    with another_item(page):
        page.keyboard.press("i")
    assert Skip.objects.get().meaning == Skip.Meaning.SNOOZE


def test_on_a_phone_one_stands_under_the_other(enter: Enter, queue: ReviewQueue) -> None:
    page = at_pair(enter("rita", width=390, height=844, theme="dark"), queue)
    left, right = (page.locator(f"[data-side={side}]").bounding_box() for side in ("left", "right"))
    assert left is not None
    assert right is not None
    assert left["y"] + left["height"] <= right["y"]
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    no_violation(page)


def test_without_script_choosing_works(enter: Enter, queue: ReviewQueue) -> None:
    page = enter("rita", script=False)
    page.goto(f"/pairwise/{queue.slug}/")
    page.get_by_label("right clearly").check()
    page.get_by_role("button", name="Submit and next").click()
    expect(page.locator(".message").first).to_contain_text("Submitted: right, clearly better.")
    assert Preference.objects.get(state="submitted").strength == 2
