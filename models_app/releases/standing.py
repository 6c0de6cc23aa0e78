"""Whether a submitted release stands on what it was decided on: its evidence as it was, and enough approvals by people
who may still give them. Asked at the last approval and when the release goes live."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from django.contrib.auth.models import User

from models_app.foundation.identity import canonical_digest
from models_app.foundation.roles import allowed
from models_app.gates import policies, running
from models_app.gates.approvals import Freeze
from models_app.gates.policy import Policy
from models_app.gates.running import Found
from models_app.models import Approval, Deployment, GatePolicy, Incident, Release
from models_app.models.releases import live_release
from models_app.releases.accounts import Circle, Opened
from models_app.releases.composing import evidence
from models_app.releases.freezes import freeze_among
from models_app.releases.hands import Hands


@dataclass(frozen=True)
class Standing:
    """An approval, and why it doesn't count; empty where it does."""

    approval: Approval
    problem: str

    @property
    def counts(self) -> bool:
        return not self.problem


class Stand:
    """A release as it stands now: who is around it, what its gates found, who decided what, and what keeps it from
    going live. Each is read at its first use and once, so that one is for one page or one decision."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.circle = Circle(release)

    @cached_property
    def live(self) -> Release | None:
        return live_release(self.release.environment.name)

    @cached_property
    def gates(self) -> Found | None:
        run = running.newest(self.release)
        return None if run is None else Found(run)

    @cached_property
    def held(self) -> GatePolicy:
        """The policy that holds. Raises Refused where the environment has none."""
        return policies.holding(self.release.environment_id)

    @cached_property
    def policy(self) -> Policy:
        """What it says. Raises Refused where this version of Galley cannot read it."""
        return policies.read(self.held)

    @cached_property
    def decisions(self) -> list[Approval]:
        return list(Approval.objects.filter(release=self.release).select_related("approver").order_by("id"))

    @cached_property
    def standings(self) -> list[Standing]:
        """Each approval that was given and not voided, with whether it counts now."""
        given = [row for row in self.decisions if row.decision == "approved" and row.voided_at is None]
        found = [Standing(row, _problem(row, self.release, self.circle)) for row in given]
        same = self.circle.one_person_s([one.approval.approver_id for one in found if one.counts])
        return [
            Standing(one.approval, one.problem or same.get(one.approval.approver_id, "")) for one in found
        ]

    @cached_property
    def approvals(self) -> int:
        """How many hold."""
        return sum(standing.counts for standing in self.standings)

    @cached_property
    def incidents(self) -> list[Incident]:
        """Newest first."""
        rows = Incident.objects.filter(release=self.release)
        return list(rows.select_related("release", "opened_by", "reviewed_by"))

    @property
    def is_emergency(self) -> bool:
        """Whether one was declared on the evidence that the release has now, by somebody who may decide on it still."""
        return any(
            one.evidence_digest == self.release.evidence_digest and not why_not(one.opened_by, self.circle)
            for one in self.incidents
        )

    @property
    def needed(self) -> int:
        """As many approvals as its environment asks for; one where an emergency was declared."""
        return 1 if self.is_emergency else self.release.environment.approvals_required

    @cached_property
    def freeze(self) -> Freeze | None:
        """The window that keeps it from going live now."""
        return None if self.is_emergency else freeze_among(self.policy.approvals.windows)

    def has_decided(self, user: User) -> bool:
        """On the evidence that there is."""
        return any(row.approver_id == user.pk and row.voided_at is None for row in self.decisions)


def evidence_problem(release: Release, *, thorough: bool = False, stand: Stand | None = None) -> str:
    """Why the evidence of a submitted release no longer holds; empty where it does.

    `thorough` reads every score, test document and training row again, which takes up to two seconds; without it
    their digests are taken as they were. `stand`: of the release, where it is read already.
    """
    stand = stand or Stand(release)
    comparison = release.comparison
    if comparison is None:
        return "It was submitted without a comparison."
    live = stand.live
    if live is not None and comparison.baseline.release_id != live.pk:
        return (
            f"Release {live.pk} went live after this one was compared with release {comparison.baseline.release_id}. "
            "Compare it with what is live now and submit it again."
        )
    if stand.gates is None:
        return running.problem(release)
    problem = stand.gates.problem(release, held=stand.held)
    if problem:
        return problem
    people = release.evidence.get("people", {})
    facts = evidence(
        release,
        comparison,
        # as it was then: who comes to have a hand in it later makes nothing void
        hands=people.get("judges_left_out", ()),
        votes_up_to=people.get("votes_up_to"),
        rows=None if thorough else release.evidence.get("rows", {}),
        lineage=stand.circle.lineage,
    )
    facts["gates"] = stand.gates.evidence()
    # what is decided on is what the rows say, and what the release shows is that
    if {canonical_digest(facts), canonical_digest(release.evidence)} != {release.evidence_digest}:
        return (
            "The evidence is not what it was when the release was submitted. Withdraw it and submit it again."
        )
    return ""


def why_not(user: User, circle: Circle) -> str:
    """Why this person may not decide, in words about "they"; empty where they may."""
    if not user.is_active:
        return "The account is not active."
    if not allowed(user, "approve_release"):
        return "The account's role does not approve releases."
    did = circle.hands.get(user.pk)
    if did:
        return f"{user.get_username()} {listed(did)}."
    by = circle.accounts.opened.get(user.pk)
    if by is not None:
        return (
            f"{by.words}, after the work on this release began, and {_had_a_hand(by, circle)}: "
            "the account could be used by that person."
        )
    own = circle.accounts.openers.get(user.pk)
    if own is not None:
        return (
            f"{own.words_with_name}, after the work on this release began, and then {_went_on(own, circle.hands)}: "
            f"that could have been done by {user.get_username()}."
        )
    return ""


def _had_a_hand(by: Opened, circle: Circle) -> str:
    if by.by in circle.hands:
        return f"{by.by_name} {listed(circle.hands[by.by])}"
    return f"before that {circle.accounts.opened[by.by].act('that account')}"


def _went_on(own: Opened, hands: Hands) -> str:
    if own.account in hands:
        return f"the work went on in the name of {own.account_name}, who {listed(hands[own.account])}"
    return f"{own.account_name} opened the account of somebody with a hand in it"


def listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def why_not_as_well(release: Release, user: User) -> str:
    """Why an approval of this person would not count beside those that are given; empty where it would."""
    stand = Stand(release)
    counting = [one.approval.approver_id for one in stand.standings if one.counts]
    return stand.circle.one_person_s([*counting, user.pk]).get(user.pk, "")


def _problem(row: Approval, release: Release, circle: Circle) -> str:
    if row.evidence_digest != release.evidence_digest:
        return "It was given on other evidence."
    return why_not(row.approver, circle)


def freeze_for(release: Release) -> Freeze | None:
    """The window that keeps this release from going live now."""
    return Stand(release).freeze


def approvals(release: Release) -> int:
    """How many approvals hold."""
    return Stand(release).approvals


def needed_approvals(release: Release) -> int:
    """As many as its environment asks for; one where an emergency was declared on the same evidence."""
    return Stand(release).needed


def needs_approvals(release: Release) -> bool:
    """All do but the first of an environment, which Galley installs by itself: there is nothing to compare it with.
    One that was submitted was decided on, also where nothing has been live."""
    first = not Deployment.objects.filter(environment=release.environment_id).exists()
    installed = release.origin == Release.Origin.INITIAL and release.submitted_at is None
    return not (first and installed)


def obstacle_to_going_live(release: Release) -> tuple[str, bool]:
    """(why it may not go live now, whether the evidence is what is wrong); ("", False) where it may."""
    if not needs_approvals(release):
        return "", False
    problem = evidence_problem(release, thorough=True)
    if problem:
        return problem, True
    stand = Stand(release)
    needed = stand.needed
    if stand.approvals >= needed:
        return "", False
    words = [f"{stand.approvals} of {needed} approval{'s' if needed > 1 else ''} count"]
    words += [
        f"that of {standing.approval.approver.get_username()} does not: {standing.problem}"
        for standing in stand.standings
        if not standing.counts
    ]
    return f"{'; '.join(words).rstrip('.')}.", False
