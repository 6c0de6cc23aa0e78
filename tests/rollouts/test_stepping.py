from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from models_app.foundation.errors import NotAllowed, Refused, StaleState
from models_app.models import AuditEvent, Deployment, InferenceRequest, Release, Route
from models_app.rollouts import stepping
from models_app.rollouts.deciding import Act
from models_app.serving.routing import BUCKETS, read_target
from tests import make
from tests.rollouts import scene
from tests.rollouts.scene import begun, minutes_pass, requests, route

pytestmark = pytest.mark.django_db


@pytest.fixture
def warming() -> Release:
    return scene.warming()


def test_it_begins_with_a_share_beside_what_is_live(warming: Release) -> None:
    live, epoch = route().release, route().epoch
    rollout = begun(warming)
    now = route()
    assert (now.release, now.canary, now.canary_weight, now.epoch) == (live, warming, 10, epoch + 1)
    warming.refresh_from_db()
    assert warming.state == "canary"
    assert rollout.beside == live
    target = read_target()
    assert target.canary is not None
    share = sum(target.arm(bucket).release_id == warming.pk for bucket in range(BUCKETS)) / BUCKETS
    assert share == 0.1


def test_the_same_person_stays_where_they_are_while_the_share_grows(warming: Release) -> None:
    begun(warming)
    first = read_target()
    people = [f"reader {number}" for number in range(400)]
    before = {one for one in people if first.arm(first.bucket(user=one, session="")).name == "canary"}
    assert 15 < len(before) < 75
    Route.objects.update(canary_weight=50)
    second = read_target()
    after = {one for one in people if second.arm(second.bucket(user=one, session="")).name == "canary"}
    assert before < after


def test_requests_time_and_looks_take_it_through_all_steps_until_it_is_live(warming: Release) -> None:
    rollout, live = begun(warming), route().release
    assert stepping.turn(rollout=rollout).act == Act.WAIT
    for weight in (50, 100):
        requests(warming, 40, arm="canary")
        assert live is not None
        requests(live, 360)
        assert stepping.turn(rollout=rollout).act == Act.WAIT, "time is still open"
        minutes_pass(rollout)
        requests(warming, 40, arm="canary")
        assert stepping.turn(rollout=rollout).act == Act.ADVANCE
        assert route().canary_weight == weight
    warming.refresh_from_db()
    assert warming.state == "baking"
    minutes_pass(rollout)
    assert stepping.turn(rollout=rollout).act == Act.ADVANCE
    now = route()
    assert (now.release, now.canary, now.canary_weight) == (warming, None, 0)
    rollout.refresh_from_db()
    assert (rollout.outcome, rollout.ended_at is not None) == ("live", True)
    assert Deployment.objects.get(live_to=None).release == warming
    with pytest.raises(StaleState, match="is over"):
        stepping.turn(rollout=rollout)


def test_errors_stop_it_and_all_requests_go_back(warming: Release) -> None:
    rollout, live = begun(warming), route().release
    assert live is not None
    requests(live, 360, errors=3)
    requests(warming, 40, errors=8, arm="canary")
    decision = stepping.turn(rollout=rollout)
    assert decision.act == Act.STOP
    assert "8 of 40" in decision.reasons[0]
    now = route()
    assert (now.release, now.canary, now.canary_weight) == (live, None, 0)
    warming.refresh_from_db()
    assert (warming.state, warming.reason) == ("rolled back", decision.reasons[0])
    rollout.refresh_from_db()
    assert rollout.outcome == "stopped"
    assert AuditEvent.objects.filter(action="rollout.stop", subject=f"release:{warming.pk}").exists()


def test_an_outage_that_hits_both_holds_it_and_stops_nothing(warming: Release) -> None:
    rollout, live = begun(warming), route().release
    assert live is not None
    requests(live, 360, errors=72)
    requests(warming, 40, errors=8, arm="canary")
    assert stepping.turn(rollout=rollout).act in (Act.HOLD, Act.WAIT)
    assert route().canary == warming


def test_a_quiet_environment_or_an_empty_policy_goes_to_all_at_once(warming: Release) -> None:
    InferenceRequest.objects.all().delete()
    assert stepping.begin(release=warming) is None
    assert route().release == warming
    assert route().canary is None


def test_pause_holds_it_and_resume_goes_on(warming: Release) -> None:
    rollout = begun(warming)
    operator = make.user("olga", "operator")
    requests(warming, 40, arm="canary")
    minutes_pass(rollout)
    stepping.pause(rollout=rollout, actor=operator, reason="A look at the texts first.")
    assert stepping.turn(rollout=rollout).act == Act.HOLD
    warming.refresh_from_db()
    assert warming.state == "held"
    assert route().canary_weight == 10
    with pytest.raises(Refused, match="paused"):
        stepping.advance(rollout=rollout, actor=operator)
    stepping.resume(rollout=rollout, actor=operator)
    warming.refresh_from_db()
    assert warming.state == "canary"


def test_advance_walks_round_nothing(warming: Release) -> None:
    rollout = begun(warming)
    with pytest.raises(Refused, match="0 of 40 requests"):
        stepping.advance(rollout=rollout, actor=make.user("olga", "operator"))
    assert route().canary_weight == 10


def test_one_operator_rolls_it_back_and_a_reviewer_does_not(warming: Release) -> None:
    rollout = begun(warming)
    with pytest.raises(NotAllowed):
        stepping.roll_back(rollout=rollout, actor=make.user("rob", "reviewer"), reason="No.")
    stepping.roll_back(rollout=rollout, actor=make.user("olga", "operator"), reason="It writes French.")
    assert route().canary is None
    warming.refresh_from_db()
    assert warming.state == "rolled back"


def test_what_lost_its_approval_gets_no_further_share(warming: Release) -> None:
    rollout = begun(warming)
    requests(warming, 40, arm="canary")
    minutes_pass(rollout)
    approver = warming.approvals.get(voided_at=None).approver
    approver.is_active = False
    approver.save()
    stepping.turn(rollout=rollout)
    warming.refresh_from_db()
    assert warming.state == "awaiting approval"
    assert route().canary is None


@pytest.mark.parametrize("state", ["draft", "awaiting approval", "approved"])
def test_the_database_gives_no_share_to_what_is_not_rolling_out(warming: Release, state: str) -> None:
    other = make.release(state=state)
    with pytest.raises(IntegrityError, match="rolling out"), transaction.atomic():
        Route.objects.update(canary=other, canary_weight=10)
