"""How far people are with a release about which its policy asks them."""

from __future__ import annotations

from collections.abc import Collection

from models_app.gates import policies, preference
from models_app.models import Comparison, Release

OPEN = (
    Release.State.DRAFT,
    Release.State.EVALUATING,
    Release.State.BLOCKED,
    Release.State.NEEDS_EVIDENCE,
    Release.State.AWAITING,
    Release.State.CHANGES,
)


def asked_about(
    release: Release, comparison: Comparison | None, *, left_out: Collection[int]
) -> preference.Progress | None:
    """None where nobody is asked: by the policy, because the metric moved far enough, or since it is decided.
    `left_out`: people whose votes do not count. 5 queries at most."""
    if comparison is None or release.state not in OPEN:
        return None
    held = policies.holding(release.environment_id)
    if not policies.is_readable(held):  # the policy's own page says why
        return None
    policy = policies.read(held)
    if policy.preference.ask == "never":
        return None
    facts = preference.read(comparison=comparison, primary=policy.primary.metric, left_out=left_out)
    return preference.progress_of(facts, policy.preference)
