"""Waivers: what may be waived, by whom, for how long, and when one no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import GalleyError, InvalidInput, NotAllowed, Refused, StaleState
from models_app.gates import running
from models_app.gates.results import Verdict
from models_app.models import AuditEvent, GateResult, GateRun, Waiver
from models_app.releases.approving import may_decide
from models_app.releases.hands import involved
from models_app.releases.waiving import agree_to_waiver, ask_for_waiver, end_waiver, may_agree
from tests import make
from tests.database import without_guards
from tests.kept import kept
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return unclear()


@kept
def unclear() -> Scene:
    """Judged: its guards are inconclusive, for want of documents."""
    made = scene()
    scenes.small_policy(guards={"least_documents": 100})
    scenes.judged(made.candidate, made.comparison)
    return made


def outcome(the: Scene) -> running.Outcome:
    run = running.newest(the.candidate)
    assert run is not None
    return running.outcome(run)


def asked(the: Scene, name: str = "rouge1", **fields: Any) -> Waiver:
    values = {
        "release": the.candidate, "gate": "guards", "name": name, "reason": "The test set is small.", "days": 7,
        "actor": the.cast.ml_engineer,
    }  # fmt: skip
    return ask_for_waiver(**{**values, **fields})


def agreed(the: Scene, waiver: Waiver, **fields: Any) -> Waiver:
    values = {
        "waiver": waiver, "reason": "It is.", "password": make.PASSWORD, "actor": the.cast.approver,
    }  # fmt: skip
    return agree_to_waiver(**{**values, **fields})


def guards(the: Scene) -> list[str]:
    return list(GateResult.objects.filter(gate="guards").values_list("name", flat=True))


def test_a_release_that_needs_evidence_waits_for_approval_once_all_of_it_is_waived(the: Scene) -> None:
    assert outcome(the).state == "needs evidence"
    for name in guards(the):
        assert outcome(the).state == "needs evidence"
        agreed(the, asked(the, name))
    found = outcome(the)
    assert found.state == "awaiting approval"
    assert "by a waiver" in found.words
    actions = set(AuditEvent.objects.filter(action__startswith="waiver.").values_list("action", flat=True))
    assert actions == {"waiver.ask", "waiver.agree"}


def lets_pass(the: Scene) -> bool:
    """By the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT galley_gates_pass(%s, %s, %s)",
            [the.candidate.pk, the.comparison.pk, the.candidate.environment_id],
        )
        return bool(cursor.fetchone()[0])


def test_the_database_lets_a_waiver_cover_the_same_finding_by_a_policy_that_allows_it(the: Scene) -> None:
    assert not lets_pass(the)
    for name in guards(the):
        agreed(the, asked(the, name))
    assert lets_pass(the)
    few = {"least_documents": 100}
    scenes.small_policy(guards=few, approvals={"expire_after_days": 3})
    again = scenes.judged(the.candidate, the.comparison)
    assert again.results.filter(gate="guards", verdict="inconclusive").exists()
    assert lets_pass(the)
    with without_guards(GateResult), transaction.atomic():
        again.results.filter(gate="guards", name="rouge1").update(estimate=F("estimate") - 0.01)
    assert not lets_pass(the)
    scenes.small_policy(guards={"least_documents": 101})
    scenes.judged(the.candidate, the.comparison)
    assert not lets_pass(the)
    scenes.small_policy(guards=few, waivers={"allowed": ["guards"]})
    scenes.judged(the.candidate, the.comparison)
    assert lets_pass(the)
    scenes.small_policy(guards=few, waivers={"allowed": ["speed"]})
    scenes.judged(the.candidate, the.comparison)
    assert not lets_pass(the)


def test_agreeing_takes_the_password_or_a_code_in_its_place(the: Scene) -> None:
    waiver, ada = asked(the), the.cast.approver
    secret = "JBSWY3DPEHPK3PXP"
    totp.TOTP.activate(ada, secret)
    code = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))
    for given in ({"password": ""}, {"password": "wrong"}, {"code": "000000"}):
        with pytest.raises(InvalidInput, match=r"not your password|not the code"):
            agreed(the, waiver, **given)
    with pytest.raises(InvalidInput, match="Write why"):
        agreed(the, waiver, password="", code=code, reason=" ")
    assert agreed(the, waiver, password="", code=code).agreed_by == ada, "the code was not used up before"


def test_a_waiver_that_nobody_agreed_to_covers_nothing(the: Scene) -> None:
    for name in guards(the):
        asked(the, name)
    assert outcome(the).state == "needs evidence"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gate": "primary", "name": "rouge2"}, "It passes"),
        ({"gate": "integrity", "name": "scores"}, "It passes"),
        ({"gate": "guards", "name": "rouge9"}, "no such result"),
        ({"gate": "leakage", "name": ""}, "no such result"),
    ],
)
def test_what_passes_or_was_not_found_is_not_waived(the: Scene, fields: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        asked(the, **fields)


@pytest.mark.parametrize("gate", ["integrity", "leakage", "personal_data", "safety"])
@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_integrity_leakage_personal_data_and_safety_are_never_waived(
    the: Scene, gate: str, verdict: Verdict
) -> None:
    run = GateRun.objects.create(
        release=the.candidate,
        comparison=the.comparison,
        policy=GateRun.objects.get().policy,
        policy_digest="x",
    )
    GateRun.objects.filter(pk=run.pk).update(state="running")
    GateResult.objects.create(
        run=run, position=0, gate=gate, verdict=verdict.value, words="Found.", need="none", method="x"
    )
    GateRun.objects.filter(pk=run.pk).update(
        state="finished", verdict=verdict.value, digest="x", finished_at=timezone.now()
    )
    with pytest.raises(Refused, match=r"never waived|An error is not waived"):
        asked(the, gate=gate, name="")


def test_what_the_policy_does_not_allow_is_not_waived(the: Scene) -> None:
    scenes.small_policy(guards={"least_documents": 100}, waivers={"allowed": ["speed"]})
    scenes.judged(the.candidate, the.comparison)
    with pytest.raises(Refused, match="does not allow waivers of this gate"):
        asked(the)


def test_a_failure_is_waived_only_where_the_policy_says_so() -> None:
    the = scene(before=0.16, after=0.10)
    scenes.judged(the.candidate, the.comparison)
    with pytest.raises(Refused, match="not allow waivers of what fails"):
        asked(the)
    scenes.small_policy(waivers={"failures": True})
    scenes.judged(the.candidate, the.comparison)
    assert asked(the).pk


@pytest.mark.parametrize("days", [0, -1, 31, 10**9])
def test_it_lasts_as_long_as_the_policy_allows_and_no_longer(the: Scene, days: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        asked(the, days=days)
    assert set(refused.value.fields) == {"days"}


@pytest.mark.parametrize("reason", ["", " \x00 ", "x" * 2001])
def test_both_say_why(the: Scene, reason: str) -> None:
    with pytest.raises(InvalidInput):
        asked(the, reason=reason)
    waiver = asked(the)
    with pytest.raises(InvalidInput):
        agreed(the, waiver, reason=reason)


def test_there_is_one_at_a_time(the: Scene) -> None:
    first = asked(the)
    with pytest.raises(Refused, match="already"):
        asked(the)
    end_waiver(waiver=first, reason="Wrong words.", actor=the.cast.ml_engineer)
    assert asked(the).pk != first.pk


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_who_does_not_submit_releases_asks_for_none(the: Scene, who: str) -> None:
    with pytest.raises(NotAllowed):
        asked(the, actor=getattr(the.cast, who))


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "operator", "stranger"])
def test_who_does_not_approve_releases_agrees_to_none(the: Scene, who: str) -> None:
    with pytest.raises(NotAllowed):
        agreed(the, asked(the), actor=getattr(the.cast, who))


def test_nobody_agrees_to_what_they_asked_for(the: Scene) -> None:
    alma = the.cast.administrator
    waiver = asked(the, actor=alma)
    with pytest.raises(NotAllowed, match="You asked for it"):
        agreed(the, waiver, actor=alma)
    assert outcome(the).state == "needs evidence"


def test_who_had_a_hand_in_the_release_does_not_agree(the: Scene) -> None:
    mila = the.cast.ml_engineer
    mila.groups.add(*the.cast.approver.groups.all())
    waiver = asked(the, actor=the.cast.administrator)
    with pytest.raises(NotAllowed, match="composed it"):
        agreed(the, waiver, actor=User.objects.get(pk=mila.pk))


def test_who_edited_the_policy_does_not_agree(the: Scene) -> None:
    waiver = asked(the)
    ada = the.cast.approver
    ada.groups.add(*make.user("petra", "policy editor").groups.all())
    from models_app.gates import policies

    held = policies.holding(the.candidate.environment)
    policies.change_policy(
        environment=the.candidate.environment, settings={**held.settings, "waivers": {"longest_days": 60}},
        reason="Longer.", expected=held.number, actor=User.objects.get(pk=ada.pk),
    )  # fmt: skip
    may, why = may_agree(waiver, User.objects.get(pk=ada.pk))
    assert not may
    assert "edited the policy" in why


def test_who_asked_for_one_has_a_hand_in_the_release(the: Scene) -> None:
    alma = the.cast.administrator
    assert may_decide(the.candidate, alma)[0]
    asked(the, actor=alma)
    assert "asked for a waiver of its gates" in involved(the.candidate)[alma.pk]
    assert not may_decide(the.candidate, alma)[0]


def test_it_takes_the_password_again(the: Scene) -> None:
    waiver = asked(the)
    with pytest.raises(InvalidInput) as refused:
        agreed(the, waiver, password="wrong")
    assert set(refused.value.fields) == {"password"}


# ---------------------------------------------------------------- when it no longer holds


def test_it_is_over_after_its_time(the: Scene) -> None:
    for name in guards(the):
        agreed(the, asked(the, name))
    run = running.newest(the.candidate)
    assert run is not None
    assert running.outcome(run, at=timezone.now() + timedelta(days=6)).state == "awaiting approval"
    assert running.outcome(run, at=timezone.now() + timedelta(days=8)).state == "needs evidence"


def test_the_same_finding_in_another_run_is_still_waived(the: Scene) -> None:
    for name in guards(the):
        agreed(the, asked(the, name))
    scenes.judged(the.candidate, the.comparison)
    assert outcome(the).state == "awaiting approval"


def test_another_finding_is_not(the: Scene) -> None:
    for name in guards(the):
        agreed(the, asked(the, name))
    other = scenes.compared(the.candidate, the.live, scenes.evaluation_set(20))
    scenes.judged(the.candidate, other)
    assert outcome(the).state == "needs evidence"


def test_the_same_figures_are_not_waived_where_the_policy_asks_for_more_by_then(the: Scene) -> None:
    """Forty documents of a hundred were let pass by two people; forty of five thousand were not."""
    for name in guards(the):
        agreed(the, asked(the, name))
    scenes.small_policy(guards={"least_documents": 5000})
    scenes.judged(the.candidate, the.comparison)
    assert outcome(the).state == "needs evidence"


def test_a_waiver_outlasts_a_change_of_other_sections_of_the_policy(the: Scene) -> None:
    for name in guards(the):
        agreed(the, asked(the, name))
    scenes.small_policy(guards={"least_documents": 100}, slices={"gap": 2.5})
    scenes.judged(the.candidate, the.comparison)
    assert outcome(the).state == "awaiting approval"


def test_what_changed_while_it_waited_is_not_agreed_to(the: Scene) -> None:
    waiver = asked(the)
    scenes.judged(the.candidate, scenes.compared(the.candidate, the.live, scenes.evaluation_set(20)))
    with pytest.raises(Refused, match="found something else"):
        agreed(the, waiver)


def test_a_policy_that_forbids_it_meanwhile_ends_it(the: Scene) -> None:
    waiver = asked(the)
    scenes.small_policy(guards={"least_documents": 100}, waivers={"allowed": []})
    with pytest.raises(Refused, match="does not allow"):
        agreed(the, waiver)


@pytest.mark.parametrize("who", ["ml_engineer", "approver"])
def test_either_side_ends_it_and_what_rested_on_it_does_so_no_more(the: Scene, who: str) -> None:
    waivers = [agreed(the, asked(the, name)) for name in guards(the)]
    end_waiver(waiver=waivers[0], reason="We found more documents.", actor=getattr(the.cast, who))
    assert outcome(the).state == "needs evidence"
    with pytest.raises(StaleState):
        end_waiver(waiver=waivers[0], reason="Again.", actor=the.cast.approver)
    with pytest.raises(StaleState):
        agreed(the, waivers[0])


@pytest.mark.parametrize("who", ["reviewer", "operator", "stranger"])
def test_others_end_none(the: Scene, who: str) -> None:
    with pytest.raises(NotAllowed):
        end_waiver(waiver=asked(the), reason="No.", actor=getattr(the.cast, who))


# ---------------------------------------------------------------- the database


def refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError:
        return True
    return False


def test_the_database_keeps_what_was_waived_and_by_whom(the: Scene) -> None:
    waiver = agreed(the, asked(the))
    where = f"WHERE id = {waiver.pk}"
    for change in (
        "reason = 'other'", "expires_at = now() + interval '1 year'", "result_digest = 'x'", "gate = 'primary'",
        f"asked_by_id = {the.cast.reviewer.pk}", f"agreed_by_id = {the.cast.another_approver.pk}",
        "agreed_by_id = NULL, agreed_at = NULL, agreed_reason = ''", "agreed_reason = 'other'", "asked_at = now()",
    ):  # fmt: skip
        assert refused(f"UPDATE models_app_waiver SET {change} {where}"), change
    assert refused(f"DELETE FROM models_app_waiver {where}")
    assert refused("TRUNCATE models_app_waiver")
    end_waiver(waiver=waiver, reason="Over.", actor=the.cast.approver)
    assert refused(
        f"UPDATE models_app_waiver SET ended_at = NULL, ended_by_id = NULL, end_reason = '' {where}"
    )


def test_the_database_lets_nobody_agree_to_their_own(the: Scene) -> None:
    waiver = asked(the)
    own = f"agreed_by_id = {waiver.asked_by_id}, agreed_at = now(), agreed_reason = 'Fine.'"
    assert refused(f"UPDATE models_app_waiver SET {own} WHERE id = {waiver.pk}")


@pytest.mark.django_db(transaction=True)
def test_two_who_decide_at_the_same_instant_decide_once() -> None:
    the = unclear()
    waiver = asked(the)

    def attempt(act: Callable[[], Any]) -> bool:
        try:
            act()
        except GalleyError:
            return False
        finally:
            connections.close_all()
        return True

    acts = [
        lambda: agreed(the, Waiver.objects.get(pk=waiver.pk)),
        lambda: agreed(the, Waiver.objects.get(pk=waiver.pk), actor=the.cast.another_approver),
    ]
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, acts)) == [False, True]


# ---------------------------------------------------------------- the page


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_on_the_page_one_asks_and_another_agrees(the: Scene) -> None:
    page = f"/releases/{the.candidate.pk}/gates/"
    mila, ada = signed_in(the.cast.ml_engineer), signed_in(the.cast.approver)
    assert "Ask for a waiver" in mila.get(page).content.decode()
    assert "Ask for a waiver" not in ada.get(page).content.decode()
    for name in guards(the):
        sent = {"gate": "guards", "name": name, "days": "7", "reason": "Few documents."}
        assert mila.post(f"{page}waivers/", sent).status_code == 302
    for waiver in Waiver.objects.all():
        assert "Agree to the waiver" in ada.get(page).content.decode()
        address = f"{page}waivers/{waiver.pk}/agree/"
        wrong = ada.post(address, {f"{waiver.pk}-reason": "Fine.", f"{waiver.pk}-password": "wrong"})
        assert wrong.status_code == 422
        assert "This is not your password." in wrong.content.decode()
        right = {f"{waiver.pk}-reason": "Fine.", f"{waiver.pk}-password": make.PASSWORD}
        assert ada.post(address, right).status_code == 302
    shown = ada.get(page).content.decode()
    assert "awaiting approval" in shown
    assert "waived" in shown
    assert "Few documents." in shown


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"days": "99", "reason": "x"}, 422, "From 1 to 30 days."),
        ({"days": "7", "reason": ""}, 422, "This field is required."),
        ({"days": "7", "reason": "x", "name": "rouge9"}, 409, "no such result"),
        ({"days": "7", "reason": "x", "gate": "integrity", "name": "scores"}, 409, "It passes"),
        ({"days": "1e9", "reason": "x"}, 422, "Enter a whole number."),
    ],
)
def test_what_is_wrong_is_said_on_the_page(the: Scene, sent: dict[str, str], status: int, said: str) -> None:
    page = f"/releases/{the.candidate.pk}/gates/"
    data = {"gate": "guards", "name": "rouge1", **sent}
    answer = signed_in(the.cast.ml_engineer).post(f"{page}waivers/", data)
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert not Waiver.objects.exists()


def test_the_gates_are_run_again_from_the_page_and_the_page_follows(the: Scene) -> None:
    page = f"/releases/{the.candidate.pk}/gates/"
    mila = signed_in(the.cast.ml_engineer)
    the.submitted()
    scenes.small_policy(guards={"least_documents": 101})
    assert mila.post(f"{page}run/").status_code == 302
    following = mila.get(page).content.decode()
    assert 'hx-trigger="every 2s"' in following
    run = running.newest(the.candidate)
    assert run is not None
    assert run.job is not None
    make.carried_out(run.job)
    assert 'hx-trigger="every 2s"' not in mila.get(page).content.decode()
    assert signed_in(the.cast.approver).post(f"{page}run/").status_code == 403
