"""The review desk for everybody: without script, on a phone, in every script, with a very long article, blind."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from django.db import connection
from playwright.sync_api import expect

from reviews.models import (
    Grounding,
    QueueItem,
    Review,
    ReviewQueue,
)
from tests import make
from tests.browser.conftest import Enter, no_violation
from tests.browser.desk import BETTER, DRAFT, at_desk, computed, eventually, marks_of, saved

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


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
    expect(page.get_by_text("Submitted.")).to_be_visible()
    review = Review.objects.get(state="submitted")
    assert (review.edited_text, review.stars, review.verdict) == (BETTER, 4, "good")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: it is a draft again.")).to_be_visible()
    page.get_by_role("button", name="Submit and next").click()
    expect(page.get_by_text("Submitted.")).to_be_visible()
    page.get_by_role("button", name="Flag").click()
    page.locator("#flag-reason").fill("Not an article.")
    page.get_by_role("button", name="Flag and next").click()
    expect(page.get_by_text("Flagged.")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_axe_finds_nothing_on_the_desk_and_around_it_in_either_theme(
    enter: Enter, items: list[QueueItem], width: int, height: int
) -> None:
    page = enter("rita", width=width, height=height)

    def no_violation_in_either_theme() -> None:
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            no_violation(page)

    page.goto("/desk/")
    no_violation_in_either_theme()
    at_desk(page)
    page.keyboard.press("3")
    page.locator("#edit").fill(BETTER)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Rate relevance.", exact=True)).to_be_visible()
    saved(page)
    no_violation_in_either_theme()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width > 640:  # a phone has no keys to explain
        page.locator("[data-dialog-open=keys]").click()
        no_violation_in_either_theme()
        page.keyboard.press("Escape")
    page.goto("/my-feedback/")
    no_violation_in_either_theme()
    page.goto("/desk/weak-outputs/")
    expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
    no_violation_in_either_theme()


def test_the_desk_asks_for_all_its_scripts_at_once_and_for_each_once(
    enter: Enter, items: list[QueueItem]
) -> None:
    page = at_desk(enter("rita"))
    resources = "performance.getEntriesByType('resource').map((one) => one.name)"
    asked = [name for name in page.evaluate(resources) if name.endswith(".js")]
    named = page.locator("link[rel=modulepreload], script[src]")
    assert sorted(asked) == sorted(
        set(named.evaluate_all("nodes => nodes.map((one) => one.href || one.src)"))
    )
    assert page.evaluate("Object.keys(window).filter((name) => /galley/i.test(name))") == []


def test_all_of_it_is_in_sight_at_1440_by_900(enter: Enter, items: list[QueueItem]) -> None:
    page = at_desk(enter("rita"))
    words = " ".join(f"word{number}" for number in range(58))
    page.locator("#edit").fill(words + " and the end.")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    for part in (
        "#source", "#summary", "#edit", "#diff", "[data-scale=rating-fluency]", "[data-scale=verdict]",
        "[data-scale=stars]", "#comment", "[name=wants_refine]", "[data-submit]", "[data-flag]",
    ):  # fmt: skip
        box = page.locator(part).bounding_box()
        assert box is not None, part
        assert box["y"] >= 0, part
        assert box["y"] + min(box["height"], 30) <= 900, part


def test_a_right_to_left_article_with_markup_in_it_is_shown_as_it_is(
    enter: Enter, queue: ReviewQueue
) -> None:
    text = "ستغلق الهيئة الرصيف القديم. <script>document.title = 'taken'</script> <b>bold</b>"
    make.queue_item(of=make.summary(make.document(text), "سيغلق الرصيف <i>القديم</i>."), in_queue=queue)
    page = at_desk(enter("rita"))
    expect(page.locator("#source")).to_contain_text("<script>document.title = 'taken'</script> <b>bold</b>")
    assert page.title() != "taken"
    for part in ("#source p", "#summary", "#edit"):
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
    seconds = computed(page)
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
    assert seconds() < 1
    seconds = computed(page)
    page.locator("#edit").press_sequentially(" It goes on.")
    assert seconds() < 1
    assert page.evaluate(
        "() => { const pane = document.querySelector('#source'); pane.scrollTop = 1e9; return pane.scrollTop > 20000; }"
    )


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
