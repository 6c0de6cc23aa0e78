"""The whole loop in a browser, as four people walk it: review, train, compare, approve, call, refine, roll back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Page, Playwright, expect
from pytest_django.live_server_helper import LiveServer

from models_app.foundation import jobs
from models_app.models import (
    AuditEvent,
    ClientFeedback,
    Comparison,
    InferenceRequest,
    PromptVersion,
    Release,
    TrainingRun,
)
from models_app.releases.approving import confirmation
from models_app.releases.composing import compose_release
from models_app.releases.deploying import install_first_release
from models_app.serving.routing import router
from models_app.training.registering import register_base
from reviews.examples.decisions import approve_examples
from reviews.examples.proposals import propose_from_references
from reviews.filling.drafts import start_drafting
from reviews.ingest.documents import import_rows
from reviews.ingest.records import read_file
from reviews.models import FeedbackExample, PromptSuggestion, QueueItem, Review, SourceDocument
from tests import make
from tests.browser.conftest import Enter
from tests.browser.desk import another_item, at_desk
from tests.e2e.conftest import Worker
from tests.releases import scene as scenes
from tests.reviews.loop.test_run import FILLER, toy_file
from tests.serving.conftest import Supervisor
from tests.tiny_models import make_tiny_t5

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1500),
]

DECODING = {"max_new_tokens": 24, "max_words": 20, "max_input_tokens": 64}
REVIEWED = 3


def eventually(page: Page, true: Callable[[], Any], seconds: float = 90) -> None:
    """The page lives on meanwhile: it polls, its console is read."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true"
        page.wait_for_timeout(100)


def state(release: Release) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=release.pk)


@pytest.fixture
def first_release(cast: make.Cast, supervise: Callable[..., Supervisor], tmp_path: Path) -> Release:
    """A T5 that has learnt nothing yet is live, and a file of toy documents is in."""
    import_rows(
        rows=list(read_file(toy_file(tmp_path / "toy.jsonl", 160))),
        origin="toy.jsonl",
        actor=cast.ml_engineer,
    )
    model = register_base(
        reference=str(make_tiny_t5(tmp_path / "tiny-t5", seed=3)), name="tiny T5", actor=None
    )
    release = compose_release(
        model_version=model,
        prompt_version=PromptVersion.objects.get(prompt__name="summarize", number=1),
        decoding=DECODING,
        origin="initial",
        actor=None,
    )
    supervise()
    a_policy_for_few_documents()
    return install_first_release(release=release)


def a_policy_for_few_documents() -> None:
    """Twenty toy articles prove little: the gates are all judged, and none asks for more than such a test set shows."""
    scenes.small_policy(
        primary={"margin": 100.0, "least_documents": 10},
        guards={"margins": {"rouge1": 100.0, "rougeL": 100.0}, "least_documents": 10},
        safety={"least_documents": 10, "numbers_percent": 100.0, "names_percent": 100.0},
        slices={"fields": []},
        # evaluations in this test's own process are as large as all that it did before, and share the cores
        speed={"times_slower": None, "times_memory": None},
        preference={"ask": "never"},
    )


@pytest.mark.usefixtures("one_child_of_each_kind")
def test_four_people_walk_the_loop(
    enter: Enter,
    cast: make.Cast,
    first_release: Release,
    worker: Worker,
    live_server: LiveServer,
    playwright: Playwright,
) -> None:
    rita, mila, ada, otto = (enter(name) for name in ("rita", "mila", "ada", "otto"))
    job = start_drafting(
        documents=list(SourceDocument.objects.filter(split="train").values_list("pk", flat=True)[:REVIEWED]),
        release=first_release, queue="new-drafts", actor=cast.ml_engineer,
    )  # fmt: skip
    eventually(rita, lambda: state(first_release) == "live")
    router.reread()
    carried_out(rita, job)

    review_by_keyboard(rita, suggestion="please summarize: {text}")
    make_training_data(mila, cast)
    run = train(mila)
    tuned = compare_and_submit(mila, run)
    may_not_decide(mila, tuned)
    approve(ada, tuned, "It learnt what the reviewers wrote.")
    eventually(ada, lambda: state(tuned) == "live")
    expect(ada.get_by_role("heading", name=f"Release {tuned.pk} is live")).to_be_visible(timeout=60_000)

    client = playwright.request.new_context(
        base_url=live_server.url, extra_http_headers={"Authorization": f"Token {make_token(mila)}"}
    )
    call_and_complain(mila, client, tuned)
    expect_weak_output(rita)

    refined = refine_the_prompt(mila, tuned)
    approve(ada, refined, "As good as before, and asks more kindly.")
    eventually(ada, lambda: state(refined) == "live")
    roll_back(otto, to=tuned)
    eventually(otto, lambda: summarize(client)["release"] == tuned.pk, seconds=10)
    client.dispose()
    everything_is_on_record(ada, refined)


def carried_out(page: Page, job: Any) -> None:
    eventually(page, lambda: type(job).objects.get(pk=job.pk).state not in ("queued", "running"))
    job.refresh_from_db()
    assert job.state == "succeeded", f"{job.kind}: {job.reason}\n{jobs.log_path(job).read_text()[-3000:]}"


def review_by_keyboard(page: Page, *, suggestion: str) -> None:
    """Three items without touching the mouse; on the first another prompt is tried on the live model."""
    at_desk(page)
    for number in range(REVIEWED):
        number_of_item = page.locator("form[data-desk]").get_attribute("data-item") or ""
        item = QueueItem.objects.select_related("summary__document").get(pk=number_of_item)
        if number == 0:
            page.keyboard.press("p")
            dialog = page.locator("#try")
            dialog.get_by_label("Prompt").fill(suggestion)
            dialog.get_by_role("button", name="Try it").click()
            expect(dialog.get_by_role("heading", name="What it wrote")).to_be_visible(timeout=60_000)
            expect(dialog.get_by_label("Prompt")).to_be_focused()  # it takes the focus
            dialog.get_by_label("Why this is better").fill("Kinder.")
            dialog.get_by_role("button", name="Save as a suggestion").click()
            expect(dialog.get_by_text("Kept as your suggestion.")).to_be_visible()
            page.keyboard.press("Escape")
            expect(dialog).not_to_be_visible()
        for digit in "2222":  # four criteria, from which two stars and poor follow
            page.keyboard.press(digit)
        expect(page.locator("#edit")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type(item.summary.document.reference)
        if number < REVIEWED - 1:
            with another_item(page):
                page.keyboard.press("Control+Enter")
        else:
            page.keyboard.press("Control+Enter")
        eventually(page, QueueItem.objects.filter(pk=item.pk, state="done").exists, 20)
    expect(
        page.get_by_role("heading", name="All done here").or_(page.get_by_text("Nothing waits"))
    ).to_be_visible()
    assert Review.objects.filter(state="submitted", verdict="poor", stars=2).count() == REVIEWED
    suggested = PromptSuggestion.objects.get()
    assert (suggested.template, suggested.note, suggested.state) == (suggestion, "Kinder.", "open")
    assert suggested.output, "the live model wrote something with it"


def make_training_data(page: Page, cast: make.Cast) -> None:
    """The reviewer's corrections and the references of other documents, frozen; and a test set."""
    corrections = FeedbackExample.objects.filter(kind="demonstration", origin="review")
    assert corrections.filter(state="proposed").count() == REVIEWED
    reviewed = Review.objects.values_list("summary__document", flat=True)
    others = SourceDocument.objects.filter(split__in=("train", "validation")).exclude(pk__in=reviewed)
    references = propose_from_references(documents=others, actor=cast.ml_engineer)
    approve_examples(examples=references, actor=cast.ml_engineer)
    page.goto("/feedback/?kind=demonstration")
    page.locator("[data-choose-all]").check()
    page.get_by_role("button", name="Approve selected").click()
    eventually(page, lambda: corrections.filter(state="approved").count() == REVIEWED, 20)
    page.goto("/feedback/freeze/")
    page.locator("[name=name]").fill("First corrections")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("First corrections is frozen.")).to_be_visible()
    page.goto("/feedback/test-set/")
    page.locator("[name=limit]").fill("20")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("20 test documents are frozen")).to_be_visible()


def train(page: Page) -> TrainingRun:
    """Starts it from the form and watches it to its end."""
    page.goto("/training/")
    page.get_by_role("link", name="New run").click()
    expect(page.get_by_label("Snapshot")).not_to_have_value("")
    expect(page.locator("[name=preset]")).to_have_value("t5-default")
    page.get_by_text("All settings of the recipe").click()
    for name, value in {
        "epochs": "20", "learning_rate": "0.01", "max_source_tokens": "64", "max_target_tokens": "24",
        "batch_tokens": "1024", "patience": "",
    }.items():  # fmt: skip
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("is queued.")).to_be_visible()
    run = TrainingRun.objects.get()
    expect(page.locator("#training-run progress")).to_be_visible()
    eventually(page, lambda: not TrainingRun.objects.get(pk=run.pk).is_active, 240)
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    expect(page.locator("#training-run").get_by_text("succeeded", exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_role("img", name="Loss of training")).to_be_visible()
    return run


def compare_and_submit(page: Page, run: TrainingRun) -> Release:
    page.locator("#training-run").get_by_role("link", name="Model").first.click()
    page.get_by_role("link", name="New release").click()
    expect(page.locator("[name=prompt_version]")).to_have_value(str(run.prompt_version_id))
    page.locator("[name=note]").fill("Fine-tuned on the first corrections.")
    page.get_by_role("button", name="Create and evaluate").click()
    expect(page.get_by_role("heading", name="Compare releases")).to_be_visible()
    release = Release.objects.get(model_version__training_run=run)
    return _evaluated_and_submitted(page, release, "Writes who won.")


def _evaluated_and_submitted(page: Page, release: Release, why: str) -> Release:
    """From the comparison's form to a release that waits for an approver."""
    expect(page.get_by_label("After (candidate)")).to_have_value(str(release.pk))
    page.get_by_role("button", name="Evaluate and compare").click()
    expect(page.get_by_text("The evaluations are queued")).to_be_visible()
    eventually(page, lambda: Comparison.objects.filter(candidate__release=release).exists(), 180)
    comparison = Comparison.objects.get(candidate__release=release)
    page.get_by_role("link", name=f"Comparison {comparison.pk}").click(timeout=60_000)
    expect(page.get_by_label("Verdict").first).to_contain_text(comparison.sentence)
    page.get_by_role("button", name="Submit for approval").click()
    page.get_by_label("What changed").fill(why)
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("heading", name=f"Release {release.pk} waits for approval")).to_be_visible()
    return release


def may_not_decide(page: Page, release: Release) -> None:
    page.goto(f"/releases/{release.pk}/")
    expect(page.get_by_role("heading", name="Decide")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert state(release) == "awaiting approval"


def approve(page: Page, release: Release, reason: str) -> None:
    page.goto("/releases/")
    page.get_by_role("link", name=f"Release {release.pk}").first.click()
    page.locator("#decide").get_by_label("Reason").fill(reason)
    if sentence := confirmation(Release.objects.get(pk=release.pk)):
        page.locator("#decide").get_by_label("To approve, type").fill(sentence)
    page.locator("#decide").get_by_label("password").fill("not the password")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert").or_(page.locator(".errorlist li")).first).to_be_visible()
    assert state(release) == "awaiting approval"
    page.locator("#decide").get_by_label("password").fill(make.PASSWORD)
    page.get_by_role("button", name="Approve").click()
    eventually(page, lambda: state(release) in ("approved", "warming", "live"), 15)


def make_token(page: Page) -> str:
    page.goto("/tokens/")
    page.get_by_label("What it is for").fill("web shop")
    page.get_by_label("Ask for summaries and read them").check()
    page.get_by_label("Send feedback on summaries").check()
    page.get_by_role("button", name="Make the token").click()
    return page.locator("#token-value").inner_text()


def summarize(client: APIRequestContext) -> dict[str, Any]:
    text = f"the new school said that the town was old . {FILLER}"
    answer = client.post("/api/v1/summaries/", data={"text": text, "user": "u-1", "session": "s-1"})
    assert answer.status == 201, answer.text()
    return dict(answer.json())


def call_and_complain(page: Page, client: APIRequestContext, live: Release) -> None:
    eventually(page, lambda: summarize(client)["release"] == live.pk, seconds=10)
    written = summarize(client)
    assert "won match" in written["summary"], "it writes what it was taught"
    answer = client.post(
        f"/api/v1/summaries/{written['id']}/feedback/",
        data={"stars": 1, "comment": "The date is wrong, it was in June.", "wants": "retrain"},
    )
    assert answer.status == 201, answer.text()
    assert InferenceRequest.objects.filter(outcome="ok", release=live).exists()
    assert ClientFeedback.objects.get().stars == 1
    eventually(page, lambda: QueueItem.objects.filter(queue__slug="weak-outputs").exists())


def expect_weak_output(page: Page) -> None:
    page.goto("/desk/")
    expect(page.get_by_text("Low-rated summaries").first).to_be_visible()
    page.goto("/desk/weak-outputs/")
    expect(page.locator("#summary")).to_contain_text("won match")


def refine_the_prompt(page: Page, live: Release) -> Release:
    """The suggestion becomes a version of the prompt, and the live model with it a release like any other."""
    page.goto("/prompts/?show=suggestions")
    page.get_by_role("button", name="Adopt").click()
    page.get_by_role("button", name="Make it a version").click()
    eventually(page, lambda: PromptSuggestion.objects.get().state == "adopted", 15)
    version = PromptVersion.objects.get(prompt__name="summarize", number=2)
    assert PromptSuggestion.objects.get().adopted_as == version
    page.goto(f"/prompts/{version.prompt_id}/")
    page.locator("#v2").get_by_role("link", name="New release").click()
    page.locator("[name=note]").fill("A reviewer's prompt.")
    page.get_by_role("button", name="Create and evaluate").click()
    expect(page.get_by_role("heading", name="Compare releases")).to_be_visible()
    release = Release.objects.get(prompt_version=version)
    assert release.model_version_id == live.model_version_id
    return _evaluated_and_submitted(page, release, "Asks more kindly.")


def roll_back(page: Page, *, to: Release) -> None:
    page.goto("/deployments/")
    page.get_by_role("button", name=f"Roll back to release {to.pk}").click()
    page.get_by_label("Why").first.fill("Kindness cost a comma.")
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.get_by_text(f"Rolled back: release {to.pk} is live again.")).to_be_visible()


def everything_is_on_record(page: Page, refined: Release) -> None:
    told = list(AuditEvent.objects.order_by("id").values_list("actor_name", "action"))
    expected = [
        ("rita", "review.submit"),
        ("rita", "prompt.suggest"),
        ("mila", "feedback.approved"),
        ("mila", "snapshot.freeze"),
        ("mila", "training.start"),
        ("mila", "release.submit"),
        ("ada", "release.approve"),
        ("mila", "token.create"),
        ("otto", "deployment.roll_back"),
    ]
    assert [step for step in expected if step not in told] == [], sorted(set(told))
    page.goto(f"/releases/{refined.pk}/")
    trail = page.locator("[aria-labelledby=trail-title]")
    for words in ("Kindness cost a comma.", "As good as before, and asks more kindly."):
        expect(trail).to_contain_text(words)
    page.goto("/audit/")
    expect(page.locator("#audit-list")).to_contain_text("Kindness cost a comma.")
    page.get_by_role("button", name="Verify now").click()
    eventually(page, lambda: AuditEvent.objects.filter(action="audit.verify", to_state="whole").exists())
    page.goto("/audit/")
    expect(page.get_by_label("State of the chain")).to_contain_text("Verified up to event")
