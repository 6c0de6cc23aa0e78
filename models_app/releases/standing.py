"""Whether a submitted release stands on what it was decided on: its evidence as it was, and enough approvals by people
who may still give them. Asked at the last approval and when the release goes live."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from models_app.foundation.identity import canonical_digest
from models_app.foundation.roles import allowed
from models_app.gates import running
from models_app.models import Approval, Deployment, Release
from models_app.models.releases import live_release
from models_app.releases.accounts import Accounts, Opened, accounts, one_person_s
from models_app.releases.composing import evidence
from models_app.releases.freezes import is_emergency
from models_app.releases.hands import Hands, involved


@dataclass(frozen=True)
class Standing:
    """An approval, and why it doesn't count; empty where it does."""

    approval: Approval
    problem: str

    @property
    def counts(self) -> bool:
        return not self.problem


def evidence_problem(release: Release, *, thorough: bool = False) -> str:
    """Why the evidence of a submitted release no longer holds; empty where it does.

    `thorough` reads every score, test document and training row again, which takes up to two seconds; without it
    their digests are taken as they were.
    """
    comparison = release.comparison
    if comparison is None:
        return "It was submitted without a comparison."
    live = live_release(release.environment.name)
    if live is not None and comparison.baseline.release_id != live.pk:
        return (
            f"Release {live.pk} went live after this one was compared with release {comparison.baseline.release_id}. "
            "Compare it with what is live now and submit it again."
        )
    problem = running.problem(release)
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
    )
    facts["gates"] = running.evidence_of(release)
    # what is decided on is what the rows say, and what the release shows is that
    if {canonical_digest(facts), canonical_digest(release.evidence)} != {release.evidence_digest}:
        return (
            "The evidence is not what it was when the release was submitted. Withdraw it and submit it again."
        )
    return ""


def why_not(user: User, *, hands: Hands, accounts: Accounts) -> str:
    """Why this person may not decide, in words about "they"; empty where they may."""
    if not user.is_active:
        return "The account is not active."
    if not allowed(user, "approve_release"):
        return "The account's role does not approve releases."
    did = hands.get(user.pk)
    if did:
        return f"{user.get_username()} {listed(did)}."
    by = accounts.opened.get(user.pk)
    if by is not None:
        return (
            f"{by.words}, after the work on this release began, and {_had_a_hand(by, hands, accounts)}: "
            "the account could be used by that person."
        )
    own = accounts.openers.get(user.pk)
    if own is not None:
        return (
            f"{own.words_with_name}, after the work on this release began, and then {_went_on(own, hands)}: "
            f"that could have been done by {user.get_username()}."
        )
    return ""


def _had_a_hand(by: Opened, hands: Hands, accounts: Accounts) -> str:
    if by.by in hands:
        return f"{by.by_name} {listed(hands[by.by])}"
    return f"before that {accounts.opened[by.by].act('that account')}"


def _went_on(own: Opened, hands: Hands) -> str:
    if own.account in hands:
        return f"the work went on in the name of {own.account_name}, who {listed(hands[own.account])}"
    return f"{own.account_name} opened the account of somebody with a hand in it"


def listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def standings(release: Release, *, hands: Hands | None = None) -> list[Standing]:
    """Each approval that was given and not voided, with whether it counts now. Accounts are read afresh."""
    given = list(
        Approval.objects.filter(release=release, decision="approved", voided_at=None)
        .select_related("approver")
        .order_by("id")
    )
    if not given:
        return []
    hands = involved(release) if hands is None else hands
    could_be_theirs = accounts(release, hands)
    found = [Standing(row, _problem(row, release, hands, could_be_theirs)) for row in given]
    same = one_person_s(release, [one.approval.approver_id for one in found if one.counts])
    return [Standing(one.approval, one.problem or same.get(one.approval.approver_id, "")) for one in found]


def why_not_as_well(release: Release, user: User) -> str:
    """Why an approval of this person would not count beside those that are given; empty where it would."""
    counting = [one.approval.approver_id for one in standings(release) if one.counts]
    return one_person_s(release, [*counting, user.pk]).get(user.pk, "")


def _problem(row: Approval, release: Release, hands: Hands, could_be_theirs: Accounts) -> str:
    if row.evidence_digest != release.evidence_digest:
        return "It was given on other evidence."
    return why_not(row.approver, hands=hands, accounts=could_be_theirs)


def approvals(release: Release) -> int:
    """How many approvals hold."""
    return sum(standing.counts for standing in standings(release))


def needed_approvals(release: Release) -> int:
    """As many as its environment asks for; one where an emergency was declared on the same evidence."""
    return 1 if is_emergency(release) else release.environment.approvals_required


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
    found = standings(release)
    counting = sum(standing.counts for standing in found)
    needed = needed_approvals(release)
    if counting >= needed:
        return "", False
    words = [f"{counting} of {needed} approval{'s' if needed > 1 else ''} count"]
    words += [
        f"that of {standing.approval.approver.get_username()} does not: {standing.problem}"
        for standing in found
        if not standing.counts
    ]
    return f"{'; '.join(words).rstrip('.')}.", False
