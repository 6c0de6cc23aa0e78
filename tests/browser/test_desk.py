"""The review desk as somebody uses it: by keyboard alone, with a connection that goes, in two tabs, without script."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect

from models_app.evaluation.differences import around_changes, word_difference
from models_app.models import PromptVersion, Release, Route
from reviews.grounding import as_data, ground
from reviews.models import (
    DeskPreferences,
    Grounding,
    PromptSuggestion,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewSlot,
    SentenceSupport,
    Skip,
    SpanMark,
)
from reviews.queueing import claim_next
from tests import make
from tests.browser.conftest import Enter, no_violation

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DRAFT = "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
BETTER = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."


@pytest.fixture
def queue(cast: make.Cast) -> ReviewQueue:
    return make.queue()


@pytest.fixture
def items(queue: ReviewQueue) -> list[QueueItem]:
    return [make.queue_item(of=make.summary(make.document(), DRAFT), in_queue=queue) for _ in range(3)]


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


# ---------------------------------------------------------------- by keyboard


def test_a_review_by_keyboard_alone_and_the_next_item_stands_there(
    enter: Enter, cast: make.Cast, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    first = page.locator("h1").inner_text()
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
    expect(page.get_by_label("wants retraining")).to_be_checked()
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
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


def test_five_keys_rate_edit_hand_in_and_bring_the_next(enter: Enter, items: list[QueueItem]) -> None:
    """Beside the typing of the correction itself."""
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    for digit in "2343":
        page.keyboard.press(digit)
    expect(page.locator("#edit")).to_be_focused()
    page.keyboard.type("Typed at once. ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
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


def test_undo_brings_what_was_handed_in_back_as_a_draft(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    for digit in "4554":
        page.keyboard.press(digit)
    page.keyboard.type("One more word. ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    expect(page.locator("[data-undo-offer]")).to_contain_text("Handed in.")
    page.locator("#comment").fill("Begun already.")
    page.keyboard.press("Alt+u")  # what was begun on the next one is saved first
    expect(page.locator("h1")).to_have_text(first)
    expect(page.get_by_text("Taken back: it is a draft again.")).to_be_visible()
    expect(page.locator("#edit")).to_have_value(re.compile("One more word"))
    expect(page.locator("[data-submit]")).to_contain_text("Submit and next")
    assert Review.objects.get(item__summary__document__title=first).state == "draft"
    assert Review.objects.get(comment="Begun already.").state == "draft"
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    expect(page.locator("#comment")).to_have_value("Begun already.")


def test_undo_brings_an_item_back_that_was_passed_by_and_goes_after_ten_seconds(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    first = page.locator("h1").inner_text()
    page.keyboard.press("n")
    expect(page.locator("h1")).not_to_have_text(first)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_have_text(first)
    assert not Skip.objects.exists()
    at_desk(page, page.url)
    expect(page.locator("form[data-ahead]")).to_be_visible()
    page.keyboard.press("l")
    expect(page.locator("h1")).not_to_have_text(first)
    expect(page.locator("[data-undo-offer]")).to_be_visible()
    expect(page.locator("[data-undo-offer]")).to_have_count(0, timeout=12_000)


def test_back_through_my_last_and_forward_to_where_i_was(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    titles = []
    for digits in ("4554", "2222"):
        expect(page.locator("form[data-held=yes]")).to_be_visible()
        titles.append(page.locator("h1").inner_text())
        for digit in digits:
            page.keyboard.press(digit)
        page.keyboard.press("Control+Enter")
        expect(page.locator("h1")).not_to_have_text(titles[-1])
    here = page.locator("h1").inner_text()
    page.locator("#comment").fill("Half a thou")
    page.keyboard.press("Alt+o")
    expect(page.locator("h1")).to_have_text(titles[1])
    expect(page.locator("#saved")).to_have_text("Handed in")
    page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text(titles[0])
    page.keyboard.press("o")
    expect(page.get_by_text("This is the oldest")).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("h1")).to_have_text(titles[1])
    page.locator("#edit").fill(BETTER)
    page.keyboard.press("Control+Enter")  # corrected, and back where I was
    expect(page.locator("h1")).to_have_text(here)
    expect(page.locator("#comment")).to_have_value("Half a thou")
    assert Review.objects.get(edited_text=BETTER).revisions.count() == 2
    page.keyboard.press("r")
    recent = page.get_by_role("dialog", name="My last twenty")
    expect(recent.get_by_role("link")).to_have_count(2)
    expect(recent.get_by_role("link").first).to_be_focused()
    no_violation(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(titles[0])
    page.get_by_role("link", name="Back to where you were").click()
    expect(page.locator("h1")).to_have_text(here)


def test_somebody_s_own_keys_work_and_are_shown_on_the_buttons(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("?")
    page.get_by_role("link", name="Choose other keys").click()
    field = page.get_by_label("correct the summary")
    field.focus()
    page.keyboard.press("c")
    page.get_by_label("hand in and get the next, from anywhere").focus()
    page.keyboard.press("Control+Shift+Enter")
    page.get_by_role("button", name="Use these keys").click()
    expect(page.get_by_text("The same key as “comment”.")).to_be_visible()
    no_violation(page)
    expect(page.get_by_label("hand in and get the next, from anywhere")).to_have_value("ctrl+shift+enter")
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


def test_all_of_it_is_in_sight_at_1440_by_900(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    words = " ".join(f"word{number}" for number in range(58))
    page.locator("#edit").fill(words + " and the end.")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    for part in (
        "#source", "#proof", "#edit", "#diff", "[data-scale=rating-fluency]", "[data-scale=verdict]",
        "[data-scale=stars]", "#comment", "[name=wants_refine]", "[data-submit]", "[data-flag]",
    ):  # fmt: skip
        box = page.locator(part).bounding_box()
        assert box is not None, part
        assert box["y"] >= 0, part
        assert box["y"] + min(box["height"], 30) <= 900, part


# ---------------------------------------------------------------- single changes, error marks, what supports a sentence

CORRECTED = "The old pier of Nordhaven will close for nine months. 140 piles are badly rotten, say divers."


def test_each_single_change_can_be_taken_back_by_key_or_click(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    edit, changes = page.locator("#edit"), page.locator("[data-diff] .change")
    edit.fill(CORRECTED)
    expect(changes).to_have_count(3)
    page.keyboard.press("Alt+g")
    assert edit.evaluate("node => node.value.slice(node.selectionStart, node.selectionEnd)") == "140"
    page.keyboard.press("Alt+z")
    expect(edit).to_have_value(CORRECTED.replace("140", "410"))
    expect(changes).to_have_count(2)
    changes.last.focus()
    page.keyboard.press("Enter")  # what was put in goes
    expect(edit).to_have_value(CORRECTED.replace("140", "410").replace(", say divers", ""))
    page.keyboard.press("Alt+z")  # the only one left
    expect(edit).to_have_value(DRAFT)
    expect(changes).to_have_count(0)
    for _ in range(3):
        page.keyboard.press("Control+z")
    expect(edit).to_have_value(CORRECTED)
    changes.first.click()
    expect(edit).to_have_value(CORRECTED.replace("140", "410"))
    page.keyboard.press("Control+z")
    no_violation(page)
    saved(page)
    assert Review.objects.get().edited_text == CORRECTED


def marks_of(page: Page) -> list[dict[str, Any]]:
    return json.loads(page.locator("[name=marks]").input_value())


def test_an_error_is_marked_by_keyboard_alone_changed_and_removed(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("q")
    expect(page.locator("#proof")).to_be_focused()
    for _ in range(3):  # The, old, pier
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("m")
    menu = page.get_by_role("dialog", name="Mark an error")
    expect(menu).to_contain_text("pier of")
    no_violation(page)
    page.keyboard.press("1")  # unsupported fact
    page.keyboard.press("3")  # critical
    expect(menu).to_be_hidden()
    expect(page.locator("[data-marks]")).to_contain_text("unsupported fact · critical")
    (mark,) = marks_of(page)
    assert DRAFT[mark["start"] : mark["end"]] == mark["quote"] == "pier of"
    assert page.evaluate("CSS.highlights.get('mark-critical').size") == 1
    expect(page.locator("input[type=radio]:checked")).to_have_count(0)  # the digits were the menu's
    saved(page)
    page.reload()
    page.get_by_role("button", name="Change the mark").click()
    page.keyboard.press("6")  # grammar
    page.keyboard.press("Enter")  # major
    expect(page.locator("[data-marks]")).to_contain_text("grammar · major")
    assert len(marks_of(page)) == 1
    for digit in "4554":
        page.keyboard.press(f"Alt+{digit}")
    page.keyboard.press("Control+Enter")
    eventually(page, lambda: Review.objects.filter(state="submitted").exists())
    row = SpanMark.objects.get()
    assert (row.side, row.quote, row.error_type, row.severity) == ("summary", "pier of", "grammar", "major")


SCRIPTS = "Ein 👩‍👩‍👧 kam. \U0001d518\U0001d52b 12 القديم الرصيف. Café closed, 東京タワー too 🇳🇴!"


@pytest.mark.parametrize("side", ["proof", "source"])
def test_marks_by_mouse_hold_in_every_script_and_in_emoji(
    enter: Enter, queue: ReviewQueue, side: str
) -> None:
    text = SCRIPTS + "\n\nAnd so on 👍🏽 it goes, 7 times."
    document = make.document(text if side == "source" else "")
    summary = make.summary(document, text if side == "proof" else DRAFT)
    make.queue_item(of=summary, in_queue=queue)
    page = at_desk(enter("rita"))
    for quote in ("👩‍👩‍👧", "12 القديم", "Café", "東京", "🇳🇴", "7 times"):
        page.evaluate(
            """([side, quote]) => {
                const nodes = [...document.querySelectorAll(`#${side} [data-at]`)].map(p => p.firstChild);
                const node = nodes.find(one => one.data.includes(quote));
                const at = node.data.indexOf(quote);
                getSelection().setBaseAndExtent(node, at, node, at + quote.length);
                const up = new PointerEvent("pointerup", {bubbles: true, pointerType: "mouse"});
                document.getElementById(side).dispatchEvent(up);
            }""",
            [side, quote],
        )
        expect(page.locator("#mark-menu")).to_be_visible()
        page.keyboard.press("5")
        page.keyboard.press("1")
        expect(page.locator("#mark-menu")).to_be_hidden()
    marks = marks_of(page)
    assert len(marks) == 6
    for mark in marks:
        assert text[mark["start"] : mark["end"]] == mark["quote"]
    saved(page)
    assert {mark["quote"] for mark in Review.objects.get().marks} == {mark["quote"] for mark in marks}


def test_labels_from_the_correction_are_confirmed_or_dismissed_by_a_key(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    suggested = page.locator("[data-suggested]")
    page.locator("#edit").fill(BETTER)
    expect(suggested).to_contain_text("wrong entity or number")
    no_violation(page)
    page.keyboard.press("Alt+d")
    expect(suggested).to_be_hidden()
    page.locator("#edit").fill(BETTER + " ")
    page.wait_for_timeout(1500)
    expect(suggested).to_be_hidden()  # dismissed stays dismissed
    page.reload()
    expect(suggested).to_contain_text("wrong entity or number")
    page.keyboard.press("y")
    expect(suggested).to_be_hidden()
    expect(page.locator("[data-marks]")).to_contain_text("wrong entity or number")
    saved(page)
    (mark,) = Review.objects.get().marks
    assert (mark["quote"], mark["suggested"]) == ("410", True)


def test_each_sentence_shows_what_supports_it_and_gets_a_verdict_by_one_key(
    enter: Enter, queue: ReviewQueue
) -> None:
    filler = "\n\n".join(
        f"Nothing of importance happened in district {number} that day." for number in range(60)
    )
    document = make.document(f"{filler}\n\n{make.ARTICLE}")
    summary = make.summary(document, DRAFT)
    Grounding.objects.create(summary=summary, method="m", data=as_data(ground(document.text, DRAFT)))
    make.queue_item(of=summary, in_queue=queue)
    page = at_desk(enter("rita"))
    lit = "name => [...(CSS.highlights.get(name) || [])].map(range => range.toString())"
    assert page.evaluate(lit, "missing") == ["410"]
    expect(page.get_by_text("The article lacks “410”.")).to_be_visible()
    page.keyboard.press("s")
    assert page.evaluate(lit, "sentence") == ["The old pier of Nordhaven will close for nine months."]
    (first,) = page.evaluate(lit, "support-first")
    assert first.startswith("The harbour authority of Nordhaven said on Monday")
    eventually(page, lambda: page.evaluate("""() => {
        const [range] = CSS.highlights.get("support-first");
        const box = range.getBoundingClientRect(), view = document.getElementById("source").getBoundingClientRect();
        return box.top >= view.top && box.bottom <= view.bottom;
    }"""))  # fmt: skip
    page.keyboard.press("v")  # supported, and on to the next
    assert page.evaluate(lit, "sentence") == ["410 piles are rotten."]
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Sentence 1, supported")).to_be_visible()
    expect(page.get_by_role("button", name="Sentence 2, not supported")).to_be_visible()
    no_violation(page)
    saved(page)
    assert [supported for _, _, supported in Review.objects.get().support] == [True, False]
    page.keyboard.press("x")  # once more: open again
    saved(page)
    eventually(page, lambda: len(Review.objects.get().support) == 1)
    page.keyboard.press("x")
    for digit in "4554":
        page.keyboard.press(digit)
    page.keyboard.press("Control+Enter")
    eventually(page, lambda: Review.objects.filter(state="submitted").exists())
    assert list(SentenceSupport.objects.values_list("supported", flat=True)) == [True, False]


def test_a_pointer_over_a_sentence_shows_what_supports_it(enter: Enter, items: list[QueueItem]) -> None:
    for item in items:
        data = as_data(ground(item.summary.document.text, DRAFT))
        Grounding.objects.create(summary=item.summary, method="m", data=data)
    page = at_desk(enter("rita"))
    box = page.locator("#proof p").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 10)
    eventually(page, lambda: page.evaluate("CSS.highlights.has('support-first')"))
    page.mouse.move(box["x"] + 40, box["y"] + 300)
    eventually(page, lambda: not page.evaluate("CSS.highlights.has('support-first')"))


def test_pasted_html_comes_in_as_plain_text(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.locator("#edit").focus()
    page.keyboard.press("Control+A")
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData("text/html", "<b onclick='x()'>Bold</b> <img src=x onerror='document.title=1'> words");
        data.setData("text/plain", "Bold words");
        const paste = new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
        document.getElementById("edit").dispatchEvent(paste);
        document.execCommand("insertHTML", false, "<b>Bold</b> words");
    }""")
    saved(page)
    assert Review.objects.get().edited_text == "Bold words"
    assert page.locator("#edit b, #edit img").count() == 0


# ---------------------------------------------------------------- nothing typed is lost


def test_what_is_typed_is_on_the_server_within_two_seconds_and_there_after_a_reload(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    saved(page, "Nothing typed yet")
    page.locator("#edit").fill(BETTER)
    typed = time.monotonic()
    eventually(page, lambda: Review.objects.filter(edited_text=BETTER).exists())
    assert time.monotonic() - typed < 2
    page.keyboard.press("Alt+4")
    saved(page)
    page.reload()
    saved(page)
    expect(page.locator("#edit")).to_have_value(BETTER)
    expect(page.locator("[name=rating-consistency][value='4']")).to_be_checked()
    expect(page.locator("[data-diff] ins")).to_have_text("140")


def test_somebody_who_types_without_a_pause_is_saved_too(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.locator("#comment").focus()
    began = time.monotonic()
    while not Review.objects.exclude(comment="").exists():
        page.keyboard.type("ab ")
        page.wait_for_timeout(150)
        assert time.monotonic() - began < 4


def test_without_a_connection_the_text_stays_here_and_goes_out_when_it_is_back(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    page.context.set_offline(True)
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notices")).to_contain_text("not handed in yet")
    assert not Review.objects.filter(edited_text=BETTER).exists()
    page.context.set_offline(False)
    saved(page)
    assert Review.objects.get().edited_text == BETTER


def test_after_a_crash_what_was_never_saved_is_back(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.context.set_offline(True)
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    other = page.context.new_page()
    page.close(run_before_unload=False)  # gone without a word
    page.context.set_offline(False)
    at_desk(other)
    expect(other.locator("#edit")).to_have_value(BETTER)
    expect(other.locator("#notices")).to_contain_text("is back")
    saved(other)
    assert Review.objects.get().edited_text == BETTER


def test_a_server_that_restarts_while_somebody_types_loses_nothing(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    down = [502, 503, 500]
    page.route("**/draft/", lambda route: route.fulfill(status=down.pop()) if down else route.continue_())
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · kept in this browser")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("x")
    eventually(page, lambda: not down, 20)
    eventually(page, lambda: Review.objects.filter(edited_text=BETTER).exists(), 20)
    saved(page)
    assert Review.objects.get().support == [[0, 53, False]]


def test_a_save_whose_answer_was_lost_is_no_conflict(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))

    def lose_the_answer(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/draft/", lose_the_answer, times=1)
    page.locator("#edit").fill("One")
    eventually(page, lambda: Review.objects.filter(edited_text="One").exists())
    page.locator("#edit").fill("One and two.")
    saved(page)
    expect(page.locator("#stale")).to_be_hidden()
    assert Review.objects.get().edited_text == "One and two."


def test_a_stale_tab_is_told_and_either_text_can_go_on(enter: Enter, items: list[QueueItem]) -> None:
    one = at_desk(enter("rita"))
    other = at_desk(one.context.new_page())
    one.locator("#edit").fill("Typed in the first tab.")
    saved(one)
    other.evaluate("localStorage.clear()")
    other.locator("#edit").fill("Typed in the second tab.")
    dialog = other.locator("#stale")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Typed in the first tab.")
    expect(dialog).to_contain_text("Typed in the second tab.")
    no_violation(other)
    assert Review.objects.get().edited_text == "Typed in the first tab."
    dialog.get_by_role("button", name="Keep what is typed here").click()
    saved(other)
    eventually(other, lambda: Review.objects.get().edited_text == "Typed in the second tab.")
    one.locator("#edit").fill("Typed in the first tab again.")
    one.get_by_role("button", name="Take what is saved there").click()
    expect(one.locator("#edit")).to_have_value("Typed in the second tab.")
    saved(one)


def test_after_the_lease_ran_out_typing_goes_on_and_counts_as_extra(
    enter: Enter, cast: make.Cast, queue: ReviewQueue, items: list[QueueItem]
) -> None:
    for item in items[1:]:
        QueueItem.objects.filter(pk=item.pk).update(state="done")
        ReviewSlot.objects.filter(item=item).delete()
    page = at_desk(enter("rita"))
    ReviewSlot.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    assert claim_next(queue=queue, reviewer=cast.another_reviewer) is not None
    for digit in "4554":
        page.keyboard.press(digit)
    expect(page.locator("#notices")).to_contain_text("somebody else has it now")
    saved(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Nothing waits here").or_(page.get_by_text("All done here"))).to_be_visible()
    review = Review.objects.get(state="submitted")
    assert (review.reviewer, review.late) == (cast.reviewer, True)


def test_who_was_signed_out_is_told_and_loses_nothing(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.context.clear_cookies()
    page.locator("#edit").fill(BETTER)
    saved(page, "Not saved · signed out")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    kept = page.evaluate(
        "JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('galley-desk:'))[1])"
    )
    assert kept["answers"]["edited_text"] == BETTER


# ---------------------------------------------------------------- passing by


def test_later_keeps_the_draft_and_brings_another(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    first = page.locator("h1").inner_text()
    page.locator("#edit").fill(BETTER)
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    expect(page.locator("h1")).not_to_have_text(first)
    assert Skip.objects.get().meaning == "later"
    assert Review.objects.get().edited_text == BETTER


def test_a_flag_asks_for_the_reason(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    first = page.locator("h1").inner_text()
    page.keyboard.press("f")
    page.locator("#flag-reason").fill("This is a table, not an article.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    assert Skip.objects.get().reason == "This is a table, not an article."
    assert QueueItem.objects.filter(state="set aside").count() == 1


# ---------------------------------------------------------------- the next item, time at work


def test_the_next_item_is_there_without_asking_for_it_again(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("form[data-ahead]")).to_be_visible()
    assert ReviewSlot.objects.filter(state="held").count() == 2
    for digit in "4554":
        page.keyboard.press(digit)
    saved(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    first = page.locator("h1").inner_text()
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


def test_time_at_work_is_measured(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    page.wait_for_timeout(2300)
    page.locator("#comment").fill("Some time passed.")
    saved(page)
    assert 1 <= Review.objects.get().active_seconds <= 10


# ---------------------------------------------------------------- another prompt


def test_without_a_running_model_trying_says_so_in_the_dialog(enter: Enter, items: list[QueueItem]) -> None:
    release = make.release(
        state="live", prompt_version=PromptVersion.objects.get(prompt__name="news summary")
    )
    Route.objects.update(release=release)
    page = at_desk(enter("rita"))
    page.keyboard.press("p")
    dialog = page.locator("#try")
    expect(dialog.get_by_label("Prompt")).to_be_focused()
    dialog.get_by_label("Prompt").fill("Say it in {words} words: {text}")
    dialog.get_by_role("button", name="Try it").click()
    expect(dialog.locator(".errorlist")).to_contain_text("Unknown variable")
    dialog.get_by_label("Prompt").fill("In brief: {text}")
    dialog.get_by_role("button", name="Try it").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_label("Prompt")).to_have_value("In brief: {text}")
    expect(dialog.get_by_label("Prompt")).to_be_focused()  # else it takes the focus from what is typed next
    dialog.get_by_label("Why this is better").fill("Shorter.")
    dialog.get_by_role("button", name="Keep as a suggestion").click()
    expect(dialog.get_by_text("Kept as your suggestion.")).to_be_visible()
    kept = PromptSuggestion.objects.get()
    assert (kept.template, kept.output, kept.note) == ("In brief: {text}", "", "Shorter.")
    no_violation(page)
    Route.objects.update(release=None)
    Release.objects.filter(pk=release.pk).delete()


# ---------------------------------------------------------------- without script, every eye


def test_the_desk_works_without_script(enter: Enter, items: list[QueueItem]) -> None:
    page = enter("rita", script=False)
    page.goto("/desk/")
    page.get_by_role("link", name="Start").first.click()
    page.locator("#edit").fill(BETTER)
    page.locator("[name=stars][value='4']").check(force=True)
    page.get_by_role("button", name="Submit and next").click()
    expect(page.get_by_text("Rate consistency.", exact=True)).to_be_visible()
    expect(page.locator("#edit")).to_have_value(BETTER)
    expect(page.locator("[name=stars][value='4']")).to_be_checked()
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Your draft is saved.")).to_be_visible()
    for name in ("consistency", "relevance", "coherence", "fluency"):
        page.locator(f"[name=rating-{name}][value='3']").check(force=True)
    page.get_by_role("button", name="Submit and next").click()
    expect(page.get_by_text("Handed in.").first).to_be_visible()
    review = Review.objects.get(state="submitted")
    assert (review.edited_text, review.stars, review.verdict) == (BETTER, 4, "good")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: it is a draft again.")).to_be_visible()
    page.get_by_role("button", name="Submit and next").click()
    expect(page.get_by_text("Handed in.").first).to_be_visible()
    page.get_by_role("button", name="Flag").click()
    page.locator("#flag-reason").fill("Not an article.")
    page.get_by_role("button", name="Flag and next").click()
    expect(page.get_by_text("Flagged and set aside.")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_axe_finds_nothing_on_the_desk_and_around_it(
    enter: Enter, items: list[QueueItem], theme: str, width: int, height: int
) -> None:
    page = enter("rita", theme=theme, width=width, height=height)
    page.goto("/desk/")
    no_violation(page)
    at_desk(page)
    page.keyboard.press("3")
    page.locator("#edit").fill(BETTER)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Rate relevance.", exact=True)).to_be_visible()
    saved(page)
    no_violation(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width > 640:  # a phone has no keys to explain
        page.locator("[data-dialog-open=keys]").click()
        no_violation(page)
        page.keyboard.press("Escape")
    page.goto("/my-feedback/")
    no_violation(page)
    page.goto("/desk/weak-outputs/")
    expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
    no_violation(page)


def test_a_right_to_left_article_with_markup_in_it_is_shown_as_it_is(
    enter: Enter, queue: ReviewQueue
) -> None:
    text = "ستغلق الهيئة الرصيف القديم. <script>document.title = 'taken'</script> <b>bold</b>"
    make.queue_item(of=make.summary(make.document(text), "سيغلق الرصيف <i>القديم</i>."), in_queue=queue)
    page = at_desk(enter("rita"))
    expect(page.locator("#source")).to_contain_text("<script>document.title = 'taken'</script> <b>bold</b>")
    assert page.title() != "taken"
    for part in ("#source p", "#proof", "#edit"):
        assert page.locator(part).first.evaluate("node => getComputedStyle(node).direction") == "rtl", part


def test_fifty_thousand_words_stay_usable(enter: Enter, queue: ReviewQueue) -> None:
    text = "\n\n".join(" ".join(f"word{number}" for number in range(100)) for _ in range(500))
    summary = make.summary(make.document(text + "\n\nThe old pier of Nordhaven will close."), DRAFT)
    end = len(text) + 2
    link = {"start": end, "end": end + 37, "score": 0.9}
    sentence = {"start": 0, "end": 53, "support": 0.9, "links": [link], "unsupported": []}
    Grounding.objects.create(summary=summary, method="m", data={"sentences": [sentence]})
    make.queue_item(of=summary, in_queue=queue)
    page = at_desk(enter("rita"))
    began = time.monotonic()
    page.keyboard.press("s")  # the last of 501 paragraphs supports it
    eventually(page, lambda: page.evaluate("document.querySelector('#source').scrollTop > 20000"))
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("m")
    page.keyboard.press("3")
    page.keyboard.press("2")
    (mark,) = marks_of(page)
    assert (mark["side"], mark["quote"]) == ("source", "word0")
    page.evaluate("document.querySelector('#source').scrollTop = 0")
    assert time.monotonic() - began < 5
    began = time.monotonic()
    page.locator("#edit").press_sequentially(" It goes on.")
    assert time.monotonic() - began < 3
    assert page.evaluate(
        "() => { const pane = document.querySelector('#source'); pane.scrollTop = 1e9; return pane.scrollTop > 20000; }"
    )


# ---------------------------------------------------------------- the same differences on both sides

PAIRS = [
    ("", ""),
    ("One two three.", ""),
    ("", "One two three."),
    ("The pier closes in March.", "The pier closes in March."),
    ("410 piles are rotten, they said.", "140 piles were rotten, he said."),
    ("a b c d e f g", "a x c y e z g"),
    (
        "The cat sat on the mat and the dog sat on the cat.",
        "The dog sat on the mat and the cat sat on the dog.",
    ),
    ("It cost 3.2 million euros; it’s paid.", "It cost 3,2 million euro; its paid!"),
    ("naïve café — “quoted”", 'naive cafe - "quoted"'),
    ("القديم الرصيف سيغلق", "سيغلق الرصيف القديم"),
    ("ein ☃ e\u0301 👩‍👩‍👧 x_1", "ein ☃ é 👩‍👧 x_2"),
    ("line one\nline two\n\nline three", "line one line two\nline 3"),
    (" ".join(f"w{n % 7}" for n in range(90)), " ".join(f"w{n * n % 7}" for n in range(80))),
    (
        "Same start, then much that stays the same for a long while until here.",
        "Same start, then much that stays the same for a long while until there.",
    ),
]


def test_the_browser_finds_the_differences_that_the_server_finds(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    for before, after in PAIRS:
        for context in (0, 2):
            parts = word_difference(before, after)
            expected = around_changes(parts, context) if context else parts
            found = page.evaluate("([a, b, c]) => window.galleyWordDiff(a, b, c)", [before, after, context])
            assert [(part["kind"], part["text"]) for part in found] == [
                (part.kind, part.text) for part in expected
            ], (before, after)


def test_a_blind_desk_names_neither_model_nor_peers(enter: Enter, cast: make.Cast) -> None:
    queue = make.queue(reviews_per_item=2)
    release = make.release()
    model = release.model_version
    summary = make.summary(
        make.document(), DRAFT, release=release, model_version=model, prompt_version=release.prompt_version
    )
    item = make.queue_item(of=summary, in_queue=queue, note="The client was angry.")
    Review.objects.create(
        item=item,
        summary=summary,
        reviewer=cast.another_reviewer,
        rubric=queue.rubric,
        comment="Peer speaks.",
    )
    page = at_desk(enter("rita"))
    source = page.content()
    assert model.name not in source
    assert "Peer speaks" not in source
    assert "angry" not in source
    assert not re.search(rf"release[^\n]{{0,20}}\b{release.pk}\b", source)
    connection.close()


def test_the_day_is_counted_also_where_the_next_item_was_fetched_ahead(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    expect(page.locator("[data-day] b")).to_have_text("0 of 3")
    expect(page.locator("form[data-ahead]")).to_be_visible()
    for digit in "4554":
        page.keyboard.press(digit)
    first = page.locator("h1").inner_text()
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    expect(page.locator("[data-day] b")).to_have_text("1 of 3")
    expect(page.locator("form[data-ahead]")).to_be_visible()
    expect(page.locator(".nav-links a[aria-current] .count")).to_have_text("2")


def test_enter_on_a_scale_hands_nothing_in(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    for digit in "4554":
        page.keyboard.press(digit)
    page.locator("[name=stars]:checked").focus()
    page.keyboard.press("Enter")
    saved(page)
    assert not Review.objects.filter(state="submitted").exists()


def test_what_was_handed_in_can_be_corrected_from_my_feedback(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    for digit in "4554":
        page.keyboard.press(digit)
    first = page.locator("h1").inner_text()
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).not_to_have_text(first)
    page.goto("/my-feedback/")
    page.get_by_role("link", name=first).click()
    expect(page.locator("#saved")).to_have_text("Handed in")
    page.locator("#edit").fill(BETTER)
    saved(page, "Not handed in yet")
    page.reload()  # a correction is kept in this browser until it is handed in
    expect(page.locator("#edit")).to_have_value(BETTER)
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/my-feedback/")
    expect(page.locator(".diff ins")).to_have_text("140")
    assert Review.objects.get(state="submitted").revisions.count() == 2
