"""Freeze windows: times in which nothing goes live in an environment, such as an election night or a holiday.

The environment's policy declares them. A release that is approved in one waits for its end and is started then; one
that warms up when it begins goes back to being approved. An emergency goes through, and so does a rollback, which puts
live what was live before. The database's clock counts, and the database refuses the switch by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from models_app.foundation.statements import database_time
from models_app.gates import policies
from models_app.gates.approvals import Freeze
from models_app.models.releases import Environment


def freeze_of(environment: Environment | int) -> Freeze | None:
    """The window that holds now; of several the one that ends last."""
    return freeze_among(policies.policy_of(environment).approvals.windows)


def freeze_among(windows: Sequence[Freeze]) -> Freeze | None:
    if not windows:
        return None
    now = database_time()
    return max((one for one in windows if one.holds(now)), key=lambda one: one.until, default=None)
