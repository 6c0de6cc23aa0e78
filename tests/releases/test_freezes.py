"""Nothing goes live in a freeze window, but what cannot wait, and what goes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.statements import database_time
from models_app.gates import policies
from models_app.gates.approvals import ApprovalsPolicy, freeze
from models_app.gates.policy import from_settings
from models_app.models import AuditEvent, Deployment, Incident, Release, Route
from models_app.models.releases import Environment
from models_app.releases.deploying import go_live, roll_back, start_approved, start_deployment
from models_app.releases.emergency import may_declare, put_live_in_emergency
from tests import make
from tests.doors.test_evidence import refusal
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


def window(
    *, begins: timedelta = timedelta(hours=-1), ends: timedelta = timedelta(hours=1)
) -> dict[str, str]:
    now = database_time()
    return {"from": (now + begins).isoformat(), "to": (now + ends).isoformat(), "reason": "Election night."}


def frozen(the: Scene, *windows: dict[str, str]) -> None:
    """And judged by the policy that says so."""
    scenes.small_policy(approvals={"approvers": 1, "freezes": [*windows] or [window()]})
    the.submitted(release=now(the))


@pytest.fixture
def the() -> Scene:
    cache.clear()
    return scene()


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def over(the: Scene) -> None:
    """As time passes: the window of the policy that holds lies in the past."""
    from models_app.models import GatePolicy
    from tests.database import without_guards

    held = policies.holding(now(the).environment)
    settings = policies.read(held).as_settings()
    settings["approvals"]["freezes"] = [window(begins=timedelta(hours=-3), ends=timedelta(hours=-2))]
    with without_guards(GatePolicy):
        GatePolicy.objects.filter(pk=held.pk).update(settings=settings)


# ---------------------------------------------------------------- what a window is


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"from": "2026-12-24T12:00+01:00"}, "2026", 5, None,
        {"from": "2026-12-24T12:00", "to": "2026-12-27T12:00", "reason": "no offset"},
        {"from": "2026-12-27T12:00Z", "to": "2026-12-24T12:00Z", "reason": "ends before it begins"},
        {"from": "2026-12-27T12:00Z", "to": "2026-12-27T12:00Z", "reason": "no time at all"},
        {"from": "2026-12-24T12:00Z", "to": "2026-12-27T12:00Z", "reason": " "},
        {"from": "2026-12-24T12:00Z", "to": "2026-12-27T12:00Z", "reason": "x" * 301},
        {"from": "2026-12-24T12:00Z", "to": "2026-12-27T12:00Z", "reason": 7},
        {"from": "2026-12-24T12:00Z", "to": "9999-12-27T12:00Z", "reason": "for ever"},
        {"from": "\x00", "to": "2026-12-27T12:00Z", "reason": "x"},
        {"from": "2026-12-24T12:00Z", "to": "2026-12-27T12:00Z", "reason": "x", "more": "y"},
    ],
)  # fmt: skip
def test_what_is_no_window_is_refused_at_its_field(wrong: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_settings({"approvals": {"freezes": [wrong]}})
    assert list(refused.value.fields) == ["approvals.freezes"]


def test_a_window_holds_from_its_beginning_until_just_before_its_end() -> None:
    one = freeze({"from": "2026-12-24T12:00+01:00", "to": "2026-12-27T08:00Z", "reason": "Holidays"})
    assert one is not None
    assert one.holds(one.since)
    assert not one.holds(one.until)
    assert not one.holds(one.since - timedelta(seconds=1))
    assert from_settings({}).approvals == ApprovalsPolicy()


def test_fifty_windows_are_enough() -> None:
    with pytest.raises(InvalidInput):
        from_settings({"approvals": {"freezes": [window()] * 51}})


# ---------------------------------------------------------------- what it holds back


def test_what_is_approved_in_a_freeze_waits_for_its_end_and_starts_by_itself(the: Scene) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    assert now(the).state == "approved"
    with pytest.raises(Refused, match="Election night") as refused:
        start_deployment(release=now(the), actor=the.cast.operator)
    assert refused.value.code == "frozen"
    assert (start_approved(), now(the).state) == (0, "approved")
    over(the)
    assert refusal(f"UPDATE models_app_release SET state = 'warming' WHERE id = {the.candidate.pk}") == ""


def test_it_starts_once_the_window_is_over(the: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    later = database_time() + timedelta(hours=2)
    monkeypatch.setattr("models_app.releases.freezes.database_time", lambda: later)
    assert (start_approved(), now(the).state) == (1, "warming")
    assert start_approved() == 0


def test_what_no_longer_stands_after_the_freeze_waits_for_approval_again(
    the: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    the.cast.approver.groups.clear()
    later = database_time() + timedelta(hours=2)
    monkeypatch.setattr("models_app.releases.freezes.database_time", lambda: later)
    assert start_approved() == 0
    assert (now(the).state, "0 of 1" in now(the).reason) == ("awaiting approval", True)


def test_an_emergency_on_what_no_longer_holds_sends_it_back(the: Scene) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    newer = scenes.made_live(make.release(the.model))
    with pytest.raises(Refused, match=f"Release {newer.pk} went live"):
        declared(the, the.cast.another_approver)
    assert (now(the).state, Incident.objects.count()) == ("awaiting approval", 0)


def test_what_warms_up_when_a_freeze_begins_goes_back_to_being_approved(
    the: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(the, window(begins=timedelta(hours=1), ends=timedelta(hours=2)))
    the.approved_by(the.cast.approver)
    assert now(the).state == "warming"
    in_it = database_time() + timedelta(hours=1.5)
    monkeypatch.setattr("models_app.releases.freezes.database_time", lambda: in_it)
    with pytest.raises(Refused, match="Election night") as refused:
        go_live(release=now(the))
    assert refused.value.code == "frozen"
    assert (now(the).state, Route.objects.get().release) == ("approved", the.live)
    assert AuditEvent.objects.get(action="deployment.frozen").to_state == "approved"


def test_no_statement_puts_a_release_live_in_a_freeze(the: Scene) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    moves = [
        f"UPDATE models_app_release SET state = '{state}' WHERE id = {pk}"
        for state, pk in (
            ("warming", the.candidate.pk),
            ("superseded", the.live.pk),
            ("live", the.candidate.pk),
        )
    ]
    assert refusal("; ".join(moves)) == "23001"
    assert refusal("; ".join(moves[:2])) == ""


def test_a_machine_s_clock_opens_no_window(the: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(the)
    tomorrow = timezone.now() + timedelta(days=1)
    monkeypatch.setattr(timezone, "now", lambda: tomorrow)
    the.approved_by(the.cast.approver)
    assert now(the).state == "approved"


def test_rolling_back_is_no_going_live(the: Scene) -> None:
    scenes.made_live(make.release(the.model))
    scenes.small_policy(approvals={"approvers": 1, "freezes": [window()]})
    environment = Environment.objects.get(name="production")
    roll_back(environment=environment, actor=the.cast.operator, reason="It invents numbers.")
    assert Route.objects.get().release == the.live
    assert Deployment.objects.filter(live_to=None).count() == 1


# ---------------------------------------------------------------- what cannot wait


def declared(the: Scene, person: Any) -> Incident:
    release = now(the)
    return put_live_in_emergency(
        release=release, actor=person, reason="It leaks.", password=make.PASSWORD,
        evidence_digest=release.evidence_digest,
    )  # fmt: skip


def test_an_emergency_goes_through_a_freeze(the: Scene) -> None:
    frozen(the)
    assert may_declare(now(the), the.cast.approver)[0]
    incident = declared(the, the.cast.approver)
    assert len(incident.skipped) == 1
    assert "Election night" in incident.skipped[0]
    assert now(the).state == "warming"
    go_live(release=now(the))
    assert Route.objects.get().release == the.candidate


def test_what_was_approved_in_a_freeze_can_turn_out_not_to_wait(the: Scene) -> None:
    frozen(the)
    the.approved_by(the.cast.approver)
    incident = declared(the, the.cast.another_approver)
    assert now(the).state == "warming"
    assert incident.opened_by == the.cast.another_approver
    go_live(release=now(the))
    assert Route.objects.get().release == the.candidate


def test_a_policy_may_allow_no_emergencies(the: Scene) -> None:
    scenes.small_policy(approvals={"approvers": 2, "emergency": False})
    the.submitted()
    assert may_declare(now(the), the.cast.approver) == (False, "")
    with pytest.raises(Refused, match="allows no emergencies"):
        declared(the, the.cast.approver)
    assert (now(the).state, Incident.objects.count()) == ("awaiting approval", 0)


def test_the_pages_say_that_it_is_frozen_and_until_when(the: Scene) -> None:
    frozen(the)
    client = Client()
    client.force_login(the.cast.approver)
    path = f"/releases/{the.candidate.pk}/"
    assert "Election night." in markup(client.get(path))
    the.approved_by(the.cast.approver)
    page = markup(client.get(path))
    assert "It starts by itself afterwards." in page
    assert "Put live in an emergency" in page
