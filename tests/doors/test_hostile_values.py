"""Every address, with what no browser would send in each field that its view reads: a refusal, never an error of ours.

The names of fields are learnt by watching what a view asks its query and its form for, the addresses by following the
pages of a made-up history, so that a new page is tried without an entry here.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache as cache_of_results
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, quote_from_bytes, urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import QueryDict
from django.template.base import Template
from django.test import Client
from django.urls import Resolver404, resolve

from models_app.models import PromptVersion
from reviews.reports.overview import waiting as what_waits
from script.demo_data import Demo, heartbeat
from tests import make
from tests.web.test_who_may import addresses

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.timeout(1800)]

#: In one field after another, beside what the form would send.
ALONE = b"9" * 30
#: In all fields at once: one of them is enough for the whole request to be refused.
IN_ALL = (
    b"a\x00b",
    b"\xed\xa0\x80",  # half a character, as bytes that no decoder takes
)
#: All fields at once, each with another of these, as often as there are values.
TOGETHER = (
    b"-1",
    b"1e400",
    b"nan",
    b"9999-12-31",
    b"9223372036854775807",
    b"9" * 5000,
    "²".encode(),  # a digit that is no number
    b"x" * 20_000,
    b"[" * 20_000,  # deeper than anything reads
)
NOT_FOLLOWED = ("/accounts/logout", "/admin/")
#: Signs that a person did something on purpose, not fields.
_NOT_FIELDS = {"csrfmiddlewaretoken"}


@dataclass(frozen=True)
class Place:
    """An address with real rows in it, and for whom it is."""

    path: str
    name: str
    visitor: Client
    form: dict[str, str]
    asked: list[str] | None = None  #: the names that its view asked for when it was opened, if it was


class Forms(HTMLParser):
    """What the forms of a page would send, by where they send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.found: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] | None = None
        self._inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            where = urlsplit(urljoin(self.page, values.get("action", ""))).path
            self._form = self.found.setdefault(where, {})
        if self._form is None or (
            tag == "option" and self._inside in self._form and "selected" not in values
        ):
            return
        name = values.get("name", "")
        if tag == "option" and self._inside:
            self._form[self._inside] = values.get("value", "")
        elif tag in ("select", "textarea"):
            self._inside = name
        elif (
            tag == "input"
            and name
            and (values.get("type") not in ("checkbox", "radio") or "checked" in values)
        ):
            self._form[name] = values.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._inside and self.lasttag == "textarea":
            self._form[self._inside] = data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._inside = ""
        if tag == "form":
            self._form = None


class Watch:
    """Which names were asked for, in queries and forms."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: set[str] = set()
        for method in ("__getitem__", "get", "getlist", "__contains__"):
            monkeypatch.setattr(QueryDict, method, self._watched(getattr(QueryDict, method)))

    def _watched(self, original: Any) -> Any:
        def asked(data: QueryDict, name: Any, *rest: Any, **more: Any) -> Any:
            if isinstance(name, str):
                self.asked.add(name)
            return original(data, name, *rest, **more)

        return asked

    def names(self) -> list[str]:
        found, self.asked = sorted(self.asked - _NOT_FIELDS), set()
        return found


@contextmanager
def undone() -> Iterator[None]:
    """Whatever a request changes is taken back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class Errors:
    """Requests that our own code failed at."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._raised = ""
        got_request_exception.connect(self._note)

    def _note(self, **kwargs: Any) -> None:
        self._raised = traceback.format_exc(limit=-3)

    def look(self, answer: Any, what: str) -> None:
        if answer.status_code >= 500 and answer.status_code != 503:
            self.found.setdefault(what, self._raised or f"status {answer.status_code}")
        self._raised = ""

    def __str__(self) -> str:
        return "\n".join(f"{what}: {raised}" for what, raised in self.found.items())


@pytest.fixture
def history(settings: Any) -> None:
    settings.GALLEY_SPLIT_SHARES = (45, 8, 47)
    settings.GALLEY_MIN_TRAINING_EXAMPLES = 15
    cache.clear()
    Demo().build()
    heartbeat()


def visitor(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@dataclass
class Walk:
    """What one person finds by following links and forms from the first page."""

    paths: dict[str, str]  #: by the name of the address, with real rows
    sent: dict[str, dict[str, str]]  #: by path: what its form would send
    asked: dict[str, list[str]]  #: by path that was opened: the names that its view asked for


def walked(client: Client, watch: Watch, errors: Errors) -> Walk:
    walk = Walk({}, {}, {})
    paths, sent = walk.paths, walk.sent
    waiting = deque(["/"])
    while waiting:
        page = waiting.popleft()
        watch.names()
        answer = client.get(page)
        walk.asked[page] = [] if answer.status_code == 405 else watch.names()
        errors.look(answer, f"get {page}")
        if not answer.get("Content-Type", "").startswith("text/html") or answer.streaming:
            continue
        forms = Forms(page)
        forms.feed(answer.text)
        sent |= forms.found
        for link in re.findall(
            r'(?:href|action|hx-(?:get|post|put|delete)|data-[\w-]+)="([^"]+)"', answer.text
        ):
            path = urlsplit(urljoin(page, link.replace("&amp;", "&"))).path
            try:
                name = resolve(path).url_name or ""
            except Resolver404:
                continue
            if name and name not in paths and not path.startswith(NOT_FOLLOWED):
                paths[name] = path
                waiting.append(path)
    return walk


def places(clients: list[Client], watch: Watch, errors: Errors) -> list[Place]:
    """Each address once, for the person who sees most of it."""
    made: dict[str, Place] = {}
    for client in clients:
        walk = walked(client, watch, errors)
        for name, path in walk.paths.items():
            form = walk.sent.get(path, {})
            if name not in made or len(form) > len(made[name].form):
                made[name] = Place(path, name, client, form, walk.asked[path])
    for path, name, _ in addresses():
        if name not in made and not path.startswith((*NOT_FOLLOWED, "/api/")):
            made[name] = Place(path, name, clients[0], {})
    return list(made.values())


def queries(names: list[str], usual: dict[str, str]) -> Iterator[str]:
    """`usual` is what the page's own form would send."""
    for name in names:
        yield _encoded({**{key: one.encode() for key, one in usual.items()}, name: ALONE})
    if names:
        yield "&".join(f"{quote(name)}=1&{quote(name)}=2" for name in names)
        for value in IN_ALL:
            yield _encoded(dict.fromkeys(names, value))
    for turn in range(len(TOGETHER) if names else 0):
        yield _encoded({name: TOGETHER[(turn + place) % len(TOGETHER)] for place, name in enumerate(names)})


def _encoded(values: dict[str, bytes]) -> str:
    """Brackets as they are: taking 20,000 of them out of their code costs more than most views."""
    return "&".join(f"{quote(name)}={quote_from_bytes(value, safe='[')}" for name, value in values.items())


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("history", "quiet")
def test_no_value_of_any_field_of_any_page_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = Errors()
    people = [User.objects.get(username=name) for name in ("mila", "rita", "otto")]
    administrator = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("alma")
    watch = Watch(monkeypatch)
    # What Django's client keeps of each template that an answer was made with, nobody looks at here.
    monkeypatch.setattr(Template, "_render", lambda template, context: template.nodelist.render(context))
    everywhere = places([visitor(user) for user in (administrator, *people)], watch, errors)
    # Whatever is sent from now on is taken back: what waits for a person is the same on every page.
    monkeypatch.setattr("reviews.web.navigation.waiting", cache_of_results(what_waits))
    for place in everywhere:
        for method in ("get", "post"):
            ask = getattr(place.visitor, method)
            names = place.asked if method == "get" else None
            if names is None:
                watch.names()
                with undone():
                    answer = ask(place.path)
                errors.look(answer, f"{method} {place.path}")
                names = [] if answer.status_code == 405 else watch.names()
            names = sorted({*names, *place.form}) if names and method == "post" else names
            for sent in queries(names, place.form if method == "post" else {}):
                with undone():
                    if method == "get":
                        answer = ask(f"{place.path}?{sent}")
                    else:
                        answer = ask(place.path, sent, content_type="application/x-www-form-urlencoded")
                errors.look(answer, f"{method} {place.name} {place.path} {sent[:200]}")
    assert not errors.found, str(errors)


def test_no_number_and_no_name_in_an_address_is_an_error_of_ours(cast: make.Cast) -> None:
    errors = Errors()
    client = visitor(cast.administrator)
    numbers, names = (2**31, 2**63, 10**30), ("a%00b", "%ED%A0%80", "x" * 5000, "9" * 30)
    for path, name, _ in addresses():
        if path.startswith("/admin/"):
            continue
        there = [path.replace("999999", str(number)) for number in numbers if "999999" in path]
        refused: set[str] = set()
        there += [re.sub(r"(?<=/)none(?=/|$)", value, path) for value in names if "/none" in path]
        for one in there:
            for method in ("get", "post"):
                if method in refused:
                    continue
                with undone():
                    answer = getattr(client, method)(one)
                errors.look(answer, f"{method} {name} {one[:200]}")
                if answer.status_code == 405:  # before its view has looked at anything
                    refused.add(method)
    assert not errors.found, str(errors)


def test_a_nul_is_refused_in_an_address_and_taken_out_of_a_form(cast: make.Cast) -> None:
    client = visitor(cast.administrator)
    assert client.get("/documents/?q=a%00b").status_code == 400
    assert "which is in no text" in client.get("/documents/?q=a%00b").text
    answer = Client().get("/api/v1/documents/?q=a%00b")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    client.post("/prompts/new/", {"name": "fi\x00rst", "kind": "prefix", "template": "a\x00 {text}"})
    assert PromptVersion.objects.filter(prompt__name="first").exists()
