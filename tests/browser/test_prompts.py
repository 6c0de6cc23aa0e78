"""Prompts as people work with them: a test on failures, two versions word by word, a trial at the desk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from models_app.models import PromptVersion
from models_app.serving.routing import router
from reviews.models import PromptSuggestion, Review
from reviews.prompts.suggestions import adopt_suggestion, suggest_prompt
from tests import make
from tests.api.conftest import serve
from tests.browser.conftest import Enter, no_violation
from tests.e2e.conftest import Worker
from tests.e2e.conftest import without_children as without_children
from tests.e2e.conftest import worker as worker
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene
from tests.reviews.prompts.test_trials import BETTER, DRAFT, WANTED, ObedientEngine, failing

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def the(transactional_db: None) -> Scene:
    cache.clear()
    return scene()


@pytest.fixture
def cast(the: Scene) -> make.Cast:
    return the.cast


@pytest.fixture
def slot(the: Scene, tmp_path: Path) -> Iterator[None]:
    """A live model that gets a number wrong unless its prompt asks for numbers."""
    stop = serve(the.live, tmp_path / "live.sock", ObedientEngine())
    router.reread()
    yield
    stop()


@pytest.fixture
def suggestion(the: Scene) -> PromptSuggestion:
    return suggest_prompt(
        document=make.document(), based_on=scenes.chat_prompt(), template=BETTER, output=WANTED,
        note="Numbers went missing.", actor=the.cast.reviewer,
    )  # fmt: skip


@pytest.mark.usefixtures("without_children")
def test_a_suggestion_is_held_against_what_failed_and_kept(
    enter: Enter, the: Scene, suggestion: PromptSuggestion, slot: None, worker: Worker
) -> None:
    for _ in range(10):
        failing(make.document(), the.cast.reviewer, release=the.live)
    page = enter("mila")
    page.goto("/prompts/?show=suggestions")
    with page.expect_navigation():
        page.get_by_role("link", name="Test on failures").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(BETTER)
    expect(page.get_by_role("radio", name="would a prompt do it?")).to_be_checked()
    page.get_by_label("How many").fill("10")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/prompts/playground/?trial=*")
    trial = page.locator("#trial")
    expect(trial.get_by_role("heading", name="Test on failures")).to_be_visible()
    expect(trial.get_by_text("succeeded")).to_be_visible(timeout=60_000)

    def line(name: str) -> str:
        return trial.get_by_role("row", name=re.compile(name)).inner_text()

    assert re.findall(r"\d+", line("Numbers that the articles do not contain")) == ["10", "0"]
    rouge2 = line("ROUGE-2 against the correction")
    assert "100.0" in rouge2
    assert re.search(r"95\s%\sbetween \+\d", rouge2)
    assert "better on 10, worse on 0" in rouge2
    expect(trial).to_contain_text("10 of the 10 corrections were made by changing the very text on the left")
    card = trial.get_by_role("article").first
    expect(card.locator(".text", has_text="Live prompt").locator("p")).to_have_text(DRAFT)
    assert "140" in " ".join(card.locator(".text.info ins").all_inner_texts())
    expect(card.locator(".text.ok .diff")).to_have_text(WANTED)  # not a word beside the correction
    no_violation(page)

    page.get_by_label("Prompt", exact=True).fill("For {reader}: {text}")
    page.get_by_role("button", name="Save as a version").click()
    expect(page.locator(".field.wrong .errorlist")).to_contain_text("Unknown variable")
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    expect(trial.get_by_role("heading", name="Test on failures")).to_be_visible()
    assert PromptVersion.objects.filter(prompt__name="news summary").count() == 1
    page.get_by_label("Prompt", exact=True).fill(BETTER)
    page.get_by_role("button", name="Save as a version").click()
    version = page.locator("#v2")
    expect(version).to_contain_text("suggested by rita")
    expect(version.locator(".diff ins").first).to_contain_text("Keep every number")
    suggestion.refresh_from_db()
    assert suggestion.state == "adopted"


def test_versions_are_followed_and_compared_by_keyboard(
    enter: Enter, the: Scene, suggestion: PromptSuggestion
) -> None:
    second = adopt_suggestion(suggestion=suggestion, actor=the.cast.ml_engineer)
    page = enter("rita", theme="dark")
    page.goto("/prompts/")
    page.get_by_role("link", name="news summary").press("Enter")
    first = page.locator("#v1")
    expect(first.locator(".chip.live")).to_have_text("live")
    first.get_by_text("Where and when it was live").press("Enter")
    expect(first.locator("details[open] li")).to_contain_text(re.compile(r"production, .*–\s+now", re.DOTALL))
    page.locator("#v2").get_by_role("link", name="Compare").press("Enter")
    word_by_word = page.get_by_role("region", name="Word by word")
    expect(word_by_word.locator("ins")).to_contain_text(["Keep every number"])
    expect(word_by_word.locator("del")).to_contain_text(["Summarize this news article"])
    expect(page.get_by_label("From: news summary v1")).to_contain_text("live")
    no_violation(page)
    # choosing alone leads nowhere: the keyboard passes through the choices
    before = page.get_by_label("From", exact=True)
    before.press("End")
    page.get_by_label("To", exact=True).select_option(str(second.pk))
    assert page.url.endswith(f"?a={scenes.chat_prompt().pk}&b={second.pk}")
    chosen = before.input_value()
    page.get_by_role("button", name="Compare").press("Enter")
    page.wait_for_url(f"**?a={chosen}&b={second.pk}")
    expect(page.get_by_role("heading", name=str(PromptVersion.objects.get(pk=chosen)))).to_be_visible()


def test_a_prompt_trial_at_the_desk_ends_in_a_suggestion_and_a_review(
    enter: Enter, the: Scene, slot: None
) -> None:
    make.queue_item(of=make.summary(make.document(), DRAFT), in_queue=make.queue(kind="prompt trial"))
    page = enter("rita")
    page.goto("/desk/")
    page.get_by_role("link", name="Start").click()
    expect(page.locator("form[data-ready]")).to_be_visible()
    expect(page.locator("#notices")).to_contain_text("then try another prompt")
    no_violation(page)
    page.keyboard.press("p")
    dialog, prompt = page.locator("#try"), page.locator("#try-template")
    prompt.fill(BETTER)
    page.keyboard.press("Control+Enter")
    wrote = dialog.get_by_role("region", name="What it wrote")
    expect(wrote).to_contain_text("Nordhaven closes its old pier")
    expect(wrote).to_contain_text("This queue is blind")
    dialog.get_by_label("Why this is better").fill("The number stays.")
    # what stands in the box is meant, and it does not work
    prompt.fill("Keep every number of {article}.")
    dialog.get_by_role("button", name="Save as a suggestion").click()
    expect(dialog.locator("#try-errors")).to_contain_text("Unknown variable")
    expect(prompt).to_be_focused()
    assert not PromptSuggestion.objects.exists()
    no_violation(page)
    prompt.fill(BETTER)
    dialog.get_by_role("button", name="Save as a suggestion").click()
    expect(dialog).to_contain_text("Kept as your suggestion.")
    kept = PromptSuggestion.objects.get()
    assert (kept.template, kept.output, kept.note) == (BETTER, WANTED, "The number stays.")
    page.keyboard.press("Escape")
    for digit in "2455":
        page.keyboard.press(digit)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="All done here")).to_be_visible()
    assert Review.objects.get().state == "submitted"
