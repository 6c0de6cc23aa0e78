"""Waivers: what the policy allows of them, which hold, and for what. Who may agree to one, `releases` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from models_app.foundation.identity import canonical_digest
from models_app.models import GateResult, GateRun, Waiver
from models_app.models.gates import LONGEST_WAIVER, WAIVABLE
from models_app.texts.needs import Between, SomeOf


@dataclass(frozen=True)
class WaiversPolicy:
    """`allowed`: gates of which single results may be waived, by two people. `failures`: those that fail, too, and not
    only what is inconclusive."""

    LABELS: ClassVar = {
        "allowed": "Gates of which results may be waived",
        "failures": "What fails may be waived, too",
        "longest_days": "Days that a waiver lasts at most",
    }
    HELP: ClassVar = {
        "allowed": "By two people. Integrity, leakage, personal data and safety never, nor an error.",
        "failures": "Else only what is inconclusive.",
    }

    allowed: Annotated[tuple[str, ...], SomeOf(WAIVABLE)] = WAIVABLE
    failures: bool = False
    longest_days: Annotated[int, Between(1, LONGEST_WAIVER.days)] = 30


def digest_of_result(row: GateResult, settings: Mapping[str, Any]) -> str:
    """Over what was found, what is asked for, and the gate's settings in the policy that it was judged by, not over how
    it is said: the same finding in a later run has the same one, unless the gate asks for something else by then."""
    figures = [row.estimate, row.low, row.high, row.threshold, row.n]
    asked = [row.need, settings.get(row.gate, {})]
    return canonical_digest([row.gate, row.name, row.verdict, *map(_written, figures), *asked])


def _written(value: Any) -> str:
    return "-" if value is None else f"{value:.9g}"


def holding(waivers: Iterable[Waiver], *, at: datetime) -> dict[tuple[str, str, str], Waiver]:
    """Those that are agreed to, not ended and not over, by gate, name and digest of the result."""
    return {
        (waiver.gate, waiver.name, waiver.result_digest): waiver
        for waiver in waivers
        if waiver.agreed_at is not None and waiver.ended_at is None and at < waiver.expires_at
    }


def may_be_waived(row: GateResult, policy: WaiversPolicy) -> str:
    """Why not, in words; empty where it may."""
    if row.verdict == GateRun.Verdict.PASS:
        return "It passes; there is nothing to waive."
    if row.verdict == GateRun.Verdict.ERROR:
        return "An error is not waived: nobody knows what would be found. Run the gates again."
    if row.gate not in WAIVABLE:
        return "This gate is never waived."
    if row.gate not in policy.allowed:
        return "The policy does not allow waivers of this gate."
    if row.verdict == GateRun.Verdict.FAIL and not policy.failures:
        return "The policy does not allow waivers of what fails, only of what is inconclusive."
    return ""
