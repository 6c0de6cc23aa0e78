"""The desk as a browser feels it: from the last key of a review to the next item, and typing beside a long article.

    python benchmarks/desk_in_browser.py [--reviews 40] [--words 50000]

In a database of its own in a temporary directory, served by gunicorn on this machine, in headless Chromium. Each review
is four digits and Ctrl+Enter; half of them come at once, half after the pause in which a person reads (then the next
item has been fetched ahead). Times are the page's own marks. Then a character is typed into the correction, and a
sentence's sources are shown, beside an article of so many words: the time until the next frame is painted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
READING_MS = 3000  # the item after this one is fetched 1.5 s after this one was shown

SHOWN = """() => {
    const at = (name) => performance.getEntriesByName(name).at(-1)?.startTime ?? 0;
    const [sent, answered, shown] = ["galley:submit", "galley:answered", "galley:next-shown"].map(at);
    return [answered - sent, shown - answered];
}"""
PAINTED = """async (act) => {
    const times = [];
    const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const edit = document.getElementById("edit");
    const nextSentence = () => new KeyboardEvent("keydown", { key: "s", code: "KeyS", bubbles: true });
    edit.blur();
    for (let round = 0; round < 30; round += 1) {
        await painted();
        const began = performance.now();
        if (act === "type") { edit.focus(); document.execCommand("insertText", false, "x"); }
        else document.body.dispatchEvent(nextSentence());
        await painted();
        times.push(performance.now() - began);
    }
    return times;
}"""


def spread(times: list[float]) -> str:
    ordered = sorted(times)
    return (
        f"p50 {statistics.median(ordered):.0f} ms, p95 {ordered[max(0, round(len(ordered) * 0.95) - 1)]:.0f} ms, "
        f"longest {ordered[-1]:.0f} ms, n {len(ordered)}"
    )


def fill(reviews: int, words: int) -> None:
    from reviews.models import Grounding
    from reviews.texts.grounding import as_data, ground
    from tests import make

    make.user("rita", "reviewer")
    queue, long = make.queue(), make.queue(slug="weak-outputs")
    for _ in range(reviews + 2):
        summary = make.summary()
        data = as_data(ground(summary.document.text, summary.text))
        Grounding.objects.create(summary=summary, method="benchmark", data=data)
        make.queue_item(of=summary, in_queue=queue)
    lines = [
        f"In district {number} " + "the harbour was quiet that day. " * 20 for number in range(words // 123)
    ]
    document = make.document("\n\n".join([*lines, make.ARTICLE]), title="A long report")
    summary = make.summary(document)
    data = as_data(ground(document.text, summary.text))
    Grounding.objects.create(summary=summary, method="benchmark", data=data)
    make.queue_item(of=summary, in_queue=long)


def session(name: str) -> str:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get(username=name))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def measure(url: str, cookie: str, reviews: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("GALLEY_TEST_CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "galley_session", "value": cookie, "url": url}])
        page = context.new_page()
        page.goto("/desk/new-drafts/")
        read: list[tuple[float, float]] = []
        hurried = 0
        for number in range(reviews):
            page.wait_for_selector("form[data-ready]")
            item = page.locator("form[data-desk]").get_attribute("data-item")
            if number % 2:
                page.wait_for_timeout(READING_MS)
            ahead = page.locator("form[data-ahead]").count()
            for digit in "4554":
                page.keyboard.press(digit)
            page.keyboard.press("Control+Enter")
            page.wait_for_selector(f"form[data-ready]:not([data-item='{item}'])")
            if ahead:
                read.append(tuple(page.evaluate(SHOWN)))
            else:
                hurried += 1
        print(
            f"key to next item, fetched ahead: {spread([sum(both) for both in read])}; {hurried} came too early"
        )
        print(f"  of it until submitted: {spread([answered for answered, _ in read])}")
        print(f"  of it until shown: {spread([shown for _, shown in read])}")
        page.goto("/desk/weak-outputs/")
        page.wait_for_selector("form[data-ready]")
        words = page.locator(".pane.source .num").first.inner_text()
        print(f"beside {words}: a character typed: {spread(page.evaluate(PAINTED, 'type'))}")
        print(f"beside {words}: a sentence's sources shown: {spread(page.evaluate(PAINTED, 'sources'))}")
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=40)
    parser.add_argument("--words", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="galley-desk-browser-") as home:
        Path(home).chmod(0o755)  # nosec B103 (PostgreSQL may have to run as a user of its own)
        os.environ.update(
            GALLEY_HOME=home, GALLEY_LOG_LEVEL="ERROR", DJANGO_SETTINGS_MODULE="llmops_site.settings",
            DJANGO_ALLOW_ASYNC_UNSAFE="true",  # Playwright runs an event loop in this thread
        )  # fmt: skip
        for name in ("DATABASE_URL", "GALLEY_DEBUG", "GALLEY_PUBLIC_URL"):
            os.environ.pop(name, None)
        from llmops_site import embedded

        with embedded.held(Path(home)):
            import django

            django.setup()
            from llmops_site.prepare import collect_static_files, migrate
            from script.take_screenshots import server

            migrate()
            collect_static_files()
            fill(options.reviews, options.words)
            with server(int(os.environ.get("DEMO_PORT", "8951"))) as url:
                measure(url, session("rita"), options.reviews)
    return 0


if __name__ == "__main__":
    sys.exit(main())
