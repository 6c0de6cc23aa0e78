"""Audit events in words, and where what they are about is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.urls import NoReverseMatch, reverse

from models_app import doors
from models_app.models import ApiToken, AuditEvent
from models_app.texts.normalise import row_number

# What the actor did, said after the actor's name.
PHRASES = {
    "audit.anchor": "anchored the audit trail at event {up_to}",
    "audit.verify": "verified the audit trail up to event {up_to}",
    "case_set.create": "made the set of cases {name}",
    "cases.change": "made version {version} of the set of cases",
    "cases.run": "ran {cases}: {passed} of {of} passed",
    "cases.start": "asked for its cases to be run",
    "comment.edit": "changed a comment",
    "comparison.finish": "compared release {candidate} with {baseline}",
    "deployment.end_session": "ended session {session} of the database, which kept switches waiting",
    "deployment.failed": "could not load its model",
    "deployment.frozen": "held it back",
    "deployment.live": "took it live",
    "deployment.roll_back": "rolled it back",
    "deployment.sent_back": "did not let it go live",
    "deployment.start": "started its model",
    "deployment.stop": "stopped its deployment",
    "deployment.superseded": "put release {by} in its place",
    "documents.import": "imported documents",
    "evaluation.cancelled": "ended the evaluation: cancelled",
    "evaluation.failed": "ended the evaluation: failed",
    "evaluation.resume": "resumed the evaluation",
    "evaluation.running": "began the evaluation",
    "evaluation.start": "asked for an evaluation",
    "evaluation.succeeded": "finished the evaluation",
    "evaluation_set.freeze": "created a test set",
    "export.write": "wrote the export",
    "feedback.approved": "approved a feedback example",
    "feedback.declined": "declined a feedback example",
    "feedback.propose_references": "proposed reference summaries",
    "gates.failed": "ended the gates before they were done",
    "gates.finished": "judged release {release} by its gates",
    "gates.running": "began to judge by the gates",
    "gates.start": "asked for the gates of release {release}",
    "import.discard": "discarded {name}",
    "import.start": "asked to import {name}",
    "fingerprints.load": "made the public set {name} known",
    "fuse.lift": "lifted the fuse after {rollbacks} rollbacks",
    "improvement.accepted": "accepted the request",
    "improvement.answer": "said that {answer} answers the request",
    "improvement.declined": "declined the request",
    "improvement.open": "asked for better results ({kind})",
    "improvement.vote": "voted for the request",
    "improvement.withdrawn": "withdrew the request",
    "item.put_back": "put an item back",
    "item.queue": "put a summary in a queue",
    "item.flagged": "flagged an item",
    "item.resolve": "resolved a dispute",
    "job.cancel": "asked to cancel the job",
    "job.retry": "tried the job again",
    "leakage.check": "looked for test documents in {rows} training rows",
    "model.declare_training": "declared that it was trained on {set}",
    "model.register": "asked to register a model",
    "model.registered": "registered the model",
    "person.activate": "activated the account of {name}",
    "person.create": "made an account for {name}",
    "person.deactivate": "deactivated the account of {name}",
    "person.password_changed": "changed their own password",
    "person.password_link": "made a link for {name} to set a password",
    "person.password_set": "set the password of {name}, by the link that {made_by} made",
    "person.recovery_code_used": "used up one of their own recovery codes",
    "person.recovery_codes_made": "made new recovery codes for themselves",
    "person.roles": "changed the roles of {name}",
    "person.second_factor_off": "switched off their own second factor",
    "person.second_factor_on": "switched on their own second factor",
    "person.second_factor_removed": "removed the second factor of {name}",
    "person.sessions_ended": "ended the sessions of {name}",
    "policy.change": "saved policy {number} of {environment}",
    "prompt.suggest": "suggested a prompt",
    "prompt.trial": "tried a prompt on {articles} articles",
    "prompt.version": "made a prompt version",
    "release.ask_for_changes": "asked for changes",
    "release.approve": "approved, {approvals} of {needed}",
    "release.approved": "completed the approvals",
    "release.card": "wrote its model card beside the weights",
    "release.comment": "commented",
    "release.compose": "created the release",
    "release.emergency": "put it live in an emergency, at {skipped}",
    "release.expire": "let it expire",
    "release.incident_reviewed": "reviewed incident {incident}",
    "release.judged": "moved it to what its gates came to",
    "release.reject": "rejected the release",
    "release.submit": "asked for approval",
    "release.void": "voided earlier decisions",
    "release.withdraw": "withdrew the release",
    "review.revise": "revised a review",
    "review.submit": "submitted a review",
    "rollout.advance": "gave it {weight} % of the requests",
    "rollout.bake": "gave it all requests on trial",
    "rollout.begin": "gave it {weight} % of the requests, beside release {beside}",
    "rollout.go_on": "let it go on",
    "rollout.hold": "held it at its share",
    "rollout.pause": "paused its rollout",
    "rollout.resume": "resumed its rollout",
    "rollout.roll_back": "rolled it back",
    "rollout.stop": "stopped its rollout and sent all requests back",
    "sign_in.refused": "refused tries at the {what} of {name}, after {tries} wrong ones from {address}",
    "service_account.close": "closed the service account {name}",
    "service_account.create": "made the service account {name}",
    "settings.change": "started with other settings",
    "snapshot.freeze": "created the snapshot",
    "suggestion.adopted": "adopted a prompt suggestion",
    "suggestion.declined": "declined a prompt suggestion",
    "summaries.start": "asked for summaries",
    "thread.open": "began a conversation",
    "thread.reopen": "reopened a conversation",
    "thread.resolve": "resolved a conversation",
    "token.create": "made an API token",
    "token.revoke": "revoked an API token",
    "training.cancelled": "ended the training: cancelled",
    "training.failed": "ended the training: failed",
    "training.resume": "resumed the training",
    "training.running": "began the training",
    "training.start": "asked for the training",
    "training.succeeded": "finished the training",
    "waiver.agree": "agreed to a waiver of {gate}",
    "waiver.ask": "asked for a waiver of {gate}",
    "waiver.end": "ended a waiver of {gate}",
    "webhook.change": "changed the webhook {name}",
    "webhook.create": "made the webhook {name}, to {to}",
    "webhook.disable": "disabled the webhook {name}",
    "webhook.enable": "enabled the webhook {name}",
    "webhook.replay_given_up": "sent once more what the webhook {name} did not take: {deliveries} deliveries",
    "webhook.replay": "sent delivery {delivery} of the webhook {name} once more",
    "webhook.rotate": "made a new secret for the webhook {name}",
    "webhook.test": "tested the webhook {name}",
}
# What an event is about: its word, and the page that shows it.
SUBJECTS = {
    "base": ("base model", ""),
    "caserun": ("case run", "case_run"),
    "caseset": ("set of cases", "case_set"),
    "clientfeedback": ("client feedback", ""),
    "comparison": ("comparison", "comparison"),
    "datasetsnapshot": ("snapshot", "snapshot"),
    "evaluationrun": ("evaluation", ""),
    "cleancomparison": ("comparison on the clean subset", ""),
    "evaluationset": ("test set", "test_set"),
    "feedbackexample": ("feedback example", "feedback_example"),
    "gatepolicy": ("policy version", ""),
    "gaterun": ("gate run", ""),
    "fingerprintset": ("public set", ""),
    "improvementrequest": ("request", "improvement"),
    "importbatch": ("import", "document_import"),
    "job": ("job", "job"),
    "leakagecheck": ("leakage check", "leakage"),
    "modelversion": ("model", "model"),
    "promptsuggestion": ("prompt suggestion", ""),
    "prompttrial": ("prompt trial", "prompt_trial"),
    "promptversion": ("prompt version", "prompt_version"),
    "queueitem": ("item", ""),
    "release": ("release", "release"),
    "review": ("review", ""),
    "serviceaccount": ("service account", ""),
    "sourcedocument": ("document", "document"),
    "thread": ("conversation", "talk_thread"),
    "token": ("token", ""),
    "trainingrun": ("training", "training_run"),
    "user": ("account", ""),
    "waiver": ("waiver", ""),
    "webhookendpoint": ("webhook", "webhook"),
}
GOOD = {"approved", "live", "succeeded", "adopted", "whole"}
BAD = {"rejected", "expired", "failed", "rolled back", "declined", "broken", "blocked"}
GIVEN_UP = {"withdrawn", "cancelled", "changes requested", "needs evidence"}


@dataclass(frozen=True)
class Told:
    """One event for a page. `kind` is ok, bad, maybe, info or nothing; `door` is told where `tell` was asked to."""

    event: AuditEvent
    phrase: str
    about: str
    url: str
    kind: str
    door: str = ""


@dataclass(frozen=True)
class About:
    """What something is about, in words, and the page that shows it, where there is one."""

    words: str
    url: str


def subject_words(subject: str) -> About:
    """'release:14' → release 14, with its page."""
    name, _, key = subject.partition(":")
    word, url_name = SUBJECTS.get(name, (name, ""))
    url = page_url(url_name, key) if url_name and row_number(key) is not None else ""
    return About(f"{word} {key}".strip(), url)


def told(event: AuditEvent) -> Told:
    about = subject_words(event.subject)
    return Told(event, phrase(event), about.words, about.url, _kind(event))


def tell(events: Iterable[AuditEvent]) -> list[Told]:
    return [told(event) for event in events]


def tell_with_doors(events: Sequence[AuditEvent]) -> list[Told]:
    keys = [event.door_which for event in events if event.door == doors.Kind.TOKEN]
    rows = ApiToken.objects.filter(token_key__in=keys).select_related("service_account") if keys else []
    tokens = {
        row.token_key: f"{row.name} of {row.service_account}" if row.service_account else row.name
        for row in rows
    }
    return [replace(told(event), door=door_words(event, tokens)) for event in events]


def door_words(event: AuditEvent, tokens: Mapping[str, str]) -> str:
    """'token gly_3f9a0c… (web shop)', 'job train 12', 'page release_decide'; `tokens` has names by their keys."""
    which = event.door_which
    if event.door == doors.Kind.TOKEN:
        name = tokens.get(which)
        which = f"{which[:10]}… ({name})" if name else f"{which[:10]}…"
    words = doors.WORDS[doors.Kind(event.door)]
    return f"{words}: {which}" if which else words


def phrase(event: AuditEvent) -> str:
    words = PHRASES.get(event.action)
    if words is None:
        return event.action.replace(".", " ").replace("_", " ")
    try:
        return words.format_map(event.data)
    except KeyError:  # an older event, written with less data
        return words.partition(" {")[0].rstrip(",")


def page_url(url_name: str, *args: object) -> str:
    """The page of this name; empty if it does not exist, since some are the human side's."""
    try:
        return reverse(url_name, args=args)
    except NoReverseMatch:
        return ""


def _kind(event: AuditEvent) -> str:
    if event.action in ("release.void", "release.emergency"):
        return "maybe"
    if event.action == "release.approve":
        return "ok"
    for states, kind in ((GOOD, "ok"), (BAD, "bad"), (GIVEN_UP, "maybe")):
        if event.to_state in states:
            return kind
    return "info" if event.action == "release.submit" else ""
