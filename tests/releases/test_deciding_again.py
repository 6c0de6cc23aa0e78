"""Changes that are asked for, releases that expire, what is typed and proven when somebody decides, comments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone

from models_app.foundation import tries
from models_app.foundation.errors import InvalidInput, NotAllowed, Refused, StaleState, TooManyTries
from models_app.foundation.statements import database_time
from models_app.gates.comparing import compare_by_policy
from models_app.models import Approval, AuditEvent, Job, Release, ReleaseComment
from models_app.releases.approving import ask_for_changes, confirmation, may_decide, reject
from models_app.releases.commenting import LONGEST_COMMENT, comment_on_release
from models_app.releases.composing import withdraw_release
from models_app.releases.expiring import expire_waiting
from tests import make
from tests.database import without_guards
from tests.doors.test_evidence import refusal
from tests.kept import kept
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, decisions, scene
from tests.releases.test_approving import at_once

pytestmark = pytest.mark.django_db
EXPIRY_DAYS = 14
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def no_tries_before() -> None:
    cache.clear()


@pytest.fixture
def the() -> Scene:
    return scenes.waiting()


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def asked(the: Scene, person: Any = None, **fields: Any) -> Release:
    release = now(the)
    values = {
        "release": release, "actor": person or the.cast.approver, "reason": "Show it on longer articles.",
        "password": make.PASSWORD, "evidence_digest": release.evidence_digest,
    }  # fmt: skip
    return ask_for_changes(**{**values, **fields})


def another_comparison(the: Scene, documents: int = 24) -> Any:
    return scenes.compared(now(the), the.live, scenes.evaluation_set(documents))


# ---------------------------------------------------------------- changes


def test_changes_are_asked_for_with_the_reason_and_nobody_decides_meanwhile(the: Scene) -> None:
    release = asked(the)
    assert (release.state, release.reason) == ("changes requested", "Show it on longer articles.")
    assert decisions(release) == [("ada", "changes", True)]
    event = AuditEvent.objects.get(action="release.ask_for_changes")
    assert (event.actor_name, event.from_state, event.to_state) == (
        "ada", "awaiting approval", "changes requested",
    )  # fmt: skip
    for act in (the.approved_by, lambda person: asked(the, person)):
        with pytest.raises(StaleState, match="changes requested"):
            act(the.cast.another_approver)
    assert now(the).state == "changes requested"


def test_it_is_submitted_again_with_another_comparison_and_then_decided_afresh(the: Scene) -> None:
    asked(the)
    with pytest.raises(
        Refused,
        match="on another test set and submit it with that comparison: the same documents give this one again",
    ):
        the.submitted(release=now(the))
    assert now(the).state == "changes requested"
    the.submitted(release=now(the), comparison=another_comparison(the), note="On longer articles now.")
    assert (now(the).state, now(the).requester_reason) == ("awaiting approval", "On longer articles now.")
    assert decisions(the.candidate) == [("ada", "changes", False)]
    assert may_decide(now(the), the.cast.approver)[0], "who asked decides on what came back"
    the.approved_by(the.cast.approver)
    assert now(the).state == "warming"


def test_the_page_says_how_to_get_another_comparison_and_which_button_makes_it(the: Scene) -> None:
    asked(the)
    mila = Client()
    mila.force_login(the.cast.ml_engineer)

    def page() -> str:
        return " ".join(markup(mila.get(f"/releases/{the.candidate.pk}/")).split())

    assert "create another test set under" in page()
    other = scenes.evaluation_set(24)
    button = f"candidate={the.candidate.pk}&amp;baseline={the.live.pk}&amp;test_set={other.pk}"
    assert button in page()
    assert f"compare it with release {the.live.pk} on another test set, such as test set {other.pk}" in page()
    newer = scenes.compared(now(the), the.live, other)
    assert f"submit it again, with comparison {newer.pk}" in page()
    assert "Submit again" in page()


def test_asking_for_the_same_comparison_leads_to_it_and_says_why(the: Scene) -> None:
    runs = (the.comparison.candidate, the.comparison.baseline)
    before = compare_by_policy(candidate=runs[0], baseline=runs[1], lead=None, actor=None)
    asked(the)
    mila = Client()
    mila.force_login(the.cast.ml_engineer)
    answer = mila.post(
        "/comparisons/new/",
        {"candidate": the.candidate.pk, "baseline": the.live.pk, "evaluation_set": the.on.pk},
        follow=True,
    )
    assert answer.redirect_chain[-1][0] == f"/comparisons/{before.pk}/"
    assert f"it is comparison {before.pk}, and the same documents give the same figures" in markup(answer)
    assert not Job.objects.filter(kind="compare").exists()


def test_it_can_be_withdrawn_instead(the: Scene) -> None:
    asked(the)
    withdraw_release(release=now(the), actor=the.cast.ml_engineer, reason="Not worth it.")
    assert now(the).state == "withdrawn"
    with pytest.raises(Refused):
        the.submitted(release=now(the), comparison=another_comparison(the))


def test_asking_for_changes_asks_the_same_of_a_person_as_approving(the: Scene) -> None:
    for person in (the.cast.reviewer, the.cast.ml_engineer, the.cast.operator, the.cast.stranger):
        with pytest.raises(NotAllowed):
            asked(the, person)
    with pytest.raises(InvalidInput):
        asked(the, password="wrong")
    with pytest.raises(InvalidInput):
        asked(the, reason=" ")
    with pytest.raises(StaleState):
        asked(the, evidence_digest="0" * 64)
    assert now(the).state == "awaiting approval"


def test_an_earlier_approval_is_void_once_it_is_submitted_again(the: Scene) -> None:
    the.approvers_needed(2)
    the.approved_by(the.cast.approver)
    asked(the, the.cast.another_approver)
    the.submitted(release=now(the), comparison=another_comparison(the))
    assert decisions(the.candidate) == [("ada", "approved", False), ("anton", "changes", False)]


@pytest.mark.django_db(transaction=True)
def test_approving_and_asking_for_changes_at_once_end_in_one_of_the_two(the: Scene) -> None:
    outcomes = at_once(
        lambda: the.approved_by(the.cast.approver), lambda: asked(the, the.cast.another_approver)
    )
    assert outcomes == ["done", "stale"]
    assert now(the).state in ("warming", "changes requested")


# ---------------------------------------------------------------- it expires


def overdue(the: Scene) -> None:
    with without_guards(Release):
        Release.objects.filter(pk=the.candidate.pk).update(decide_by=database_time() - timedelta(seconds=1))


def test_a_release_waits_fourteen_days_by_the_database_s_clock(
    the: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # now, and not when the scene was made
    the.submitted(release=now(the), comparison=another_comparison(the))
    left = now(the).decide_by - database_time()  # type: ignore[operator]
    assert timedelta(days=EXPIRY_DAYS, minutes=-5) < left <= timedelta(days=EXPIRY_DAYS)
    later = timezone.now() + timedelta(days=400)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert expire_waiting() == 0, "a machine whose clock is wrong ends nothing"
    the.submitted(release=now(the), comparison=another_comparison(the))
    assert now(the).decide_by < later, "and lets nothing wait for longer"  # type: ignore[operator]


def test_what_waited_too_long_expires_for_good(the: Scene) -> None:
    overdue(the)
    assert (expire_waiting(), expire_waiting()) == (1, 0)
    release = now(the)
    assert release.state == "expired"
    assert "not decided in time" in release.reason
    assert AuditEvent.objects.get(action="release.expire").actor is None
    with pytest.raises(StaleState, match="expired"):
        the.approved_by(the.cast.approver)
    with pytest.raises(Refused):
        the.submitted(release=release, comparison=another_comparison(the))
    with pytest.raises(Refused):
        withdraw_release(release=release, actor=the.cast.ml_engineer)


def test_what_needs_changes_expires_too_and_its_time_begins_when_they_were_asked_for(the: Scene) -> None:
    with without_guards(Release):
        soon = database_time() + timedelta(hours=1)
        Release.objects.filter(pk=the.candidate.pk).update(decide_by=soon)
    asked(the)
    assert now(the).decide_by > soon + timedelta(days=EXPIRY_DAYS - 1)  # type: ignore[operator]
    overdue(the)
    assert expire_waiting() == 1
    assert "not submitted again in time" in now(the).reason


@pytest.mark.parametrize("act", ["approve", "reject", "changes"])
def test_a_decision_that_comes_too_late_is_refused_before_the_clock_s_work_ran(the: Scene, act: str) -> None:
    overdue(the)
    acts: dict[str, Callable[[], object]] = {
        "approve": lambda: the.approved_by(the.cast.approver),
        "changes": lambda: asked(the),
        "reject": lambda: reject(
            release=now(the), actor=the.cast.approver, reason="No.", password=make.PASSWORD,
            evidence_digest=now(the).evidence_digest,
        ),
    }  # fmt: skip
    with pytest.raises(Refused, match="has expired") as refused:
        acts[act]()
    assert refused.value.code == "expired"
    assert (now(the).state, Approval.objects.count()) == ("expired", 0)


def test_no_statement_approves_what_was_to_be_decided_before(the: Scene) -> None:
    overdue(the)
    make.approval(now(the))
    assert (
        refusal(f"UPDATE models_app_release SET state = 'approved' WHERE id = {the.candidate.pk}") == "23001"
    )


@pytest.mark.django_db(transaction=True)
def test_expiring_and_approving_at_once_end_in_one_of_the_two(the: Scene) -> None:
    overdue(the)
    outcomes = at_once(lambda: the.approved_by(the.cast.approver), expire_waiting)
    assert now(the).state == "expired"
    assert "done" in outcomes
    assert AuditEvent.objects.filter(action="release.expire").count() == 1


# ---------------------------------------------------------------- what is typed


@pytest.fixture
def unclear() -> Scene:
    return unimproved()


@kept
def unimproved() -> Scene:
    made = scene(before=0.12, after=0.12)
    made.submitted()
    return made


def test_what_did_not_improve_is_approved_only_with_its_verdict_typed(unclear: Scene) -> None:
    release = now(unclear)
    sentence = confirmation(release)
    assert sentence == f"release {release.pk} is {unclear.comparison.verdict}"
    assert unclear.comparison.verdict != "improved"
    for said in ("", "yes", f"release {release.pk} is improved", f"release {release.pk + 1}"):
        with pytest.raises(InvalidInput, match="type:") as refused:
            unclear.approved_by(unclear.cast.approver, said=said)
        assert list(refused.value.fields) == ["said"]
    assert Approval.objects.count() == 0
    unclear.approved_by(
        unclear.cast.approver, said=f"  Release  {release.pk} is {unclear.comparison.verdict}. "
    )
    assert now(unclear).state == "warming"


def test_rejecting_and_asking_for_changes_need_nothing_typed(unclear: Scene) -> None:
    assert asked(unclear).state == "changes requested"


def test_what_improved_needs_nothing_typed(the: Scene) -> None:
    assert confirmation(now(the)) == ""
    the.approved_by(the.cast.approver, said="")
    assert now(the).state == "warming"


# ---------------------------------------------------------------- the password, or a code


def right_code() -> str:
    return totp.format_hotp_value(totp.hotp_value(SECRET, next(totp.yield_hotp_counters_from_time())))


def test_a_code_of_the_app_stands_for_the_password_once(the: Scene) -> None:
    the.approvers_needed(2)
    for person in (the.cast.approver, the.cast.another_approver):
        totp.TOTP.activate(person, SECRET)
    code = right_code()
    with pytest.raises(InvalidInput) as refused:
        the.approved_by(the.cast.approver, password="", code=code, reason=" ")
    assert list(refused.value.fields) == ["reason"], "nothing is used up where something else is wrong"
    the.approved_by(the.cast.approver, password="", code=f"{code[:3]} {code[3:]}")
    assert decisions(the.candidate) == [("ada", "approved", True)]
    with transaction.atomic():
        Approval.objects.update(voided_at=database_time(), void_reason="for this test")
    with pytest.raises(InvalidInput, match="used already"):
        the.approved_by(the.cast.approver, password="", code=code)


@pytest.mark.parametrize(
    "code", ["000000", "abcdef", "１２３４５６", "1" * 400, "\x00\x00", "-12345", "12345"]
)
def test_what_is_no_code_is_refused_and_counted(the: Scene, code: str) -> None:
    totp.TOTP.activate(the.cast.approver, SECRET)
    with pytest.raises(InvalidInput) as refused:
        the.approved_by(the.cast.approver, password="", code=code)
    assert list(refused.value.fields) == ["code"]


def test_a_code_helps_nobody_who_has_no_app(the: Scene) -> None:
    with pytest.raises(InvalidInput):
        the.approved_by(the.cast.approver, code=right_code())


def test_codes_cannot_be_guessed_at_the_decision(the: Scene) -> None:
    totp.TOTP.activate(the.cast.approver, SECRET)
    for _ in range(tries.FROM_ONE_ADDRESS.tries):
        with pytest.raises(InvalidInput):
            the.approved_by(the.cast.approver, password="", code="000000")
    with pytest.raises(TooManyTries):
        the.approved_by(the.cast.approver, password="", code=right_code())
    assert Approval.objects.count() == 0


# ---------------------------------------------------------------- comments


def test_whoever_sees_a_release_comments_on_it_and_nobody_changes_that(the: Scene) -> None:
    comment_on_release(
        release=now(the), text="  Did you look\x00 at the long ones?\n\nI did not. ", actor=the.cast.operator
    )
    comment = ReleaseComment.objects.get()
    assert (comment.author, comment.text) == (
        the.cast.operator, "Did you look at the long ones?\n\nI did not.",
    )  # fmt: skip
    assert AuditEvent.objects.get(action="release.comment").data == {"comment": comment.pk}
    table = "models_app_releasecomment"
    for statement in (
        f"UPDATE {table} SET text = 'other'", f"DELETE FROM {table}", f"TRUNCATE {table}",
    ):  # fmt: skip
        assert refusal(statement) == "23001"


def test_who_does_not_see_releases_does_not_comment(the: Scene) -> None:
    for person in (the.cast.reviewer, the.cast.stranger, None):
        with pytest.raises(NotAllowed):
            comment_on_release(release=now(the), text="Well.", actor=person)
    for text in ("", "  \n", "x" * (LONGEST_COMMENT + 1)):
        with pytest.raises(InvalidInput):
            comment_on_release(release=now(the), text=text, actor=the.cast.operator)
    assert not ReleaseComment.objects.exists()


# ---------------------------------------------------------------- on the page


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def path(the: Scene) -> str:
    return f"/releases/{the.candidate.pk}/"


def decide(the: Scene, person: Any, decision: str, **values: Any) -> Any:
    data = {
        "decision": decision, "reason": "Show it on longer articles.", "password": make.PASSWORD,
        "evidence_digest": now(the).evidence_digest, **values,
    }  # fmt: skip
    return signed_in(person).post(f"{path(the)}decide/", data)


def test_the_page_begins_with_the_requester_s_reason(the: Scene) -> None:
    page = markup(signed_in(the.cast.approver).get(path(the)))
    assert page.index("Learnt from 3 corrections.") < page.index("Before and after")


def test_changes_are_asked_for_on_the_page_and_submitted_again_there(the: Scene) -> None:
    assert decide(the, the.cast.approver, "changes").status_code == 302
    page = markup(signed_in(the.cast.ml_engineer).get(path(the)))
    assert "Changes requested" in page
    assert "Show it on longer articles." in page
    assert 'value="approve"' not in markup(signed_in(the.cast.another_approver).get(path(the)))
    assert decide(the, the.cast.another_approver, "approve").status_code == 409
    comparison = another_comparison(the)
    assert f"/comparisons/{comparison.pk}/submit/" in markup(signed_in(the.cast.ml_engineer).get(path(the)))


def test_the_page_does_not_ask_for_the_verdict_where_it_improved(the: Scene) -> None:
    assert "To approve, type" not in markup(signed_in(the.cast.approver).get(path(the)))


def test_the_page_asks_for_the_verdict_where_it_did_not_improve(unclear: Scene) -> None:
    ada, sentence = unclear.cast.approver, confirmation(now(unclear))
    assert f"To approve, type “{sentence}”" in markup(signed_in(ada).get(path(unclear)))
    answer = decide(unclear, ada, "approve")
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["said"]
    assert decide(unclear, ada, "approve", said=sentence).status_code == 302
    assert now(unclear).state == "warming"


def test_the_page_asks_for_a_code_only_of_those_who_have_an_app(the: Scene) -> None:
    assert "authenticator app" not in markup(signed_in(the.cast.approver).get(path(the)))
    totp.TOTP.activate(the.cast.approver, SECRET)
    assert "authenticator app" in markup(signed_in(the.cast.approver).get(path(the)))
    assert decide(the, the.cast.approver, "approve", password="", code=right_code()).status_code == 302
    assert now(the).state == "warming"


def test_a_comment_stands_on_the_page_as_it_was_written(the: Scene) -> None:
    client = signed_in(the.cast.operator)
    assert client.post(f"{path(the)}comment/", {"text": "<b>Bold</b> & true"}).status_code == 302
    page = client.get(path(the)).content.decode()
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; true" in page
    assert client.post(f"{path(the)}comment/", {"text": " "}).status_code == 422
    assert signed_in(the.cast.reviewer).post(f"{path(the)}comment/", {"text": "x"}).status_code == 403
    assert ReleaseComment.objects.count() == 1
