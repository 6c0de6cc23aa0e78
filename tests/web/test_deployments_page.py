from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app.models import Release, Route, Slot
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def live(*, slot: str = "ready") -> Release:
    release = make.release(state="warming")
    Slot.objects.create(
        release=release,
        state=slot,
        pid=4711,
        rss_bytes=512 << 20,
        ready_at=timezone.now(),
        heartbeat_at=timezone.now(),
    )
    make.put_live(release)
    return release


def states(*releases: Release) -> list[str]:
    return [Release.objects.get(pk=release.pk).state for release in releases]


def text_of(client: Client, path: str = "/deployments/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return markup(answer)


@pytest.mark.parametrize("who", ["ml_engineer", "approver", "operator", "administrator"])
def test_who_may_look_sees_what_is_live_since_when_and_by_whom(cast: make.Cast, who: str) -> None:
    release = live()
    page = text_of(signed_in(getattr(cast, who)))
    assert f"Release {release.pk}</a></b>: lead-3 with prompt summarize v1" in page
    assert "512.0" in page
    assert "4711" in page
    assert "by galley" in page


@pytest.mark.parametrize("who", ["reviewer", "stranger"])
def test_others_may_not(cast: make.Cast, who: str) -> None:
    live()
    assert signed_in(getattr(cast, who)).get("/deployments/").status_code == 403


def test_nothing_live_is_said_with_what_happens_next(cast: make.Cast) -> None:
    page = text_of(signed_in(cast.operator))
    assert "Nothing is live" in page
    assert "No release is live yet." in page
    make.release(state="warming")
    assert "is warming up" in text_of(signed_in(cast.operator))


def test_an_operator_rolls_back_by_one_button_and_a_reason(cast: make.Cast) -> None:
    first, second = live(), live()
    client = signed_in(cast.operator)
    page = text_of(client)
    assert f"Roll back to release {first.pk}" in page
    assert f'name="live" value="{second.pk}"' in page
    answer = client.post(
        "/deployments/roll-back/", {"reason": "Invents numbers.", "live": second.pk}, follow=True
    )
    assert "Rolled back" in markup(answer)
    assert states(first, second) == ["live", "rolled back"]
    assert "Invents numbers." in markup(answer)


def test_pressing_it_twice_goes_back_once(cast: make.Cast) -> None:
    live()
    second, third = live(), live()
    client = signed_in(cast.operator)
    codes = [
        client.post("/deployments/roll-back/", {"reason": "Bad.", "live": third.pk}).status_code
        for _ in range(2)
    ]
    assert codes == [302, 409]
    assert Route.objects.get().release == second


def test_without_a_reason_nothing_happens(cast: make.Cast) -> None:
    live()
    second = live()
    answer = signed_in(cast.operator).post("/deployments/roll-back/", {"reason": " "}, follow=True)
    assert "Write why" in markup(answer)
    assert states(second) == ["live"]


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "approver", "stranger"])
def test_who_may_not_deploy_gets_no_button_and_no_way_around_it(cast: make.Cast, who: str) -> None:
    live()
    second, warming = live(), make.release(state="warming")
    client = signed_in(getattr(cast, who))
    if who in ("ml_engineer", "approver"):
        page = text_of(client)
        assert "roll-back" not in page
        assert "stop-warming" not in page
    assert client.post("/deployments/roll-back/", {"reason": "Because."}).status_code == 403
    assert client.post(f"/deployments/{warming.pk}/stop/", {"reason": "Because."}).status_code == 403
    assert states(second, warming) == ["live", "warming"]


def test_a_warming_release_can_be_stopped(cast: make.Cast) -> None:
    current, warming = live(), make.release(state="warming")
    client = signed_in(cast.operator)
    assert "stop-warming" in text_of(client)
    client.post(f"/deployments/{warming.pk}/stop/", {"reason": "Wrong day."})
    assert states(current, warming) == ["live", "rolled back"]
    assert client.post("/deployments/999/stop/", {"reason": "x"}).status_code == 404


def test_a_slot_that_failed_or_fell_silent_is_seen(cast: make.Cast) -> None:
    release = live()
    Slot.objects.update(state="failed", reason="The disk is gone.")
    page = text_of(signed_in(cast.operator))
    assert "Not answering" in page
    assert "The disk is gone." in page
    Slot.objects.update(state="ready", heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert "silent" in text_of(signed_in(cast.operator))
    assert states(release) == ["live"]


def test_who_was_live_at_a_moment(cast: make.Cast) -> None:
    release = live()
    client = signed_in(cast.operator)
    later = (timezone.now() + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    assert f"release {release.pk}</a> was live" in text_of(client, f"/deployments/?at={later}")
    assert "nothing was live" in text_of(client, "/deployments/?at=2020-01-01T00:00")
    for nonsense in ("yesterday", "2026-99-99T00:00", "'"):
        assert "Write a date and a time" in text_of(client, f"/deployments/?at={nonsense}")


def test_the_fragment_has_one_root_and_looks_again_sooner_while_something_moves(cast: make.Cast) -> None:
    live()
    client = signed_in(cast.operator)
    fragment = markup(client.get("/deployments/", headers=HTMX))
    assert fragment.lstrip().startswith('<div id="deployments"')
    assert "<html" not in fragment
    assert "every 10s" in fragment
    make.release(state="warming")
    assert "every 2s" in markup(client.get("/deployments/", headers=HTMX))


def test_the_page_asks_a_fixed_number_of_questions(
    cast: make.Cast, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        live()
    client = signed_in(cast.operator)
    with django_assert_max_num_queries(24):
        client.get("/deployments/")
