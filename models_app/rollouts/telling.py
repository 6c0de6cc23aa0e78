"""A rollout as a program is told it: what is counted, what was seen, and what it waits for."""

from __future__ import annotations

from typing import Any

from models_app.foundation.errors import NotFound, StaleState
from models_app.models import Release, Rollout, RolloutLook
from models_app.releases.fuse import fuse_of
from models_app.rollouts import stepping
from models_app.rollouts.looks import ALPHA, planned

MOST_PLANNED = 1_000_000


def rollout_of(release: Release) -> Rollout:
    """Its newest. Raises NotFound where it had none."""
    rows = Rollout.objects.select_related("environment", "policy", "paused_by", "release", "beside")
    found = rows.filter(release=release).order_by("-pk").first()
    if found is None:
        raise NotFound(f"Release {release.pk} is {release.state}; it has had no rollout.")
    return found


def open_rollout_of(release: Release) -> Rollout:
    """Raises StaleState where it is not rolling out."""
    found = Rollout.objects.filter(release=release, ended_at=None).first()
    if found is None:
        raise StaleState(f"Release {release.pk} is {release.state}; it is not rolling out.")
    return found


def document(rollout: Rollout) -> dict[str, Any]:
    seen = stepping.see(rollout)
    over = rollout.ended_at is not None
    facts, fuse = seen.facts, fuse_of(rollout.environment)
    ratio = facts.latency
    return {
        "rollout": rollout.pk,
        "release": rollout.release_id,
        "beside": rollout.beside_id,
        "environment": rollout.environment.name,
        "state": rollout.release.state,
        "outcome": rollout.outcome or None,
        "act": None if over else seen.decision.act.value,
        "reasons": [rollout.reason] if over and rollout.reason else [] if over else [*seen.decision.reasons],
        "weight": 0 if over else seen.step.weight,
        "step": min(rollout.step + 1, len(seen.section.steps) + 1),
        "steps": len(seen.section.steps) + 1,
        "requests": facts.requests,
        "requests_needed": seen.step.requests,
        "minutes": round(facts.minutes, 1),
        "minutes_needed": seen.step.minutes,
        "paused_by": rollout.paused_by.get_username() if rollout.paused_by is not None else None,
        "latency_ratio": None if ratio is None else round(ratio.estimate, 3),
        "looks": [_newest(rollout, name) for name in ALPHA],
        "fuse_used": fuse.used,
        "fuse_allowed": fuse.allowed,
        "began_at": rollout.began_at,
        "ended_at": rollout.ended_at,
    }


def _newest(rollout: Rollout, measure: str) -> dict[str, Any]:
    row = rollout.looks.filter(measure=measure).order_by("-number").first() or RolloutLook(
        canary_requests=0, canary_events=0, concurrent_requests=0, concurrent_events=0, number=0
    )
    return {
        "measure": measure,
        "looks": row.number,
        "canary_requests": row.canary_requests,
        "canary_events": row.canary_events,
        "live_requests": row.concurrent_requests,
        "live_events": row.concurrent_events,
        "stops_at": row.boundary,
        "next_look": next_look(row.canary_requests),
    }


def next_look(canary_requests: int) -> int | None:
    """At how many requests to the canary; None where no look is planned after that."""
    return next((at for at in planned(MOST_PLANNED) if at > canary_requests), None)
