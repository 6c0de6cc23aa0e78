"""What a gate is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models_app.gates.results import Result
from models_app.models import Comparison, Release

if TYPE_CHECKING:
    from models_app.gates.policy import Policy


def _unknown() -> Collection[int]:
    raise ValueError("nobody said whose votes on the release do not count")


@dataclass(frozen=True)
class Judged:
    """`progress` says in a few words where a gate is that takes longer than a second; it stops a job that somebody
    cancelled, so a gate calls it every now and then and lets what it raises pass. `no_judges`: ids of the people whose
    votes on the release do not count, since they had a hand in it; `releases` knows them."""

    release: Release
    comparison: Comparison
    policy: Policy
    progress: Callable[[str], None]
    no_judges: Callable[[], Collection[int]] = _unknown


def always(policy: Policy) -> bool:
    return True


def nothing(policy: Policy) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Gate:
    """`judge` reads the facts and decides; no row is an error. `applies`: whether the policy asks for it.
    `waivable`: whether a policy may allow waivers of it at all. `lacking`: by field of its section, what the policy
    asks for that is not there, so that no release could pass; a policy is not saved with it."""

    name: str
    label: str
    judge: Callable[[Judged], Sequence[Result]]
    waivable: bool = False
    applies: Callable[[Policy], bool] = always
    lacking: Callable[[Policy], Mapping[str, str]] = nothing
