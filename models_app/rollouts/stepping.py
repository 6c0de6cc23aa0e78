"""A rollout's life: it begins when the release's model answers, goes on by what is counted, and ends live or not.

Everything here locks the environment's route before it touches a release, as all of `releases.deploying` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import Refused, StaleState
from models_app.foundation.roles import require
from models_app.foundation.transitions import move
from models_app.gates import policies
from models_app.gates.rollout import RolloutPolicy
from models_app.models import Release, Rollout, RolloutLook, Route, Slot
from models_app.releases import deploying
from models_app.releases.freezes import freeze_of
from models_app.releases.standing import Stand, obstacle_to_going_live
from models_app.rollouts import counting
from models_app.rollouts.deciding import Act, Decision, Facts, Limits, Measured, Step, decide
from models_app.rollouts.looks import ALPHA, Interval, beside_each, concurrent_p, look, planned

ALL = 100
MOST_LOOKED_AT = 1_000_000
# A slot that died so often while it had traffic is broken.
MOST_DEATHS = 2


def begin(*, release: Release) -> Rollout | None:
    """Once the model of a warming release answers: the first share of the traffic, or all of it at once (None) where
    nothing is live beside it, an emergency was declared, or the policy says so. Raises as `deploying.go_live` does."""
    with transaction.atomic():
        route = Route.objects.select_for_update().get(environment=release.environment_id)
        release.refresh_from_db()
        refused = deploying.not_cleared(release)
        if refused is None:
            beside = route.release
            if beside is None or _at_once(release):
                deploying.put_live(release=release)
                return None
            return _begin(beside, release)
    raise refused


def _begin(beside: Release, release: Release) -> Rollout:
    policy = policies.holding(release.environment)
    now, weight = timezone.now(), policies.read(policy).rollout.steps[0]["weight"]
    rollout = Rollout.objects.create(
        environment=release.environment, release=release, beside=beside, policy=policy,
        began_at=now, step_began_at=now,
    )  # fmt: skip
    move(
        release, to="canary", expected="warming", actor=None, action="rollout.begin",
        data={"weight": weight, "beside": beside.pk},
    )  # fmt: skip
    deploying.weigh(release.environment, release, weight)
    return rollout


def _at_once(release: Release) -> bool:
    if release.origin == Release.Origin.INITIAL or Stand(release).is_emergency:
        return True
    section = policies.policy_of(release.environment).rollout
    if not section.steps:
        return True
    a_day = counting.requests_a_day(release.environment_id, before=timezone.now())
    return a_day < section.quiet_below


@dataclass(frozen=True)
class Seen:
    """A rollout as it stands: what a page shows and what is decided by."""

    rollout: Rollout
    section: RolloutPolicy
    step: Step
    facts: Facts
    decision: Decision


def open_rollouts() -> list[Rollout]:
    return list(Rollout.objects.filter(ended_at=None).select_related("release", "environment", "policy"))


def turn(*, rollout: Rollout, advance_by: Any | None = None) -> Decision:
    """Look, if a look is due, then do what is decided: called again and again by the serving supervisor, and once by
    who presses Advance. Raises StaleState where the rollout is over."""
    with transaction.atomic():
        route = Route.objects.select_for_update().get(environment=rollout.environment_id)
        rollout = _still_open(rollout)
        _take_looks(rollout)
        seen = see(rollout, asked_to_advance=advance_by is not None)
        _do(route, seen, advance_by)
        return seen.decision


def _still_open(rollout: Rollout) -> Rollout:
    rows = Rollout.objects.select_related("release", "environment", "policy")
    fresh = rows.get(pk=rollout.pk)
    if fresh.ended_at is not None:
        raise StaleState(f"{str(fresh).capitalize()} is over: release {fresh.release_id} is {fresh.outcome}.")
    return fresh


def see(rollout: Rollout, *, asked_to_advance: bool = False) -> Seen:
    section = policies.read(rollout.policy).rollout
    step = _step(section, rollout.step)
    facts = _facts(rollout)
    limits = Limits(
        latency_ratio=section.latency_ratio,
        quiet_minutes=section.quiet_minutes,
        hold_hours=section.hold_hours,
        by_hand=section.advance == "by hand",
    )
    return Seen(rollout, section, step, facts, decide(step, facts, limits, asked_to_advance=asked_to_advance))


def _step(section: RolloutPolicy, number: int) -> Step:
    """Past the last one it has all of the traffic, and bakes."""
    if number < len(section.steps):
        return Step(**section.steps[number])
    return Step(weight=ALL, requests=0, minutes=section.bake_minutes)


def _facts(rollout: Rollout) -> Facts:
    now = timezone.now()
    newest = counting.newest_request(rollout.release_id, since=rollout.began_at) or rollout.began_at
    return Facts(
        requests=counting.requests(rollout.release_id, since=rollout.step_began_at),
        minutes=_minutes(now, rollout.step_began_at),
        measured=measured(rollout),
        latency=counting.latency_ratio(
            counting.latencies(rollout.release_id, since=rollout.began_at),
            counting.latencies(rollout.beside_id, since=rollout.began_at - counting.DAY_BEFORE),
        ),
        hard_stop=_hard_stop(rollout),
        quiet_minutes=_minutes(now, newest),
        held_hours=_minutes(now, rollout.held_since) / 60 if rollout.held_since else 0.0,
        paused=rollout.paused_at is not None,
        frozen=_frozen(rollout),
    )


def _frozen(rollout: Rollout) -> str:
    freeze = freeze_of(rollout.environment_id)
    return "" if freeze is None else f"It gets no more {freeze.words}"


def _minutes(now: datetime, since: datetime) -> float:
    return max(0.0, (now - since).total_seconds() / 60)


def _hard_stop(rollout: Rollout) -> str:
    slot = Slot.objects.filter(release=rollout.release_id).first()
    if slot is None or slot.failures < MOST_DEATHS:
        return ""
    return f"Its model died or could not be loaded {slot.failures} times. {slot.reason}".strip()


# ---------------------------------------------------------------- looks


def measured(rollout: Rollout) -> list[Measured]:
    """Each measure with its looks, as they were taken."""
    taken: dict[str, list[RolloutLook]] = {name: [] for name in ALPHA}
    for row in rollout.looks.order_by("number"):
        taken[row.measure].append(row)
    return [
        Measured(name, look(_intervals(rows), alpha=ALPHA[name]), rows[-1].concurrent_p if rows else 1.0)
        for name, rows in taken.items()
    ]


def _intervals(rows: list[RolloutLook]) -> list[Interval]:
    """Of counts since the beginning, what came between them."""
    before, found = (0, 0, 0, 0), []
    for row in rows:
        now = (row.canary_requests, row.canary_events, row.live_requests, row.live_events)
        found.append(Interval(*(new - old for new, old in zip(now, before, strict=True))))
        before = now
    return found


def _take_looks(rollout: Rollout) -> None:
    """One look of each measure where as many requests came as the next one was planned at. Where requests came faster
    than we looked, those in between are left out: none is caught up with, since they would all see the same counts."""
    if rollout.step > 0 and rollout.release.state == Release.State.BAKING:
        return  # nothing is live beside it any more
    requests = counting.requests(rollout.release_id, since=rollout.began_at)
    taken = rollout.looks.order_by("-canary_requests").values_list("canary_requests", flat=True).first() or 0
    due = [at for at in planned(MOST_LOOKED_AT) if taken < at <= requests]
    if not due:
        return
    canary = counting.counts(rollout.release_id, since=rollout.began_at)
    beside = counting.counts(rollout.beside_id, since=rollout.began_at)
    earlier = counting.day_before(rollout)
    for name in ALPHA:
        _look_at(rollout, name, canary, beside, earlier)


def _look_at(
    rollout: Rollout, name: str, canary: counting.Counts, beside: counting.Counts, earlier: counting.Counts
) -> None:
    before = list(rollout.looks.filter(measure=name).order_by("number"))
    used, used_events = 0, 0
    if name in earlier.events:
        used, used_events = beside_each(canary.requests, earlier.requests, earlier.events[name])
    row = RolloutLook(
        rollout=rollout, measure=name, number=len(before) + 1,
        canary_requests=canary.requests, canary_events=canary.events[name],
        live_requests=beside.requests + used, live_events=beside.events[name] + used_events,
        concurrent_requests=beside.requests, concurrent_events=beside.events[name],
    )  # fmt: skip
    if before and not _grown(before[-1], row):
        return  # rows were deleted by retention, or a person took back what they said: no interval is negative
    last = look(_intervals([*before, row]), alpha=ALPHA[name])[-1]
    row.boundary, row.p, row.spent = last.boundary, last.p, last.spent
    row.concurrent_p = concurrent_p(
        Interval(canary.requests, canary.events[name], beside.requests, beside.events[name])
    )
    row.save()


def _grown(before: RolloutLook, after: RolloutLook) -> bool:
    names = ("canary_requests", "canary_events", "live_requests", "live_events")
    return all(getattr(after, name) >= getattr(before, name) for name in names)


# ---------------------------------------------------------------- what is decided is done


def _do(route: Route, seen: Seen, by: Any | None) -> None:
    rollout, decision = seen.rollout, seen.decision
    reason = " ".join(decision.reasons)
    if decision.act == Act.STOP:
        deploying.end_rolling_out(rollout.environment, None, reason, outcome=Rollout.Outcome.STOPPED)
    elif decision.act == Act.HOLD:
        _hold(rollout, reason, kept_waiting=seen.facts.kept_waiting)
    else:
        _release_hold(rollout, seen.section)
        if decision.act == Act.ADVANCE:
            _advance(route, seen, by)


def _hold(rollout: Rollout, reason: str, *, kept_waiting: bool) -> None:
    """`held_since` is counted from where it waits for something to decide on: a pause and a freeze may last."""
    release = rollout.release
    if release.state != Release.State.HELD:
        move(release, to="held", actor=None, action="rollout.hold", reason=reason)
    since = None if kept_waiting else rollout.held_since or timezone.now()
    if (since, reason) != (rollout.held_since, rollout.held_reason):
        Rollout.objects.filter(pk=rollout.pk).update(held_since=since, held_reason=reason)


def _release_hold(rollout: Rollout, section: RolloutPolicy) -> None:
    release = rollout.release
    if release.state != Release.State.HELD:
        return
    to = "canary" if rollout.step < len(section.steps) else "baking"
    move(release, to=to, actor=None, action="rollout.go_on")
    Rollout.objects.filter(pk=rollout.pk).update(held_since=None, held_reason="")


def _advance(route: Route, seen: Seen, by: Any | None) -> None:
    rollout, release = seen.rollout, seen.rollout.release
    if rollout.step >= len(seen.section.steps):
        _make_live(route, rollout, by)
        return
    problem, changed = obstacle_to_going_live(release)
    if problem:
        _send_back(route, rollout, problem, changed)
        return
    number = rollout.step + 1
    weight = _step(seen.section, number).weight
    Rollout.objects.filter(pk=rollout.pk).update(step=number, step_began_at=timezone.now())
    if number == len(seen.section.steps):
        move(release, to="baking", actor=by, action="rollout.bake", data={"weight": weight})
    else:
        audit.record(actor=by, action="rollout.advance", subject=release, data={"weight": weight})
    deploying.weigh(route.environment, release, weight)


def _make_live(route: Route, rollout: Rollout, by: Any | None) -> None:
    problem, changed = obstacle_to_going_live(rollout.release)
    if problem:
        _send_back(route, rollout, problem, changed)
        return
    deploying.weigh(route.environment, None, 0)
    deploying.close_rollout(rollout.release, outcome=Rollout.Outcome.LIVE, reason="")
    deploying.put_live(release=rollout.release, actor=by)


def _send_back(route: Route, rollout: Rollout, problem: str, evidence_changed: bool) -> None:
    deploying.weigh(route.environment, None, 0)
    deploying.close_rollout(rollout.release, outcome=Rollout.Outcome.SENT_BACK, reason=problem)
    deploying.send_back(rollout.release, problem, evidence_changed=evidence_changed)


# ---------------------------------------------------------------- people


def pause(*, rollout: Rollout, actor: Any | None, reason: str) -> None:
    """It keeps its share and gets no more until somebody resumes it; what stops it goes on stopping it."""
    require(actor, "deploy")
    reason = audit.said_why(reason)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=rollout.environment_id)
        rollout = _still_open(rollout)
        if rollout.paused_at is not None:
            raise StaleState(f"{str(rollout).capitalize()} is paused already.")
        Rollout.objects.filter(pk=rollout.pk).update(
            paused_by=actor, paused_at=timezone.now(), paused_reason=reason
        )
        audit.record(actor=actor, action="rollout.pause", subject=rollout.release, reason=reason)
        _hold(rollout, "It is paused.", kept_waiting=True)


def resume(*, rollout: Rollout, actor: Any | None) -> None:
    require(actor, "deploy")
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=rollout.environment_id)
        rollout = _still_open(rollout)
        if rollout.paused_at is None:
            raise StaleState(f"{str(rollout).capitalize()} is not paused.")
        Rollout.objects.filter(pk=rollout.pk).update(paused_by=None, paused_at=None, paused_reason="")
        audit.record(actor=actor, action="rollout.resume", subject=rollout.release)
        rollout = _still_open(rollout)
        _do(Route.objects.get(environment=rollout.environment_id), see(rollout), None)


def advance(*, rollout: Rollout, actor: Any | None) -> Decision:
    """The next step, if this one's conditions hold; they are not walked round. Raises Refused with what is open."""
    require(actor, "deploy")
    decision = turn(rollout=rollout, advance_by=actor)
    if decision.act != Act.ADVANCE:
        raise Refused(" ".join(decision.reasons), code="not_yet")
    return decision


def roll_back(*, rollout: Rollout, actor: Any | None, reason: str) -> None:
    """All requests go to what is live, at once, and the release is ended: one operator, no gate."""
    require(actor, "deploy")
    reason = audit.said_why(reason)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=rollout.environment_id)
        rollout = _still_open(rollout)
        deploying.end_rolling_out(
            rollout.environment,
            actor,
            reason,
            outcome=Rollout.Outcome.ROLLED_BACK,
            action="rollout.roll_back",
        )
