from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import DatabaseError, connection, transaction
from django.test import Client

from models_app.foundation import audit
from models_app.foundation.errors import GalleyError, InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import (
    Approval,
    AuditEvent,
    ComparisonResult,
    DatasetSnapshot,
    Release,
    Route,
    TrainingRun,
)
from models_app.models.releases import Environment
from models_app.prompts.versions import create_version
from models_app.releases.approving import may_decide, reject
from models_app.releases.composing import compose_release, withdraw_release
from models_app.releases.deploying import put_live, roll_back
from models_app.releases.hands import involved
from tests import make
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene, decisions, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    return scenes.waiting()


def state(the: Scene) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=the.candidate.pk)


def make_approver(*people: Any) -> None:
    for person in people:
        person.groups.add(Group.objects.get(name="approver"))
        for cache in ("_perm_cache", "_group_perm_cache"):
            person.__dict__.pop(cache, None)


def two_needed(the: Scene) -> None:
    the.approvers_needed(2)


# ---------------------------------------------------------------- who may


def test_another_person_approves_and_its_deployment_starts(the: Scene) -> None:
    release = the.approved_by(the.cast.approver)
    assert (release.state, state(the)) == ("warming", "warming")
    assert decisions(release) == [("ada", "approved", True)]
    trail = AuditEvent.objects.filter(subject=f"release:{release.pk}").order_by("id")
    assert [(event.action, event.actor_name) for event in trail] == [
        ("release.compose", "mila"),
        ("release.submit", "mila"),
        ("release.judged", "galley"),
        ("release.approve", "ada"),
        ("release.approved", "ada"),
        ("deployment.start", "galley"),
    ]
    assert trail[3].reason == "Clear gain on ROUGE-2."
    assert trail[3].data["evidence"] == release.evidence_digest
    assert audit.verify().whole


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "operator", "stranger"])
def test_other_roles_do_not_decide(the: Scene, who: str) -> None:
    with pytest.raises(NotAllowed, match="role"):
        the.approved_by(getattr(the.cast, who))
    assert (state(the), Approval.objects.count()) == ("awaiting approval", 0)


def test_nobody_decides_without_being_a_person(the: Scene) -> None:
    for nobody in (None, AnonymousUser()):
        with pytest.raises(NotAllowed, match="person"):
            the.approved_by(nobody)
        assert not may_decide(the.candidate, nobody)[0]


def test_the_requester_cannot_approve_whatever_the_role(the: Scene) -> None:
    make_approver(the.cast.ml_engineer)
    with pytest.raises(NotAllowed, match="requested it"):
        the.approved_by(the.cast.ml_engineer)
    assert state(the) == "awaiting approval"


def test_an_administrator_who_requested_it_cannot_approve_either() -> None:
    the = scene()
    the.submitted(actor=the.cast.administrator)
    with pytest.raises(NotAllowed, match="requested it"):
        the.approved_by(the.cast.administrator)


def test_who_requested_it_first_stays_barred_when_another_submits_it_again(the: Scene) -> None:
    make_approver(the.cast.ml_engineer)
    newer = scenes.made_live(
        compose_release(
            model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 2},
            origin="decoding", actor=None,
        )
    )  # fmt: skip
    release = Release.objects.get(pk=the.candidate.pk)
    with without_guards(Release):
        Release.objects.filter(pk=release.pk).update(created_by=None)
    the.submitted(
        release=release, comparison=scenes.compared(release, newer, the.on), actor=the.cast.administrator
    )
    hands = involved(Release.objects.get(pk=release.pk))
    assert "requested it" in hands[the.cast.administrator.pk]
    assert "requested it" in hands[the.cast.ml_engineer.pk]


def test_who_started_the_training_cannot_approve() -> None:
    the = scene()
    trainer = make.user("tessa", "approver")
    with without_guards(Release, TrainingRun):
        Release.objects.filter(pk=the.candidate.pk).update(created_by=the.cast.administrator)
        TrainingRun.objects.filter(model_version=the.model).update(requested_by=trainer)
    the.submitted(release=Release.objects.get(pk=the.candidate.pk), actor=the.cast.administrator)
    with pytest.raises(NotAllowed, match="started its training"):
        the.approved_by(trainer)


def test_reviewers_whose_corrections_it_learnt_from_cannot_approve(the: Scene) -> None:
    make_approver(the.cast.reviewer, the.cast.another_reviewer)
    with pytest.raises(NotAllowed, match="curated its data"):
        the.approved_by(the.cast.reviewer)
    the.approved_by(the.cast.another_reviewer)


def test_who_froze_the_data_cannot_approve(the: Scene) -> None:
    with without_guards(DatasetSnapshot):
        DatasetSnapshot.objects.update(created_by=the.cast.approver)
    with pytest.raises(NotAllowed, match="froze its data"):
        the.approved_by(the.cast.approver)


def test_submits_an_ancestor_s_training_count(the: Scene) -> None:
    older = scenes.snapshot(by=the.cast.administrator, curators=[the.cast.another_approver.pk])
    ancestor = scenes.trained_model(the.live.model_version, older, by=the.cast.administrator)
    newer = scenes.trained_model(
        ancestor, scenes.snapshot(by=the.cast.ml_engineer, curators=[]), by=the.cast.ml_engineer
    )
    release = compose_release(
        model_version=newer, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    the.submitted(release=release, comparison=scenes.compared(release, the.live, the.on))
    assert may_decide(release, the.cast.another_approver) == (
        False,
        "You curated its data, so somebody else has to decide.",
    )
    assert may_decide(release, the.cast.approver)[0]


@pytest.fixture
def with_new_prompt() -> tuple[Scene, Release]:
    """A release of the live model with a prompt that Anton wrote, from one that Ada suggested and Mila adopted."""
    the = scene()
    first = scenes.chat_prompt()
    adopted = create_version(
        prompt=first.prompt, template="In two sentences:\n\n{text}", parent=first, actor=the.cast.ml_engineer,
        authors=[the.cast.approver.pk],
    )  # fmt: skip
    make_approver(the.cast.administrator)
    newest = create_version(
        prompt=first.prompt,
        template="In two short sentences:\n\n{text}",
        parent=adopted,
        actor=the.cast.administrator,
    )
    release = compose_release(
        model_version=the.live.model_version, prompt_version=newest, decoding={}, origin="prompt",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    the.submitted(release=release, comparison=scenes.compared(release, the.live, the.on))
    return the, release


def test_who_wrote_or_suggested_its_prompt_cannot_approve(with_new_prompt: tuple[Scene, Release]) -> None:
    the, release = with_new_prompt
    for author in (the.cast.administrator, the.cast.approver):
        assert may_decide(release, author) == (
            False,
            "You wrote its prompt, so somebody else has to decide.",
        )
    assert may_decide(release, the.cast.another_approver)[0]


def test_a_prompt_that_has_been_live_is_nobody_s_any_more(with_new_prompt: tuple[Scene, Release]) -> None:
    the, release = with_new_prompt
    adopted = release.prompt_version.parent
    assert adopted is not None
    scenes.made_live(
        compose_release(
            model_version=the.live.model_version,
            prompt_version=adopted,
            decoding={},
            origin="prompt",
            actor=None,
        )
    )
    assert may_decide(release, the.cast.approver)[0]
    assert not may_decide(release, the.cast.administrator)[0]


# ---------------------------------------------------------------- what a decision needs


def test_the_password_is_asked_for_again(the: Scene) -> None:
    for wrong in ("", "not-my-password", make.PASSWORD.upper()):
        with pytest.raises(InvalidInput) as refused:
            the.approved_by(the.cast.approver, password=wrong)
        assert list(refused.value.fields) == ["password"]
    assert (state(the), Approval.objects.count()) == ("awaiting approval", 0)


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 2001])
def test_a_reason_is_needed(the: Scene, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        the.approved_by(the.cast.approver, reason=reason)
    assert list(refused.value.fields) == ["reason"]


def test_a_person_who_left_decides_nothing(the: Scene) -> None:
    the.cast.approver.is_active = False
    with pytest.raises(NotAllowed):
        the.approved_by(the.cast.approver)


def test_the_decision_is_bound_to_the_evidence_that_was_seen(the: Scene) -> None:
    for seen in ("", "0" * 64):
        with pytest.raises(StaleState, match="evidence"):
            the.approved_by(the.cast.approver, evidence_digest=seen)
    assert Approval.objects.count() == 0


# ---------------------------------------------------------------- two approvals


def test_where_two_are_needed_one_does_not_deploy(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    assert state(the) == "awaiting approval"
    with pytest.raises(NotAllowed, match="decided already"):
        the.approved_by(the.cast.approver)
    the.approved_by(the.cast.another_approver, reason="Agreed.")
    assert state(the) == "warming"
    assert decisions(the.candidate) == [("ada", "approved", True), ("anton", "approved", True)]


def test_the_database_keeps_a_person_from_approving_twice(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.create(
            release=the.candidate,
            approver=the.cast.approver,
            decision="approved",
            reason="x",
            evidence_digest="x",
        )


def test_a_decision_cannot_be_changed_or_deleted(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.update(decision="rejected")
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.all().delete()


# ---------------------------------------------------------------- evidence that changes


def go_live_with_something_else(the: Scene) -> Release:
    return scenes.made_live(
        compose_release(
            model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 4},
            origin="decoding", actor=None,
        )
    )  # fmt: skip


def test_a_switch_after_the_comparison_voids_what_was_decided(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    newer = go_live_with_something_else(the)
    with pytest.raises(Refused, match=f"Release {newer.pk} went live") as refused:
        the.approved_by(the.cast.another_approver)
    assert refused.value.code == "evidence_changed"
    assert state(the) == "awaiting approval"
    assert decisions(the.candidate) == [("ada", "approved", False)]
    event = AuditEvent.objects.get(action="release.void")
    assert (event.actor_name, event.data) == ("galley", {"voided": 1})


def test_compared_with_what_is_live_now_it_is_decided_afresh(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    seen_before = the.candidate.evidence_digest
    newer = go_live_with_something_else(the)
    release = Release.objects.get(pk=the.candidate.pk)
    the.submitted(release=release, comparison=scenes.compared(release, newer, the.on))
    assert decisions(release) == [("ada", "approved", False)]
    with pytest.raises(StaleState, match="evidence"):
        the.approved_by(the.cast.approver, evidence_digest=seen_before)
    the.approved_by(the.cast.approver)
    the.approved_by(the.cast.another_approver)
    assert state(the) == "warming"


def test_scores_that_were_tampered_with_void_the_approvals(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    with without_guards(ComparisonResult):
        ComparisonResult.objects.filter(comparison=the.comparison, metric="rouge2").update(after=99.0)
    with pytest.raises(Refused, match="not what it was"):
        the.approved_by(the.cast.another_approver)
    assert decisions(the.candidate) == [("ada", "approved", False)]
    with pytest.raises(Refused):
        the.approved_by(the.cast.approver)
    assert AuditEvent.objects.filter(action="release.void").count() == 1, "nothing was left to void"


def test_a_rejection_needs_no_valid_evidence(the: Scene) -> None:
    go_live_with_something_else(the)
    release = Release.objects.get(pk=the.candidate.pk)
    reject(
        release=release, actor=the.cast.approver, reason="Overtaken.", evidence_digest=release.evidence_digest,
        password=make.PASSWORD,
    )  # fmt: skip
    assert state(the) == "rejected"


# ---------------------------------------------------------------- rejecting


def rejected(the: Scene, person: Any, **fields: Any) -> Release:
    release = Release.objects.get(pk=the.candidate.pk)
    values = {
        "release": release, "actor": person, "reason": "It invents numbers.", "password": make.PASSWORD,
        "evidence_digest": release.evidence_digest,
    }  # fmt: skip
    return reject(**{**values, **fields})


def test_one_rejection_ends_it_for_good(the: Scene) -> None:
    two_needed(the)
    the.approved_by(the.cast.approver)
    release = rejected(the, the.cast.another_approver)
    assert (release.state, release.reason) == ("rejected", "It invents numbers.")
    for act in (the.approved_by, lambda person: rejected(the, person)):
        with pytest.raises(StaleState, match="rejected"):
            act(make.user(f"late {id(act)}", "approver"))
    with pytest.raises(Refused):
        the.submitted(release=Release.objects.get(pk=release.pk))
    with pytest.raises(Refused):
        withdraw_release(release=Release.objects.get(pk=release.pk), actor=the.cast.ml_engineer)
    assert state(the) == "rejected"
    assert Route.objects.get().release == the.live


def test_rejecting_asks_the_same_of_a_person_as_approving(the: Scene) -> None:
    for person in (the.cast.reviewer, the.cast.ml_engineer, the.cast.operator, the.cast.stranger):
        with pytest.raises(NotAllowed):
            rejected(the, person)
    make_approver(the.cast.ml_engineer)
    with pytest.raises(NotAllowed, match="requested"):
        rejected(the, the.cast.ml_engineer)
    with pytest.raises(InvalidInput):
        rejected(the, the.cast.approver, password="wrong")
    with pytest.raises(InvalidInput):
        rejected(the, the.cast.approver, reason=" ")
    with pytest.raises(StaleState):
        rejected(the, the.cast.approver, evidence_digest="0" * 64)
    assert state(the) == "awaiting approval"


def test_a_withdrawn_release_cannot_be_decided(the: Scene) -> None:
    release = Release.objects.get(pk=the.candidate.pk)
    withdraw_release(release=Release.objects.get(pk=release.pk), actor=the.cast.ml_engineer)
    with pytest.raises(StaleState):
        the.approved_by(the.cast.approver, release=release)
    assert state(the) == "withdrawn"


# ---------------------------------------------------------------- at the same time


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Runs them in threads of their own; what became of each, sorted."""
    outcomes: list[str] = []
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait()
            act()
            outcomes.append("done")
        except GalleyError as error:
            outcomes.append(error.code)
        except Exception as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


@pytest.mark.django_db(transaction=True)
def test_of_two_approvers_at_once_where_one_is_needed_one_deploys_it(the: Scene) -> None:
    both = (the.cast.approver, the.cast.another_approver)
    assert at_once(*[lambda person=person: the.approved_by(person) for person in both]) == ["done", "stale"]
    assert (state(the), Approval.objects.count()) == ("warming", 1)
    assert AuditEvent.objects.filter(action="deployment.start").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_approvers_at_once_where_two_are_needed_both_count(the: Scene) -> None:
    two_needed(the)
    both = (the.cast.approver, the.cast.another_approver)
    assert at_once(*[lambda person=person: the.approved_by(person) for person in both]) == ["done", "done"]
    assert (state(the), Approval.objects.count()) == ("warming", 2)


@pytest.mark.django_db(transaction=True)
def test_a_person_who_presses_twice_at_once_approves_once(the: Scene) -> None:
    two_needed(the)
    twice = [lambda: the.approved_by(the.cast.approver)] * 2
    assert at_once(*twice)[0] == "done"
    assert (state(the), Approval.objects.count()) == ("awaiting approval", 1)


@pytest.mark.django_db(transaction=True)
def test_approving_and_rejecting_at_once_end_in_one_of_the_two(the: Scene) -> None:
    outcomes = at_once(
        lambda: the.approved_by(the.cast.approver), lambda: rejected(the, the.cast.another_approver)
    )
    assert outcomes == ["done", "stale"]
    assert Approval.objects.count() == 1
    assert state(the) in ("warming", "rejected")


@pytest.mark.django_db(transaction=True)
def test_approving_while_the_live_release_switches_never_deadlocks(the: Scene) -> None:
    """A switch before the decision is seen by it; one after the decision finds the release warming up."""
    other = scenes.approved(
        compose_release(
            model_version=the.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 2},
            origin="decoding", actor=None,
        )
    )  # fmt: skip
    outcomes = at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: put_live(release=Release.objects.get(pk=other.pk)),
    )
    assert outcomes in (
        ["done", "done"],
        ["done", "evidence_changed"],
        ["done", "refused"],
        ["done", "stale"],
    )
    if "evidence_changed" in outcomes:
        assert state(the) == "awaiting approval"
    else:
        assert state(the) == "warming"


@pytest.mark.django_db(transaction=True)
def test_approving_while_somebody_rolls_back_never_deadlocks(the: Scene) -> None:
    environment = Environment.objects.get(name="production")
    newer = go_live_with_something_else(the)
    release = Release.objects.get(pk=the.candidate.pk)
    the.submitted(release=release, comparison=scenes.compared(release, newer, the.on))
    outcomes = at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: roll_back(environment=environment, actor=the.cast.operator, reason="Bad."),
    )
    assert outcomes in (["done", "done"], ["done", "evidence_changed"])
    assert Route.objects.get().release == the.live
    assert state(the) in ("rolled back", "awaiting approval"), (
        "never warming up beside what it was not compared with"
    )


# ---------------------------------------------------------------- no other way in


def test_no_call_of_the_api_decides(the: Scene, client: Client) -> None:
    """Whatever a token may do: there is no such call."""
    paths = client.get("/api/schema/?format=json").json()["paths"]
    assert paths, "the schema lists the calls"
    assert not [path for path in paths if any(word in path for word in ("approv", "reject", "decide"))]
    for word in ("approve", "reject", "decide"):
        answer = client.post(f"/api/v1/releases/{the.candidate.pk}/{word}/")
        assert answer.status_code == 404
