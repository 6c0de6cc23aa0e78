"""Who there is to approve. A policy may ask for more people than there are: nothing is unsafe then, and nothing gets
live, so that it is said wherever somebody sets the number or waits.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Q

from models_app.gates import policies
from models_app.gates.policy import Policy
from models_app.models import GatePolicy, Release
from models_app.releases.standing import Stand, listed

_APPROVES = "approve_release"


def who_may_approve() -> dict[int, str]:
    """Active accounts whose roles approve releases, with their names; 1 query."""
    permission = {"codename": _APPROVES, "content_type__app_label": "models_app"}
    roles = Q(**{f"groups__permissions__{name}": value for name, value in permission.items()})
    own = Q(**{f"user_permissions__{name}": value for name, value in permission.items()})
    people = User.objects.filter(roles | own | Q(is_superuser=True), is_active=True)
    return dict(people.order_by("pk").distinct().values_list("pk", "username"))


def too_few_for(row: GatePolicy, policy: Policy) -> str:
    """Where fewer people may approve by this policy than it asks for, in words; empty where there are enough. Who
    saved it approves nothing that it judges, and who asks for a release is one less again."""
    editors = policies.editors(row.environment_id)
    people = {pk: name for pk, name in who_may_approve().items() if pk not in editors}
    needed = policy.approvals.approvers
    if len(people) >= needed:
        return ""
    emergency = " except in an emergency" if policy.approvals.emergency and people else ""
    return (
        f"It asks for {_people(needed)} to approve, and {_may(people)}, of those who did not edit it. Until there are "
        f"more, nothing goes live in {row.environment}{emergency}. Give more people the role of an approver, or ask "
        "for fewer."
    )


def too_few_left(release: Release, *, stand: Stand | None = None) -> str:
    """Where a release that waits cannot get as many approvals as it needs, in words; empty where it can. At most 1
    query more than its `stand` knows."""
    stand = stand or Stand(release)
    if release.state != Release.State.AWAITING or stand.approvals >= stand.needed:
        return ""
    counting = [one.approval.approver_id for one in stand.standings if one.counts]
    decided = {row.approver_id for row in stand.decisions if row.voided_at is None}
    circle = stand.circle
    out = {*circle.hands, *circle.accounts.opened, *circle.accounts.openers, *decided}
    people = {pk: name for pk, name in who_may_approve().items() if pk not in out}
    same = circle.one_person_s([*counting, *people])
    left = {pk: name for pk, name in people.items() if pk not in same}
    if len(counting) + len(left) >= stand.needed:
        return ""
    return (
        f"It needs {stand.needed} approvals and can get {len(counting) + len(left)}: of those who had no hand in it "
        f"and have not decided, {_may(left)} approve. Give more people the role of an approver, or let the policy "
        "ask for fewer."
    )


def _people(number: int) -> str:
    return "one person" if number == 1 else f"{number} people"


def _may(people: dict[int, str]) -> str:
    return f"only {listed([*people.values()])} may" if people else "nobody may"
