"""What a gate is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models_app.gates.results import Result
from models_app.models import Comparison, Release

if TYPE_CHECKING:
    from models_app.gates.policy import Policy


class Judges(Protocol):
    """Who the people are that may have chosen between a release and what is live; `releases` knows them."""

    @property
    def no_judges(self) -> Collection[int]:
        """Whose choices do not count, since they had a hand in the release."""

    def one_person_s(self, accounts: Sequence[int], /) -> Mapping[int, str]:
        """Of these, those that could be the account of the same person as one before, with why."""


def _unknown() -> Judges:
    raise ValueError("nobody said whose votes on the release do not count")


@dataclass(frozen=True)
class Judged:
    """`progress` says in a few words where a gate is that takes longer than a second; it stops a job that somebody
    cancelled, so a gate calls it every now and then and lets what it raises pass."""

    release: Release
    comparison: Comparison
    policy: Policy
    progress: Callable[[str], None]
    judges: Callable[[], Judges] = _unknown


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
