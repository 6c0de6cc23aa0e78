"""The pictures of script/screenshots: builds the made-up data where there are none, serves them, takes them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import django
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "screenshots"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
# name: who looks, where. {…} are the rows that the made-up data name.
PAGES = {
    "home": ("mila", "/"),
    "desk": ("rita", "/desk/item/{desk_item}/"),
    "desk-queues": ("rita", "/desk/"),
    "desk-recent": ("rita", "/desk/my/recent/"),
    "desk-keys": ("rita", "/desk/my/keys/"),
    "pairwise": ("jana", "/pairwise/item/{pair_item}/"),
    "pairwise-queues": ("jana", "/pairwise/"),
    "pairwise-new": ("mila", "/pairwise/new/?comparison={comparison}"),
    "queues": ("mila", "/queues/"),
    "queue": ("mila", "/queues/new-drafts/"),
    "queue-item": ("mila", "/queues/new-drafts/items/{queue_item}/"),
    "queue-people": ("mila", "/queues/new-drafts/people/"),
    "queue-rules": ("mila", "/queues/weak-outputs/rules/"),
    "queue-settings": ("mila", "/queues/new-drafts/settings/"),
    "queue-new": ("mila", "/queues/new/"),
    "rubrics": ("mila", "/queues/rubrics/"),
    "rubric-new": ("mila", "/queues/rubrics/new/"),
    "my-feedback": ("rita", "/my-feedback/"),
    "progress": ("rita", "/progress/"),
    "progress-team": ("mila", "/progress/"),
    "my-suggestions": ("rita", "/my-feedback/?list=suggestions"),
    "talk": ("rita", "/talk/item/{desk_item}/"),
    "talk-prompt": ("mila", "/talk/prompt/{prompt_version}/"),
    "notifications": ("rita", "/notifications/"),
    "how-i-rate": ("rita", "/how-i-rate/"),
    "gold-answer": ("rita", "/how-i-rate/{gold_answer}/"),
    "agreement": ("mila", "/agreement/"),
    "disputes": ("mila", "/agreement/disputes/"),
    "disputes-resolved": ("mila", "/agreement/disputes/?show=resolved"),
    "dispute": ("mila", "/agreement/disputes/{dispute}/"),
    "dispute-resolved": ("mila", "/agreement/disputes/{dispute_resolved}/"),
    "gold": ("mila", "/agreement/gold/"),
    "gold-new": ("mila", "/agreement/gold/new/?summary={summary}"),
    "gold-round": ("mila", "/agreement/gold/rounds/new/"),
    "prompts": ("mila", "/prompts/"),
    "prompt": ("mila", "/prompts/{prompt}/"),
    "prompt-suggestions": ("mila", "/prompts/?show=suggestions"),
    "prompt-new": ("mila", "/prompts/new/"),
    "prompt-playground": ("mila", "/prompts/playground/"),
    "prompt-trial": ("mila", "/prompts/playground/?trial={trial}"),
    "prompt-compare": ("mila", "/prompts/compare/?a={prompt_first}&b={prompt_version}"),
    "documents": ("mila", "/documents/"),
    "document": ("mila", "/documents/{document}/"),
    "imports": ("mila", "/documents/imports/"),
    "import": ("mila", "/documents/imports/{batch}/"),
    "feedback": ("mila", "/feedback/"),
    "feedback-example": ("mila", "/feedback/{feedback_example}/"),
    "exports": ("mila", "/exports/"),
    "ratings": ("mila", "/ratings/"),
    "ratings-file": ("mila", "/ratings/{rating_import}/"),
    "freeze": ("mila", "/feedback/freeze/"),
    "requests": ("mila", "/requests/"),
    "request": ("mila", "/requests/{request}/"),
    "request-new": ("mila", "/requests/new/"),
    "snapshots": ("mila", "/snapshots/"),
    "snapshot": ("mila", "/snapshots/{snapshot}/"),
    "test-sets": ("mila", "/snapshots/?list=test-sets"),
    "test-set-new": ("mila", "/feedback/test-set/"),
    "test-set": ("mila", "/snapshots/test-sets/{test_set}/"),
    "models": ("mila", "/models/"),
    "model": ("mila", "/models/{model}/"),
    "training": ("mila", "/training/"),
    "training-run": ("mila", "/training/{training_run}/"),
    "training-running": ("mila", "/training/{training_running}/"),
    "training-new": ("mila", "/training/new/"),
    "comparisons": ("mila", "/comparisons/"),
    "comparison": ("mila", "/comparisons/{comparison}/"),
    "comparison-document": ("mila", "/comparisons/{comparison}/documents/{example}/"),
    "leakage": ("mila", "/leakage/{leakage}/"),
    "public-sets": ("mila", "/public-sets/"),
    "comparison-new": ("mila", "/comparisons/new/"),
    "cases": ("mila", "/cases/"),
    "case-set": ("mila", "/cases/{case_set}/"),
    "case-set-history": ("ada", "/cases/{case_set}/history/"),
    "case": ("mila", "/cases/{case_set}/1/"),
    "case-new": ("mila", "/documents/{document}/case/"),
    "case-edit": ("mila", "/cases/{case_set}/1/edit/"),
    "case-run": ("ada", "/cases/runs/{case_run}/"),
    "release-cases": ("ada", "/cases/releases/{release}/"),
    "releases": ("ada", "/releases/"),
    "release": ("ada", "/releases/{release}/"),
    "release-card": ("ada", "/releases/{release}/card/"),
    "release-live": ("otto", "/releases/{release_live}/"),
    "release-blocked": ("mila", "/releases/{release_blocked}/"),
    "release-rejected": ("mila", "/releases/{release_rejected}/"),
    "release-new": ("mila", "/releases/new/"),
    "policy": ("ada", "/policies/production/"),
    "policy-changes": ("ada", "/policies/production/changes/"),
    "policy-edit": ("admin", "/policies/production/edit/"),
    "deployments": ("otto", "/deployments/"),
    "rollout": ("otto", "/deployments/rollouts/{rollout}/"),
    "monitoring": ("otto", "/monitoring/?window=30d"),
    "jobs": ("otto", "/jobs/"),
    "job": ("otto", "/jobs/{job}/"),
    "audit": ("ada", "/audit/"),
    "people": ("admin", "/people/"),
    "person": ("admin", "/people/{person}/"),
    "tokens": ("mila", "/tokens/"),
    "webhooks": ("otto", "/webhooks/"),
    "webhook": ("otto", "/webhooks/{webhook}/"),
    "two-factor": ("mila", "/accounts/2fa/"),
    "sessions": ("mila", "/accounts/sessions/"),
    "history": ("mila", "/accounts/history/"),
    "password": ("mila", "/accounts/password/change/"),
    "sign-in": ("", "/accounts/login/"),
    "not-found": ("mila", "/nothing-here/"),
    "not-allowed": ("rita", "/releases/"),
}
EXPECTED = {"not-found": 404, "not-allowed": 403}


def places() -> dict[str, int]:
    """The rows that the pictures show, found again in data that were kept."""
    from django.contrib.auth.models import User

    from models_app.models import (
        CaseRun,
        CaseSet,
        Comparison,
        DatasetSnapshot,
        ExampleScore,
        Job,
        LeakageCheck,
        PromptVersion,
        Release,
        Rollout,
        TrainingRun,
        WebhookEndpoint,
    )
    from reviews.models import (
        Adjudication,
        FeedbackExample,
        ImportBatch,
        ImprovementRequest,
        Preference,
        PromptTrial,
        QueueItem,
        RatingImport,
        Review,
        SourceDocument,
        Summary,
    )

    comparison = Comparison.objects.get(candidate__release__state="live")
    run = TrainingRun.objects.filter(state="succeeded").latest("pk")
    worst = ExampleScore.objects.filter(run=comparison.candidate, unsupported_numbers__gt=0).order_by(
        "rouge2"
    ).first() or ExampleScore.objects.filter(run=comparison.candidate).earliest("rouge2")
    return {
        "person": User.objects.get(username="rita").pk,
        "request": ImprovementRequest.objects.get(state="open").pk,
        "desk_item": Review.objects.get(state="draft").item_id,
        "pair_item": Preference.objects.get(state="draft", revision__gt=0).item_id,
        "queue_item": Review.objects.filter(state="submitted", item__queue__slug="new-drafts")
        .latest("pk")
        .item_id,
        "gold_answer": Review.objects.filter(item__queue__calibration=True, reviewer__username="rita")
        .latest("pk")
        .pk,
        "dispute": QueueItem.objects.filter(state="disputed").order_by("-disagreement")[0].pk,
        "dispute_resolved": Adjudication.objects.latest("pk").item_id,
        "summary": Summary.objects.filter(queue_items=None, gold=None, document__split="test")
        .latest("pk")
        .pk,
        "prompt": PromptVersion.objects.get(prompt__name="news summary", number=1).prompt_id,
        "trial": PromptTrial.objects.latest("pk").pk,
        "prompt_first": PromptVersion.objects.get(prompt__name="news summary", number=1).pk,
        "prompt_version": PromptVersion.objects.get(prompt__name="news summary", number=2).pk,
        "document": SourceDocument.objects.filter(summaries__reviews__state="submitted").latest("pk").pk,
        "batch": ImportBatch.objects.latest("pk").pk,
        "rating_import": RatingImport.objects.latest("pk").pk,
        "snapshot": DatasetSnapshot.objects.latest("pk").pk,
        "test_set": comparison.candidate.evaluation_set_id,
        "feedback_example": FeedbackExample.objects.filter(state="proposed").latest("pk").pk,
        "model": run.summary["model_version"],
        "training_run": run.pk,
        "training_running": TrainingRun.objects.get(state="running").pk,
        "comparison": comparison.pk,
        "example": worst.example_id,
        "leakage": LeakageCheck.objects.latest("pk").pk,
        "case_set": CaseSet.objects.get().pk,
        "case_run": CaseRun.objects.filter(release__state="awaiting approval").latest("pk").pk,
        "rollout": Rollout.objects.latest("pk").pk,
        "release": Release.objects.get(state="awaiting approval").pk,
        "release_live": Release.objects.get(state="live").pk,
        "release_blocked": Release.objects.get(state="blocked").pk,
        "release_rejected": Release.objects.get(state="rejected").pk,
        "job": Job.objects.filter(state="failed").latest("pk").pk,
        "webhook": WebhookEndpoint.objects.latest("pk").pk,
    }


def signed_in(browser: Browser, url: str, name: str) -> str:
    """The session of somebody who signed in by the page."""
    from script.demo.newsroom import PASSWORD

    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill(name)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("button[type=submit], form button.pri").first.click()
    page.wait_for_url(lambda where: "login" not in where)
    session = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "galley_session")
    context.close()
    return session


@contextlib.contextmanager
def server(port: int) -> Iterator[str]:
    """The web process as it is run everywhere."""
    command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "4"]
    process = subprocess.Popen(
        [sys.executable, *command, "--no-control-socket", "llmops_site.wsgi:application"], cwd=ROOT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=10).close()
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def take(browser: Browser, url: str, names: list[str], found: dict[str, int]) -> list[str]:
    """Returns what went wrong."""
    wrong = []
    sessions = {who: signed_in(browser, url, who) for who in {PAGES[name][0] for name in names} if who}
    for size, (width, height) in SIZES.items():
        for theme in THEMES:
            for who in sorted({PAGES[name][0] for name in names}):
                context = browser.new_context(
                    base_url=url,
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if theme == "dark" else "light",
                    locale="en-GB",
                )
                if who:
                    context.add_cookies([{"name": "galley_session", "value": sessions[who], "url": url}])
                page = context.new_page()
                for name in (name for name in names if PAGES[name][0] == who):
                    response = page.goto(PAGES[name][1].format(**found), wait_until="load")
                    status = response.status if response else 0
                    expected = EXPECTED.get(name, 200)
                    if status != expected:
                        wrong.append(f"{name}: {status} instead of {expected}")
                        continue
                    page.wait_for_timeout(250)
                    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                        wrong.append(f"{name} ({size}) is wider than the screen")
                    page.screenshot(path=PICTURES / f"{name}-{size}-{theme}.png")
                context.close()
    return sorted(set(wrong))


def make_small(names: list[str]) -> int:
    """Palettes instead of millions of colours; returns the bytes of the whole folder."""
    files = [str(path) for name in names for path in PICTURES.glob(f"{name}-*-*.png") if path.exists()]
    for start in range(0, len(files), 50):
        subprocess.run(
            [
                "pngquant",
                "--force",
                "--skip-if-larger",
                "--ext",
                ".png",
                "--strip",
                "--speed",
                "8",
                "128",
                *files[start : start + 50],
            ],
            check=False,
        )
    return sum(path.stat().st_size for path in PICTURES.glob("*.png"))


def main(arguments: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright runs an event loop in this thread
    django.setup()
    from llmops_site.prepare import collect_static_files, migrate
    from models_app.models import Release
    from script import demo_data

    migrate()
    collect_static_files()
    if not Release.objects.exists():
        print("Making up the data …", flush=True)
        demo_data.Demo().build()
    demo_data.heartbeat()
    PICTURES.mkdir(parents=True, exist_ok=True)
    names = [name for name in PAGES if not arguments or any(name.startswith(word) for word in arguments)]
    with server(int(os.environ.get("DEMO_PORT", "8947"))) as url, sync_playwright() as playwright:
        executable = os.environ.get("GALLEY_TEST_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        wrong = take(browser, url, names, places())
        browser.close()
    size = make_small(names)
    print(f"{len(list(PICTURES.glob('*.png')))} pictures, {size / 1e6:.1f} MB")
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
