"""How far people are with a release about which its policy asks them."""

from __future__ import annotations

from models_app.gates import policies, preference
from models_app.models import Comparison, Release
from models_app.releases.standing import Stand

OPEN = (
    Release.State.DRAFT,
    Release.State.EVALUATING,
    Release.State.BLOCKED,
    Release.State.NEEDS_EVIDENCE,
    Release.State.AWAITING,
    Release.State.CHANGES,
)


def asked_about(release: Release, comparison: Comparison | None, stand: Stand) -> preference.Progress | None:
    """None where nobody is asked: by the policy, because the metric moved far enough, or since it is decided.
    5 queries at most."""
    if comparison is None or release.state not in OPEN:
        return None
    held = stand.held
    if not policies.is_readable(held):  # the policy's own page says why
        return None
    policy = stand.policy
    if policy.preference.ask == "never":
        return None
    facts = preference.read(comparison=comparison, primary=policy.primary.metric, judges=stand.circle)
    return preference.progress_of(facts, policy.preference)
