"""What else happens while a release rolls out: a freeze, a rollback of what is live, one rollback too many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.models import Approval, AuditEvent, FuseLift, Incident, Release, Rollout, Slot
from models_app.models.releases import Environment
from models_app.releases import deploying, fuse
from models_app.releases.composing import withdraw_release
from models_app.releases.deploying import kept_from_starting, start_approved
from models_app.rollouts import stepping
from models_app.rollouts.deciding import Act
from tests import make
from tests.releases import scene as scenes
from tests.rollouts import scene
from tests.rollouts.scene import minutes_pass, requests, route

pytestmark = pytest.mark.django_db


@pytest.fixture
def rollout() -> Rollout:
    return scene.rolling_out()


def state(release: Release) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=release.pk)


def freeze() -> None:
    now = timezone.now()
    window = {
        "from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=9)).isoformat(),
        "reason": "Election night",
    }  # fmt: skip
    scenes.small_policy(approvals={"approvers": 1, "freezes": [window]})


def production() -> Environment:
    return Environment.objects.get(name="production")


def test_a_freeze_that_begins_holds_it_with_its_share_and_does_not_end_it(rollout: Rollout) -> None:
    requests(rollout.release, 40, arm="canary")
    minutes_pass(rollout)
    freeze()
    assert stepping.turn(rollout=rollout).act == Act.HOLD
    rollout.refresh_from_db()
    assert "Election night" in rollout.held_reason
    assert (state(rollout.release), route().canary_weight, rollout.held_since) == ("held", 10, None)


def test_who_pauses_it_for_long_does_not_end_it_but_want_of_data_does(rollout: Rollout) -> None:
    stepping.pause(rollout=rollout, actor=make.user("olga", "operator"), reason="Until Monday.")
    Rollout.objects.update(held_since=timezone.now() - timedelta(hours=25))
    assert stepping.turn(rollout=rollout).act == Act.HOLD
    stepping.resume(rollout=rollout, actor=make.user("omar", "operator"))
    Rollout.objects.update(held_since=timezone.now() - timedelta(hours=25))
    assert stepping.turn(rollout=rollout).act == Act.STOP
    assert "without enough to decide on" in Rollout.objects.get().reason


def test_rolling_back_what_is_live_ends_the_rollout_beside_it_and_counts_once(rollout: Rollout) -> None:
    deploying.end_rolling_out(production(), None, "Release 1, which it was beside, was rolled back.")
    assert Rollout.objects.get().outcome == "ended"
    assert fuse.fuse_of(production()).used == 0
    assert (state(rollout.release), route().canary) == ("rolled back", None)


def test_nothing_starts_after_two_rollbacks_in_a_day_until_an_approver_says_so(rollout: Rollout) -> None:
    other = make.release(state="approved")
    for number in range(2):
        Rollout.objects.filter(ended_at=None).update(
            ended_at=timezone.now(), outcome="stopped", reason="Errors."
        )
        if number == 0:
            Rollout.objects.create(
                environment=rollout.environment, release=other, beside=rollout.beside, policy=rollout.policy
            )
    make.forced(rollout.release, "rolled back")
    kept = kept_from_starting(other)
    assert kept is not None
    assert (kept.code, "2 rollbacks in a day" in kept.message) == ("fuse", True)
    assert start_approved() == 0
    ada = make.user("agnes", "approver")
    with pytest.raises(NotAllowed):
        fuse.lift(environment=production(), actor=make.user("olga", "operator"), reason="It is fine.")
    with pytest.raises(InvalidInput, match="reason"):
        fuse.lift(environment=production(), actor=ada, reason="  ")
    fuse.lift(environment=production(), actor=ada, reason="It was the network.")
    assert fuse.fuse_of(production()).used == 0
    assert kept_from_starting(other) is None
    assert FuseLift.objects.get().lifted_by == ada
    assert AuditEvent.objects.get(action="fuse.lift").reason == "It was the network."
    with pytest.raises(Refused, match="Nothing is frozen"):
        fuse.lift(environment=production(), actor=ada, reason="Once more.")


def test_while_one_rolls_out_the_next_one_stays_approved(rollout: Rollout) -> None:
    kept = kept_from_starting(make.release(state="approved"))
    assert kept is not None
    assert (kept.code, kept.message) == (
        "rolling_out",
        f"Release {rollout.release_id} is rolling out in production.",
    )


def test_a_model_that_died_twice_is_stopped_at_once(rollout: Rollout) -> None:
    Slot.objects.update_or_create(
        release=rollout.release, defaults={"state": "failed", "failures": 2, "reason": "Killed by signal 9."}
    )
    decision = stepping.turn(rollout=rollout)
    assert (decision.act, "died or could not be loaded 2 times" in decision.reasons[0]) == (Act.STOP, True)
    assert route().canary is None


def test_a_turn_that_comes_twice_moves_it_on_once(rollout: Rollout) -> None:
    """As of two supervisors by mistake, or of one that was killed after the first."""
    requests(rollout.release, 40, arm="canary")
    minutes_pass(rollout)
    assert stepping.turn(rollout=rollout).act == Act.ADVANCE
    assert stepping.turn(rollout=rollout).act == Act.WAIT
    assert route().canary_weight == 50


def test_a_clock_that_jumps_back_lets_it_wait_and_nothing_else(rollout: Rollout) -> None:
    requests(rollout.release, 40, arm="canary")
    Rollout.objects.update(step_began_at=timezone.now() + timedelta(hours=3))
    assert stepping.turn(rollout=rollout).act == Act.WAIT
    assert route().canary_weight == 10


def test_what_is_declared_an_emergency_ends_the_rollout_and_counts_as_no_rollback(rollout: Rollout) -> None:
    urgent = make.release(state="approved")
    agnes = make.user("agnes", "approver")
    bound: dict[str, Any] = {
        "release": urgent,
        "reason": "It leaks.",
        "evidence_digest": urgent.evidence_digest,
    }
    Incident.objects.create(**bound, opened_by=agnes)
    Approval.objects.create(**bound, approver=agnes, decision="approved")
    assert kept_from_starting(urgent) is None
    deploying.start_deployment(release=urgent, actor=None)
    assert (state(urgent), state(rollout.release), route().canary) == ("warming", "rolled back", None)
    ended = Rollout.objects.get()
    assert (ended.outcome, "in an emergency" in ended.reason) == ("ended", True)
    assert fuse.fuse_of(production()).used == 0


def test_what_rolls_out_is_rolled_back_and_not_withdrawn(rollout: Rollout) -> None:
    with pytest.raises(Refused, match="cannot become withdrawn"):
        withdraw_release(release=rollout.release, actor=None, reason="Never mind.")
    assert (state(rollout.release), route().canary_weight) == ("canary", 10)
