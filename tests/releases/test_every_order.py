"""Whatever people do in whatever order, and whatever statements somebody types: nothing goes live without its gates and
its approvals. Hypothesis draws the acts; what must hold is said here again, not by the code that is tried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models_app.foundation.errors import GalleyError
from models_app.foundation.statements import database_time
from models_app.gates import policies
from models_app.models import (
    Approval,
    Comparison,
    Deployment,
    Environment,
    GatePolicy,
    GateRun,
    Incident,
    Job,
    Release,
    Route,
)
from models_app.releases.approving import approve, ask_for_changes, confirmation, reject
from models_app.releases.composing import compose_release, submit_release, withdraw_release
from models_app.releases.deploying import go_live, roll_back, start_approved, start_deployment
from models_app.releases.emergency import put_live_in_emergency, review_incident
from models_app.releases.expiring import expire_waiting
from models_app.releases.judging import settle_ended
from tests import make
from tests.database import without_guards
from tests.kept import kept
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

APPROVERS = ("ada", "anton", "paula")
#: The requester and trainer, the curator, an operator, and an administrator, who all may have become approvers.
OTHERS = ("mila", "rita", "otto", "alma")
PEOPLE = st.sampled_from((*APPROVERS, *APPROVERS, *OTHERS))
WENT_LIVE: set[str] = set()


def compared(candidate: Release, live: Release) -> dict[str, Comparison]:
    return {
        name: scenes.compared(candidate, live, scenes.evaluation_set(24), before=before, after=after)
        for name, before, after in (("good", 0.10, 0.16), ("another", 0.10, 0.17), ("worse", 0.16, 0.10))
    }


@kept
def beginning() -> tuple[Scene, dict[str, Comparison]]:
    the = scene(documents=24)
    make.user("paula", "approver")
    return the, compared(the.candidate, the.live)


class Acts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.the, self.comparisons = beginning()
        self.environment = Environment.objects.get(name="production")
        self.candidate = self.the.candidate
        self.was_live: set[int] = {self.the.live.pk}
        self.live = self.the.live.pk
        self.by_statement = False

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    @property
    def release(self) -> Release:
        return Release.objects.get(pk=self.candidate.pk)

    def _person(self, name: str) -> User:
        return User.objects.get(username=name)

    def _act(self, act: Callable[[], Any]) -> None:
        """Refusals are fine; anything else that is raised is not."""
        try:
            with transaction.atomic():
                act()
        except GalleyError:
            self.refused = True

    def _kept(self, act: Callable[[], Any]) -> None:
        """As `_act`, for what changes something and refuses then: a release that is sent back, approvals made void."""
        try:
            act()
        except GalleyError:
            self.refused = True

    def _signed(self, act: Any, who: str, **more: Any) -> None:
        release = self.release
        self._kept(
            lambda: act(
                release=release, actor=self._person(who), reason="So.", password=make.PASSWORD,
                evidence_digest=release.evidence_digest, **more,
            )
        )  # fmt: skip

    # ---------------------------------------------------------------- what people do

    @rule(
        name=st.sampled_from(("good", "good", "another", "worse")),
        who=st.sampled_from(("mila", "mila", "alma")),
    )
    def submit(self, name: str, who: str) -> None:
        self._act(
            lambda: submit_release(
                release=self.release,
                comparison=self.comparisons[name],
                actor=self._person(who),
                note="Better.",
            )
        )

    @rule()
    def judge(self) -> None:
        for job in Job.objects.filter(kind="judge_release", state="queued").order_by("pk"):
            make.carried_out(job)

    @rule()
    def submit_and_judge(self) -> None:
        self.submit("good", "mila")
        self.judge()

    @rule(who=PEOPLE, typed=st.booleans())
    def approve(self, who: str, typed: bool) -> None:
        self._signed(approve, who, said=confirmation(self.release) if typed else "")

    @rule()
    def all_approve(self) -> None:
        for who in APPROVERS:
            self.approve(who, True)

    @rule(who=PEOPLE)
    def emergency(self, who: str) -> None:
        self._signed(put_live_in_emergency, who, said=confirmation(self.release))

    @rule(who=st.sampled_from(APPROVERS), approvers=st.integers(1, 2), frozen=st.booleans())
    def hurry(self, who: str, approvers: int, frozen: bool) -> None:
        """An emergency that may be one: what would make it so is drawn together more often than by itself."""
        self.policy("", approvers, 10, frozen)
        self.submit_and_judge()
        self.emergency(who)
        self.switch("")

    @rule(who=PEOPLE)
    def change(self, who: str) -> None:
        self._signed(ask_for_changes, who)

    @rule(who=PEOPLE, really=st.integers(0, 5))
    def end(self, who: str, really: int) -> None:
        if really == 0:
            self._signed(reject, who)
        elif really == 1:
            self._act(lambda: withdraw_release(release=self.release, actor=self._person("mila")))
        elif really == 2:
            with without_guards(Release):
                past = database_time() - timedelta(seconds=1)
                Release.objects.filter(pk=self.candidate.pk, decide_by__isnull=False).update(decide_by=past)
            expire_waiting()

    @precondition(lambda self: self.release.state in Release.ENDED)
    @rule()
    def compose_again(self) -> None:
        self.candidate = compose_release(
            model_version=self.candidate.model_version, prompt_version=self.candidate.prompt_version,
            decoding=self.candidate.decoding, origin="retraining", actor=self._person("mila"),
        )  # fmt: skip
        live = Route.objects.select_related("release").get().release
        assert live is not None
        if live.pk != self.candidate.pk:
            self.comparisons = compared(self.release, live)

    @rule()
    def review(self) -> None:
        incident = Incident.objects.filter(reviewed_by=None).first()
        if incident is not None:
            self._act(
                lambda: review_incident(
                    incident=incident, actor=self._person("anton"), words="Fine.", password=make.PASSWORD
                )
            )

    # ---------------------------------------------------------------- who they are

    @rule(who=PEOPLE, role=st.sampled_from(("approver", "policy editor", "")))
    def role(self, who: str, role: str) -> None:
        self._person(who).groups.set(Group.objects.filter(name=role))
        if who == "mila":  # she goes on with her work
            self._person(who).groups.add(Group.objects.get(name="ml engineer"))

    @rule(who=PEOPLE, active=st.booleans())
    def account(self, who: str, active: bool) -> None:
        User.objects.filter(username=who).update(is_active=active or who == "mila")

    @rule(who=PEOPLE)
    def rename(self, who: str) -> None:
        person = self._person(who)
        User.objects.filter(pk=person.pk).update(first_name=f"{person.first_name}x"[:20])

    # ---------------------------------------------------------------- what is judged by

    @rule(
        who=st.sampled_from(("", "", "alma", "ada", "paula")), approvers=st.integers(1, 3),
        documents=st.sampled_from((10, 10, 10, 100)), frozen=st.sampled_from((False, False, True)),
    )  # fmt: skip
    def policy(self, who: str, approvers: int, documents: int, frozen: bool) -> None:
        def change() -> None:
            held = policies.holding(self.environment)
            values = policies.read(held).as_settings()
            moment = database_time()
            window = {
                "from": (moment - timedelta(hours=1)).isoformat(), "to": (moment + timedelta(hours=1)).isoformat(),
                "reason": "Election night.",
            }  # fmt: skip
            values["primary"]["least_documents"] = documents
            values["approvals"] |= {"approvers": approvers, "freezes": [window] if frozen else []}
            policies.change_policy(
                environment=self.environment, settings=values, reason="So.", expected=held.number,
                actor=self._person(who) if who else None,
            )  # fmt: skip

        self._act(change)

    # ---------------------------------------------------------------- what goes live

    @rule(who=st.sampled_from(("otto", "alma", "")))
    def start(self, who: str) -> None:
        self._act(lambda: start_deployment(release=self.release, actor=self._person(who) if who else None))

    @rule()
    def regular_work(self) -> None:
        start_approved()
        settle_ended()
        expire_waiting()

    @rule(who=st.sampled_from(("", "otto", "mila")))
    def switch(self, who: str) -> None:
        self._kept(lambda: go_live(release=self.release, actor=self._person(who) if who else None))

    @rule()
    def back(self) -> None:
        self._act(
            lambda: roll_back(
                environment=self.environment, actor=self._person("otto"), reason="So.", to=self.the.live.pk
            )
        )

    # ---------------------------------------------------------------- a database prompt

    @precondition(lambda self: self.release.state != Release.State.LIVE)
    @rule(states=st.lists(st.sampled_from(Release.State.values), min_size=1, max_size=3))
    def move_by_statement(self, states: list[str]) -> None:
        self._type(
            *(
                f"UPDATE models_app_release SET state = '{state}' WHERE id = {self.candidate.pk}"
                for state in states
            )
        )

    @rule()
    def switch_by_statement(self) -> None:
        self._type(
            f"UPDATE models_app_release SET state = 'superseded' WHERE id = {self.live}",
            f"UPDATE models_app_release SET state = 'live' WHERE id = {self.candidate.pk}",
            f"UPDATE models_app_route SET release_id = {self.candidate.pk}",
        )

    @rule(who=st.sampled_from(("mila", "alma")))
    def approve_by_statement(self, who: str) -> None:
        """Their own work: that of others could be forged by people who may write to the database."""
        columns = "release_id, approver_id, decision, reason, evidence_digest, at, void_reason"
        self._type(
            f"INSERT INTO models_app_approval ({columns}) "
            f"SELECT id, {self._person(who).pk}, 'approved', 'So.', evidence_digest, now(), '' FROM models_app_release "
            f"WHERE id = {self.candidate.pk} AND {self._person(who).pk} IN (created_by_id, requested_by_id)"
        )

    @rule()
    def other_evidence_by_statement(self) -> None:
        self._type(
            "UPDATE models_app_approval SET voided_at = NULL, void_reason = ''",
            "UPDATE models_app_environment SET approvals_required = 1",
        )
        self._type(
            "UPDATE models_app_gaterun SET verdict = 'pass'",
            "UPDATE models_app_gateresult SET verdict = 'pass'",
        )

    def _type(self, *statements: str) -> None:
        self.by_statement = True
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        except DatabaseError:
            self.refused = True

    # ---------------------------------------------------------------- what holds all along

    @invariant()
    def what_went_live_had_its_gates_and_approvals(self) -> None:
        by_statement, self.by_statement = self.by_statement, False
        live = Release.objects.get(state=Release.State.LIVE)
        if live.pk != self.live:
            if live.pk not in self.was_live:
                self._had_its_gates(live)
                self._had_its_approvals(live, by_statement=by_statement)
                WENT_LIVE.add(self._path(live))
            self.was_live.add(live.pk)
            self.live = live.pk
        if not by_statement and Route.objects.get().release_id != live.pk:
            raise AssertionError("requests go elsewhere than to what is live")

    def _path(self, live: Release) -> str:
        return "emergency" if Incident.objects.filter(release=live).exists() else "approved"

    def _had_its_gates(self, live: Release) -> None:
        run = GateRun.objects.filter(release=live).latest("pk")
        held = GatePolicy.objects.filter(environment=self.environment).latest("number")
        assert (run.state, run.verdict, run.comparison_id) == ("finished", "pass", live.comparison_id)
        assert run.policy_id == held.pk, "by the policy that holds"
        assert live.comparison is not None
        assert live.comparison.verdict != "worse"

    def _had_its_approvals(self, live: Release, *, by_statement: bool) -> None:
        held = GatePolicy.objects.filter(environment=self.environment).latest("number")
        emergency = Incident.objects.filter(release=live, evidence_digest=live.evidence_digest).exists()
        given = Approval.objects.filter(
            release=live, decision="approved", voided_at=None, evidence_digest=live.evidence_digest
        ).select_related("approver")
        people = {row.approver for row in given}
        if not by_statement:
            people = {one for one in people if self._may(one, held)}
        needed = 1 if emergency else held.settings["approvals"]["approvers"]
        assert len(people) >= needed, f"{len(people)} of {needed} approvals"
        assert not {one.username for one in people} & {"mila"}, "the requester approved it"
        frozen = held.settings["approvals"]["freezes"]
        assert emergency or not frozen, "it went live in a freeze window"

    def _may(self, person: User, held: GatePolicy) -> bool:
        person = User.objects.get(pk=person.pk)
        roles = set(person.groups.values_list("name", flat=True))
        may = person.is_active and (person.is_superuser or "approver" in roles)
        return may and person.pk != held.made_by_id and person.username not in ("mila", "rita")

    @invariant()
    def one_release_at_a_time_takes_the_emergency_path_unreviewed(self) -> None:
        waiting = Incident.objects.filter(reviewed_by=None).exclude(
            release__state__in=Release.ENDED, release__deployments=None
        )
        assert waiting.values("release").distinct().count() <= 1

    @invariant()
    def one_interval_is_open(self) -> None:
        assert Deployment.objects.filter(environment=self.environment, live_to=None).count() == 1


@pytest.mark.parametrize("way", ["approved", "emergency"])
def test_the_same_acts_do_put_one_live_by_each_way_there_is(way: str) -> None:
    """Which acts are drawn below is not known: refusing all of them would hold as well. These two come first, so that
    the beginning is kept by then."""
    WENT_LIVE.clear()
    acts = Acts()
    try:
        if way == "approved":
            acts.submit_and_judge()
            acts.all_approve()
            acts.switch("")
        else:
            acts.hurry("ada", 2, True)
        acts.what_went_live_had_its_gates_and_approvals()
    finally:
        acts.teardown()
    assert {way} == WENT_LIVE


def test_no_order_of_acts_puts_a_release_live_without_gates_and_approvals() -> None:
    run_state_machine_as_test(
        Acts,
        settings=settings(
            max_examples=16, stateful_step_count=30, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
