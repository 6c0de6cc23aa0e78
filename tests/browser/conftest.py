"""A real browser against the real pages: a live server on this machine, real transactions, the real policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, expect
from pytest_django.live_server_helper import LiveServer

from reviews.models import QueueItem, ReviewQueue
from tests import make
from tests.browser.desk import DRAFT

Enter = Callable[..., Page]
Look = tuple[int, int, str, bool]  # width, height, theme, whether scripts run
IdlePages = dict[Look, list[Page]]
# A busy machine is no failure; what has to come sooner is waited for with a timeout of its own.
expect.set_options(timeout=30_000)
# Half a megabyte: the browser compiles a file that it keeps once, and what is handed to it with each page each time.
AXE_ADDRESS = "/static/axe.min.js"
# Where a page waits for the next test: of the same site, so that the browser goes on with the same process.
NOTHING = "/static/nothing.html"
# A page has half a dozen colours, which axe reads twenty thousand times from their names: a third of all its work.
KEPT_COLOURS = """{
    const color = axe.commons.color.Color.prototype, read = color.parseString, known = new Map();
    color.parseString = function (name) {
        if (!known.has(name)) {
            const { r, g, b, alpha } = read.call(this, name);
            known.set(name, { r, g, b, alpha });
        }
        return Object.assign(this, known.get(name));
    };
}"""
# What older browsers have no private fields for, axe keeps beside each of its colours in maps that do not hold them: a
# seventh of the time that it looks at contrast. Here each keeps its own.
OWN_FIELDS = """(() => {
    class WeakMap {
        key = Symbol();
        get = (one) => one?.[this.key];
        has = (one) => one != null && this.key in one;
        set = (one, value) => ((one[this.key] = value), this);
        delete = (one) => this.has(one) && delete one[this.key];
    }
    class WeakSet extends WeakMap {
        add = (one) => this.set(one, true);
    }
    %s
})();"""
AXE = OWN_FIELDS % (AXE_SCRIPT + KEPT_COLOURS)
# What it would fetch ahead is for rules about audio and video, and all style sheets a second time for one rule that it
# does not run unless it is asked to.
RUN_AXE = """async () => {
    const preload = document.querySelector("audio, video") !== null;
    return { violations: (await axe.run({ resultTypes: ["violations"], preload })).violations };
}"""
# An endless animation (a spinner) has no end to wait for. Asked again and again: an animation may never keep its own
# promise where another theme or a dialog takes its place.
SETTLED = """async () => {
    const moving = (one) => one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity;
    while (document.getAnimations().some(moving)) await new Promise((done) => setTimeout(done, 20));
}"""


@pytest.fixture(scope="session", autouse=True)
def kept_static_files() -> Iterator[None]:
    """A browser keeps scripts and styles, as it does a real server's, instead of asking for each on each page."""
    serve = StaticFilesHandlerMixin.serve

    def kept(handler: StaticFilesHandlerMixin, request: HttpRequest) -> HttpResponseBase:
        if request.path == AXE_ADDRESS:
            answer: HttpResponseBase = HttpResponse(AXE, content_type="text/javascript")
        elif request.path == NOTHING:
            answer = HttpResponse("<!doctype html><title>Nothing</title>")
        else:
            answer = serve(handler, request)
        answer["Cache-Control"] = "max-age=3600"
        return answer

    with mock.patch.object(StaticFilesHandlerMixin, "serve", kept):
        yield


@pytest.fixture
def cast(transactional_db: None) -> make.Cast:
    return make.cast()


@pytest.fixture
def items(queue: ReviewQueue) -> list[QueueItem]:
    return [make.queue_item(of=make.summary(make.document(), DRAFT), in_queue=queue) for _ in range(3)]


@pytest.fixture(scope="session")
def idle_pages() -> IdlePages:
    return {}


@pytest.fixture
def enter(
    browser: Browser, live_server: LiveServer, cast: make.Cast, idle_pages: IdlePages
) -> Iterator[Enter]:
    """`enter("rita")`: a page of somebody signed in, in a context of its own; `enter("")`: of nobody.

    Afterwards no script may have failed and the content security policy may have refused nothing.
    """
    before = set(threading.enumerate())
    entered: list[tuple[Look, Page]] = []
    complaints: list[str] = []

    def failed(error: Error) -> None:
        complaints.append(str(error))

    def said(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            complaints.append(message.text)

    def enter(
        name: str, *, width: int = 1440, height: int = 900, theme: str = "light", script: bool = True
    ) -> Page:
        wanted = (width, height, theme, script)
        if idle := idle_pages.get(wanted):
            page = idle.pop()
        else:
            context = browser.new_context(
                base_url=live_server.url,
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                java_script_enabled=script,
            )
            page = context.new_page()
            page.set_default_timeout(45_000)
        entered.append((wanted, page))
        page.on("pageerror", failed)
        page.on("console", said)
        if name:
            _sign_in(page.context, name, live_server.url)
        return page

    yield enter
    for wanted, page in entered:
        page.remove_listener("pageerror", failed)
        page.remove_listener("console", said)
        if _as_new(page):
            idle_pages.setdefault(wanted, []).append(page)
        else:
            page.context.close()
    _wait_for_requests(before)
    assert complaints == []


def _as_new(page: Page) -> bool:
    """Leaves it as one of a new context, which costs the browser half a second until its first page is there; or says
    that it cannot be: what a test changed for good, or listens to, goes with its context."""
    context, own = page.context, vars(page)["_impl_obj"]
    if page.is_closed() or own.event_names() or context.pages != [page]:
        return False
    context.set_offline(False)
    context.clear_permissions()
    page.unroute_all()
    page.goto(NOTHING)
    if not page.evaluate("localStorage.clear(), sessionStorage.clear(), !('__pwClock' in window)"):
        return False
    context.clear_cookies()
    return True


def _sign_in(context: BrowserContext, name: str, url: str) -> None:
    client = Client()
    client.force_login(User.objects.get(username=name))
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])


def _wait_for_requests(before: set[threading.Thread]) -> None:
    """What a page asked for before it went is still being answered; emptying the tables would meet it half-way."""
    deadline, quiet = time.monotonic() + 10, 0
    while quiet < 2 and time.monotonic() < deadline:
        quiet = quiet + 1 if not _being_answered(before) else 0
        time.sleep(0.02)


def _being_answered(before: set[threading.Thread]) -> bool:
    """By a thread of the live server that was not there before, or by a program beside it."""
    if any("process_request_thread" in thread.name for thread in set(threading.enumerate()) - before):
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            # the router and its like keep a connection for good
            "  AND NOT (state = 'idle' AND state_change < clock_timestamp() - interval '0.5 s')"
        )
        return cursor.fetchone() != (0,)


DESKTOP, PHONE = (1440, 900), (390, 844)


def no_violation(page: Page) -> None:
    """axe finds nothing to complain about, once what fades in is there: half seen, it has half its contrast."""
    results = axe(page)
    assert results.response["violations"] == [], results.generate_report()


def axe(page: Page) -> AxeResults:
    page.evaluate(SETTLED)
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(url=AXE_ADDRESS)
    return AxeResults(page.evaluate(RUN_AXE))


def look(page: Page, theme: str, size: tuple[int, int]) -> None:
    """The same page as it is in this theme on a screen of this size."""
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    # On a busy machine it is told before it has happened: what moves then is not there yet to be waited for.
    while page.evaluate("innerWidth") != size[0]:
        page.wait_for_timeout(10)


def faultless(page: Page, path: str, *looks: tuple[str, tuple[int, int]]) -> None:
    """No violation and nothing that hangs over, in each of the looks."""
    page.goto(path)
    for theme, size in looks:
        look(page, theme, size)
        no_violation(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
