from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import Approval, AuditEvent, Deployment, Release, Route
from models_app.models.releases import Environment
from models_app.releases.deploying import (
    CHANNEL,
    as_of,
    give_up,
    go_live,
    install_first_release,
    roll_back,
    start_deployment,
    stop_warming,
)
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def production(cast: make.Cast) -> Environment:
    return Environment.objects.get(name="production")


def live() -> Release:
    return make.put_live(make.release(state="warming"))


def route() -> Route:
    return Route.objects.select_related("release", "previous").get(environment__name="production")


def states(*releases: Release) -> list[str]:
    for release in releases:
        release.refresh_from_db()
    return [release.state for release in releases]


def test_an_approved_release_warms_up_and_then_goes_live(cast: make.Cast) -> None:
    release = make.release(state="approved")
    start_deployment(release=release, actor=cast.operator)
    assert release.state == "warming"
    assert route().release is None
    go_live(release=release)
    assert route().release == release
    assert states(release) == ["live"]


def test_a_switch_supersedes_closes_the_interval_and_raises_the_epoch(production: Environment) -> None:
    first = live()
    epoch = route().epoch
    second = live()
    now = route()
    assert states(first, second) == ["superseded", "live"]
    assert (now.release, now.previous, now.epoch) == (second, first, epoch + 1)
    closed, opened = Deployment.objects.order_by("live_from")
    assert (closed.release, opened.release, opened.live_to) == (first, second, None)
    assert closed.live_to == opened.live_from
    assert closed.end_reason == f"Release {second.pk} went live."


def test_every_step_is_in_the_audit_trail(cast: make.Cast, production: Environment) -> None:
    first = live()
    second = make.release(state="approved")
    for _ in range(2):  # as many as production asks for
        make.approval(second)
    start_deployment(release=second, actor=cast.operator)
    make.put_live(second)
    roll_back(environment=production, actor=cast.operator, reason="Names are wrong.")
    of_second = AuditEvent.objects.filter(subject=f"release:{second.pk}").order_by("id")
    assert [(event.action, event.actor_name, event.to_state, event.reason) for event in of_second] == [
        ("deployment.start", "otto", "warming", ""),
        ("deployment.live", "galley", "live", ""),
        ("deployment.roll_back", "otto", "rolled back", "Names are wrong."),
    ]
    of_first = AuditEvent.objects.filter(subject=f"release:{first.pk}").order_by("id")
    assert [event.to_state for event in of_first] == ["live", "superseded", "live"]
    assert audit.verify().whole


def test_the_deployment_names_whose_approval_let_the_release_go_live(cast: make.Cast) -> None:
    release = make.release(state="warming")
    Approval.objects.create(
        release=release, approver=cast.approver, decision="approved", reason="Better.", evidence_digest="x"
    )
    make.put_live(release)
    assert Deployment.objects.get().started_by == cast.approver


def test_a_release_goes_live_once(production: Environment) -> None:
    release = live()
    same_release_seen_before = Release.objects.get(pk=release.pk)
    same_release_seen_before.state = "warming"
    epoch = route().epoch
    with pytest.raises((StaleState, Refused)):
        go_live(release=same_release_seen_before)
    assert route().epoch == epoch
    assert Deployment.objects.count() == 1


def test_only_warming_releases_go_live(production: Environment) -> None:
    for state in ("draft", "awaiting approval", "approved", "rejected", "failed", "rolled back"):
        release = make.release(state=state)
        with pytest.raises(Refused):
            go_live(release=release)
    assert route().release is None


@pytest.mark.parametrize("state", ["draft", "awaiting approval", "rejected", "live", "rolled back"])
def test_only_approved_releases_are_deployed(cast: make.Cast, state: str) -> None:
    with pytest.raises(Refused):
        start_deployment(release=make.release(state=state), actor=cast.operator)


def test_the_last_deployment_started_wins(cast: make.Cast) -> None:
    first, second = make.release(state="approved"), make.release(state="approved")
    start_deployment(release=first, actor=cast.operator)
    start_deployment(release=second, actor=cast.operator)
    assert states(first, second) == ["rolled back", "warming"]
    assert f"Release {second.pk}" in first.reason


def test_rolling_back_takes_one_operator_and_a_reason(cast: make.Cast, production: Environment) -> None:
    first, second = live(), live()
    with pytest.raises(InvalidInput) as refused:
        roll_back(environment=production, actor=cast.operator, reason="  ")
    assert "reason" in refused.value.fields
    deployment = roll_back(environment=production, actor=cast.operator, reason="It invents numbers.")
    now = route()
    assert states(first, second) == ["live", "rolled back"]
    assert (now.release, now.epoch) == (first, 3)
    assert (deployment.release, deployment.started_by) == (first, cast.operator)
    ended = Deployment.objects.get(release=second)
    assert (ended.ended_by, ended.end_reason) == (cast.operator, "Rolled back: It invents numbers.")
    assert second.reason == "It invents numbers."


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "approver", "stranger"])
def test_other_roles_cannot_switch_anything(cast: make.Cast, production: Environment, who: str) -> None:
    live()
    current, actor = live(), getattr(cast, who)
    warming = make.release(state="warming")
    with pytest.raises(NotAllowed):
        roll_back(environment=production, actor=actor, reason="Because.")
    with pytest.raises(NotAllowed):
        start_deployment(release=make.release(state="approved"), actor=actor)
    with pytest.raises(NotAllowed):
        stop_warming(release=warming, actor=actor, reason="Because.")
    assert states(current, warming) == ["live", "warming"]


def test_nothing_to_roll_back_to_is_said(cast: make.Cast, production: Environment) -> None:
    with pytest.raises(Refused, match="Nothing is live"):
        roll_back(environment=production, actor=cast.operator, reason="Because.")
    live()
    with pytest.raises(Refused, match="no earlier release"):
        roll_back(environment=production, actor=cast.operator, reason="Because.")


def test_one_can_roll_back_further_and_never_to_what_was_rolled_back(
    cast: make.Cast, production: Environment
) -> None:
    first, second, third = live(), live(), live()
    roll_back(environment=production, actor=cast.operator, reason="Bad.")
    assert (route().release, route().previous) == (second, first)
    roll_back(environment=production, actor=cast.operator, reason="Also bad.")
    assert (route().release, route().previous) == (first, None)
    assert states(first, second, third) == ["live", "rolled back", "rolled back"]
    with pytest.raises(Refused):
        roll_back(environment=production, actor=cast.operator, reason="All bad.")


def test_rolling_back_ends_what_warms_up_since_it_was_compared_with_what_goes(
    cast: make.Cast, production: Environment
) -> None:
    live()
    live()
    warming = make.release(state="warming")
    roll_back(environment=production, actor=cast.operator, reason="Bad.")
    assert states(warming) == ["rolled back"]


def test_a_warming_release_can_be_stopped_and_what_is_live_stays(cast: make.Cast) -> None:
    current = live()
    warming = make.release(state="warming")
    stop_warming(release=warming, actor=cast.operator, reason="Wrong day.")
    assert states(current, warming) == ["live", "rolled back"]
    with pytest.raises(StaleState):
        stop_warming(release=warming, actor=cast.operator, reason="Again.")


def test_a_release_that_cannot_be_loaded_has_failed_with_the_reason() -> None:
    make.cast()
    current = live()
    warming = make.release(state="warming")
    give_up(release=warming, reason="Its model could not be loaded. The disk is gone.")
    assert states(current, warming) == ["live", "failed"]
    assert warming.reason.endswith("The disk is gone.")
    assert route().release == current


def test_galley_installs_the_first_release_by_itself_and_twice_is_once(production: Environment) -> None:
    release = make.release(origin="initial")
    install_first_release(release=release)
    install_first_release(release=Release.objects.get(pk=release.pk))
    assert states(release) == ["warming"]
    event = AuditEvent.objects.get(subject=f"release:{release.pk}")
    assert (event.actor, event.actor_name) == (None, "galley")
    go_live(release=release)
    assert install_first_release(release=release).state == "live"


def test_where_something_was_live_only_an_approval_deploys(production: Environment) -> None:
    live()
    with pytest.raises(Refused, match="need an approval"):
        install_first_release(release=make.release(origin="initial"))
    with pytest.raises(Refused, match="only an initial one"):
        install_first_release(release=make.release(origin="retraining"))


def test_who_was_live_at_a_moment_is_one_question(production: Environment) -> None:
    before = timezone.now()
    first, second = live(), live()
    switched = Deployment.objects.get(release=second).live_from
    assert as_of(environment=production, at=before - timedelta(seconds=1)) is None
    found = [
        as_of(environment=production, at=at)
        for at in (switched - timedelta(microseconds=1), switched, timezone.now() + timedelta(days=1))
    ]
    assert [deployment.release if deployment else None for deployment in found] == [first, second, second]


def test_two_releases_are_never_live_at_the_same_time_whatever_the_code_does(production: Environment) -> None:
    live()
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.create(environment=production, release=make.release(), live_from=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        make.release(state="live")


def test_a_clock_that_was_set_back_does_not_stop_a_switch(
    production: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    with monkeypatch.context() as clock:
        clock.setattr("models_app.releases.deploying.timezone.now", lambda: ahead)
        live()
    second = live()
    assert route().release == second


@pytest.mark.django_db(transaction=True)
def test_of_two_who_press_roll_back_at_once_one_is_told_that_it_has_happened(cast: make.Cast) -> None:
    environment = Environment.objects.get(name="production")
    _first, second, third = live(), live(), live()
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def act() -> None:
        start.wait()
        try:
            roll_back(environment=environment, actor=cast.operator, reason="Bad.", expected=third.pk)
            outcomes.append("done")
        except StaleState:
            outcomes.append("stale")
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "stale"]
    assert route().release == second
    assert Deployment.objects.filter(live_to=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_change_wakes_the_serving_supervisor_at_commit(cast: make.Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    start_deployment(release=make.release(state="approved"), actor=cast.operator)
    assert connection.connection is not None
    heard = list(connection.connection.notifies(timeout=2, stop_after=1))
    assert [notice.channel for notice in heard] == [CHANNEL]
