"""Correcting the summary at the review desk, marking its errors and trying another prompt."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from models_app.models import PromptVersion, Route
from models_app.texts.differences import around_changes, word_difference
from reviews.models import (
    Grounding,
    PromptSuggestion,
    QueueItem,
    Review,
    ReviewQueue,
    SentenceSupport,
    SpanMark,
)
from reviews.texts.grounding import as_data, ground
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import BETTER, DRAFT, at_desk, eventually, marks_of, saved

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

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

CORRECTED = "The old pier of Nordhaven will close for nine months. 140 piles are badly rotten, say divers."
SCRIPTS = "Ein 👩‍👩‍👧 kam. \U0001d518\U0001d52b 12 القديم الرصيف. Café closed, 東京タワー too 🇳🇴!"


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


def test_the_browser_finds_the_differences_that_the_server_finds(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    differences = """async ([before, after, context]) => {
        const { aroundChanges, wordDifference } = await import("/static/js/desk/word-diff.js");
        const parts = wordDifference(before, after);
        return context ? aroundChanges(parts, context) : parts;
    }"""
    for before, after in PAIRS:
        for context in (0, 2):
            parts = word_difference(before, after)
            expected = around_changes(parts, context) if context else parts
            found = page.evaluate(differences, [before, after, context])
            assert [(part["kind"], part["text"]) for part in found] == [
                (part.kind, part.text) for part in expected
            ], (before, after)


def test_an_error_is_marked_by_keyboard_alone_changed_and_removed(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    page.keyboard.press("q")
    expect(page.locator("#summary")).to_be_focused()
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


@pytest.mark.parametrize("side", ["summary", "source"])
def test_marks_by_mouse_hold_in_every_script_and_in_emoji(
    enter: Enter, queue: ReviewQueue, side: str
) -> None:
    text = SCRIPTS + "\n\nAnd so on 👍🏽 it goes, 7 times."
    document = make.document(text if side == "source" else "")
    summary = make.summary(document, text if side == "summary" else DRAFT)
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
    with page.expect_response("**/labels/"):
        page.locator("#edit").fill(BETTER + " ")
    saved(page)
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
    box = page.locator("#summary p").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 10)
    eventually(page, lambda: page.evaluate("CSS.highlights.has('support-first')"))
    page.mouse.move(box["x"] + 40, box["y"] + 300)
    eventually(page, lambda: not page.evaluate("CSS.highlights.has('support-first')"))


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
    dialog.get_by_role("button", name="Save as a suggestion").click()
    expect(dialog.get_by_text("Kept as your suggestion.")).to_be_visible()
    kept = PromptSuggestion.objects.get()
    assert (kept.template, kept.output, kept.note) == ("In brief: {text}", "", "Shorter.")
    no_violation(page)
    Route.objects.update(release=None)
