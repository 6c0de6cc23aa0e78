"""Deciding, composing, prompts, jobs and the audit trail in a browser: with script, without it, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from playwright.sync_api import Page, expect

from models_app.foundation import jobs
from models_app.models import Job, PromptVersion, Release
from models_app.releases.composing import compose_release
from models_app.serving.routing import router
from reviews.models import PromptSuggestion, PromptTrial
from reviews.prompts.suggestions import suggest_prompt
from tests import make
from tests.api.conftest import serve
from tests.browser.conftest import DESKTOP, PHONE, Enter, faultless, no_violation
from tests.e2e.conftest import Worker
from tests.e2e.conftest import without_children as without_children
from tests.e2e.conftest import worker as worker
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene
from tests.serving.conftest import until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

# The other two of the four are taken by test_axe.


@pytest.fixture
def the(transactional_db: None) -> Scene:
    cache.clear()
    made = scene()
    made.submitted()
    return made


@pytest.fixture
def cast(the: Scene) -> make.Cast:
    return the.cast


@pytest.fixture
def suggestion(the: Scene) -> PromptSuggestion:
    return suggest_prompt(
        document=make.document(), based_on=scenes.chat_prompt(), template="Keep every number.\n\n{text}",
        output="140 piles are rotten.", note="Numbers went missing.", actor=the.cast.reviewer,
    )  # fmt: skip


@pytest.fixture
def slot(the: Scene, tmp_path: Path) -> Iterator[None]:
    """Leading sentences answer for the live release."""
    stop = serve(the.live, tmp_path / "live.sock")
    router.reread()
    yield
    stop()


def state(the: Scene) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=the.candidate.pk)


def test_pages_have_no_violation_and_nothing_hangs_over(
    enter: Enter, the: Scene, suggestion: PromptSuggestion
) -> None:
    draft = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 4}, origin="decoding",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    job = Job.objects.create(
        kind="train", queue="training", state="failed", reason="The disk is full.", payload={"run": 1}
    )
    jobs.log_path(job).parent.mkdir(parents=True, exist_ok=True)
    jobs.log_path(job).write_text("a line\n" * 300)
    chat = scenes.chat_prompt()
    places = {
        "ada": [
            "/releases/", f"/releases/{the.candidate.pk}/", f"/releases/{the.live.pk}/", "/audit/", "/audit/?who=x",
        ],
        "mila": [
            f"/releases/{draft.pk}/", "/releases/new/", "/prompts/", "/prompts/?show=suggestions", "/prompts/new/",
            f"/prompts/{chat.prompt_id}/", f"/prompts/{chat.prompt_id}/new-version/", "/prompts/playground/",
        ],
        "otto": ["/jobs/", f"/jobs/{job.pk}/"],
    }  # fmt: skip
    for who, paths in places.items():
        page = enter(who)
        for path in paths:
            faultless(page, path, ("dark", DESKTOP), ("light", PHONE))


def fill_decision(
    page: Page, *, reason: str = "Clear gain on ROUGE-2.", password: str = make.PASSWORD
) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_label("Your password").fill(password)


def test_approving_without_script(enter: Enter, the: Scene) -> None:
    page = enter("ada", script=False)
    page.goto(f"/releases/{the.candidate.pk}/")
    fill_decision(page, password="wrong")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("This is not your password.")).to_be_in_viewport()
    assert page.get_by_label("Reason").input_value() == "Clear gain on ROUGE-2."
    assert state(the) == "awaiting approval"
    fill_decision(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Release {the.candidate.pk} is warming up")
    assert state(the) == "warming"


def test_deciding_with_the_keyboard_alone(enter: Enter, the: Scene) -> None:
    page = enter("ada")
    page.goto(f"/releases/{the.candidate.pk}/")
    page.get_by_role("link", name="Decide").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").focus()
    page.keyboard.type("It invents numbers.")
    page.keyboard.press("Tab")
    page.keyboard.type(make.PASSWORD)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Ask for changes")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Release {the.candidate.pk} was rejected")
    no_violation(page)
    assert state(the) == "rejected"


def test_the_evidence_on_paper(enter: Enter, the: Scene) -> None:
    page = enter("ada")
    page.goto(f"/releases/{the.candidate.pk}/")
    settings = page.locator("details.fold").first
    page.evaluate("window.print = () => { window.printed = 1; }")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed") == 1
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('main details.fold')].every((one) => one.open)")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert settings.get_attribute("open") is None, "as it was"
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 690, "height": 1000})
    for gone in (".side", ".actions", "form", ".ev-switch"):
        assert page.locator(gone).evaluate_all("all => all.every((one) => one.offsetParent === null)"), gone
    expect(page.get_by_text("as ada saw it on")).to_be_visible()
    texts = page.locator("#doc-1 .txt:visible")
    assert texts.count() == 4, "article, before, after and reference"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.ev-proof a'), '::after').content") != "none"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_without_script_there_is_no_button_to_print(enter: Enter, the: Scene) -> None:
    page = enter("ada", script=False)
    page.goto(f"/releases/{the.candidate.pk}/")
    expect(page.get_by_text("Print", exact=True)).to_be_hidden()


def test_a_requester_a_policy_editor_and_two_approvers(enter: Enter, the: Scene) -> None:
    """A policy that is changed between two approvals makes the first one void, until the gates are judged by it."""
    make.user("pia", "policy editor")
    the.approvers_needed(2)
    path = f"/releases/{the.candidate.pk}/"
    ada, anton, mila, pia = (enter(name) for name in ("ada", "anton", "mila", "pia"))
    ada.goto(path)
    fill_decision(ada)
    ada.get_by_role("button", name="Approve").click()
    expect(ada.get_by_text("it takes another one")).to_be_visible()

    pia.goto("/policies/production/edit/")
    pia.locator("[name='guards.least_documents']").fill("12")
    pia.get_by_role("textbox", name="Reason").fill("Ten are too few.")
    pia.get_by_role("button", name="Save").click()
    expect(pia.get_by_text("has to be judged by it")).to_be_visible()

    anton.goto(path)
    expect(anton.locator("#decide")).to_contain_text("pia changed the policy")
    expect(anton.get_by_role("button", name="Approve")).to_be_disabled()
    no_violation(anton)
    mila.goto(path)
    mila.get_by_role("button", name="Run the gates again").click()
    mila.get_by_label("What changed").fill("The policy.")
    mila.get_by_role("button", name="Run the gates", exact=True).click()
    expect(mila.get_by_role("heading", name="The gates are being judged")).to_be_visible()
    no_violation(mila)
    scenes.gates_done(Release.objects.get(pk=the.candidate.pk))
    expect(mila.get_by_role("heading", level=1)).to_have_text(
        f"Release {the.candidate.pk} waits for approval", timeout=15_000
    )
    for page, more in ((ada, "awaiting approval"), (anton, "warming")):
        page.goto(path)
        fill_decision(page)
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".message, .toast").first).to_be_visible()
        assert state(the) == more


def test_an_emergency_is_declared_and_reviewed_by_another_person(enter: Enter, the: Scene) -> None:
    the.approvers_needed(2)
    ada, anton = enter("ada"), enter("anton", width=390)
    ada.goto(f"/releases/{the.candidate.pk}/")
    fill_decision(ada, reason="It leaks telephone numbers.")
    ada.get_by_text("It cannot wait").click()
    no_violation(ada)
    ada.get_by_role("button", name="Put live in an emergency").click()
    expect(ada.get_by_role("heading", name=re.compile("Incident .* to be reviewed"))).to_be_visible()
    anton.goto("/")
    expect(anton.get_by_text("was put live in an emergency by ada")).to_be_visible()
    no_violation(anton)
    anton.goto(f"/releases/{the.candidate.pk}/")
    no_violation(anton)
    anton.get_by_label("What you found").fill("Right: fourteen of them.")
    anton.get_by_label("Your password").fill(make.PASSWORD)
    anton.get_by_role("button", name="Close the incident").click()
    expect(anton.get_by_role("heading", name=re.compile("Incident .* reviewed"))).to_be_visible()
    no_violation(anton)


def test_a_mistake_is_shown_where_it_was_made(enter: Enter, the: Scene) -> None:
    page = enter("ada", width=390)
    page.goto(f"/releases/{the.candidate.pk}/")
    fill_decision(page, password="wrong")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    no_violation(page)


def test_the_page_follows_the_deployment_until_it_is_live(enter: Enter, the: Scene) -> None:
    page = enter("ada")
    page.goto(f"/releases/{the.candidate.pk}/")
    fill_decision(page)
    page.get_by_role("button", name="Approve").click()
    way = page.locator(".ev-lineage")
    expect(way).to_contain_text("its model is loading")
    from models_app.releases.deploying import go_live

    go_live(release=Release.objects.get(pk=the.candidate.pk))
    expect(way).not_to_contain_text("its model is loading")
    expect(page.locator("#release")).not_to_have_attribute("hx-trigger", re.compile("every"))


def test_composing_brings_the_model_s_defaults_and_leads_to_the_comparison(enter: Enter, the: Scene) -> None:
    page = enter("mila")
    page.goto("/releases/new/")
    expect(page.get_by_label("Max input tokens")).to_have_value("420")
    page.get_by_label("Model", exact=True).select_option(str(the.live.model_version_id))
    expect(page.get_by_label("Max input tokens")).to_have_value("512")
    page.get_by_label("Words asked for").fill("40")
    page.get_by_role("button", name="Create and evaluate").click()
    page.wait_for_url("**/comparisons/new/?candidate=*")
    assert Release.objects.latest("pk").decoding["max_words"] == 40


def test_a_suggestion_is_adopted_and_another_declined(
    enter: Enter, the: Scene, suggestion: PromptSuggestion
) -> None:
    page = enter("mila")
    page.goto("/prompts/?show=suggestions")
    page.get_by_role("button", name="Decline").click()
    page.get_by_label("Why").fill("Too long.")
    no_violation(page)
    page.get_by_role("button", name="Decline it").click()
    expect(page.get_by_text("Declined. rita is shown the reason.")).to_be_visible()
    suggestion.refresh_from_db()
    assert suggestion.state == "declined"


def test_variables_are_checked_while_one_types(enter: Enter, the: Scene) -> None:
    page = enter("mila")
    page.goto("/prompts/new/")
    expect(page.locator("#prompt-check")).to_contain_text("Not yet")
    page.get_by_label("Prompt", exact=True).fill("In {max_words} words: {text}")
    expect(page.locator("#prompt-check")).to_contain_text("The variables are right.")
    page.get_by_label("Prompt", exact=True).fill("For {reader}: {text}")
    expect(page.locator("#prompt-check")).to_contain_text("Unknown variable")


@pytest.mark.usefixtures("without_children")
@pytest.mark.parametrize("script", [True, False])
def test_the_playground_asks_the_model_and_keeps_what_works(
    enter: Enter, the: Scene, slot: None, worker: Worker, script: bool
) -> None:
    documents = [make.document() for _ in range(2)]
    page = enter("mila", script=script)
    page.goto("/prompts/playground/")
    page.get_by_label("Prompt", exact=True).fill("Keep every number.\n\n{text}")
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/prompts/playground/?trial=*")
    if not script:
        trial = PromptTrial.objects.select_related("job").get()
        assert trial.job is not None
        until(lambda: Job.objects.filter(pk=trial.job_id or 0, state="succeeded").exists())
        page.reload()
    for document in documents:
        card = page.locator(f"#result-{document.pk}")
        expect(card).to_contain_text("This prompt")
        expect(card).to_contain_text("The harbour authority of Nordhaven")
    expect(page.locator("#trial")).to_contain_text("preview, not a result")
    if script:
        expect(page.locator("#trial")).not_to_have_attribute("hx-trigger", re.compile("every"))
        no_violation(page)
    page.get_by_label("What changed and why").fill("Numbers stay.")
    page.get_by_role("button", name="Save and create a release").click()
    page.wait_for_url("**/comparisons/new/?candidate=*")
    version = PromptVersion.objects.latest("pk")
    assert (version.template, version.note) == ("Keep every number.\n\n{text}", "Numbers stay.")
    release = Release.objects.latest("pk")
    assert (release.prompt_version, release.model_version) == (version, the.live.model_version)


def test_choosing_another_prompt_changes_only_the_prompt(enter: Enter, the: Scene) -> None:
    page = enter("mila")
    page.goto("/prompts/playground/")
    page.get_by_label("How many").fill("2")
    other = PromptVersion.objects.get(prompt__name="summarize")
    page.get_by_label("Start from").select_option(str(other.pk))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("summarize: {text}")
    expect(page.get_by_label("How many")).to_have_value("2")


def test_a_job_is_followed_to_its_end(enter: Enter, the: Scene) -> None:
    job = Job.objects.create(kind="generate_summaries", subject="release:1", payload={"documents": []})
    claimed = jobs.claim(job.pk)
    assert claimed is not None
    context = jobs.JobContext(claimed)
    context.phase("drafting summaries", total=40)
    page = enter("otto")
    page.goto(f"/jobs/{job.pk}/")
    expect(page.locator("#job")).to_contain_text("drafting summaries")
    Job.objects.filter(pk=job.pk).update(step=20)
    expect(page.locator("#job")).to_contain_text("20 of 40")
    Job.objects.filter(pk=job.pk).update(
        state="failed", reason="The disk is full.", finished_at=claimed.started_at
    )
    expect(page.locator("#job")).to_contain_text("The disk is full.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert page.locator("#job").get_attribute("hx-trigger") is None


def test_the_trail_is_filtered_and_paged(enter: Enter, the: Scene) -> None:
    page = enter("ada")
    page.goto("/audit/")
    page.get_by_label("Who").fill("mila")
    page.get_by_role("button", name="Show").click()
    rows = page.locator("#audit-list tbody tr")
    expect(rows.first).to_contain_text("mila asked for approval")
    expect(page.locator("#audit-list tbody tr", has_text="galley")).to_have_count(0)
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_role("link", name="Being verified")).to_be_visible()
