"""Opening a request, voting for it, deciding on it, saying what answers it; and opening one at a threshold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.foundation.transitions import move
from models_app.models import PromptVersion, TrainingRun
from models_app.models.releases import live_release
from models_app.texts.normalise import one_line
from reviews.improvement.facts import (
    LEAST_REVIEWS,
    RETRAINING,
    Facts,
    facts_now,
    new_pairs,
    obstacle,
)
from reviews.models import ImprovementRequest, ImprovementVote, Notification
from reviews.notifications.notices import notify

#: Who decides on a request of each kind.
DECIDES = {"retraining": "train", "prompt": "edit_prompts"}


def open_request(*, kind: str, reason: str, actor: User) -> ImprovementRequest:
    """A new request; where one of this kind is open, the reason is a vote for that one, which is given back."""
    require(actor, "review")
    if kind not in ImprovementRequest.Kind.values:
        raise InvalidInput("Choose what is needed.", fields={"kind": "Choose retraining or another prompt."})
    reason = _reason(reason)
    try:
        return _open(kind=kind, reason=reason, trigger=ImprovementRequest.Trigger.PERSON, actor=actor)
    except IntegrityError as error:
        if not broke(error, "improvement_one_open_of_a_kind"):
            raise
    there = ImprovementRequest.objects.filter(kind=kind, state="open").first()
    if there is None:
        raise StaleState("The request that was open has just been decided. Send yours again.")
    if not is_theirs(there, actor):
        vote(request=there, text=reason, actor=actor)
    return there


def _open(
    *, kind: str, reason: str, trigger: str, actor: User | None, facts: Facts | None = None
) -> ImprovementRequest:
    with transaction.atomic():
        facts = facts or facts_now()
        request = ImprovementRequest.objects.create(
            kind=kind, trigger=trigger, reason=reason, evidence=facts.as_json(), opened_by=actor
        )
        audit.record(
            actor=actor, action="improvement.open", subject=request, to_state="open", reason=reason,
            data={"kind": kind, "trigger": trigger},
        )  # fmt: skip
    return request


def vote(*, request: ImprovementRequest, text: str = "", actor: User) -> ImprovementVote:
    """One a person, for good; opening it was a vote. Raises StaleState for one that is not open."""
    require(actor, "review")
    text = _text(text, "text")
    with transaction.atomic():
        row = ImprovementRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        if row.state != ImprovementRequest.State.OPEN:
            raise StaleState(f"{str(row).capitalize()} is {row.state} by now; votes are for open ones.")
        if is_theirs(row, actor):
            raise Refused("You have voted for it already.", code="voted")
        made = ImprovementVote.objects.create(request=row, person=actor, text=text)
        audit.record(
            actor=actor,
            action="improvement.vote",
            subject=row,
            reason=text,
            data={"votes": votes_of([row])[row.pk]},
        )
    return made


def is_theirs(request: ImprovementRequest, person: User) -> bool:
    return request.opened_by_id == person.pk or request.votes.filter(person=person).exists()


def votes_of(asked: Iterable[ImprovementRequest]) -> dict[int, int]:
    """By request, with that of the person who opened it. 1 query."""
    own = {row.pk: int(row.opened_by_id is not None) for row in asked}
    votes = ImprovementVote.objects.filter(request__in=own).order_by().values_list("request")
    others = dict(votes.annotate(Count("pk")))
    return {pk: count + others.get(pk, 0) for pk, count in own.items()}


def may_decide(request: ImprovementRequest, person: Any) -> bool:
    return allowed(person, DECIDES[request.kind])


def accept(*, request: ImprovementRequest, reason: str = "", actor: User) -> ImprovementRequest:
    """Say that it will be done. Refused, with the figures, where there is nothing to do it with."""
    require(actor, DECIDES[request.kind])
    reason = _text(reason, "reason")
    why = obstacle(request.kind, facts_now())
    if why:
        raise Refused(why, code="not_enough")
    _decide(request, "accepted", reason, actor)
    return request


def decline(*, request: ImprovementRequest, reason: str, actor: User) -> ImprovementRequest:
    """Also of an accepted one that nothing came of. People who asked for it are told the reason."""
    require(actor, DECIDES[request.kind])
    _decide(request, "declined", _reason(reason), actor)
    return request


def withdraw(*, request: ImprovementRequest, actor: User) -> ImprovementRequest:
    if request.opened_by_id is None or request.opened_by_id != actor.pk:
        raise NotAllowed("The person who opened a request withdraws it.")
    with transaction.atomic():
        # as a vote locks it: none comes in between
        ImprovementRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        if request.votes.exists():
            raise Refused("Others have voted for it: it stays until it is decided.", code="voted")
        _decide(request, "withdrawn", "", actor)
    return request


def _decide(request: ImprovementRequest, to: str, reason: str, actor: User) -> None:
    with transaction.atomic():
        move(
            request, to=to, actor=actor, action=f"improvement.{to}", reason=reason,
            decided_by=actor, decided_at=timezone.now(), decision=reason,
        )  # fmt: skip
        _tell(request, f"{str(request).capitalize()} was {to}{f': {reason}' if reason else '.'}", but=actor)


def answer_with_training(*, request: ImprovementRequest, run: TrainingRun, actor: User) -> ImprovementRequest:
    """Say which training run answers it: what becomes of that is what becomes of the request."""
    require(actor, DECIDES["retraining"])
    if request.kind != RETRAINING:
        raise Refused("A prompt request is answered by a prompt version.")
    _check_begun_since(request, run)
    return _answer(request, actor, f"training run {run.pk}", training_run=run)


def answer_with_prompt(
    *, request: ImprovementRequest, version: PromptVersion, actor: User
) -> ImprovementRequest:
    require(actor, DECIDES["prompt"])
    if request.kind == RETRAINING:
        raise Refused("A retraining request is answered by a training run.")
    _check_begun_since(request, version)
    return _answer(request, actor, f"prompt version {version.pk}", prompt_version=version)


def _check_begun_since(request: ImprovementRequest, answer: TrainingRun | PromptVersion) -> None:
    if answer.created_at < request.opened_at:
        raise InvalidInput(
            f"{str(answer).capitalize()} was begun before the request was opened.",
            fields={"answer": "Choose what was begun since the request was opened."},
        )


def _answer(request: ImprovementRequest, actor: User, what: str, **answer: Any) -> ImprovementRequest:
    with transaction.atomic():
        row = ImprovementRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        if row.state != ImprovementRequest.State.ACCEPTED:
            raise StaleState(f"{str(row).capitalize()} is {row.state}; an accepted one is answered.")
        for name, value in answer.items():
            setattr(row, name, value)
        row.save(update_fields=list(answer))
        audit.record(actor=actor, action="improvement.answer", subject=row, data={"answer": what})
        _tell(row, f"{str(row).capitalize()} is being answered by {what}.", but=actor)
    request.refresh_from_db()
    return request


def _tell(request: ImprovementRequest, words: str, *, but: User) -> None:
    people = [request.opened_by, *(one.person for one in request.votes.select_related("person"))]
    for person in people:
        if person is not None and person.pk != but.pk:
            notify(
                user=person, kind=Notification.Kind.REQUEST, subject=request, text=words,
                url=reverse("improvement", args=[request.pk]),
            )  # fmt: skip


def _reason(text: str) -> str:
    text = _text(text, "reason")
    if not text:
        raise InvalidInput(
            "Give a reason.", fields={"reason": "Write what is wrong and what would be better."}
        )
    return text


def _text(text: str, field: str) -> str:
    text = one_line(text)
    longest = ImprovementRequest.LONGEST_REASON
    if len(text) > longest:
        raise InvalidInput("The text is too long.", fields={field: f"Write at most {longest:,} characters."})
    return text


# ---------------------------------------------------------------- at a threshold


def open_by_itself() -> int | None:
    """For the queue: open a retraining request where a threshold is reached. The request's number; None where not.

    A request that was decided is not opened again for what it was decided on: corrections, and reviews for the mean of
    stars, count from then on. While one is open or accepted and not answered, there is nothing to add.
    """
    last = ImprovementRequest.objects.filter(kind=RETRAINING).order_by("-pk").first()
    if last is not None and (
        last.state == ImprovementRequest.State.OPEN
        or (last.state == ImprovementRequest.State.ACCEPTED and last.training_run_id is None)
    ):
        return None
    since = last.decided_at if last is not None else None
    facts = facts_now(since)
    found = _threshold(facts, _new_corrections(since))
    if found is None:
        return None
    trigger, reason = found
    try:
        return _open(kind=RETRAINING, reason=reason, trigger=trigger, actor=None, facts=facts).pk
    except IntegrityError as error:
        if not broke(error, "improvement_one_open_of_a_kind"):
            raise
        return None  # somebody was as fast


def _new_corrections(since: Any) -> int:

    rows = new_pairs(live_release())
    return rows.filter(decided_at__gt=since).count() if since is not None else rows.count()


def _threshold(facts: Facts, corrections: int) -> tuple[str, str] | None:
    """(what triggers it, the reason in words)."""
    wanted, floor = settings.GALLEY_REQUEST_AFTER_CORRECTIONS, settings.GALLEY_REQUEST_BELOW_STARS
    if wanted and corrections >= wanted:
        return (
            ImprovementRequest.Trigger.CORRECTIONS,
            f"{corrections:,} accepted corrections that the live model has not been trained on (asked from {wanted:,} "
            "on, GALLEY_REQUEST_AFTER_CORRECTIONS).",
        )
    if floor and facts.stars is not None and facts.reviews >= LEAST_REVIEWS and facts.stars < floor:
        return (
            ImprovementRequest.Trigger.QUALITY,
            f"Reviewers give release {facts.release} {facts.stars:.2f} stars of 5 in {facts.reviews:,} reviews, under "
            f"the floor of {floor:g} (GALLEY_REQUEST_BELOW_STARS).",
        )
    return None
