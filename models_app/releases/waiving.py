"""Waivers of a release's gates: one person asks, with a reason and for a time; another, who had no hand in the release,
agrees. Neither does it by a token or a command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.foundation.roles import allowed, require
from models_app.gates import policies, running, waivers
from models_app.models import GateResult, GateRun, Release, Route, Waiver
from models_app.people.proving import refuse_wrong
from models_app.releases.accounts import Circle
from models_app.releases.judging import reconsider
from models_app.releases.standing import why_not
from models_app.texts.normalise import normalise

LONGEST_REASON = audit.LONGEST_REASON


def ask_for_waiver(*, release: Release, gate: str, name: str, reason: str, days: int, actor: User) -> Waiver:
    """Ask that a result of the newest run be waived. Raises Refused where the policy does not allow it."""
    _person(actor)
    require(actor, "submit_release")
    reason = _reason(reason)
    with transaction.atomic():
        Release.objects.select_for_update(no_key=True).get(pk=release.pk)
        row = _result(release, gate, name)
        policy = policies.read(row.run.policy).waivers
        problem = waivers.may_be_waived(row, policy)
        if problem:
            raise Refused(problem, code="not_waivable")
        if not 1 <= days <= policy.longest_days:
            words = f"From 1 to {policy.longest_days} days."
            raise InvalidInput(words, fields={"days": words})
        try:
            with transaction.atomic():
                waiver = Waiver.objects.create(
                    release=release, gate=row.gate, name=row.name, result=row,
                    result_digest=_digest(row), reason=reason, asked_by=actor,
                    expires_at=timezone.now() + timedelta(days=days),
                )  # fmt: skip
        except IntegrityError as error:
            if not broke(error, "waiver_one_open_per_row"):
                raise
            raise Refused("There is a waiver of this already. End it first.", code="waived") from error
        _record(waiver, actor, "waiver.ask", reason, expires=waiver.expires_at.isoformat())
    return waiver


def may_agree(waiver: Waiver, user: Any, *, circle: Circle | None = None) -> tuple[bool, str]:
    """(True, "") or (False, why not), in words for the page."""
    if not isinstance(user, User) or not allowed(user, "approve_release"):
        return False, "Your role does not approve releases, so it does not agree to waivers."
    if waiver.asked_by_id == user.pk:
        return False, "You asked for it, so somebody else has to agree."
    problem = why_not(user, circle or Circle(waiver.release))
    return (False, f"{problem} So somebody else has to agree.") if problem else (True, "")


def agree_to_waiver(
    *, waiver: Waiver, reason: str, password: str = "", code: str = "", actor: User
) -> Waiver:
    """Somebody without a hand in the release agrees, and proves to be who they are. Raises Refused where it is about
    what is not found any more, or where the policy has changed."""
    _person(actor)
    require(actor, "approve_release")
    may, why = may_agree(waiver, actor)
    if not may:
        raise NotAllowed(why)
    refuse_wrong(_wrong_reason(reason), actor, password=password, code=code)
    reason = normalise(reason)
    with transaction.atomic():
        Route.objects.select_for_update().get(environment=waiver.release.environment_id)
        Release.objects.select_for_update(no_key=True).get(pk=waiver.release_id)
        now = Waiver.objects.select_for_update().get(pk=waiver.pk)
        if now.ended_at is not None or now.agreed_at is not None or now.expires_at <= timezone.now():
            raise StaleState("This waiver has been decided on, or its time is over. Look again.")
        row = _result(now.release, now.gate, now.name)
        if _digest(row) != now.result_digest:
            raise Refused(
                "The gates have found something else meanwhile. Ask for another waiver.", code="stale"
            )
        problem = waivers.may_be_waived(row, policies.policy_of(now.release.environment_id).waivers)
        if problem:
            raise Refused(problem, code="not_waivable")
        Waiver.objects.filter(pk=now.pk).update(
            agreed_by=actor, agreed_at=timezone.now(), agreed_reason=reason
        )
        _record(now, actor, "waiver.agree", reason)
        reconsider(now.release)
    waiver.refresh_from_db()
    return waiver


def end_waiver(*, waiver: Waiver, reason: str, actor: User) -> Waiver:
    """Take it back, or decline it: people who may ask for one or agree to one do. What rested on it does so no more."""
    _person(actor)
    if not allowed(actor, "submit_release"):
        require(actor, "approve_release")
    reason = _reason(reason)
    with transaction.atomic():
        ended = Waiver.objects.filter(pk=waiver.pk, ended_at=None).update(
            ended_by=actor, ended_at=timezone.now(), end_reason=reason
        )
        if not ended:
            raise StaleState("This waiver has ended already.")
        _record(waiver, actor, "waiver.end", reason)
    waiver.refresh_from_db()
    return waiver


def _result(release: Release, gate: str, name: str) -> GateResult:
    run = running.newest(release)
    if run is None or run.state != GateRun.State.FINISHED:
        raise Refused(
            "The gates have not been judged to the end; there is nothing to waive yet.", code="not_judged"
        )
    row = GateResult.objects.select_related("run__policy").filter(run=run, gate=gate, name=name).first()
    if row is None:
        raise Refused("The gates have no such result any more. Look again.", code="stale")
    return row


def _digest(row: GateResult) -> str:
    return waivers.digest_of_result(row, policies.read(row.run.policy).as_settings())


def _person(actor: Any) -> None:
    if not isinstance(actor, User):
        raise NotAllowed("Only people ask for waivers and agree to them, on the page of the release.")


def _record(waiver: Waiver, actor: User, action: str, reason: str, **data: Any) -> None:
    audit.record(
        actor=actor, action=action, subject=waiver, reason=reason,
        data={"release": waiver.release_id, "gate": waiver.gate, "name": waiver.name,
              "result": waiver.result_digest, **data},
    )  # fmt: skip


def _reason(given: str) -> str:
    fields = _wrong_reason(given)
    if fields:
        raise InvalidInput(fields["reason"], fields=fields)
    return normalise(given)


def _wrong_reason(given: str) -> dict[str, str]:
    reason = normalise(given)
    if not reason:
        return {"reason": "Write why; the record keeps it."}
    if len(reason) > LONGEST_REASON:
        return {"reason": f"Write at most {LONGEST_REASON:,} characters."}
    return {}
