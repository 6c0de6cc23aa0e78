"""Accounts that somebody with a hand in a release could have used, or whose person could have acted as one of them; and
approvers' accounts that could be one person's.

Read from the audit trail: who made an account, gave its roles, or had a link made that sets its password.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from models_app.models import AuditEvent, PasswordLink, Release
from models_app.releases.hands import Hands, advocates, involved, last_acts, work_began
from models_app.training.lineage import Lineage, made_from

#: What opens an account to its actor, by the event's action, said after the actor's name. Who made a link is not
#: known to have used it, and could have.
OPENING = {
    "person.create": "made {account}",
    "person.roles": "gave {account} its roles",
    "person.activate": "made {account} active again",
    "person.password_link": "had a link made that sets the password of {account}",
    "person.password_set": "had the link made by which the password of {account} was set",
    "person.second_factor_removed": "removed the second factor of {account}",
}

#: Those by which their actor can sign in with the account, and not only gives it more to do.
SIGN_IN = ("person.create", "person.password_link", "person.password_set")


@dataclass(frozen=True)
class Opened:
    """An account, and the person who did something by which they can sign in with it."""

    by: int
    by_name: str
    action: str
    at: datetime
    account: int
    account_name: str

    @property
    def words(self) -> str:
        return self._words("the account")

    @property
    def words_with_name(self) -> str:
        return self._words(f"the account of {self.account_name}")

    def _words(self, account: str) -> str:
        return f"{self.act(account)} on {self.at:%d %B %Y}"

    def act(self, account: str) -> str:
        """Without when."""
        return f"{self.by_name} {OPENING[self.action].format(account=account)}"


#: The number of each event, and what it tells.
Openings = Sequence[tuple[int, Opened]]


def opened_accounts(hands: Hands, openings: Openings) -> dict[int, Opened]:
    """Accounts that those people opened, or others did whose account they had opened before; by user id."""
    return _opened_by(set(hands), (opened for _, opened in openings))


def _opened_by(people: set[int], acts: Iterable[Opened]) -> dict[int, Opened]:
    theirs = set(people)
    found: dict[int, Opened] = {}
    for opened in acts:
        if opened.by in theirs and opened.account not in theirs:
            theirs.add(opened.account)
            found[opened.account] = opened
    return found


def openers(release: Release, hands: Hands, openings: Openings) -> dict[int, Opened]:
    """The other way round: who opened the account of somebody with a hand, which then did something to the release; or
    opened an account that did so. By user id. What such a person opened after the last of it changes nothing."""
    openings = [pair for pair in openings if pair[1].by not in hands]
    if not any(opened.account in hands for _, opened in openings):
        return {}
    last = last_acts(release, hands)
    found: dict[int, Opened] = {}
    for number, opened in reversed(openings):
        if opened.by not in found and number < last.get(opened.account, 0):
            last[opened.by] = number
            found[opened.by] = opened
    return found


@dataclass(frozen=True)
class Accounts:
    """Those that could be somebody's with a hand in a release, since the work on it began."""

    opened: Mapping[int, Opened]
    openers: Mapping[int, Opened]


class Circle:
    """The people around a release: who had a hand in it, and whose accounts could be theirs.

    Each is read at its first use and once, so that a circle is for one page or one decision; who decides later is
    asked about with another one. `hands`: where they are known already.
    """

    def __init__(self, release: Release, hands: Hands | None = None) -> None:
        self.release = release
        if hands is not None:
            self.hands = hands

    @cached_property
    def lineage(self) -> Lineage:
        return made_from(self.release.model_version_id)

    @cached_property
    def hands(self) -> Hands:
        return involved(self.release, lineage=self.lineage)

    @cached_property
    def accounts(self) -> Accounts:
        """By what was done since the work on the release began."""
        hands = self.hands
        if not any({opened.by, opened.account} & hands.keys() for _, opened in self._openings):
            return Accounts({}, {})
        since = self._since_it_began
        return Accounts(opened_accounts(hands, since), openers(self.release, hands, since))

    @cached_property
    def accounts_ever(self) -> Accounts:
        """By what was ever done."""
        return Accounts(
            opened_accounts(self.hands, self._openings), openers(self.release, self.hands, self._openings)
        )

    @cached_property
    def no_judges(self) -> set[int]:
        """Whose votes on the release do not count: advocates, and accounts that they opened while the work went on."""
        own = {user: self.hands[user] for user in advocates(self.hands)}
        if not opened_accounts(own, self._openings):
            return set(own)
        return {*own, *opened_accounts(own, self._since_it_began)}

    def one_person_s(self, people: Sequence[int]) -> dict[int, str]:
        """Of people in the order in which they approved, or judged, those whose account and that of one before could be
        one person's since the work on the release began, with why, in words: one of the two opened the other, or a
        third person can sign in with both. By user id."""
        if len(people) < 2 or not any(opened.account in people for _, opened in self._openings):
            return {}
        acts = [opened for _, opened in self._since_it_began]
        found: dict[int, str] = {}
        for place, later in enumerate(people):
            for earlier in people[:place]:
                words = "" if earlier in found else _could_be_one(earlier, later, acts)
                if words:
                    found[later] = words
                    break
        return found

    @cached_property
    def _openings(self) -> Openings:
        return list(_openings())

    @cached_property
    def _since_it_began(self) -> Openings:
        since = work_began(self.release)
        return [pair for pair in self._openings if pair[1].at >= since]


def _could_be_one(earlier: int, later: int, acts: Sequence[Opened]) -> str:
    end = "after the work on this release began: both approvals could be one person's."
    for one, other in ((earlier, later), (later, earlier)):
        opened = _opened_by({one}, acts).get(other)
        if opened is not None:
            return f"{opened.words_with_name}, {end}"
    keys = {
        account: {
            opened.by: opened for opened in acts if opened.account == account and opened.action in SIGN_IN
        }
        for account in (earlier, later)
    }
    for by in sorted(keys[earlier].keys() & keys[later].keys()):
        first, second = keys[earlier][by], keys[later][by]
        also = OPENING[second.action].format(account=second.account_name)
        return f"{first.act(first.account_name)} and {also}, {end}"
    return ""


def _openings() -> Iterator[tuple[int, Opened]]:
    """The first one first."""
    events = AuditEvent.objects.filter(action__in=OPENING).order_by("id")
    makers: dict[int, tuple[int, str]] | None = None
    for event in events:
        kind, _, number = event.subject.partition(":")
        if kind != "user" or not number.isdecimal():
            continue
        if event.action == "person.roles" and not event.data.get("gained", True):
            continue
        by, name = event.actor_id, event.actor_name
        if event.action == "person.password_set":  # an event of nobody: who used the link is not known
            makers = _makers_of_links() if makers is None else makers
            by, name = makers.get(event.data.get("link", 0), (None, ""))
        if by is not None:
            told = Opened(by, name, event.action, event.at, int(number), str(event.data.get("name", number)))
            yield event.pk, told


def _makers_of_links() -> dict[int, tuple[int, str]]:
    links = PasswordLink.objects.filter(made_by__isnull=False, used_at__isnull=False)
    return {pk: (by, name) for pk, by, name in links.values_list("pk", "made_by", "made_by__username")}
