"""The emergency path: one approver, an incident, and another person's review afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState
from models_app.models import Approval, AuditEvent, Incident, Release, Route, TrainingRun
from models_app.models.releases import Environment
from models_app.releases.approving import confirmation
from models_app.releases.composing import compose_release
from models_app.releases.deploying import give_up, go_live, roll_back
from models_app.releases.emergency import (
    may_declare,
    open_incidents,
    put_live_in_emergency,
    review_incident,
    to_review_first,
)
from tests import make
from tests.doors.test_evidence import refusal
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, decisions
from tests.releases.test_approving import at_once, make_approver

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    """Waits for two approvals."""
    cache.clear()
    return scenes.waiting(approvers=2)


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def declared(the: Scene, person: Any = None, **fields: Any) -> Incident:
    release = now(the)
    values = {
        "release": release, "actor": person or the.cast.approver, "reason": "It leaks telephone numbers now.",
        "password": make.PASSWORD, "evidence_digest": release.evidence_digest, "said": confirmation(release),
    }  # fmt: skip
    return put_live_in_emergency(**{**values, **fields})


def test_it_goes_live_with_one_approver_and_opens_an_incident(the: Scene) -> None:
    incident = declared(the)
    assert now(the).state == "warming"
    assert decisions(the.candidate) == [("ada", "approved", True)]
    assert (incident.opened_by, incident.skipped) == (the.cast.approver, ["1 of 2 approvals"])
    event = AuditEvent.objects.get(action="release.emergency")
    assert (event.actor, event.reason) == (the.cast.approver, "It leaks telephone numbers now.")
    go_live(release=now(the))
    assert Route.objects.get().release == the.candidate
    assert list(open_incidents()) == [incident], "it stays open although everything went well"


def test_whoever_approved_already_may_still_declare_an_emergency(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    assert may_declare(now(the), the.cast.approver)[0]
    assert may_declare(now(the), the.cast.another_approver) == (False, ""), "an approval of his is enough"
    declared(the)
    assert (now(the).state, Approval.objects.count()) == ("warming", 1)


def left(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def became_involved(person: User) -> None:
    with transaction.atomic():
        audit.record(
            actor=person,
            action="training.resume",
            subject=TrainingRun.objects.latest("pk"),
            reason="It stood still.",
        )


@pytest.mark.parametrize("meanwhile", [left, became_involved])
def test_an_emergency_of_somebody_who_may_not_decide_any_more_lowers_no_bar(
    the: Scene, meanwhile: Callable[[User], None]
) -> None:
    """It would let the next approval, an ordinary one, put the release live by itself."""
    declared(the)
    meanwhile(the.cast.approver)
    with pytest.raises(Refused, match="0 of 2"):
        go_live(release=now(the))
    with pytest.raises(
        Refused, match="declared an emergency on this evidence and may not decide on it any more"
    ):
        declared(the, the.cast.another_approver)
    assert the.approved_by(the.cast.another_approver).state == "awaiting approval"
    third = make.user("third", "approver")
    assert the.approved_by(third).state == "warming"


def test_where_nothing_is_missing_there_is_no_emergency(the: Scene) -> None:
    the.approvers_needed(1)
    assert may_declare(now(the), the.cast.approver) == (False, "")
    with pytest.raises(Refused) as refused:
        declared(the)
    assert refused.value.code == "no_emergency"
    assert (now(the).state, Approval.objects.count()) == ("awaiting approval", 0)


def test_it_asks_the_same_of_a_person_as_approving(the: Scene) -> None:
    make_approver(the.cast.ml_engineer)
    for person in (the.cast.reviewer, the.cast.operator, the.cast.ml_engineer, the.cast.stranger):
        with pytest.raises(NotAllowed):
            declared(the, person)
    for wrong in ({"password": "no"}, {"reason": " "}):
        with pytest.raises(InvalidInput):
            declared(the, **wrong)
    with pytest.raises(StaleState):
        declared(the, evidence_digest="0" * 64)
    assert not Incident.objects.exists()


def test_it_goes_live_on_no_evidence_that_changed(the: Scene) -> None:
    newer = scenes.made_live(make.release(the.model))
    with pytest.raises(Refused, match=f"Release {newer.pk} went live"):
        declared(the)
    assert (now(the).state, Incident.objects.count()) == ("awaiting approval", 0)


def test_what_one_emergency_let_through_lets_nothing_else_through(the: Scene) -> None:
    """The incident is of the evidence: a release that is sent back and submitted again needs two again."""
    declared(the)
    the.cast.approver.groups.clear()
    with pytest.raises(Refused, match="0 of 2 approvals"):
        go_live(release=now(the))
    the.submitted(release=now(the), comparison=scenes.compared(now(the), the.live, scenes.evaluation_set(24)))
    the.approved_by(the.cast.another_approver)
    assert now(the).state == "awaiting approval"


@pytest.mark.django_db(transaction=True)
def test_two_emergencies_at_once_are_one(the: Scene) -> None:
    outcomes = at_once(lambda: declared(the), lambda: declared(the, the.cast.another_approver))
    assert outcomes == ["done", "stale"]
    assert (now(the).state, Incident.objects.count()) == ("warming", 1)


# ---------------------------------------------------------------- one after another


def another(the: Scene, **fields: Any) -> Scene:
    """The next candidate, of other weights, compared with what is live now; it waits for two approvals."""
    live = Route.objects.select_related("release").get(environment__name="production").release
    assert live is not None
    model = scenes.trained_model(the.model, the.snapshot, by=the.cast.ml_engineer)
    composed = compose_release(
        model_version=model, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer, **fields,
    )  # fmt: skip
    comparison = scenes.compared(composed, live, the.on, after=0.30, before=0.16)
    scene = replace(the, live=live, candidate=composed, comparison=comparison, model=model)
    scene.submitted()
    assert now(scene).state == "awaiting approval"
    return scene


def put_live(the: Scene) -> Incident:
    incident = declared(the)
    go_live(release=now(the))
    return incident


@pytest.mark.parametrize("whose", ["approver", "another_approver"])
def test_nobody_declares_another_emergency_before_the_first_is_reviewed(the: Scene, whose: str) -> None:
    """One approver could put one release after another live, and two in turn could as well."""
    incident, person = put_live(the), getattr(the.cast, whose)
    second = another(the)
    may, why = may_declare(now(second), person)
    assert not may
    assert (
        f"ada declared an emergency for release {the.candidate.pk}, and nobody has reviewed that yet" in why
    )
    with pytest.raises(Refused) as refused:
        declared(second, person)
    assert (refused.value.code, refused.value.message) == ("review_first", why)
    assert (now(second).state, Incident.objects.count()) == ("awaiting approval", 1)
    assert not Approval.objects.filter(release=second.candidate).exists(), "no approval is left of the try"
    review_incident(
        incident=incident, actor=the.cast.another_approver, words="Right.", password=make.PASSWORD
    )
    declared(second, person)
    assert now(second).state == "warming"


def test_an_unreviewed_emergency_holds_up_no_ordinary_approvals(the: Scene) -> None:
    put_live(the)
    second = another(the)
    second.approved_by(the.cast.approver)
    assert second.approved_by(the.cast.another_approver).state == "warming"


@pytest.mark.parametrize("end", ["rolled back", "demoted", "superseded"])
def test_whatever_became_of_the_first_release_somebody_reviews_it(the: Scene, end: str) -> None:
    put_live(the)
    if end == "rolled back":
        roll_back(environment=the.candidate.environment, actor=the.cast.operator, reason="Worse.")
    elif end == "demoted":
        the.cast.approver.groups.clear()
    else:
        scenes.made_live(make.release(the.model))
    assert to_review_first(make.release(the.model)) == Incident.objects.get()


def test_an_emergency_whose_release_never_got_live_is_in_nobodys_way(the: Scene) -> None:
    """Its weights could not be loaded: the release that can, waits for the same approvers at the same hour."""
    declared(the)
    give_up(release=now(the), reason="It could not be loaded.")
    declared(another(the))
    assert open_incidents().count() == 2, "both are reviewed"


def test_the_same_release_may_be_declared_again_on_other_evidence(the: Scene) -> None:
    """It is the same emergency, and nothing else goes live by it."""
    declared(the)
    judged_on_other_evidence(the)
    declared(the, the.cast.another_approver)
    assert (now(the).state, Incident.objects.count()) == ("warming", 2)


def judged_on_other_evidence(the: Scene) -> None:
    the.cast.approver.groups.clear()
    with pytest.raises(Refused):
        go_live(release=now(the))
    the.submitted(release=now(the), comparison=scenes.compared(now(the), the.live, scenes.evaluation_set(24)))


def test_emergencies_of_another_environment_are_its_own(the: Scene) -> None:
    put_live(the)
    staging = Environment.objects.get_or_create(name="staging")[0]
    elsewhere = make.release(the.model, environment=staging)
    assert to_review_first(elsewhere) is None
    assert to_review_first(make.release(the.model)) is not None


def test_the_database_refuses_a_second_emergency_as_well(the: Scene) -> None:
    put_live(the)
    columns = "release_id, opened_by_id, opened_at, reason, evidence_digest, skipped, review"
    second = another(the)

    def opened(release: Release) -> str:
        return (
            f"INSERT INTO models_app_incident ({columns}) VALUES ({release.pk}, {the.cast.another_approver.pk}, "
            "now(), 'x', 'other', '[]', '')"
        )

    assert refusal(opened(second.candidate)) == "23001"
    assert refusal(opened(the.candidate)) == ""


@pytest.mark.django_db(transaction=True)
def test_two_emergencies_of_two_releases_at_once_are_one(the: Scene) -> None:
    """The one that comes second sees the first one's incident, although neither was there when both began."""
    other = scenes.trained_model(the.model, the.snapshot, by=the.cast.ml_engineer)
    composed = compose_release(
        model_version=other, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    second = replace(the, candidate=composed, comparison=scenes.compared(composed, the.live, the.on))
    second.submitted()
    outcomes = at_once(lambda: declared(the), lambda: declared(second, the.cast.another_approver))
    assert outcomes == ["done", "review_first"]
    assert Incident.objects.count() == 1


def test_the_page_says_what_is_to_be_reviewed_first(the: Scene) -> None:
    put_live(the)
    second = another(the)
    page = " ".join(markup(signed_in(the.cast.approver).get(f"/releases/{second.candidate.pk}/")).split())
    assert "Put live in an emergency" not in page
    assert (
        f"ada declared an emergency for release {the.candidate.pk}, and nobody has reviewed that yet" in page
    )
    answer = signed_in(the.cast.approver).post(
        f"/releases/{second.candidate.pk}/decide/",
        {"decision": "emergency", "reason": "It leaks.", "password": make.PASSWORD,
         "evidence_digest": now(second).evidence_digest},
    )  # fmt: skip
    assert answer.status_code == 409
    assert "nobody has reviewed that yet" in " ".join(markup(answer).split())


# ---------------------------------------------------------------- the review


def test_another_approver_reviews_it_with_words(the: Scene) -> None:
    incident = review_incident(
        incident=declared(the),
        actor=the.cast.another_approver,
        words="Right: 14 numbers leaked.",
        password=make.PASSWORD,
    )
    assert (incident.reviewed_by, incident.review) == (the.cast.another_approver, "Right: 14 numbers leaked.")
    assert not open_incidents().exists()
    with pytest.raises(StaleState, match="reviewed already"):
        review_incident(incident=incident, actor=make.user("third", "approver"), words="Me too.")


def test_a_review_takes_the_password_or_a_code_in_its_place_and_counts_tries(the: Scene) -> None:
    incident, anton = declared(the), the.cast.another_approver
    for given in ({}, {"password": "wrong"}, {"password": make.PASSWORD, "code": "000000"}):
        with pytest.raises(InvalidInput, match=r"not your password|not the code"):
            review_incident(incident=incident, actor=anton, words="Right.", **given)
    totp.TOTP.activate(anton, "JBSWY3DPEHPK3PXP")
    code = totp.format_hotp_value(
        totp.hotp_value("JBSWY3DPEHPK3PXP", next(totp.yield_hotp_counters_from_time()))
    )
    with pytest.raises(InvalidInput, match="Write what you found"):
        review_incident(incident=incident, actor=anton, words=" ", code=code)
    assert review_incident(incident=incident, actor=anton, words="Right.", code=code).reviewed_by == anton


def test_nobody_reviews_their_own(the: Scene) -> None:
    incident = declared(the)
    make_approver(the.cast.ml_engineer)
    for person, why in (
        (the.cast.approver, "You took this decision"),
        (the.cast.ml_engineer, "requested it"),
        (the.cast.operator, "role"),
        (the.cast.stranger, "role"),
    ):
        with pytest.raises(NotAllowed, match=why):
            review_incident(incident=incident, actor=person, words="Fine.")
    for words in ("", " \n", "x" * 2001):
        with pytest.raises(InvalidInput):
            review_incident(
                incident=incident, actor=the.cast.another_approver, words=words, password=make.PASSWORD
            )
    assert open_incidents().count() == 1


def test_the_database_keeps_incidents_as_they_were(the: Scene) -> None:
    incident = declared(the)
    reviewed = "review = 'Fine.', reviewed_at = now(), reviewed_by_id"
    for change, state in (
        (f"{reviewed} = {the.cast.approver.pk}", "23514"),
        (f"reviewed_at = now(), reviewed_by_id = {the.cast.another_approver.pk}", "23514"),
        ("reason = 'other'", "23001"),
        (f"opened_by_id = {the.cast.operator.pk}", "23001"),
        ("evidence_digest = 'other'", "23001"),
        (f"{reviewed} = {the.cast.another_approver.pk}", ""),
    ):
        assert refusal(f"UPDATE models_app_incident SET {change}") == state, change
    review_incident(incident=incident, actor=the.cast.another_approver, words="Fine.", password=make.PASSWORD)
    assert refusal("UPDATE models_app_incident SET review = 'Not fine.'") == "23001"
    assert refusal("DELETE FROM models_app_incident") == "23001"
    assert refusal("TRUNCATE models_app_incident") == "23001"


def test_an_incident_that_is_inserted_puts_nothing_live_without_an_approval(the: Scene) -> None:
    Incident.objects.create(
        release=the.candidate,
        opened_by=the.cast.approver,
        reason="x",
        evidence_digest=now(the).evidence_digest,
    )
    assert (
        refusal(f"UPDATE models_app_release SET state = 'approved' WHERE id = {the.candidate.pk}") == "23001"
    )


# ---------------------------------------------------------------- on the pages


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_the_pages_offer_it_show_it_and_let_another_person_review_it(the: Scene) -> None:
    path = f"/releases/{the.candidate.pk}/"
    ada, anton = signed_in(the.cast.approver), signed_in(the.cast.another_approver)
    assert "Put live in an emergency" in markup(ada.get(path))
    assert "Put live in an emergency" not in markup(signed_in(the.cast.operator).get(path))
    values = {
        "decision": "emergency", "reason": "It leaks.", "password": make.PASSWORD,
        "evidence_digest": now(the).evidence_digest,
    }  # fmt: skip
    assert ada.post(f"{path}decide/", values).status_code == 302
    incident = Incident.objects.get()
    for page in ("/", "/releases/"):
        assert "was put live in an emergency by ada" in " ".join(markup(anton.get(page)).split())
    assert "in an emergency" not in markup(signed_in(the.cast.reviewer).get("/"))
    assert "You took this decision" in markup(ada.get(path))
    review = f"/releases/incidents/{incident.pk}/review/"
    assert ada.post(review, {"reason": "Fine."}).status_code == 403
    for wrong, said in (
        ({"reason": " ", "password": make.PASSWORD}, "This field is required"),
        ({"reason": "Right."}, "This is not your password."),
        ({"reason": "Right.", "password": "wrong"}, "This is not your password."),
    ):
        answer = anton.post(review, wrong)
        assert (answer.status_code, said in markup(answer)) == (422, True), wrong
    assert open_incidents().count() == 1
    assert now(the).state == "warming"
    assert "every 2s" in markup(anton.get(path))
    assert "every 2s" not in markup(answer), "else what came back with its mistakes is gone two seconds later"
    assert anton.post(review, {"reason": "Right.", "password": make.PASSWORD}).status_code == 302
    assert "in an emergency" not in markup(anton.get("/"))
    assert "Right." in markup(ada.get(path)), "it stays on the release's page"
