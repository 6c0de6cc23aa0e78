"""The pages of people: found, asked again before each act, and a mistake stays beside its field."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from models_app.models import AuditEvent
from models_app.people import links, sessions
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db


@pytest.fixture
def alma(cast: make.Cast) -> Client:
    client = Client()
    client.force_login(cast.administrator)
    return client


def again(client: Client) -> Client:
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    return client


ACTS: dict[str, dict[str, str]] = {
    "roles/": {"roles": "approver"},
    "password-link/": {},
    "deactivate/": {"reason": "Left."},
    "activate/": {},
    "end-sessions/": {},
    "second-factor/remove/": {},
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_asks_for_the_password_again_and_goes_on_afterwards(
    cast: make.Cast, alma: Client, act: str
) -> None:
    path = f"/people/{cast.reviewer.pk}/{act}"
    asked = alma.post(path, ACTS[act])
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert not AuditEvent.objects.exists()
    wrong = alma.post(asked["Location"], {"password": "wrong"})
    assert wrong.status_code == 200
    assert not AuditEvent.objects.exists()
    done = alma.post(asked["Location"], {"password": make.PASSWORD, "next": path})
    assert done.status_code in (201, 302, 409)  # nothing to activate, no second factor
    assert AuditEvent.objects.exists() == (done.status_code != 409)


def test_making_an_account_asks_again_too(alma: Client) -> None:
    assert alma.post("/people/new/", {"name": "nora"})["Location"].startswith("/accounts/reauthenticate/")
    assert not User.objects.filter(username="nora").exists()


def test_people_are_found_by_name_role_and_state(cast: make.Cast, alma: Client) -> None:
    def names(query: str) -> list[str]:
        return [person.username for person in alma.get(f"/people/?{query}").context["page"]]

    User.objects.filter(username="ruben").update(is_active=False)
    assert names("") == ["ada", "alma", "anton", "mila", "otto", "rita", "ruben", "stan"]
    assert names("q=RU") == ["ruben"]
    assert alma.get("/people/?q=%00").status_code == 400
    assert names("role=reviewer&state=active") == ["rita"]
    assert names("state=deactivated") == ["ruben"]
    assert names("role=king") == []
    assert alma.get("/people/?page=none").status_code == 422
    assert len(names("page=99")) == 8


def test_the_list_asks_as_much_for_many_people_as_for_few(
    cast: make.Cast, alma: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        make.user(f"person-{number:02}", "reviewer", "approver")
    alma.get("/people/")
    with django_assert_max_num_queries(20):
        page = markup(alma.get("/people/"))
    assert "1–50 of 68" in page


def test_a_name_that_is_taken_stays_in_its_field(alma: Client) -> None:
    answer = again(alma).post("/people/new/", {"name": "rita", "roles": ["reviewer"]})
    assert answer.status_code == 422
    page = markup(answer)
    assert "There is an account" in page
    assert 'value="rita"' in page


def test_a_link_is_shown_once(cast: make.Cast, alma: Client) -> None:
    answer = again(alma).post(f"/people/{cast.reviewer.pk}/password-link/")
    assert answer.status_code == 201
    assert "http://testserver/accounts/link/" in markup(answer)
    page = markup(alma.get(f"/people/{cast.reviewer.pk}/"))
    assert "/accounts/link/" not in page
    assert "A link by alma waits until" in page


def test_a_link_that_is_opened_signs_nobody_else_on(cast: make.Cast, alma: Client) -> None:
    """An administrator who opens it in their own browser ends their own session there, not the person's chance."""
    _, secret = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    alma.get(f"/accounts/link/{secret}/")
    form = {"password": "quite another secret 7", "again": "quite another secret 7"}
    assert alma.post("/accounts/link/", form)["Location"] == "/accounts/login/"
    assert alma.get("/people/").status_code == 302


def test_the_last_administrator_is_told_why_not(cast: make.Cast, alma: Client) -> None:
    answer = again(alma).post(f"/people/{cast.administrator.pk}/roles/", {"roles": ["reviewer"]})
    assert answer.status_code == 409
    assert "without an active administrator" in markup(answer)


def test_accounts_of_imported_raters_and_programs_have_no_page(alma: Client) -> None:
    program = User.objects.create_user("a-program")
    assert alma.get(f"/people/{program.pk}/").status_code == 404
    assert again(alma).post(f"/people/{program.pk}/password-link/").status_code == 404


def test_people_see_what_was_done_to_their_own_account_and_to_no_other(cast: make.Cast, alma: Client) -> None:
    again(alma).post(f"/people/{cast.approver.pk}/roles/", {"roles": ["reviewer"]})
    alma.post(f"/people/{cast.reviewer.pk}/end-sessions/")
    ada = Client()
    ada.force_login(cast.approver)
    page = markup(ada.get("/accounts/history/"))
    assert "alma changed the roles of ada" in page
    assert "gained reviewer; lost approver" in page
    assert "rita" not in page
    assert ada.get("/accounts/history/?page=none").status_code == 422


def test_the_page_of_a_person_counts_their_sessions_without_reading_those_of_others(
    cast: make.Cast, alma: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign_in(name: str) -> None:
        Client().post("/accounts/login/", {"login": name, "password": make.PASSWORD})

    def unread(session: Session) -> Any:
        raise AssertionError("a session was read")

    cache.clear()  # of the sign-ins a minute that one address has
    sign_in("rita")
    sign_in("rita")
    sign_in("ruben")
    gone = sessions.sessions_of(cast.reviewer)[0]
    path = f"/people/{cast.reviewer.pk}/"
    with monkeypatch.context() as patch:
        patch.setattr(Session, "get_decoded", unread)
        assert "Signed in 2 times" in markup(alma.get(path))
        Session.objects.filter(pk=gone).update(expire_date=timezone.now())
        assert "Signed in 1 time." in markup(alma.get(path))
        Session.objects.filter(
            pk__in=UserSession.objects.filter(user=cast.reviewer).values("session_key")
        ).delete()
        page = markup(alma.get(path))
    assert "Not signed in." in page
    assert "End sessions" in page, "there may be some that the list lacks, or that wait for a code"
