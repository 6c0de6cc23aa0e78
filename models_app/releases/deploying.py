"""What is live, and how that changes: warming a release up, switching to it, rolling back, who was live when.

A switch is one transaction around one `Route` row: the router in each web process follows it within half a second.
Everything here locks that row before it touches a release, so no two changes wait for each other.
`announce` wakes the serving supervisor the moment a transaction commits that changes which slots are wanted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Max, QuerySet
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import Refused, StaleState
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.models import Approval, Deployment, Release, Rollout, Route
from models_app.models.releases import Environment
from models_app.releases.composing import void_approvals
from models_app.releases.fuse import fuse_of
from models_app.releases.obstacles import at_most, wait_at_most
from models_app.releases.standing import Stand, freeze_for, needs_approvals, obstacle_to_going_live
from models_app.training.registering import artefact_path

CHANNEL = "galley_serving"
# How long a rollback waits for others' locks before it says whose they are: its own work takes milliseconds, a switch
# that looks at the evidence again at most two seconds.
LOCK_SECONDS = 5


def announce() -> None:
    """Tell the serving supervisor, at commit, that it should look at the routes and releases again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def start_deployment(*, release: Release, actor: Any | None) -> Release:
    """approved → warming: its slot is started, and it goes live by itself once the model answers.

    The last decision counts: a release that was still warming up is ended, since it was compared with what will not
    be live any more. Raises Refused in a freeze window, unless an emergency was declared.
    """
    require(actor, "deploy")
    with transaction.atomic():
        _lock_route(release.environment)
        if release.state != Release.State.APPROVED:
            raise StaleState(
                f"Release {release.pk} is {release.state}; only what is approved can be started."
            )
        kept = kept_from_starting(release)
        if kept is not None:
            raise Refused(
                f"{kept.message} Release {release.pk} stays approved and starts by itself afterwards.",
                code=kept.code,
            )
        end_rolling_out(release.environment, actor, f"Release {release.pk} was deployed in an emergency.")
        _end_warming(
            release.environment, actor, f"Release {release.pk} was deployed before this one was ready."
        )
        _warm_up(release, actor, expected="approved")
    return release


def kept_from_starting(release: Release, stand: Stand | None = None) -> Refused | None:
    """A freeze window, the fuse, or another release that is rolling out; None where it may start. An emergency is kept
    by none of them."""
    stand = stand or Stand(release)
    if stand.freeze is not None:
        return Refused(f"Nothing goes live in {release.environment} {stand.freeze.words}", code="frozen")
    if stand.is_emergency:
        return None
    fuse = fuse_of(release.environment)
    if fuse.blown:
        return Refused(f"Nothing starts in {release.environment}: {fuse.words}", code="fuse")
    other = rolling_out(release.environment).first()
    if other is not None:
        return Refused(f"Release {other.pk} is rolling out in {release.environment}.", code="rolling_out")
    return None


def start_approved() -> int:
    """Regular work: starts what was approved in a freeze window that is over, or while another release was rolling
    out, in the order of the decisions; what does not stand any more waits for approval again. Returns how many
    started."""
    waiting = Release.objects.filter(state=Release.State.APPROVED).select_related("environment")
    last = {release.pk: approved_at(release) for release in waiting}
    started = 0
    for release in sorted(waiting, key=lambda one: last[one.pk]):
        with transaction.atomic():
            _lock_route(release.environment)
            release.refresh_from_db(fields=["state"])
            if release.state != Release.State.APPROVED or kept_from_starting(release) is not None:
                continue
            problem, changed = obstacle_to_going_live(release)
            if problem:
                send_back(release, problem, evidence_changed=changed)
            else:
                start_deployment(release=release, actor=None)
                started += 1
    return started


def approved_at(release: Release) -> datetime:
    """When the last of its approvals was given."""
    given = Approval.objects.filter(release=release, decision=Approval.Decision.APPROVED, voided_at=None)
    return given.aggregate(last=Max("at"))["last"] or release.created_at


def install_first_release(*, release: Release) -> Release:
    """By Galley itself, for an environment where nothing has ever been live: draft → warming, without an approval."""
    with transaction.atomic():
        route = _lock_route(release.environment)
        release.refresh_from_db()
        if route.release_id == release.pk or release.state == Release.State.WARMING:
            return release
        if release.origin != Release.Origin.INITIAL:
            raise Refused(
                f"Release {release.pk} is of origin {release.origin}; only an initial one is installed."
            )
        if Deployment.objects.filter(environment=release.environment).exists():
            raise Refused(
                f"Environment {release.environment} has had a live release; others need an approval."
            )
        _end_warming(release.environment, None, f"Release {release.pk} is installed instead.")
        _warm_up(release, None, expected="draft")
    return release


def _warm_up(release: Release, actor: Any | None, *, expected: str) -> None:
    move(release, to="warming", expected=expected, actor=actor, action="deployment.start")
    announce()


def _end_warming(environment: Environment, actor: Any | None, reason: str) -> None:
    for other in Release.objects.filter(environment=environment, state=Release.State.WARMING):
        _move_with_reason(other, to="rolled back", actor=actor, action="deployment.stop", reason=reason)


def rolling_out(environment: Environment) -> QuerySet[Release]:
    return Release.objects.filter(environment=environment, state__in=Release.ROLLING_OUT)


def end_rolling_out(
    environment: Environment,
    actor: Any | None,
    reason: str,
    *,
    outcome: str = Rollout.Outcome.ENDED,
    action: str = "rollout.stop",
) -> None:
    """All requests go to what is live, by who holds the route; nothing where no release is rolling out."""
    for release in rolling_out(environment):
        weigh(environment, None, 0)
        _move_with_reason(release, to="rolled back", actor=actor, action=action, reason=reason)
        close_rollout(release, outcome=outcome, reason=reason)


def weigh(environment: Environment, canary: Release | None, weight: int) -> None:
    """The share of the requests that goes to the canary, in percent, by who holds the route."""
    Route.objects.filter(environment=environment).update(
        canary=canary, canary_weight=weight, epoch=F("epoch") + 1, updated_at=timezone.now()
    )
    announce()


def close_rollout(release: Release, *, outcome: str, reason: str) -> None:
    Rollout.objects.filter(release=release, ended_at=None).update(
        ended_at=timezone.now(), outcome=outcome, reason=reason
    )


def _move_with_reason(release: Release, *, to: str, actor: Any | None, action: str, reason: str) -> None:
    move(release, to=to, actor=actor, action=action, reason=reason)
    Release.objects.filter(pk=release.pk).update(reason=reason)
    release.reason = reason


def go_live(*, release: Release, actor: Any | None = None) -> Deployment:
    """warming → live, once its slot answers, if it still stands on its evidence and on enough approvals.

    Where it does not, it waits for approval again, in a freeze window for its end, and Refused is raised; StaleState
    for the call that comes second.
    """
    require(actor, "deploy")
    with transaction.atomic():
        _lock_route(release.environment)
        release.refresh_from_db()
        refused = not_cleared(release)
        if refused is None:
            return put_live(release=release, actor=actor)
    raise refused


def not_cleared(release: Release) -> Refused | None:
    """Before a warming release gets its first request, by who holds the route: why it gets none, as its state says
    afterwards; None where it may. What is returned is to be raised once that state is committed."""
    if release.state != Release.State.WARMING:
        return None
    problem, changed = obstacle_to_going_live(release)
    freeze = freeze_for(release) if needs_approvals(release) else None
    if problem:
        send_back(release, problem, evidence_changed=changed)
    elif freeze is not None:
        problem = f"Nothing goes live in {release.environment} {freeze.words}"
        _move_with_reason(release, to="approved", actor=None, action="deployment.frozen", reason=problem)
        announce()
    else:
        return None
    code = "frozen" if freeze is not None and release.state == Release.State.APPROVED else "not_approved"
    return Refused(f"Release {release.pk} does not go live. {problem}", code=code)


def send_back(release: Release, problem: str, *, evidence_changed: bool) -> None:
    """To approval, by who holds the route and the release. Its approvals are void where the evidence changed."""
    _move_with_reason(
        release, to="awaiting approval", actor=None, action="deployment.sent_back", reason=problem
    )
    if evidence_changed:
        void_approvals(release=release, reason=problem)
    announce()


def put_live(*, release: Release, actor: Any | None = None) -> Deployment:
    """The switch itself, for `go_live`, which has asked whether it may."""
    with transaction.atomic():
        route = _lock_route(release.environment)
        now = timezone.now()
        before = route.release
        if before is not None:
            move(
                before, to="superseded", actor=actor, action="deployment.superseded", data={"by": release.pk}
            )
        _close(release.environment, now, actor, f"Release {release.pk} went live.")
        expected = "baking" if release.state == Release.State.BAKING else "warming"
        move(release, to="live", expected=expected, actor=actor, action="deployment.live")
        started_by = actor or _decided_by(release)
        return _switch(route, release, previous=before, at=now, started_by=started_by)


def give_up(*, release: Release, reason: str) -> None:
    """warming → failed, by the serving supervisor: its model cannot be loaded. What is live stays live."""
    with transaction.atomic():
        _lock_route(release.environment)
        _move_with_reason(release, to="failed", actor=None, action="deployment.failed", reason=reason)
        announce()


def stop_warming(*, release: Release, actor: Any | None, reason: str) -> None:
    """End a deployment that has not gone live yet."""
    require(actor, "deploy")
    reason = audit.said_why(reason)
    with transaction.atomic():
        _lock_route(release.environment)
        if release.state != Release.State.WARMING:
            raise StaleState(f"Release {release.pk} is {release.state}; it is not warming up.")
        _move_with_reason(release, to="rolled back", actor=actor, action="deployment.stop", reason=reason)
        announce()


def roll_back(
    *,
    environment: Environment,
    actor: Any | None,
    reason: str,
    expected: int | None = None,
    to: int | None = None,
) -> Deployment:
    """An earlier release is live again at once: one operator, no gate. What was live is rolled back for good.

    It goes to the release before, or further back to release `to`; those in between are rolled back too. What would
    collide with it or was compared with what is taken away is ended: a release that warms up, and drafts and
    submissions of the same content. `expected` is the live release that the caller looked at: pressing the button
    twice goes back once. Raises StaleState where another one is live meanwhile, Refused where there is nothing to go
    back to or its files are missing and `to` does not insist, Unavailable where another session of the database
    keeps it waiting (`obstacles.holders` names it).
    """
    require(actor, "deploy")
    reason = audit.said_why(reason)
    with at_most(LOCK_SECONDS), transaction.atomic():
        wait_at_most(LOCK_SECONDS)
        route = _lock_route(environment)
        if route.release is None:
            raise Refused(f"Nothing is live in {environment}.")
        if expected is not None and route.release.pk != expected:
            raise StaleState(f"Release {route.release.pk} is live meanwhile, not {expected}. Look again.")
        current, target = route.release, _target(route, to)
        now = timezone.now()
        end_rolling_out(environment, actor, f"Release {current.pk}, which it was beside, was rolled back.")
        _end_warming(environment, actor, f"Release {current.pk}, which was live, was rolled back.")
        _withdraw_the_same(target, actor)
        _move_with_reason(
            current, to="rolled back", actor=actor, action="deployment.roll_back", reason=reason
        )
        _roll_back_between(target, actor, reason)
        _close(environment, now, actor, f"Rolled back: {reason}")
        move(
            target,
            to="live",
            actor=actor,
            action="deployment.live",
            reason=f"Release {current.pk} was rolled back.",
        )
        return _switch(route, target, previous=_before(target), at=now, started_by=actor)


def earlier_releases(environment: Environment) -> list[Release]:
    """What can be gone back to, the one that was live last first."""
    return list(
        Release.objects.filter(environment=environment, state=Release.State.SUPERSEDED)
        .annotate(last_live=Max("deployments__live_from"))
        .filter(last_live__isnull=False)
        .select_related("model_version")
        .order_by("-last_live", "-pk")
    )


def _target(route: Route, to: int | None) -> Release:
    earlier = earlier_releases(route.environment)
    if not earlier:
        raise Refused(f"There is no earlier release in {route.environment} to go back to.")
    if to is None:
        problem = files_problem(earlier[0])
        if problem:
            raise Refused(
                f"Release {earlier[0].pk} cannot be loaded: {problem} Name the release to go back to; "
                "one whose files are missing is made live if it is named.",
                code="not_loadable",
            )
        return earlier[0]
    for release in earlier:
        if release.pk == to:
            return release
    raise Refused(f"Release {to} was not live before in {route.environment}, or was rolled back for good.")


def files_problem(release: Release) -> str:
    """Why the release cannot be loaded by what lies on the disk; empty where it can."""
    if release.model_version.family == "lead":
        return ""
    try:
        artefact_path(release.model_version)
    except Refused as error:
        return error.message
    return ""


def _withdraw_the_same(target: Release, actor: Any | None) -> None:
    """What has the content of the release that becomes live again would be compared with itself."""
    same = Release.objects.select_for_update().filter(
        environment=target.environment_id,
        digest=target.digest,
        state__in=set(Release.ON_ITS_WAY) - {Release.State.WARMING, *Release.ROLLING_OUT},
    )
    for other in same.order_by("pk"):
        _move_with_reason(
            other, to="withdrawn", actor=actor, action="release.withdraw",
            reason=f"Release {target.pk}, which is exactly this, is live again after a rollback.",
        )  # fmt: skip


def _roll_back_between(target: Release, actor: Any | None, reason: str) -> None:
    for release in earlier_releases(target.environment):
        if release.pk == target.pk:
            return
        _move_with_reason(
            release, to="rolled back", actor=actor, action="deployment.roll_back",
            reason=f"Passed over by the rollback to release {target.pk}: {reason}",
        )  # fmt: skip


def _before(release: Release) -> Release | None:
    """The release that was live last before this one and may be live again."""
    last = (
        Deployment.objects.filter(environment=release.environment_id, release__state=Release.State.SUPERSEDED)
        .exclude(release=release)
        .order_by("-live_from")
        .select_related("release")
        .first()
    )
    return last.release if last else None


def _lock_route(environment: Environment) -> Route:
    """The environment's route, held until the transaction ends: switches come one after another.

    Its releases are fetched by later queries: joined here, they would be those from before the wait for the lock.
    """
    return Route.objects.select_for_update().get(environment=environment)


def _close(environment: Environment, now: datetime, actor: Any | None, reason: str) -> None:
    for deployment in Deployment.objects.filter(environment=environment, live_to=None):
        deployment.live_to = max(now, deployment.live_from)
        deployment.ended_by = actor
        deployment.end_reason = reason[:300]
        deployment.save(update_fields=["live_to", "ended_by", "end_reason"])


def _switch(
    route: Route, release: Release, *, previous: Release | None, at: datetime, started_by: Any | None
) -> Deployment:
    last = Deployment.objects.filter(environment=route.environment_id).order_by("-live_to").first()
    # a clock that was set back must not make intervals overlap
    live_from = max(at, last.live_to) if last and last.live_to else at
    deployment = Deployment.objects.create(
        environment_id=route.environment_id, release=release, live_from=live_from, started_by=started_by
    )
    Route.objects.filter(pk=route.pk).update(
        release=release, previous=previous, epoch=route.epoch + 1, updated_at=timezone.now()
    )
    announce()
    return deployment


def _decided_by(release: Release) -> Any | None:
    """Whose approval it was that let the release go live."""
    approval = (
        Approval.objects.filter(release=release, decision="approved", voided_at=None)
        .select_related("approver")
        .order_by("-id")
        .first()
    )
    return approval.approver if approval else None


def as_of(*, environment: Environment, at: datetime) -> Deployment | None:
    """What was live at that moment."""
    return (
        Deployment.objects.filter(environment=environment, live_from__lte=at)
        .exclude(live_to__lte=at)
        .select_related("release__model_version", "release__prompt_version__prompt", "started_by", "ended_by")
        .first()
    )
