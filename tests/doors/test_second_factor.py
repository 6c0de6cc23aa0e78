"""Wrong passwords and codes are counted for one account from one address, whatever the door and the process."""

from __future__ import annotations

import http.cookiejar
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from models_app.foundation import addresses, tries
from models_app.foundation.errors import TooManyTries
from models_app.models import AuditEvent, Tries
from tests import make
from tests.process.programs import free_port, wait_for
from tests.releases.scene import scene

SECRET = "JBSWY3DPEHPK3PXP"
LIMIT = tries.FROM_ONE_ADDRESS.tries
AT_SIGN_IN = "/accounts/2fa/authenticate/"


@pytest.fixture(autouse=True)
def no_requests_before() -> None:
    """Of the sign-ins a minute that one address has."""
    cache.clear()


def right_code() -> str:
    cache.clear()  # a code is good once
    return totp.format_hotp_value(totp.hotp_value(SECRET, next(totp.yield_hotp_counters_from_time())))


def wrong_code() -> str:
    return f"{(int(right_code()) + 1) % 10**6:06}"


@pytest.fixture
def rita(cast: make.Cast) -> User:
    totp.TOTP.activate(cast.reviewer, SECRET)
    RecoveryCodes.activate(cast.reviewer)
    return cast.reviewer


def at_the_code(address: str = "10.0.0.1", **headers: str) -> Client:
    """Past the password, before the code."""
    client = Client(REMOTE_ADDR=address, headers=headers)
    answer = client.post("/accounts/login/", {"login": "rita", "password": make.PASSWORD})
    assert answer["Location"].endswith(AT_SIGN_IN)
    return client


def statuses(client: Client, path: str, form: dict[str, str], times: int) -> Counter[int]:
    return Counter(client.post(path, form).status_code for _ in range(times))


# ---------------------------------------------------------------- codes


@pytest.mark.django_db
def test_wrong_codes_are_looked_at_eight_times_and_then_not_even_the_right_one(rita: User) -> None:
    client = at_the_code()
    assert statuses(client, AT_SIGN_IN, {"code": wrong_code()}, 150) == {200: LIMIT, 429: 150 - LIMIT}
    answer = client.post(AT_SIGN_IN, {"code": right_code()})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert at_the_code().post(AT_SIGN_IN, {"code": right_code()}).status_code == 429, "in another session too"
    recovery = RecoveryCodes.activate(rita).get_unused_codes()[0]
    assert client.post(AT_SIGN_IN, {"code": recovery}).status_code == 429
    event = AuditEvent.objects.get(action="sign_in.refused")
    assert (event.subject, event.actor) == (f"user:{rita.pk}", None)
    assert event.data == {"name": "rita", "what": "code", "address": "10.0.0.1", "tries": LIMIT}


@pytest.mark.django_db
def test_the_code_that_switches_it_on_is_good_for_nothing_else(cast: make.Cast) -> None:
    client = Client()
    client.force_login(cast.reviewer)
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    client.get("/accounts/2fa/totp/activate/")
    secret = client.session[totp.SECRET_SESSION_KEY]
    code = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))
    assert client.post("/accounts/2fa/totp/activate/", {"code": code}).status_code == 302
    assert statuses(at_the_code(), AT_SIGN_IN, {"code": code}, 1) == {200: 1}


@pytest.mark.django_db
def test_the_owner_comes_in_from_another_address_meanwhile(rita: User) -> None:
    statuses(at_the_code("10.0.0.66"), AT_SIGN_IN, {"code": wrong_code()}, 20)
    statuses(Client(REMOTE_ADDR="10.0.0.66"), "/accounts/login/", {"login": "rita", "password": "no"}, 20)
    owner = at_the_code("10.0.0.1")
    assert owner.post(AT_SIGN_IN, {"code": right_code()}).status_code == 302
    assert owner.get("/").status_code == 200


@pytest.mark.django_db
def test_recovery_codes_and_the_second_look_share_the_count_of_codes(rita: User) -> None:
    client = at_the_code()
    recovery = RecoveryCodes.activate(rita).get_unused_codes()[0]
    assert client.post(AT_SIGN_IN, {"code": recovery}).status_code == 302, "a right one is no try"
    assert statuses(client, "/accounts/2fa/reauthenticate/", {"code": "12345678"}, 5) == {200: 5}
    other = at_the_code()
    assert statuses(other, AT_SIGN_IN, {"code": wrong_code()}, 5) == {200: LIMIT - 5, 429: 10 - LIMIT}
    assert client.post("/accounts/2fa/reauthenticate/", {"code": right_code()}).status_code == 429


@pytest.mark.django_db
def test_the_password_does_not_give_new_tries_at_the_code(rita: User) -> None:
    """A person who has the password signs in with it again and again; each time the count of codes goes on."""
    looked_at = 0
    for _ in range(6):
        looked_at += statuses(at_the_code(), AT_SIGN_IN, {"code": wrong_code()}, 4)[200]
    assert looked_at == LIMIT


@pytest.mark.django_db
def test_codes_have_a_limit_over_all_addresses_too(rita: User) -> None:
    wrong = 0
    for number in range(40):
        addresses.current.set(f"10.1.0.{number}")
        for _ in range(LIMIT):
            try:
                tries.count(tries.CODE, user=rita)
                wrong += 1
            except TooManyTries:
                pass
    addresses.current.set("")
    assert wrong == tries.OF_CODES_EVERYWHERE.tries
    assert AuditEvent.objects.filter(action="sign_in.refused").count() == 1
    Tries.objects.filter(address=tries.EVERYWHERE).update(
        began_at=timezone.now() - tries.OF_CODES_EVERYWHERE.window
    )
    before = Tries.objects.filter(address=tries.EVERYWHERE).count()
    assert at_the_code("10.2.0.1").post(AT_SIGN_IN, {"code": right_code()}).status_code == 302
    assert Tries.objects.filter(address=tries.EVERYWHERE).count() == before


@pytest.mark.django_db
def test_a_window_ends_after_a_quarter_of_an_hour_and_old_counts_go(rita: User) -> None:
    client = at_the_code()
    statuses(client, AT_SIGN_IN, {"code": wrong_code()}, 20)
    Tries.objects.update(began_at=timezone.now() - timedelta(minutes=15))
    assert client.post(AT_SIGN_IN, {"code": wrong_code()}).status_code == 200
    assert client.post(AT_SIGN_IN, {"code": right_code()}).status_code == 302
    Tries.objects.update(began_at=timezone.now() - timedelta(hours=25))
    assert tries.forget_old() == Tries.objects.count() + 1
    assert not Tries.objects.exists()


# ---------------------------------------------------------------- passwords


@pytest.mark.django_db
def test_wrong_passwords_at_the_sign_in_are_limited_whether_the_account_is_there_or_not(
    cast: make.Cast,
) -> None:
    for name in ("rita", "RITA", "nobody"):
        cache.clear()  # allauth's own limit of requests from one address
        client = Client(REMOTE_ADDR="10.0.0.1")
        found = statuses(client, "/accounts/login/", {"login": name, "password": "wrong"}, 20)
        assert found == ({429: 20} if name == "RITA" else {200: LIMIT, 429: 20 - LIMIT}), name
    cache.clear()
    right = {"login": "rita", "password": make.PASSWORD}
    assert Client(REMOTE_ADDR="10.0.0.1").post("/accounts/login/", right).status_code == 429
    assert Client(REMOTE_ADDR="10.0.0.2").post("/accounts/login/", right).status_code == 302
    assert AuditEvent.objects.filter(action="sign_in.refused").count() == 1, "made-up names fill no trail"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/accounts/reauthenticate/", {"password": "wrong"}),
        (
            "/accounts/password/change/",
            {"oldpassword": "wrong", "password1": "a new secret 77", "password2": "a new secret 77"},
        ),
    ],
)
def test_a_stolen_session_cannot_guess_the_password(cast: make.Cast, path: str, form: dict[str, str]) -> None:
    client = Client()
    client.force_login(cast.reviewer)
    assert statuses(client, path, form, 30) == {200: LIMIT, 429: 30 - LIMIT}
    answer = client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    assert answer.status_code == 429, "the doors share the count"
    assert User.objects.get(username="rita").check_password(make.PASSWORD)


@pytest.mark.slow
@pytest.mark.django_db
def test_a_stolen_session_cannot_guess_the_password_at_the_approval() -> None:
    the = scene()
    release = the.submitted()
    client = Client()
    client.force_login(the.cast.approver)
    path = f"/releases/{release.pk}/decide/"
    form = {"decision": "approve", "reason": "Good.", "evidence_digest": release.evidence_digest}
    found = statuses(client, path, {**form, "password": "wrong"}, 20)
    assert found == {422: LIMIT, 429: 20 - LIMIT}
    answer = client.post(path, {**form, "password": make.PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    release.refresh_from_db()
    assert release.state == "awaiting approval"


# ---------------------------------------------------------------- at once, and in several processes


@pytest.mark.django_db(transaction=True)
def test_right_tries_at_the_same_instant_do_not_meet() -> None:
    """What one has just found counted, the other takes away: both come in."""
    person = make.user("rita", "reviewer")
    gate, wrong = threading.Barrier(4), list[Exception]()

    def sign_in() -> None:
        gate.wait(20)
        try:
            for _ in range(50):
                tries.count(tries.PASSWORD, user=person).right()
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=sign_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not Tries.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_tries_at_the_same_instant_are_counted_one_by_one() -> None:
    person = make.user("rita", "reviewer")
    gate, outcomes = threading.Barrier(12), Counter[str]()

    def attack() -> None:
        gate.wait(20)
        for _ in range(3):
            try:
                tries.count(tries.CODE, user=person)
                outcomes["looked at"] += 1
            except TooManyTries:
                outcomes["refused"] += 1
        connection.close()

    threads = [threading.Thread(target=attack) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"looked at": LIMIT, "refused": 36 - LIMIT}


class Browser:
    """Against a real process."""

    def __init__(self, url: str, cookies: http.cookiejar.CookieJar | None = None) -> None:
        self.url = url
        self.cookies = cookies if cookies is not None else http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), _NoRedirect()
        )

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        token = next((cookie.value for cookie in self.cookies if cookie.name == "galley_csrf"), "")
        data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode() if form else None
        try:
            with self.opener.open(self.url + path, data, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@pytest.fixture
def processes(transactional_db: None) -> Iterator[list[str]]:
    """Two web processes with a memory of their own each, on the database of the test."""
    with ExitStack() as stack:
        urls = []
        for port in (free_port(), free_port()):
            command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
            program = subprocess.Popen(
                [*command, "--no-control-socket", "--log-level", "warning", "llmops_site.wsgi:application"],
                cwd=settings.BASE_DIR,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            )
            stack.callback(program.wait, 60)
            stack.callback(program.kill)
            wait_for(partial(_answers, port), seconds=120)
            urls.append(f"http://127.0.0.1:{port}")
        yield urls


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_codes_are_counted_across_processes(processes: list[str]) -> None:
    person = make.user("rita", "reviewer")
    totp.TOTP.activate(person, SECRET)
    shared = http.cookiejar.CookieJar()
    first, second = (Browser(url, shared) for url in processes)
    first.ask("/accounts/login/")
    assert first.ask("/accounts/login/", {"login": "rita", "password": make.PASSWORD})[0] == 302
    found = Counter(
        browser.ask(AT_SIGN_IN, {"code": wrong_code()})[0] for _ in range(20) for browser in (first, second)
    )
    assert found == {200: LIMIT, 429: 40 - LIMIT}


# ---------------------------------------------------------------- the client's address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # from an untrusted peer it is ignored
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),  # what the client wrote itself stands left
        ("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:5123", "198.51.100.1"),
        ("fd00::1", "[2001:db8::7]:443", "2001:db8::7"),
        ("::ffff:10.0.0.1", "2001:DB8::7", "2001:db8::7"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_rightmost_address_that_no_trusted_proxy_has(peer: str, forwarded: str, address: str) -> None:
    assert addresses.client_address(peer=peer, forwarded=forwarded, trusted=TRUSTED) == address


def test_addresses_of_one_household_count_as_one() -> None:
    assert addresses.counted("2001:db8:1:2::7") == addresses.counted("2001:db8:1:2:ffff::9")
    assert addresses.counted("2001:db8:1:2::7") != addresses.counted("2001:db8:1:3::7")
    assert addresses.counted("198.51.100.1") == "198.51.100.1"


@pytest.mark.django_db
def test_a_header_that_anybody_can_write_gives_no_new_tries(rita: User) -> None:
    looked_at = 0
    for number in range(20):
        client = at_the_code("203.0.113.9", **{"X-Forwarded-For": f"198.51.100.{number}"})
        looked_at += statuses(client, AT_SIGN_IN, {"code": wrong_code()}, 1)[200]
    assert looked_at == LIMIT


@pytest.mark.django_db
def test_behind_a_proxy_nobody_locks_out_others(rita: User, settings: Any) -> None:
    settings.GALLEY_TRUSTED_PROXIES = TRUSTED
    attacker = at_the_code("10.0.0.1", **{"X-Forwarded-For": "203.0.113.66"})
    assert statuses(attacker, AT_SIGN_IN, {"code": wrong_code()}, 20)[200] == LIMIT
    forged = at_the_code("10.0.0.1", **{"X-Forwarded-For": "198.51.100.1, 203.0.113.66"})
    assert forged.post(AT_SIGN_IN, {"code": right_code()}).status_code == 429
    owner = at_the_code("10.0.0.1", **{"X-Forwarded-For": "198.51.100.1"})
    assert owner.post(AT_SIGN_IN, {"code": right_code()}).status_code == 302
    assert owner.get("/").status_code == 200
    assert UserSession.objects.get(user=rita).ip == "198.51.100.1"


@pytest.mark.django_db
def test_the_log_has_the_clients_own_address_and_no_link(
    cast: make.Cast, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.GALLEY_TRUSTED_PROXIES = TRUSTED
    headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.66"}
    with caplog.at_level("INFO"):
        Client(REMOTE_ADDR="10.0.0.1", headers=headers).get("/accounts/link/a-secret-of-somebody/?next=/")
    lines = [record.msg for record in caplog.records if record.name.startswith("django_structlog")]
    assert lines
    assert {line["ip"] for line in lines if isinstance(line, dict)} == {"203.0.113.66"}
    assert not re.search("a-secret", str(lines))
