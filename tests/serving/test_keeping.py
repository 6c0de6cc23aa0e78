"""A web process knows what it needs for a summary: as fresh as promised with the database, and without it too."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from knox.crypto import hash_token

from models_app.foundation.tokens import revoke_token
from models_app.models import ApiToken, InferenceRequest, Release, Route, Slot
from models_app.people.accounts import deactivate
from models_app.serving import keeping, statements
from models_app.serving.keeping import FRESH_SECONDS, Keeper, Known
from models_app.serving.outage import Outage, outage
from models_app.serving.routing import router
from tests import make
from tests.api.conftest import Api, serve
from tests.api.plainly import FrontClient
from tests.serving.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)

AWAY = OperationalError("connection refused")


@pytest.fixture
def cast(transactional_db: None) -> make.Cast:
    return make.cast()


@pytest.fixture
def live(cast: make.Cast, tmp_path: Path) -> Iterator[Release]:
    release = make.release(state="warming")
    stop = serve(release, tmp_path / "live.sock")
    make.put_live(release)
    yield release
    stop()


@pytest.fixture
def keeper(live: Release) -> Iterator[Keeper]:
    keeper = Keeper(outage)
    keeper.start()
    until(lambda: keeper.known() is not None)
    yield keeper
    keeper.stop()
    outage.end()


@pytest.fixture
def api(cast: make.Cast) -> Api:
    return Api(cast.operator, "summaries:write", "feedback:write")


def knows(keeper: Keeper, api: Api) -> bool:
    known = keeper.known()
    return known is not None and hash_token(api.token) in known.tokens


# ---------------------------------------------------------------- with the database


def by_revoking(api: Api) -> None:
    revoke_token(token=api.row, actor=api.user)


def by_deactivating(api: Api) -> None:
    deactivate(person=api.user, actor=make.user("root", "administrator"), reason="left")


def by_hand(api: Api) -> None:
    User.objects.filter(pk=api.user.pk).update(is_active=False)


def by_taking_the_role(api: Api) -> None:
    api.user.groups.clear()


def by_taking_it_from_the_role(api: Api) -> None:
    for group in api.user.groups.all():
        group.permissions.clear()


@pytest.mark.parametrize(
    "lose", [by_revoking, by_deactivating, by_hand, by_taking_the_role, by_taking_it_from_the_role]
)
def test_who_may_no_more_is_known_for_two_seconds_at_most(
    keeper: Keeper, api: Api, lose: Callable[[Api], None]
) -> None:
    until(lambda: knows(keeper, api))
    lose(api)
    # As long as nothing is read, nothing may be gone by: what is promised of the clock is FRESH_SECONDS.
    until(lambda: not knows(keeper, api))
    assert FRESH_SECONDS <= 2


def test_what_is_not_read_again_is_believed_no_longer(live: Release) -> None:
    keeper, known = Keeper(Outage()), keeping.read()
    keeper._known = known
    assert keeper.target() == known.target
    keeper._known = replace(known, read_at=time.monotonic() - FRESH_SECONDS)
    assert keeper.target() is None


def test_a_switch_is_heard_of_at_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the notification: the clock would take a minute."""
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 60.0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    Route.objects.update(salt="another")  # wakes it from its last short sleep, and it goes to a long one
    until(lambda: (known := keeper._known) is not None and known.target.salt == "another")
    Slot.objects.update(address="/elsewhere.sock")
    until(lambda: (known := keeper._known) is not None and known.target.live.address == "/elsewhere.sock")


def test_when_a_token_was_used_or_a_slot_heard_of_wakes_nobody(
    cast: make.Cast, live: Release, api: Api
) -> None:
    listener = connection.copy()
    with listener.cursor() as cursor:
        cursor.execute(f"LISTEN {keeping.CHANNEL}")
    ApiToken.objects.update(last_used_at=api.row.created)
    Slot.objects.update(heartbeat_at=api.row.created, rss_bytes=7)
    assert list(listener.connection.notifies(timeout=0.2)) == []
    Slot.objects.update(state="stopped")
    assert len(list(listener.connection.notifies(timeout=10, stop_after=1))) == 1
    listener.close()


def test_who_finds_a_slot_gone_has_the_route_read_again(keeper: Keeper) -> None:
    Slot.objects.update(address="/elsewhere.sock")
    assert router.reread().live.address == "/elsewhere.sock"


def read_again(keeper: Keeper) -> None:
    now = time.monotonic()
    until(lambda: (known := keeper._known) is not None and known.read_at > now)


@pytest.fixture
def a_thousand_files() -> Iterator[None]:
    """What is opened next has a number that select() does not know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), max(hard, 3000)))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for file in files:
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("live", "a_thousand_files")
def test_a_process_with_a_thousand_connections_is_told_too(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = request.getfixturevalue("keeper")
    for _ in range(2):  # between two readings it waits for what the connection says
        read_again(keeper)
    assert "could not be read" not in caplog.text


# ---------------------------------------------------------------- without it


@pytest.fixture
def away(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The database refuses this process's keeper and log; calling it lets it be back."""
    back = threading.Event()
    read, insert = keeping.read, statements.insert_requests

    def read_or_not() -> Known:
        if not back.is_set():
            raise AWAY
        return read()

    def insert_or_not(rows: Any, **more: Any) -> None:
        if not back.is_set():
            raise AWAY
        insert(rows, **more)

    monkeypatch.setattr(keeping, "read", read_or_not)
    monkeypatch.setattr(statements, "insert_requests", insert_or_not)
    until(lambda: outage.lasts)
    yield back.set
    back.set()
    until(lambda: not outage.lasts)


def ask(keeper: Keeper, token: str, **body: Any) -> Any:
    return FrontClient(keeper).post(
        "/api/v1/summaries/", {"text": make.ARTICLE, **body}, "application/json",
        headers={"Authorization": f"Token {token}"},
    )  # fmt: skip


def test_summaries_go_on_and_are_logged_afterwards(
    api: Api, keeper: Keeper, live: Release, request: pytest.FixtureRequest
) -> None:
    until(lambda: knows(keeper, api))
    back = request.getfixturevalue("away")
    answers = [ask(keeper, api.token, user=f"reader-{number}") for number in range(5)]
    assert {answer.status_code for answer in answers} == {201}
    for answer in answers:
        assert answer["X-Galley-Degraded"].startswith("database away; tokens and release as of 20")
        assert answer["X-Release"] == str(live.pk)
    assert InferenceRequest.objects.count() == 0
    back()
    until(lambda: InferenceRequest.objects.count() == 5)
    assert {str(pk) for pk in InferenceRequest.objects.values_list("pk", flat=True)} == {
        answer.json()["id"] for answer in answers
    }
    until(lambda: not outage.lasts)
    assert not ask(keeper, api.token).has_header("X-Galley-Degraded")


def test_what_cannot_be_checked_is_refused_clearly(
    api: Api, keeper: Keeper, cast: make.Cast, request: pytest.FixtureRequest
) -> None:
    until(lambda: knows(keeper, api))
    request.getfixturevalue("away")
    new = Api(cast.reviewer, "summaries:write")
    answer = ask(keeper, new.token)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert "not among those that are known without it" in answer.json()["error"]["message"]
    assert answer["Retry-After"] == "5"
    assert answer["X-Galley-Degraded"]
    assert ask(keeper, api.token, text="too short").status_code == 422, "what can be told is told"


def test_it_does_not_go_on_for_ever(
    api: Api, keeper: Keeper, settings: Any, request: pytest.FixtureRequest
) -> None:
    until(lambda: knows(keeper, api))
    settings.GALLEY_OUTAGE_MINUTES = 0
    request.getfixturevalue("away")
    assert keeper.known() is None
