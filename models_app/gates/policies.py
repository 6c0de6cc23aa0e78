"""The policies of environments: which holds, who changed what, and changing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused, StaleState
from models_app.foundation.identity import canonical_digest
from models_app.foundation.roles import require
from models_app.gates.catalogue import GATES
from models_app.gates.policy import Change, Policy, changes, from_settings
from models_app.models import GatePolicy, Route
from models_app.models.releases import Environment
from models_app.texts.normalise import normalise

LONGEST_REASON = audit.LONGEST_REASON


def holding(environment: Environment | int) -> GatePolicy:
    """The version that holds. Raises Refused where an environment has none: then nothing passes there."""
    row = GatePolicy.objects.filter(environment=environment).order_by("-number").first()
    if row is None:
        raise Refused(
            f"Environment {environment} has no policy, so nothing can be judged for it.", code="no_policy"
        )
    return row


def read(row: GatePolicy) -> Policy:
    """Raises Refused where this version of Galley does not know what it says."""
    try:
        return from_settings(row.settings)
    except InvalidInput as error:
        raise Refused(
            f"{str(row).capitalize()} cannot be read by this version of Galley: {error.message} Save another one.",
            code="policy_unreadable",
        ) from error


def policy_of(environment: Environment | int) -> Policy:
    """What holds now."""
    return read(holding(environment))


def change_policy(
    *, environment: Environment, settings: Mapping[str, Any], reason: str, expected: int, actor: Any | None
) -> GatePolicy:
    """A new version with these settings, of which all that is not said is as the code has it.

    `expected` is the number of the version that was looked at. Raises InvalidInput at the field that is wrong, or that
    names what is not there, StaleState where somebody else saved another one meanwhile, and Refused where nothing would
    change. A release that waits for approval has to be judged again: approvals and what they rest on hold for one
    policy.
    """
    require(actor, "edit_policy")
    policy = from_settings(settings)
    _refuse_what_nothing_passes(policy)
    reason = _reason(reason)
    with transaction.atomic():
        # decisions on releases and switches hold this, too: none is made between two policies
        Route.objects.select_for_update().get(environment=environment)
        before = holding(environment)
        if before.number != expected:
            raise StaleState(
                f"{_name(before.made_by)} saved policy {before.number} meanwhile. Look at it, then change that one."
            )
        changed = changes(read(before), policy) if is_readable(before) else []
        if not changed and is_readable(before):
            raise Refused("Nothing would change.", code="unchanged")
        values = policy.as_settings()
        made = GatePolicy.objects.create(
            environment=environment, number=before.number + 1, settings=values, digest=canonical_digest(values),
            reason=reason, made_by=actor,
        )  # fmt: skip
        Environment.objects.filter(pk=environment.pk).update(approvals_required=policy.approvals.approvers)
        audit.record(
            actor=actor, action="policy.change", subject=made, reason=reason,
            data={
                "environment": environment.name, "number": made.number, "digest": made.digest,
                "changes": [[f"{one.section}.{one.field}", one.before, one.after] for one in changed],
            },
        )  # fmt: skip
    return made


def _refuse_what_nothing_passes(policy: Policy) -> None:
    wrong = {f"{gate.name}.{field}": words for gate in GATES for field, words in gate.lacking(policy).items()}
    if wrong:
        raise InvalidInput(" ".join(wrong.values()), fields=wrong)


def is_readable(row: GatePolicy) -> bool:
    try:
        read(row)
    except Refused:
        return False
    return True


def _name(person: Any | None) -> str:
    return person.get_username() if person is not None else "Galley"


def _reason(given: str) -> str:
    reason = normalise(given)
    if not reason:
        raise InvalidInput("Give a reason.", fields={"reason": "Write why; the record keeps it."})
    if len(reason) > LONGEST_REASON:
        raise InvalidInput(
            "The reason is too long.", fields={"reason": f"Write at most {LONGEST_REASON:,} characters."}
        )
    return reason


@dataclass(frozen=True)
class Version:
    """A version of a policy beside the one before; `changes` is empty for the first one and for those that this
    version of Galley cannot read."""

    row: GatePolicy
    changes: list[Change]


def history(environment: Environment) -> list[Version]:
    """The newest first. 1 query."""
    rows = list(
        GatePolicy.objects.filter(environment=environment).select_related("made_by").order_by("-number")
    )
    readable = {row.pk: read(row) for row in rows if is_readable(row)}
    found = []
    for row, before in zip(rows, [*rows[1:], None], strict=True):
        both = before is not None and row.pk in readable and before.pk in readable
        found.append(Version(row, changes(readable[before.pk], readable[row.pk]) if both and before else []))
    return found


def editors(environment: Environment | int, *, since: datetime | None = None) -> list[int]:
    """Ids of the people who made the policy that holds, and of those who made another version from `since` on: two
    who change it one after the other do not each approve what the other one's change let pass."""
    rows = list(
        GatePolicy.objects.filter(environment=environment)
        .order_by("-number")
        .values_list("made_by", "made_at")
    )
    newest, older = rows[:1], rows[1:]
    later = [row for row in older if since is not None and row[1] >= since]
    return list(dict.fromkeys(person for person, _ in [*newest, *later] if person is not None))
