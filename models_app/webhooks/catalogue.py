"""Which events of the audit trail webhooks tell, under which names. Pure; docs/webhooks.md has this list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PING = "webhook.ping"


@dataclass(frozen=True)
class Told:
    """`actions`: of the audit trail; `to`: only where the event ends in this state; `facts`: which of its data go with
    it, never texts; `verdict`: so does its reason, which is a verdict and no person's words; `soon`: it is sent within
    seconds, where others wait for the next minute."""

    name: str
    meaning: str
    actions: tuple[str, ...]
    to: str = ""
    facts: tuple[str, ...] = ()
    verdict: bool = False
    soon: bool = True


CATALOGUE: tuple[Told, ...] = (
    Told("documents.imported", "documents came in", ("documents.import",)),
    Told("review.submitted", "a review was submitted", ("review.submit",), soon=False),
    Told("review.revised", "a submitted review was changed", ("review.revise",), soon=False),
    Told("feedback.approved", "a feedback example was approved", ("feedback.approved",), soon=False),
    Told("feedback.declined", "a feedback example was declined", ("feedback.declined",), soon=False),
    Told("suggestion.made", "a reviewer suggested a prompt", ("prompt.suggest",)),
    Told("prompt_version.made", "a prompt version was made", ("prompt.version",)),
    Told("export.written", "an export was written", ("export.write",)),
    Told("snapshot.created", "a snapshot of training data was created", ("snapshot.freeze",)),
    Told("evaluation_set.created", "a test set was created", ("evaluation_set.freeze",)),
    Told("training.started", "a training began", ("training.running",)),
    Told(
        "training.finished", "a training ended: succeeded, failed or cancelled, as `to` says",
        ("training.succeeded", "training.failed", "training.cancelled"),
    ),
    Told("model.registered", "a model version is there", ("model.registered",)),
    Told(
        "evaluation.finished", "an evaluation ended: succeeded, failed or cancelled, as `to` says",
        ("evaluation.succeeded", "evaluation.failed", "evaluation.cancelled"),
    ),
    Told(
        "comparison.finished", "two releases were compared", ("comparison.finish",),
        facts=("candidate", "baseline"), verdict=True,
    ),
    Told("cases.finished", "a release was tried on behavioural cases", ("cases.run",), facts=("passed", "of")),
    Told("release.composed", "a release was composed", ("release.compose",)),
    Told("release.submitted", "a release was submitted", ("release.submit",)),
    Told(
        "gates.finished", "a release was judged by its gates", ("gates.finished",), facts=("release",), verdict=True
    ),
    Told("gates.failed", "the gates of a release could not be judged", ("gates.failed",), facts=("release",)),
    Told("policy.changed", "the policy of an environment was changed", ("policy.change",),
         facts=("environment", "number")),
    Told("waiver.asked", "somebody asked for a waiver", ("waiver.ask",), facts=("release", "gate")),
    Told("waiver.agreed", "a waiver was agreed to", ("waiver.agree",), facts=("release", "gate")),
    Told("waiver.ended", "a waiver was ended", ("waiver.end",), facts=("release", "gate")),
    Told("release.approved", "a release has all approvals that it needs", ("release.approved",)),
    Told("release.rejected", "a release was rejected", ("release.reject",)),
    Told(
        "release.judged", "the gates of a release came to something: blocked, needs evidence or awaiting approval, as "
        "`to` says", ("release.judged",),
    ),
    Told("release.changes_requested", "an approver asked for changes", ("release.ask_for_changes",)),
    Told("release.expired", "a release was not decided on, or not changed, in time", ("release.expire",)),
    Told("release.emergency", "a release goes live in an emergency, without all that it needs", ("release.emergency",)),
    Told("release.incident_reviewed", "an emergency was looked at afterwards", ("release.incident_reviewed",)),
    Told("release.withdrawn", "a release was withdrawn", ("release.withdraw",)),
    Told("release.approvals_void", "approvals of a release became void", ("release.void",)),
    Told("deployment.started", "the model of a release is being loaded", ("deployment.start",)),
    Told("deployment.live", "a release is live", ("deployment.live",)),
    Told("deployment.frozen", "a release waits until a freeze is over", ("deployment.frozen",)),
    Told("deployment.sent_back", "a release did not go live and waits for approval again", ("deployment.sent_back",)),
    Told("deployment.failed", "the model of a release could not be loaded", ("deployment.failed",)),
    Told("deployment.superseded", "another release took the place of a live one", ("deployment.superseded",)),
    Told("deployment.rolled_back", "a release was rolled back", ("deployment.roll_back", "rollout.roll_back")),
    Told("rollout.started", "a release has its first share of the requests", ("rollout.begin",), facts=("weight",)),
    Told("rollout.advanced", "a release has more of the requests", ("rollout.advance", "rollout.bake"),
         facts=("weight",)),
    Told("rollout.held", "a release gets no more of the requests until what holds it is over", ("rollout.hold",)),
    Told("rollout.stopped", "a rollout was stopped and all requests went back to what is live", ("rollout.stop",)),
    Told("fuse.lifted", "an approver lets releases start again after too many rollbacks", ("fuse.lift",)),
    Told("deployment.stopped", "a deployment was stopped before it was live", ("deployment.stop",)),
    Told("person.created", "an account was made", ("person.create",)),
    Told("person.roles_changed", "the roles of an account were changed", ("person.roles",)),
    Told("person.deactivated", "an account was deactivated", ("person.deactivate",)),
    Told("person.activated", "an account was activated", ("person.activate",)),
    Told(
        "person.password_changed", "a password was changed or set, or a link made that sets it",
        ("person.password_changed", "person.password_set", "person.password_link"),
    ),
    Told(
        "person.second_factor_changed", "a second factor was switched on or off, removed, or given new recovery codes",
        ("person.second_factor_on", "person.second_factor_off", "person.second_factor_removed",
         "person.recovery_codes_made"),
    ),
    Told("token.made", "an API token was made", ("token.create",)),
    Told("token.revoked", "an API token was revoked", ("token.revoke",)),
    Told("sign_in.refused", "too many wrong passwords or codes for an account", ("sign_in.refused",)),
    Told("settings.changed", "Galley was started with other settings", ("settings.change",)),
    Told(
        "audit.anchored", "the head of the audit trail, to be kept elsewhere", ("audit.anchor",),
        facts=("up_to", "hash"),
    ),
    Told("audit.broken", "the audit trail was verified and does not hold", ("audit.verify",), to="broken",
         facts=("broken", "up_to")),
)  # fmt: skip
NAMES = {told.name: told for told in CATALOGUE}
_BY_ACTION = {action: told for told in CATALOGUE for action in told.actions}
# By the first part of an event's subject: the page that shows it.
PAGES = {
    "comparison": "comparison",
    "datasetsnapshot": "snapshot",
    "evaluationset": "test_set",
    "feedbackexample": "feedback_example",
    "importbatch": "document_import",
    "modelversion": "model",
    "promptversion": "prompt_version",
    "release": "release",
    "trainingrun": "training_run",
    "user": "person",
    "webhookendpoint": "webhook",
}


def told_as(action: str, to_state: str) -> Told | None:
    """None where webhooks do not tell it."""
    told = _BY_ACTION.get(action)
    return told if told is not None and told.to in ("", to_state) else None


def is_told_soon(action: str) -> bool:
    told = _BY_ACTION.get(action)
    return told is not None and told.soon


def actions_of(names: Iterable[str]) -> list[str]:
    """Of the trail; names that this version does not know have none."""
    return sorted({action for name in names if name in NAMES for action in NAMES[name].actions})


def facts_of(told: Told, data: Mapping[str, Any], reason: str) -> dict[str, Any]:
    facts = {name: data[name] for name in told.facts if name in data}
    return {**facts, "verdict": reason} if told.verdict else facts


def table() -> str:
    """As it stands in docs/webhooks.md."""
    rows = [f"| `{told.name}` | {told.meaning} |" for told in CATALOGUE]
    return "\n".join(["| event | it tells that |", "|---|---|", *rows])
