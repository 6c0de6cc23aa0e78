"""Nobody puts a release live alone: only approvals count of people who may still give them, whose accounts nobody with
a hand in the release could have used."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import URLResolver
from django.utils import timezone

from models_app.api.urls import urlpatterns as api_routes
from models_app.foundation import audit
from models_app.foundation.errors import NotAllowed, Refused
from models_app.gates import running
from models_app.models import Approval, AuditEvent, Deployment, Release, Route
from models_app.releases.approving import may_decide
from models_app.releases.composing import compose_release, submit_release
from models_app.releases.deploying import go_live, install_first_release, start_deployment
from models_app.releases.hands import involved
from models_app.releases.standing import Stand
from models_app.releases.waiving import agree_to_waiver, ask_for_waiver, end_waiver
from models_app.web.urls import urlpatterns as page_routes
from tests import make
from tests.api.conftest import Api
from tests.kept import kept
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return waiting_for_two() if "two_needed" in request.fixturenames else scenes.waiting()


@kept
def waiting_for_two() -> Scene:
    the = scenes.waiting()
    the.approvers_needed(2)
    return the


@pytest.fixture
def two_needed(the: Scene) -> Scene:
    return the


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def deactivated(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def demoted(person: User) -> None:
    person.groups.clear()


LOST = {"deactivated": deactivated, "stripped of the role": demoted}


# ---------------------------------------------------------------- who may still approve


@pytest.mark.parametrize("how", LOST)
def test_an_approval_of_somebody_who_may_not_approve_any_more_does_not_count(
    two_needed: Scene, how: str
) -> None:
    the = two_needed
    the.approved_by(the.cast.approver)
    LOST[how](the.cast.approver)
    release = the.approved_by(the.cast.another_approver)
    assert (release.state, now(the).state) == ("awaiting approval", "awaiting approval")
    assert [standing.counts for standing in Stand(release).standings] == [False, True]
    assert Approval.objects.filter(voided_at=None).count() == 2, "both stay on record"
    the.approved_by(make.user("third", "approver"))
    assert now(the).state == "warming"


def test_the_page_shows_whose_approval_does_not_count_and_why(two_needed: Scene) -> None:
    the = two_needed
    the.approved_by(the.cast.approver)
    deactivated(the.cast.approver)
    page = markup(signed_in(the.cast.another_approver).get(f"/releases/{the.candidate.pk}/"))
    assert "0 of 2 approvals" in page
    assert "does not count" in page
    assert "The account is not active." in page
    listed = markup(signed_in(the.cast.another_approver).get("/releases/"))
    assert "0 of 2" in listed


def test_an_approver_who_is_renamed_stays_the_one_who_approved(two_needed: Scene) -> None:
    """Neither does the approval go, nor does it count as somebody else's beside a new one of theirs."""
    the = two_needed
    the.approved_by(the.cast.approver)
    User.objects.filter(pk=the.cast.approver.pk).update(username="adele")
    renamed = User.objects.get(username="adele")
    assert [standing.counts for standing in Stand(now(the)).standings] == [True]
    with pytest.raises(NotAllowed, match="You have decided already"):
        the.approved_by(renamed)
    assert the.approved_by(the.cast.another_approver).state == "warming"


@pytest.mark.parametrize("how", LOST)
def test_a_release_does_not_go_live_on_an_approval_that_no_longer_counts(the: Scene, how: str) -> None:
    the.approved_by(the.cast.approver)
    LOST[how](the.cast.approver)
    with pytest.raises(Refused, match="0 of 1 approval count; that of ada does not") as refused:
        go_live(release=now(the))
    assert refused.value.code == "not_approved"
    release = now(the)
    assert (release.state, Route.objects.get().release) == ("awaiting approval", the.live)
    event = AuditEvent.objects.get(action="deployment.sent_back")
    assert (event.actor, event.from_state, event.reason) == (None, "warming", release.reason)
    the.approved_by(the.cast.another_approver)
    go_live(release=now(the))
    assert Route.objects.get().release == release


def test_who_becomes_involved_after_approving_does_not_count_any_more(two_needed: Scene) -> None:
    the = two_needed
    the.approved_by(the.cast.approver)
    audit_of_resuming(the, the.cast.approver)
    release = the.approved_by(the.cast.another_approver)
    assert release.state == "awaiting approval"
    assert "started its training" in Stand(release).standings[0].problem


def audit_of_resuming(the: Scene, person: User) -> None:
    with transaction.atomic():
        audit.record(
            actor=person, action="training.resume", subject=f"trainingrun:{the.model.training_run_id}"
        )


def test_the_serving_supervisor_s_switch_asks_the_same(the: Scene) -> None:
    """It calls go_live with what it read when the slot was started: the row is read again."""
    the.approved_by(the.cast.approver)
    seen_before = now(the)
    deactivated(the.cast.approver)
    with pytest.raises(Refused):
        go_live(release=seen_before)
    assert Deployment.objects.filter(release=the.candidate).count() == 0
    with pytest.raises(Refused):
        go_live(release=seen_before)


# ---------------------------------------------------------------- accounts that hands could use

OPENINGS = [
    "person.create",
    "person.roles",
    "person.activate",
    "person.password_link",
    "person.second_factor_removed",
]


def opened(who: User, by: User | None, action: str, **data: Any) -> None:
    with transaction.atomic():
        audit.record(actor=by, action=action, subject=f"user:{who.pk}", data={"name": who.username, **data})


@pytest.mark.parametrize("action", OPENINGS)
def test_whose_account_a_hand_opened_after_the_work_began_cannot_approve(the: Scene, action: str) -> None:
    puppet = make.user("puppet", "approver")
    opened(puppet, the.cast.ml_engineer, action, gained=["approver"])
    may, why = may_decide(now(the), puppet)
    assert not may
    assert "mila" in why
    assert "after the work on this release began" in why
    assert "started its training" in why
    with pytest.raises(NotAllowed, match="after the work on this release began"):
        the.approved_by(puppet)
    answer = signed_in(puppet).post(
        f"/releases/{the.candidate.pk}/decide/",
        {
            "decision": "approve",
            "reason": "Good.",
            "password": make.PASSWORD,
            "evidence_digest": now(the).evidence_digest,
        },
    )
    assert answer.status_code == 403
    assert (now(the).state, Approval.objects.count()) == ("awaiting approval", 0)


def test_an_account_that_such_an_account_opened_cannot_approve_either(the: Scene) -> None:
    first, second = make.user("first", "administrator"), make.user("second", "approver")
    opened(first, the.cast.ml_engineer, "person.roles", gained=["administrator"])
    opened(second, first, "person.create")
    assert not may_decide(now(the), first)[0]
    may, why = may_decide(now(the), second)
    assert (may, "first made the account" in why) == (False, True)


def test_accounts_that_others_opened_or_hands_touched_harmlessly_approve(the: Scene) -> None:
    opened(the.cast.approver, the.cast.administrator, "person.create")
    opened(the.cast.approver, None, "person.password_link")
    opened(the.cast.approver, the.cast.approver, "person.second_factor_removed")
    opened(the.cast.approver, the.cast.ml_engineer, "person.roles", gained=[], lost=["reviewer"])
    opened(the.cast.approver, the.cast.ml_engineer, "person.sessions_ended")
    assert may_decide(now(the), the.cast.approver)[0]


def test_an_account_that_was_opened_before_the_work_began_approves_and_the_page_says_by_whom(
    two_needed: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    the = two_needed
    long_ago = timezone.now() - timedelta(days=30)
    with monkeypatch.context() as clock:
        clock.setattr("models_app.foundation.audit.timezone.now", lambda: long_ago)
        opened(the.cast.approver, the.cast.ml_engineer, "person.create")
    assert may_decide(now(the), the.cast.approver)[0]
    the.approved_by(the.cast.approver)
    page = markup(signed_in(the.cast.another_approver).get(f"/releases/{the.candidate.pk}/"))
    assert "1 of 2 approvals" in page
    assert f"mila made the account on {long_ago:%d %B %Y}" in page


def test_an_account_that_is_opened_after_its_approval_does_not_count_at_going_live(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    opened(the.cast.approver, the.cast.ml_engineer, "person.password_link")
    with pytest.raises(Refused, match="had a link made"):
        go_live(release=now(the))
    assert now(the).state == "awaiting approval"


# ---------------------------------------------------------------- two approvals, one person


@pytest.mark.parametrize("action", OPENINGS)
def test_an_approver_s_second_account_is_no_second_approver(two_needed: Scene, action: str) -> None:
    the = two_needed
    puppet = make.user("puppet", "approver")
    opened(puppet, the.cast.approver, action, gained=["approver"])
    the.approved_by(the.cast.approver)
    assert may_decide(now(the), puppet)[0]  # they may reject it, and see the form
    with pytest.raises(
        NotAllowed, match=r"puppet.* both approvals could be one person's\. So somebody else has to"
    ):
        the.approved_by(puppet)
    assert (now(the).state, Approval.objects.count()) == ("awaiting approval", 1)
    assert the.approved_by(the.cast.another_approver).state == "warming"


def test_nor_is_the_first_one_s_that_approved_before_its_maker(two_needed: Scene) -> None:
    the = two_needed
    puppet = make.user("puppet", "approver")
    opened(puppet, the.cast.approver, "person.create")
    the.approved_by(puppet)
    with pytest.raises(NotAllowed, match=r"made the account of puppet"):
        the.approved_by(the.cast.approver)


def test_nor_are_two_accounts_with_both_of_which_a_third_person_can_sign_in(two_needed: Scene) -> None:
    the = two_needed
    first, second, third = (make.user(name, "approver") for name in ("first", "second", "third"))
    opened(first, the.cast.administrator, "person.create")
    opened(second, the.cast.administrator, "person.password_link")
    opened(third, the.cast.administrator, "person.roles", gained=["approver"])
    the.approved_by(first)
    with pytest.raises(
        NotAllowed, match="made first and had a link made that sets the password of second, after"
    ):
        the.approved_by(second)
    assert the.approved_by(third).state == "warming"  # who gives somebody a role cannot sign in as them


def test_nor_is_one_that_an_account_between_opened(two_needed: Scene) -> None:
    the = two_needed
    between, puppet = make.user("between", "administrator"), make.user("puppet", "approver")
    opened(between, the.cast.approver, "person.create")
    opened(puppet, between, "person.create")
    the.approved_by(the.cast.approver)
    with pytest.raises(NotAllowed, match="between made the account of puppet"):
        the.approved_by(puppet)


def test_an_approver_s_account_that_another_opened_before_the_work_began_counts(
    two_needed: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    the = two_needed
    long_ago = timezone.now() - timedelta(days=30)
    with monkeypatch.context() as clock:
        clock.setattr("models_app.foundation.audit.timezone.now", lambda: long_ago)
        opened(the.cast.another_approver, the.cast.approver, "person.create")
    the.approved_by(the.cast.approver)
    assert the.approved_by(the.cast.another_approver).state == "warming"


def test_an_account_that_the_other_approver_opens_after_both_have_approved_does_not_count_at_going_live(
    two_needed: Scene,
) -> None:
    the = two_needed
    the.approved_by(the.cast.approver)
    the.approved_by(the.cast.another_approver)
    opened(the.cast.another_approver, the.cast.approver, "person.password_link")
    with pytest.raises(Refused, match=r"1 of 2 approvals count.*both approvals could be one person's"):
        go_live(release=now(the))
    assert now(the).state == "awaiting approval"
    page = markup(signed_in(the.cast.ml_engineer).get(f"/releases/{the.candidate.pk}/"))
    assert "both approvals could be one person" in page


# ---------------------------------------------------------------- more hands


def test_who_registered_evaluated_compared_or_froze_the_test_set_has_a_hand_in_it() -> None:
    the = scene()
    people = {
        word: make.user(word, "approver", "ml engineer")
        for word in ("registrar", "freezer", "evaluator", "comparer", "resumer")
    }
    base = scenes.base_model(by=people["registrar"])
    release = compose_release(
        model_version=base, prompt_version=scenes.chat_prompt(), decoding={"beams": 3}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    on = scenes.evaluation_set(5, by=people["freezer"])
    scenes.evaluated(release, on, level=0.2, by=people["evaluator"])
    comparison = scenes.compared(release, the.live, on, by=people["comparer"])
    with transaction.atomic():
        audit.record(
            actor=people["resumer"],
            action="evaluation.resume",
            subject=f"evaluationrun:{comparison.candidate_id}",
        )
    submit_release(release=release, comparison=comparison, actor=the.cast.ml_engineer)
    did = {person.username: involved(release)[person.pk] for person in people.values()}
    assert did == {
        "registrar": ["registered its model"],
        "freezer": ["froze its test set"],
        "evaluator": ["ran its evaluation"],
        "comparer": ["asked for its comparison"],
        "resumer": ["ran its evaluation"],
    }
    for person in people.values():
        assert not may_decide(release, person)[0]
    assert may_decide(release, the.cast.approver)[0]


def test_who_registered_a_model_that_has_been_live_has_no_hand_in_what_came_after() -> None:
    the = scene()
    registrar = make.user("registrar", "approver")
    base = scenes.base_model(by=registrar)
    scenes.made_live(
        compose_release(
            model_version=base,
            prompt_version=scenes.chat_prompt(),
            decoding={},
            origin="retraining",
            actor=None,
        )
    )
    model = scenes.trained_model(
        base, scenes.snapshot(by=the.cast.ml_engineer, curators=[]), by=the.cast.ml_engineer
    )
    later = compose_release(
        model_version=model, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    assert registrar.pk not in involved(later)


# ---------------------------------------------------------------- alone, by every door


def alone(the: Scene) -> User:
    """Mila has every role, and did all the work."""
    the.cast.ml_engineer.groups.set(Group.objects.all())
    return User.objects.get(pk=the.cast.ml_engineer.pk)


def test_one_person_with_every_role_cannot_put_it_live_by_the_page(the: Scene) -> None:
    client = signed_in(alone(the))
    answer = client.post(
        f"/releases/{the.candidate.pk}/decide/",
        {
            "decision": "approve",
            "reason": "Mine.",
            "password": make.PASSWORD,
            "evidence_digest": now(the).evidence_digest,
        },
    )
    assert answer.status_code == 403
    for path in ("decide/", "withdraw/", "start/", "approve/", "go-live/"):
        client.get(f"/releases/{the.candidate.pk}/{path}")
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)


def test_one_person_with_every_role_cannot_put_it_live_by_a_command(the: Scene) -> None:
    alone(the)
    for words in (
        ["start", str(the.candidate.pk), "--user", "mila"],
        ["start", str(the.candidate.pk)],
        ["approve", str(the.candidate.pk)],
        ["rollback", "--reason", "x", "--to", str(the.candidate.pk)],
    ):
        with pytest.raises(CommandError):
            call_command("release", *words)
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)


def addresses(routes: Iterable[Any], number: int, head: str = "") -> Iterator[str]:
    """Every address that takes numbers or nothing, with this number in it."""
    for route in routes:
        path = head + re.sub(r"<int:\w+>", str(number), str(route.pattern))
        if isinstance(route, URLResolver):
            yield from addresses(route.url_patterns, number, path)
        elif "<" not in path:
            yield path


def asking_for_approval(the: Scene) -> dict[str, Any]:
    return {
        "decision": "approve", "reason": "Mine.", "password": make.PASSWORD, "comparison": the.comparison.pk,
        "evidence_digest": now(the).evidence_digest, "release": the.candidate.pk, "to": the.candidate.pk,
        "live": the.live.pk, "state": "live",
    }  # fmt: skip


def test_one_person_with_every_role_cannot_put_it_live_by_the_api(the: Scene) -> None:
    api = Api(alone(the), "releases:read", "releases:submit")
    found = [path for path in addresses(api_routes, the.candidate.pk) if path.startswith("releases/")]
    assert f"releases/{the.candidate.pk}/" in found
    assert "releases/live/" in found
    for path in found:
        api.post(path, asking_for_approval(the))
        api.put(path, asking_for_approval(the))
        api.delete(path)
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)
    assert not Approval.objects.exists()


def test_one_person_with_every_role_cannot_put_it_live_by_any_form(the: Scene) -> None:
    client = signed_in(alone(the))
    heads = ("releases/", "deployments/", "comparisons/")
    found = [path for path in addresses(page_routes, the.candidate.pk) if path.startswith(heads)]
    assert f"releases/{the.candidate.pk}/decide/" in found
    assert len(found) > 8
    for path in found:
        if not path.endswith("withdraw/"):  # one's own right, which would end it
            client.post(f"/{path}", asking_for_approval(the))
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)
    assert not Approval.objects.exists()


def test_one_person_cannot_put_it_live_as_a_first_release_or_by_starting_it(the: Scene) -> None:
    mila = alone(the)
    draft = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 2}, origin="initial",
        actor=mila,
    )  # fmt: skip
    with pytest.raises(Refused, match="need an approval"):
        install_first_release(release=draft)
    for release in (now(the), draft):
        with pytest.raises(Refused):
            start_deployment(release=release, actor=mila)
        with pytest.raises(Refused):
            go_live(release=release, actor=mila)
    assert Route.objects.get().release == the.live


SQL = [
    "UPDATE models_app_release SET state = 'approved' WHERE id = {id}",
    "UPDATE models_app_release SET state = 'live' WHERE id = {id}",
    "UPDATE models_app_release SET created_by_id = NULL WHERE id = {id}",
    "UPDATE models_app_trainingrun SET requested_by_id = NULL",
    "UPDATE models_app_datasetsnapshot SET curators = '[]', created_by_id = NULL",
    "UPDATE models_app_modelversion SET created_by_id = NULL, training_run_id = NULL",
    "UPDATE models_app_evaluationset SET created_by_id = (SELECT min(id) FROM auth_user)",
    "DELETE FROM models_app_auditevent",
]


@pytest.mark.parametrize("statement", SQL)
def test_a_statement_does_not_put_it_live_or_take_hands_away(the: Scene, statement: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(id=the.candidate.pk))


def test_a_release_that_a_statement_warms_up_goes_back_to_approval(the: Scene) -> None:
    """With the triggers off: they refuse it (test_release_moves.py)."""
    make.forced(the.candidate, "warming")
    with pytest.raises(Refused, match="0 of 1"):
        go_live(release=now(the))
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)


# ---------------------------------------------------------------- at the same time


def at_once(*acts: Callable[[], object]) -> list[str]:
    outcomes: list[str] = []
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait()
            act()
            outcomes.append("done")
        except Exception as error:
            outcomes.append(getattr(error, "code", type(error).__name__))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_an_approval_that_races_the_first_approver_s_demotion_never_goes_live_on_one(
    two_needed: Scene,
) -> None:
    the = two_needed
    the.approved_by(the.cast.approver)
    at_once(
        lambda: the.approved_by(the.cast.another_approver),
        lambda: deactivated(the.cast.approver),
    )
    # whichever was first: at the switch it is seen
    if now(the).state == "warming":
        with pytest.raises(Refused, match="1 of 2"):
            go_live(release=now(the))
    assert (now(the).state, Route.objects.get().release) == ("awaiting approval", the.live)


@pytest.mark.django_db(transaction=True)
def test_submitting_again_while_somebody_approves_leaves_no_approval_on_other_evidence(the: Scene) -> None:
    other = scenes.compared(the.candidate, the.live, scenes.evaluation_set(8))
    at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: submit_release(release=now(the), comparison=other, actor=the.cast.ml_engineer),
    )
    release = now(the)
    counting = [standing for standing in Stand(release).standings if standing.counts]
    assert (release.state, len(counting)) in (("warming", 1), ("evaluating", 0))


@pytest.mark.django_db(transaction=True)
def test_an_approver_and_their_second_account_at_once_are_one_approval(two_needed: Scene) -> None:
    """Each is asked before the other's approval is there."""
    the = two_needed
    puppet = make.user("puppet", "approver")
    opened(puppet, the.cast.approver, "person.create")
    at_once(lambda: the.approved_by(the.cast.approver), lambda: the.approved_by(puppet))
    assert now(the).state == "awaiting approval"
    assert sum(standing.counts for standing in Stand(now(the)).standings) == 1
    assert Route.objects.get().release == the.live


@pytest.mark.django_db(transaction=True)
def test_a_waiver_that_ends_while_somebody_approves_lets_nothing_go_live(the: Scene) -> None:
    scenes.small_policy(guards={"least_documents": 100})
    the.submitted(release=now(the), comparison=the.comparison)
    run = running.newest(now(the))
    assert run is not None
    waived = [
        agree_to_waiver(
            waiver=ask_for_waiver(
                release=now(the), gate="guards", name=row.name, reason="Few documents.", days=7,
                actor=the.cast.ml_engineer,
            ),
            reason="They are.", password=make.PASSWORD, actor=the.cast.another_approver,
        )
        for row in run.results.exclude(verdict="pass")
    ]  # fmt: skip
    assert now(the).state == "awaiting approval"
    at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: end_waiver(waiver=waived[0], reason="More were found.", actor=the.cast.ml_engineer),
    )
    if now(the).state == "warming":
        with pytest.raises(Refused, match="Guard metrics"):
            go_live(release=now(the))
    assert now(the).state == "awaiting approval"
    assert Approval.objects.filter(voided_at=None).count() == 0
    assert Route.objects.get().release == the.live


@pytest.mark.django_db(transaction=True)
def test_a_freeze_that_begins_while_somebody_approves_lets_nothing_go_live(the: Scene) -> None:
    window = {"from": "2020-01-01T00:00+00:00", "to": "2199-01-01T00:00+00:00", "reason": "Election night"}
    at_once(
        lambda: the.approved_by(the.cast.approver),
        lambda: scenes.small_policy(approvals={"approvers": 1, "freezes": [window]}),
    )
    if now(the).state == "warming":
        with pytest.raises(Refused):
            go_live(release=now(the))
    assert now(the).state == "awaiting approval"  # the policy is another one, too
    assert Route.objects.get().release == the.live


@pytest.mark.django_db(transaction=True)
def test_two_switches_at_once_are_one(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    outcomes = at_once(*[lambda: go_live(release=now(the))] * 2)
    assert sorted(outcomes)[0] == "done"
    assert outcomes.count("done") == 1
    assert Deployment.objects.filter(live_to=None).count() == 1
