"""The fuse of an environment: after so many rollbacks in a day nothing starts there until an approver says so.

A rollback is a rollout that was stopped or rolled back, or a live release that was. Who rolls back is never kept from
it, and what an emergency puts live is not either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.foundation.statements import database_time
from models_app.gates import policies
from models_app.models import Deployment, FuseLift, Rollout, Route
from models_app.models.releases import Environment

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Fuse:
    """`used` of `allowed` rollbacks since a day ago, or since it was lifted."""

    used: int
    allowed: int

    @property
    def blown(self) -> bool:
        return self.used >= self.allowed

    @property
    def words(self) -> str:
        return (
            f"{self.used:,} rollback{'s' * (self.used != 1)} in a day froze it: an approver lifts the fuse."
        )


def fuse_of(environment: Environment) -> Fuse:
    allowed = policies.policy_of(environment).rollout.fuse_rollbacks
    since = database_time() - DAY
    lifted = FuseLift.objects.filter(environment=environment).order_by("-id").first()
    if lifted is not None:
        since = max(since, lifted.at)
    return Fuse(rollbacks(environment, since=since), allowed)


def rollbacks(environment: Environment, *, since: datetime) -> int:
    ended = (Rollout.Outcome.STOPPED, Rollout.Outcome.ROLLED_BACK)
    rollouts = Rollout.objects.filter(environment=environment, outcome__in=ended, ended_at__gt=since)
    live = Deployment.objects.filter(environment=environment, live_to__gt=since, release__state="rolled back")
    return rollouts.count() + live.count()


def lift(*, environment: Environment, actor: Any, reason: str) -> FuseLift:
    """By somebody who approves releases. Raises Refused where it is whole."""
    require(actor, "approve_release")
    reason = audit.said_why(reason)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=environment)
        fuse = fuse_of(environment)
        if not fuse.blown:
            raise Refused(f"Nothing is frozen in {environment}: {fuse.used} of {fuse.allowed} rollbacks.")
        lifted = FuseLift.objects.create(
            environment=environment, lifted_by=actor, reason=reason, at=database_time()
        )
        audit.record(
            actor=actor, action="fuse.lift", subject=f"environment:{environment.name}", reason=reason,
            data={"rollbacks": fuse.used},
        )  # fmt: skip
    return lifted
