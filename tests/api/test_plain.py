"""What is answered before Django is what Django would have answered."""

from __future__ import annotations

import gzip
import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from models_app.api.authentication import TokenThrottle
from models_app.api.summaries import SummaryRequestSerializer
from models_app.foundation.tokens import revoke_token
from models_app.ml.engines import Capacity, Generation, LeadEngine
from models_app.models import ApiToken, InferenceRequest, Release, Slot
from models_app.monitoring.traffic import Window, traffic
from models_app.serving.keeping import Keeper, Known, read
from models_app.serving.outage import Outage
from models_app.serving.routing import router
from models_app.serving.wire import Connection, health, request
from tests import make
from tests.api.conftest import Api, serve
from tests.api.plainly import FrontClient

pytestmark = pytest.mark.django_db

PATH = "/api/v1/summaries/"
#: Another for each request.
OF_ONE_REQUEST = {"X-Request-ID", "Content-Length"}


def said(client: Client, api: Api, body: Any, **more: Any) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON, without what differs from request to request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Token {api.token}", **more.pop("headers", {})}
    method, path = more.pop("method", "post"), more.pop("path", PATH)
    answer = client.generic(
        method.upper(), path, data, more.pop("content_type", "application/json"), headers=headers
    )
    content: Any = json.loads(answer.content) if answer.content else None
    if answer.status_code == 201:
        assert set(content) >= {"id", "latency_ms", "created_at"}
        content = {name: content[name] for name in content if name not in ("id", "latency_ms", "created_at")}
    kept = {name: value for name, value in answer.items() if name not in OF_ONE_REQUEST}
    kept["Content-Security-Policy"] = ";".join(sorted(kept["Content-Security-Policy"].split("; ")))
    if "Retry-After" in kept and answer.status_code == 429:
        kept["Retry-After"], content = "soon", "soon"
    return answer.status_code, kept, content


ARTICLE = make.ARTICLE
PLAIN: dict[str, Any] = {
    "a text": {"text": ARTICLE},
    "all fields": {"text": ARTICLE, "title": "T", "domain": "News", "user": "u", "session": "s", "max_words": 40},
    "null words": {"text": ARTICLE, "max_words": None},
    "unknown fields": {"text": ARTICLE, "nonsense": [1, {"a": 2}]},
    "empty fields": {"text": ARTICLE, "title": "", "domain": "", "user": "", "session": ""},
    "one word": {"text": "word"},
    "too many words": {"text": "word " * 200_000},
    "spaces": {"text": "  \n \t "},
    "controls": {"text": "\x00\x01\x1b[31m \u200b \ud800 \ufeff" + ARTICLE, "user": "\x00\ud800", "title": "a\nb"},
    "all scripts": {"text": "Ärger 北京 العربية हिन्दी 👷🏽‍♂️ \u2028 line \u2029 paragraph " + ARTICLE},
    "a key twice": b'{"text": "one", "text": ' + json.dumps(ARTICLE).encode() + b"}",
    "longest fields": {"text": ARTICLE, "title": "x" * 300, "domain": "x" * 40, "user": "x" * 200},
}  # fmt: skip
FOR_DJANGO: dict[str, Any] = {
    "nothing": b"",
    "no object": b"[1]",
    "no JSON": b"{",
    "a number": b"7",
    "null": b"null",
    "NaN": b'{"text": NaN}',
    "Infinity": b'{"text": "a", "max_words": Infinity}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": json.dumps({"text": ARTICLE}).encode("utf-16"),
    "broken UTF-8": b'{"text": "\xff\xfe"}',
    "deep": b"[" * 100_000,
    "deep in the text": b'{"text": ' + b"[" * 100_000,
    "trailing words": b'{"text": "a"} b',
    "long numbers": b'{"text": "a", "max_words": ' + b"9" * 5000 + b"}",
    "gzip": gzip.compress(json.dumps({"text": ARTICLE}).encode()),
    "no text": {},
    "no words": {"text": ""},
    "null text": {"text": None},
    "a list": {"text": ["a"]},
    "true": {"text": True},
    "text too long": {"text": "x" * 2_000_001},
    "title too long": {"text": ARTICLE, "title": "x" * 301},
    "null title": {"text": ARTICLE, "title": None},
    "domain too long": {"text": ARTICLE, "domain": "x" * 41},
    "user no text": {"text": ARTICLE, "user": 7},
    "session no text": {"text": ARTICLE, "session": {"id": 1}},
    "too few": {"text": ARTICLE, "max_words": 4},
    "too many": {"text": ARTICLE, "max_words": 501},
    "true words": {"text": ARTICLE, "max_words": True},
    "words in letters": {"text": ARTICLE, "max_words": "many"},
    "words as text": {"text": ARTICLE, "max_words": "40"},
    "half a word": {"text": ARTICLE, "max_words": 40.5},
    "a whole fraction": {"text": ARTICLE, "max_words": 40.0},
    "6 MB": b'{"text": "' + b"x" * 6 * 1024 * 1024 + b'"}',
}


@pytest.mark.parametrize("what", [*PLAIN, *FOR_DJANGO])
def test_both_ways_say_the_same_of_a_body(api: Api, live: Release, what: str) -> None:
    body = (PLAIN | FOR_DJANGO)[what]
    front = FrontClient()
    assert said(front, api, body) == said(Client(), api, body)
    assert front.went_plain == (what in PLAIN)
    rows = list(
        InferenceRequest.objects.values(
            *{field.attname for field in InferenceRequest._meta.concrete_fields}
            - {"id", "created_at", "logged_at", "latency_ms", "queue_ms"}
        )
    )
    assert rows[1:] == rows[:-1], "both are logged alike, or not at all"


class Held(LeadEngine):
    """Computes when told to."""

    capacity = Capacity(replicas=1, requests=1, tokens=1)

    def __init__(self) -> None:
        super().__init__(1)
        self.go = threading.Event()
        self.texts: list[str] = []

    def generate(self, requests: Any, **options: Any) -> list[Generation]:
        self.texts.append(requests[0].text)
        assert self.go.wait(30)
        return super().generate(requests, **options)


def test_nothing_is_computed_for_a_client_that_has_gone(api: Api, live: Release, tmp_path: Path) -> None:
    engine = Held()
    stop = serve(live, tmp_path / "held.sock", engine)
    router.reread()
    address = str(tmp_path / "held.sock")
    first = threading.Thread(target=_ask_slot, args=(address,))
    first.start()
    try:
        while not engine.texts:
            time.sleep(0.01)
        began = time.monotonic()
        environ: dict[str, Any] = {"galley.client_is_gone": lambda: time.monotonic() - began > 0.3}
        answer = FrontClient().post(
            PATH, {"text": ARTICLE}, "application/json", headers={"Authorization": f"Token {api.token}"},
            **environ,
        )  # fmt: skip
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "abandoned")
        while (said := health(address)) is None or said["abandoned"] != 1:
            assert time.monotonic() - began < 30
            time.sleep(0.01)
    finally:
        engine.go.set()
        first.join(30)
        stop()
    assert len(engine.texts) == 1, "only what was being computed"
    row = InferenceRequest.objects.get()
    assert (row.outcome, row.release_id, row.error) == (
        "abandoned",
        live.pk,
        "The client has closed the connection.",
    )
    now = timezone.now()
    assert traffic(Window(now - timedelta(hours=1), now)).answered_share is None


def _ask_slot(address: str) -> None:
    connection = Connection(address, timeout=5)
    body = {"text": "Another one.", "title": "", "domain": "", "max_words": None, "timeout_ms": 30_000}
    connection.ask(request("POST", "/generate", body), timeout=30)
    connection.close()


ODD: dict[str, dict[str, Any]] = {
    "HEAD": {"method": "head"},
    "PUT": {"method": "put"},
    "PATCH": {"method": "patch"},
    "DELETE": {"method": "delete"},
    "OPTIONS": {"method": "options"},
    "without the slash": {"path": PATH.rstrip("/")},
    "two slashes": {"path": PATH + "/"},
    "a query": {"path": PATH + "?a=1"},
    "a format": {"path": PATH + "?format=xml"},
    "a NUL in the query": {"path": PATH + "?a=%00"},
    "a form": {"content_type": "application/x-www-form-urlencoded"},
    "text": {"content_type": "text/plain"},
    "another encoding": {"content_type": "application/json; charset=latin-1"},
    "no type": {"content_type": ""},
    "HTML wanted": {"headers": {"Accept": "text/html"}},
    "JSON wanted least": {"headers": {"Accept": "text/html, application/json;q=0.1"}},
    "indented": {"headers": {"Accept": "application/json; indent=4"}},
    "another host": {"headers": {"Host": "elsewhere.example"}},
    "no host": {"headers": {"Host": "…"}},
    "no token": {"headers": {"Authorization": ""}},
    "a stranger's": {"headers": {"Authorization": "Token gly_0123456789"}},
    "a word too many": {"headers": {"Authorization": "Token gly_0 gly_1"}},
    "another scheme": {"headers": {"Authorization": "Bearer gly_0"}},
    "no letters": {"headers": {"Authorization": "Token \x01é"}},
    "a key": {"headers": {"Idempotency-Key": "x" * 101}},
}
USUAL: dict[str, dict[str, Any]] = {
    "browsers": {"headers": {"Accept": "application/json, text/plain, */*", "Origin": "https://elsewhere.example"}},
    "an encoding": {"content_type": "application/json; charset=UTF-8"},
    "a proxy": {"headers": {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}},
    "a compression that is none": {"headers": {"Content-Encoding": "gzip"}},
    "a port": {"headers": {"Host": "localhost:8000"}},
    "a session": {"headers": {"Cookie": "galley_session=x; galley_csrf=y", "X-CSRFToken": "z"}},
}  # fmt: skip


@pytest.mark.parametrize("what", [*ODD, *USUAL])
def test_both_ways_say_the_same_of_what_surrounds_it(api: Api, live: Release, what: str) -> None:
    more = (ODD | USUAL)[what]
    front = FrontClient(raise_request_exception=False)
    both = [said(client, api, {"text": ARTICLE}, **_copy(more)) for client in (front, Client())]
    assert both[0] == both[1]
    assert front.went_plain == (what in USUAL)


def _copy(more: dict[str, Any]) -> dict[str, Any]:
    return {**more, "headers": dict(more.get("headers", {}))}


@pytest.mark.parametrize("state", ["starting", "failed", "nobody listens"])
def test_both_ways_say_the_same_of_a_slot_that_does_not_answer(
    api: Api, live: Release, state: str, tmp_path: Any
) -> None:
    if state == "nobody listens":
        Slot.objects.update(address=str(tmp_path / "nobody.sock"))
    else:
        Slot.objects.update(state=state)
    router.reread()
    front = FrontClient()
    answer = said(front, api, {"text": ARTICLE})
    assert answer == said(Client(), api, {"text": ARTICLE})
    assert (answer[0], front.went_plain) == (503, True)


def test_both_ways_count_for_one_limit(api: Api, live: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenThrottle, "rate", "4/day", raising=False)
    ways = [FrontClient(), Client()] * 3
    answers = [said(client, api, {"text": ARTICLE}) for client in ways]
    assert [status for status, _, _ in answers] == [201] * 4 + [429] * 2
    assert answers[4] == answers[5]


def test_a_mistake_of_ours_is_answered_and_logged_alike(
    api: Api, live: Release, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("models_app.serving.client.generate", fail)
    of_clients = {"Allow", "Cache-Control", "Vary"}  # of an answer that no view has made
    said_and_logged = []
    for client in (FrontClient(raise_request_exception=False), Client(raise_request_exception=False)):
        caplog.clear()
        status, headers, body = said(client, api, {"text": ARTICLE})
        headers = {name: value for name, value in headers.items() if name not in of_clients}
        said_and_logged.append((status, headers, body, "ZeroDivisionError" in caplog.text))
    assert said_and_logged[0] == said_and_logged[1]
    assert (said_and_logged[0][0], said_and_logged[0][3]) == (500, True)


# ---------------------------------------------------------------- whose token it is


@pytest.mark.parametrize("what", ["revoked", "expired", "deactivated", "without a role", "of another scope"])
def test_what_a_token_may_no_more_is_refused_alike(cast: make.Cast, live: Release, what: str) -> None:
    api = Api(cast.reviewer, "feedback:write" if what == "of another scope" else "summaries:write")
    if what == "revoked":
        revoke_token(token=api.row, actor=cast.reviewer)
    elif what == "expired":
        api.row, api.token = _expired(cast)
    elif what == "deactivated":
        cast.reviewer.is_active = False
        cast.reviewer.save()
    elif what == "without a role":
        cast.reviewer.groups.clear()
    front = FrontClient()
    answer = said(front, api, {"text": ARTICLE})
    assert answer == said(Client(), api, {"text": ARTICLE})
    assert answer[0] == (403 if what in ("without a role", "of another scope") else 401)
    assert not InferenceRequest.objects.exists()


def _expired(cast: make.Cast) -> tuple[ApiToken, str]:
    row, token = ApiToken.objects.create(
        user=cast.reviewer, expiry=timedelta(seconds=-1), name="old", scopes=["summaries:write"],
        created_by=cast.reviewer,
    )  # fmt: skip
    return row, token


def test_a_token_that_expires_while_it_is_known_is_refused(cast: make.Cast, live: Release) -> None:
    api = Api(cast.reviewer, "summaries:write")
    known = read()
    digest, token = next(iter(known.tokens.items()))
    over = token._replace(expiry=timezone.now() - timedelta(seconds=1))
    front = FrontClient(Still(Known(known.target, {digest: over}, known.read_at, known.as_of)))
    said(front, api, {"text": ARTICLE})
    assert not front.went_plain, "the database says what it is"


@pytest.mark.parametrize("role", ["reviewer", "operator", "administrator"])
def test_whoever_may_have_a_token_is_known(db: None, role: str) -> None:
    """By groups, by an own permission, or as a superuser: as `scope_is_allowed` says."""
    mine = Api(make.user("nora", role), "summaries:write")
    stranger = Api(make.user("piet", "reviewer"), "summaries:write")
    stranger.user.groups.clear()
    assert {token.key for token in read().tokens.values()} == {mine.row.token_key}
    Group.objects.get(name=role).permissions.clear()
    assert read().tokens == {}
    mine.user.is_superuser = True
    mine.user.save()
    assert {token.key for token in read().tokens.values()} == {mine.row.token_key}


def test_when_a_token_was_used_is_noted_once_a_minute(api: Api, live: Release) -> None:
    front = FrontClient()
    said(front, api, {"text": ARTICLE})
    api.row.refresh_from_db()
    first = api.row.last_used_at
    assert first is not None
    said(front, api, {"text": ARTICLE})
    api.row.refresh_from_db()
    assert api.row.last_used_at == first


# ---------------------------------------------------------------- cheap, and one rule


class Still(Keeper):
    """Knows what it was told."""

    def __init__(self, known: Known) -> None:
        super().__init__(Outage())
        self._still = known

    def known(self) -> Known | None:
        return self._still


def test_a_plain_request_asks_the_database_nothing_but_the_log(
    api: Api, live: Release, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Still(read())
    monkeypatch.setattr(router, "kept", keeper)
    front = FrontClient(keeper)
    said(front, api, {"text": ARTICLE})
    with django_assert_num_queries(1):
        assert said(front, api, {"text": ARTICLE})[0] == 201
    assert front.went_plain


@pytest.mark.parametrize("what", PLAIN)
def test_what_is_read_plainly_is_what_the_serializer_reads(what: str) -> None:
    from models_app.api.plain import _fields

    body = PLAIN[what] if isinstance(PLAIN[what], dict) else json.loads(PLAIN[what])
    serializer = SummaryRequestSerializer(data=body)
    assert serializer.is_valid()
    assert _fields(body) == serializer.validated_data


def test_nothing_is_plain_where_what_is_known_is_old(api: Api, live: Release) -> None:
    class Old(Keeper):
        def known(self) -> Known | None:
            return None

    front = FrontClient(Old(Outage()))
    assert said(front, api, {"text": ARTICLE})[0] == 201
    assert not front.went_plain


def test_the_database_tells_of_every_change_of_what_is_known(cast: make.Cast, live: Release) -> None:
    """Also of changes by hand; not of when a token was used or a slot was heard of, which is all the time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, array(SELECT attname::text FROM pg_attribute "
            "WHERE attrelid = tgrelid AND attnum = ANY (tgattr::int2[]) ORDER BY 1) "
            "FROM pg_trigger WHERE tgname LIKE '%\\_known' ORDER BY 1"
        )
        assert dict(cursor.fetchall()) == {
            "auth_group_permissions": [],
            "auth_user": ["is_active", "is_superuser"],
            "auth_user_groups": [],
            "auth_user_user_permissions": [],
            "models_app_apitoken": ["expiry", "revoked_at", "scopes", "user_id"],
            "models_app_route": [],
            "models_app_slot": ["address", "state"],
        }
