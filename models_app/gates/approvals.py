"""The part of a policy that is about people and time: how many approve, how long, and when nothing goes live. Pure.
What follows from it, `releases` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from models_app.texts.needs import Between

LONGEST_REASON = 300
MOST_FREEZES = 50


@dataclass(frozen=True)
class Freeze:
    """From one moment until another, which is no longer in it."""

    since: datetime
    until: datetime
    reason: str

    def holds(self, at: datetime) -> bool:
        return self.since <= at < self.until

    @property
    def words(self) -> str:
        return f"until {self.until:%d %B %Y, %H:%M %Z}: {self._why}."

    @property
    def whole(self) -> str:
        """With its beginning, too."""
        return f"{self.since:%d %B %Y, %H:%M} to {self.until:%d %B %Y, %H:%M %Z}: {self._why}"

    @property
    def _why(self) -> str:
        return self.reason.strip().rstrip(".")


def freeze(value: Any) -> Freeze | None:
    """Of an entry of the policy, {"from": moment, "to": moment, "reason": words}; None where it is none. Moments are
    ISO 8601 with their offset."""
    if not isinstance(value, Mapping) or set(value) != {"from", "to", "reason"}:
        return None
    since, until, reason = _moment(value["from"]), _moment(value["to"]), value["reason"]
    if since is None or until is None or not isinstance(reason, str):
        return None
    found = Freeze(since, until, reason)
    return None if wrong_with(found) else found


def wrong_with(window: Freeze) -> dict[str, str]:
    """By "from", "to" and "reason"."""
    years = "Between the years 2000 and 2199."
    wrong = {
        name: years
        for name, moment in (("from", window.since), ("to", window.until))
        if not 2000 <= moment.year < 2200
    }
    if window.since >= window.until:
        wrong.setdefault("to", "It ends after it begins.")
    if not window.reason.strip():
        wrong["reason"] = "Say why nothing goes live; releases that wait show it."
    elif len(window.reason) > LONGEST_REASON:
        wrong["reason"] = f"At most {LONGEST_REASON} characters."
    return wrong


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.utcoffset() is not None else None


@dataclass(frozen=True)
class Freezes:
    """A list of windows."""

    def holds(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) > MOST_FREEZES:
            return False
        return all(freeze(one) is not None for one in value)

    def noun(self, kind: str) -> str:
        return "a list of freeze windows"

    def words(self, kind: str) -> str:
        return (
            'A list of {"from": "2026-12-24T12:00+01:00", "to": "2026-12-27T08:00+01:00", "reason": "Holidays"}: '
            f"moments with their offset, from before to, a reason of at most {LONGEST_REASON} characters; at most "
            f"{MOST_FREEZES} of them."
        )


@dataclass(frozen=True)
class ApprovalsPolicy:
    """`emergency`: whether one approver may put a release live when it cannot wait, which is reviewed afterwards."""

    LABELS: ClassVar = {
        "approvers": "Different people who approve",
        "expire_after_days": "Days after which a release that waits expires",
        "emergency": "One approver may put live what cannot wait",
        "freezes": "Freeze windows, in which nothing goes live",
    }

    approvers: Annotated[int, Between(1, 5)] = 2
    expire_after_days: Annotated[int, Between(1, 90)] = 14
    emergency: bool = True
    freezes: Annotated[Sequence[Mapping[str, str]], Freezes()] = ()

    @property
    def windows(self) -> list[Freeze]:
        return [found for one in self.freezes if (found := freeze(one)) is not None]
