"""The page frame in a browser under the real content security policy: with script, without, and when things fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from csp.utils import build_policy
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles import finders
from django.template import engines
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Browser, Page, expect

from tests.browser.desk import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = """{% extends "base.html" %}{% block title %}Frame{% endblock %}{% block heading %}Frame{% endblock %}
{% block actions %}<button class="btn" data-dialog-open="keys" data-key="?">Keys</button>
{% confirm "ask" url="/posted" label="Roll back" title="Go back to 12?" %}{% endconfirm %}
{% endblock %}
{% block content %}<div class="card" id="place">untouched</div>
<button class="btn" id="forbidden" hx-get="/forbidden" hx-target="#place">forbidden</button>
<button class="btn" id="invalid" hx-post="/invalid" hx-target="#place">invalid</button>
<button class="btn" id="ended" hx-get="/ended" hx-target="#place">ended</button>
<div id="poller" hx-get="/poll" hx-trigger="every 150ms" hx-swap="none"></div>
<dialog class="dialog" id="keys" aria-label="Keys">
<button class="close" data-dialog-close aria-label="Close">x</button></dialog>
{% endblock %}"""


def person(name: str = "marta") -> Any:
    return SimpleNamespace(
        is_authenticated=True, get_username=lambda: name, get_full_name=lambda: "Marta Lindqvist"
    )


def frame() -> str:
    request = RequestFactory().get("/page")
    request.user = AnonymousUser()
    links = [
        {"label": "The loop", "url": "/page", "current": True},
        {"label": "Review desk", "url": "/desk", "count": "38", "hot": True},
    ]
    context = {
        "user": person(),
        "nav": [{"label": "People", "items": links}],
        "nav_user": [{"label": "API tokens", "url": "/tokens"}],
    }
    return engines["django"].from_string(PAGE).render(context, request)


class Answers(BaseHTTPRequestHandler):
    asked: Counter[str] = Counter()
    policy = ""
    bodies: dict[str, bytes] = {}

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.asked[path] += 1
        if path.startswith("/static/"):
            self._static(path)
        elif path == "/forbidden":
            self._send(403, render_to_string("403.html", {"message": "Only approvers decide."}).encode())
        elif path == "/ended":
            self.send_response(302)
            self.send_header("Location", "/accounts/login/")
            self.end_headers()
        elif path == "/poll":
            self._send(200, b"")
        else:
            self._send(200, self.bodies["page"])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.asked[f"POST {path} {self.headers.get('X-CSRFToken', '')[:1] and 'with token'}".strip()] += 1
        self._send(422, b"<b>Too short.</b>") if path == "/invalid" else self._send(
            200, b"<title>posted</title>posted"
        )

    def _static(self, path: str) -> None:
        found = finders.find(path.removeprefix("/static/"))
        kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "woff2": "font/woff2"}
        if isinstance(found, str):
            self._send(200, Path(found).read_bytes(), kinds[found.rpartition(".")[2]])
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, kind: str = "text/html; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    Answers.policy = str(build_policy())
    Answers.bodies = {"page": frame().encode()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def frame_page(page: Page, address: str) -> Iterator[Page]:
    """The page, open; afterwards: nothing was refused by the policy and no script failed."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None,
    )
    Answers.asked.clear()
    page.goto(address)
    yield page
    assert complaints == []


def test_a_chosen_theme_is_there_before_the_first_paint_of_the_next_page(frame_page: Page) -> None:
    frame_page.locator(".who > summary").click()
    frame_page.get_by_role("button", name="Dark").click()
    assert frame_page.locator("html").get_attribute("data-theme") == "dark"
    frame_page.add_init_script(
        "addEventListener('DOMContentLoaded', () => window.early = document.documentElement.dataset.theme)"
    )
    frame_page.reload()
    assert frame_page.evaluate("window.early") == "dark"
    frame_page.locator(".who > summary").click()
    frame_page.get_by_role("button", name="System").click()
    assert frame_page.locator("html").get_attribute("data-theme") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_in_the_page_frame(frame_page: Page, theme: Any, width: int) -> None:
    frame_page.emulate_media(color_scheme=theme)
    frame_page.set_viewport_size({"width": width, "height": 844})
    results = Axe().run(frame_page)
    assert results.response["violations"] == [], results.generate_report()
    assert frame_page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_a_phone_the_menu_and_a_question_work_without_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("link", name="Review desk")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Review desk")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page).to_have_title("posted")
    context.close()


def test_a_refused_request_says_why_and_leaves_the_page_as_it_is(frame_page: Page) -> None:
    frame_page.locator("#forbidden").click()
    expect(frame_page.locator("#toasts .message.error")).to_have_text("Only approvers decide.")
    expect(frame_page.locator("#place")).to_have_text("untouched")


def test_an_invalid_form_s_answer_takes_the_form_s_place_and_the_request_carries_the_token(
    frame_page: Page,
) -> None:
    frame_page.locator("#invalid").click()
    expect(frame_page.locator("#place")).to_have_text("Too short.")
    assert Answers.asked["POST /invalid with token"] == 1


def test_a_lost_connection_is_said_once_and_so_is_its_return(frame_page: Page) -> None:
    frame_page.route("**/poll", lambda route: route.abort())
    frame_page.route("**/invalid", lambda route: route.abort())
    frame_page.reload()
    frame_page.locator("#invalid").click()
    expect(frame_page.locator("#toasts .error")).to_contain_text("No connection")
    frame_page.wait_for_timeout(400)
    expect(frame_page.locator("#toasts .error")).to_have_count(1)
    frame_page.unroute("**/poll")
    expect(frame_page.locator("#toasts .success")).to_have_text("Connected again.")
    expect(frame_page.locator("#toasts .error")).to_have_count(0)


def test_an_ended_session_leads_to_signing_in_and_back(frame_page: Page) -> None:
    frame_page.locator("#ended").click()
    frame_page.wait_for_url("**/accounts/login/?next=%2Fpage")


def test_a_hidden_tab_asks_rarely(page: Page, address: str) -> None:
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => true })")
    page.goto(address)
    Answers.asked.clear()
    page.wait_for_timeout(1200)
    assert Answers.asked["/poll"] <= 1


def test_a_visible_tab_goes_on_asking(frame_page: Page) -> None:
    eventually(frame_page, lambda: Answers.asked["/poll"] >= 4)


def test_a_text_that_was_begun_stays_although_nobody_types_now(frame_page: Page) -> None:
    frame_page.evaluate("document.querySelector('#poller').innerHTML = '<textarea class=begun></textarea>'")
    frame_page.locator("textarea.begun").fill("Right: it")
    frame_page.locator("#place").click()
    frame_page.wait_for_timeout(200)
    Answers.asked.clear()
    frame_page.wait_for_timeout(700)
    assert Answers.asked["/poll"] == 0
    frame_page.locator("textarea.begun").fill("")
    frame_page.locator("#place").click()
    eventually(frame_page, lambda: Answers.asked["/poll"] >= 2)


def test_a_key_opens_what_names_it_but_not_while_somebody_types(frame_page: Page) -> None:
    frame_page.get_by_role("button", name="Roll back").click()
    frame_page.keyboard.press("Escape")
    frame_page.keyboard.press("?")
    expect(frame_page.locator("#keys")).to_be_visible()
    frame_page.locator("#keys [data-dialog-close]").click()
    expect(frame_page.locator("#keys")).to_be_hidden()
    frame_page.evaluate("document.querySelector('#place').innerHTML = '<textarea class=edit></textarea>'")
    frame_page.locator("textarea.edit").press("?")
    expect(frame_page.locator("#keys")).to_be_hidden()
