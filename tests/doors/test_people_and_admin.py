"""Accounts: every act leaves its event, nobody locks everybody out, and Django's admin is no way in."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import GalleyError, InvalidInput, NotAllowed, NotFound, Refused
from models_app.foundation.roles import ROLES, allowed
from models_app.foundation.tokens import create_token
from models_app.models import AuditEvent, PasswordLink
from models_app.people import accounts, factors, links, sessions
from reviews.loop import sample_workspace
from reviews.models import Assignment
from tests import make
from tests.database import another_session, somebody_waits_for_a_lock
from tests.pages import markup
from tests.process.programs import wait_for
from tests.reviews.desk.test_claims import claimed

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "quite another secret 7"


@pytest.fixture(autouse=True)
def no_requests_before() -> None:
    """Of the sign-ins a minute that one address has."""
    cache.clear()


def events(person: User) -> list[str]:
    found = AuditEvent.objects.filter(subject=f"user:{person.pk}").order_by("id")
    return list(found.values_list("action", flat=True))


def last_event(person: User) -> AuditEvent:
    event = AuditEvent.objects.filter(subject=f"user:{person.pk}").order_by("id").last()
    assert event is not None
    return event


def signed_in(name: str, password: str = make.PASSWORD) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": name, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"administrator"}))
def test_only_administrators_touch_accounts(cast: make.Cast, role: str) -> None:
    actor = make.user("somebody", role)
    acts: list[Any] = [
        lambda: accounts.create_person(name="new", roles=[], actor=actor),
        lambda: links.invite(name="new", roles=[], actor=actor),
        lambda: accounts.change_roles(person=actor, roles=["approver"], actor=actor),
        lambda: accounts.deactivate(person=cast.reviewer, actor=actor),
        lambda: accounts.activate(person=cast.reviewer, actor=actor),
        lambda: links.make_password_link(person=cast.reviewer, actor=actor),
        lambda: sessions.end_sessions(person=cast.reviewer, actor=actor),
        lambda: factors.remove_second_factor(person=cast.reviewer, actor=actor),
    ]
    for act in acts:
        with pytest.raises(NotAllowed):
            act()
    assert not AuditEvent.objects.exists()


# ---------------------------------------------------------------- made, and given roles


def test_who_made_an_account_gave_a_role_or_a_link_is_in_the_trail(cast: make.Cast) -> None:
    link, _ = links.invite(name="nora", roles=["reviewer"], actor=cast.administrator)
    person = link.user
    assert events(person) == ["person.create", "person.password_link"]
    accounts.change_roles(person=person, roles=["reviewer", "approver"], actor=cast.administrator)
    event = last_event(person)
    assert (event.action, event.actor) == ("person.roles", cast.administrator)
    assert (event.data["before"], event.data["roles"]) == (["reviewer"], ["approver", "reviewer"])
    assert (event.data["gained"], event.data["lost"]) == (["approver"], [])
    accounts.change_roles(person=person, roles=["approver", "reviewer"], actor=cast.administrator)
    assert len(events(person)) == 3, "nothing changed"


@pytest.mark.parametrize("name", ["", "two words", "galley", "Galley", "RITA", "x" * 151, "semi;colon"])
def test_a_name_that_misleads_the_trail_is_refused(cast: make.Cast, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        links.invite(name=name, roles=[], actor=cast.administrator)
    assert "name" in refused.value.fields
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("names", [("nora", "nora"), ("nora", "Nora"), ("élise", "Élise")])
def test_one_name_is_not_given_to_two_people_at_the_same_instant(names: tuple[str, str]) -> None:
    """A double click, or two administrators."""
    administrator = make.cast().administrator
    gate, outcomes = threading.Barrier(2), []

    def invite(name: str) -> None:
        try:
            gate.wait(10)
            links.invite(name=name, roles=["reviewer"], actor=administrator)
            outcomes.append("done")
        except InvalidInput as error:
            outcomes.append(str(error.fields))
        finally:
            connection.close()

    threads = [threading.Thread(target=invite, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([outcome for outcome in outcomes if outcome == "done"]) == 1, outcomes
    assert any("There is an account" in outcome for outcome in outcomes)
    assert User.objects.filter(username__iexact=names[0]).count() == 1
    assert AuditEvent.objects.filter(action="person.create").count() == 1
    assert PasswordLink.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_name_that_is_taken_while_it_is_given_is_a_mistake_in_the_form() -> None:
    """By a door that does not ask first, such as a statement."""
    administrator = make.cast().administrator
    client = Client()
    client.force_login(administrator)
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    with another_session(
        "INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, "
        "date_joined) VALUES ('Nora', '!', false, '', '', '', false, false, now())"
    ) as other:

        def commit() -> None:
            wait_for(somebody_waits_for_a_lock)
            connection.close()  # of this thread
            other.commit()

        with ThreadPoolExecutor(1) as pool:
            committed = pool.submit(commit)
            answer = client.post("/people/new/", {"name": "nora", "roles": ["reviewer"]})
            committed.result(60)
    assert answer.status_code == 422
    assert "There is an account" in markup(answer)
    assert User.objects.filter(username__iexact="nora").count() == 1


def test_the_database_has_one_account_for_a_name_in_any_case(cast: make.Cast) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Rita")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=cast.stranger.pk).update(username="RITA")
    assert is_in(signed_in("rita"))


def test_who_makes_an_account_does_not_know_its_password(cast: make.Cast) -> None:
    with pytest.raises(NotAllowed):
        accounts.create_person(
            name="nora", roles=["approver"], actor=cast.administrator, password=NEW_PASSWORD
        )
    assert not User.objects.filter(username="nora").exists()
    with pytest.raises(InvalidInput):
        accounts.create_person(name="nora", roles=["king"], actor=cast.administrator)
    with pytest.raises(InvalidInput):
        accounts.change_roles(person=cast.reviewer, roles=["king"], actor=cast.administrator)


def test_rights_beside_the_roles_go_with_a_change_of_roles(cast: make.Cast) -> None:
    make.user("another", "administrator")
    accounts.change_roles(person=cast.administrator, roles=["reviewer"], actor=None)
    person = User.objects.get(pk=cast.administrator.pk)
    assert not allowed(person, "approve_release")
    assert not person.is_superuser


def test_assignments_go_back_with_the_right_to_review(cast: make.Cast) -> None:
    queue = make.queue()
    make.queue_item(in_queue=queue)
    claimed(queue, cast.reviewer)
    accounts.change_roles(person=cast.reviewer, roles=["approver"], actor=cast.administrator)
    assert not Assignment.objects.filter(reviewer=cast.reviewer).exists()
    assert AuditEvent.objects.get(action="assignments.free").actor == cast.administrator


# ---------------------------------------------------------------- nobody locks everybody out


def test_the_last_administrator_keeps_the_role_and_stays_active(cast: make.Cast) -> None:
    for act in (
        lambda: accounts.change_roles(person=cast.administrator, roles=[], actor=cast.administrator),
        lambda: accounts.deactivate(person=cast.administrator, actor=cast.administrator),
        lambda: accounts.deactivate(person=cast.administrator, actor=None),
    ):
        with pytest.raises(Refused, match="without an active administrator"):
            act()
    # One who cannot sign in yet does not count.
    other = links.invite(name="olga", roles=["administrator"], actor=cast.administrator)[0].user
    with pytest.raises(Refused, match="without an active administrator"):
        accounts.deactivate(person=cast.administrator, actor=cast.administrator)
    assert AuditEvent.objects.filter(subject=f"user:{cast.administrator.pk}").count() == 0
    User.objects.filter(pk=other.pk).update(password=cast.administrator.password)
    accounts.deactivate(person=cast.administrator, actor=cast.administrator)
    assert not User.objects.get(pk=cast.administrator.pk).is_active


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", ["roles", "deactivate", "link"])
def test_two_administrators_cannot_remove_each_other_at_the_same_instant(act: str) -> None:
    pair = [make.user(name, "administrator") for name in ("olga", "otis")]
    gate, outcomes = threading.Barrier(2), []

    def remove(actor: User, other: User) -> None:
        try:
            gate.wait(10)
            if act == "roles":
                accounts.change_roles(person=other, roles=[], actor=actor)
            elif act == "deactivate":
                accounts.deactivate(person=other, actor=actor)
            else:
                links.make_password_link(person=other, actor=actor)
            outcomes.append("done")
        except GalleyError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=pair), threading.Thread(target=remove, args=pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 1, outcomes
    assert accounts.administrators().count() == 1


# ---------------------------------------------------------------- links


def test_a_link_sets_a_password_once_and_the_old_one_ends_when_it_is_made(cast: make.Cast) -> None:
    session = signed_in("rita")
    assert is_in(session)
    link, secret = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    assert not is_in(session), "sessions end with the link"
    assert not is_in(signed_in("rita")), "and the old password"
    assert secret not in str(PasswordLink.objects.values().get(pk=link.pk))
    assert secret not in str(list(AuditEvent.objects.values()))
    page, path = Client(), "/accounts/link/"
    assert page.get(f"/accounts/link/{secret}/")["Location"] == path, "the secret leaves the address"
    shown = page.get(path)
    assert shown.status_code == 200
    assert "no-store" in shown["Cache-Control"]
    assert b"rita" in shown.content
    for weak in ("short", "rita", "123456789012"):
        answer = page.post(path, {"password": weak, "again": weak})
        assert answer.status_code == 422
    assert page.post(path, {"password": NEW_PASSWORD, "again": "something else 7"}).status_code == 422
    assert page.post(path, {"password": NEW_PASSWORD, "again": NEW_PASSWORD}).status_code == 302
    assert not is_in(page), "nobody is signed in by it: the second factor is still asked for"
    assert is_in(signed_in("rita", NEW_PASSWORD))
    page = Client()
    assert page.get(f"/accounts/link/{secret}/").status_code == 404
    assert page.get(path).status_code == 404
    assert page.post(path, {"password": "yet another one 7", "again": "yet another one 7"}).status_code == 404
    with pytest.raises(NotFound):
        links.set_password_by_link(secret=secret, password="yet another one 7")
    event = last_event(cast.reviewer)
    assert (event.action, event.actor) == ("person.password_set", None)
    assert event.data["made_by"] == "alma"


def test_a_link_is_dead_after_a_newer_one_after_48_hours_and_when_its_person_leaves(cast: make.Cast) -> None:
    _, first = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    link, second = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    with pytest.raises(NotFound):
        links.open_link(first)
    assert link.expires_at - link.made_at == timedelta(hours=48)
    assert links.open_link(second) == link
    PasswordLink.objects.filter(pk=link.pk).update(expires_at=timezone.now())
    with pytest.raises(NotFound):
        links.set_password_by_link(secret=second, password=NEW_PASSWORD)
    _, third = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    accounts.deactivate(person=cast.reviewer, actor=cast.administrator)
    accounts.activate(person=cast.reviewer, actor=cast.administrator)
    with pytest.raises(NotFound):
        links.open_link(third)
    with transaction.atomic(), pytest.raises(IntegrityError):
        PasswordLink.objects.bulk_create(
            PasswordLink(user=cast.reviewer, digest=digest, made_at=timezone.now(), expires_at=timezone.now())
            for digest in ("a", "b")
        )


def test_who_tried_the_forgotten_password_too_often_comes_in_with_the_new_one(cast: make.Cast) -> None:
    for _ in range(9):
        signed_in("rita", "forgotten")
    assert not is_in(signed_in("rita"))
    _, secret = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    links.set_password_by_link(secret=secret, password=NEW_PASSWORD)
    assert is_in(signed_in("rita", NEW_PASSWORD))


def test_the_command_lets_the_last_administrator_in_and_says_so_in_the_trail(cast: make.Cast) -> None:
    printed, said = StringIO(), StringIO()
    call_command("password_link", "alma", stdout=printed, stderr=said)
    path = printed.getvalue().strip().removeprefix(settings.PUBLIC_URL)
    assert said.getvalue().startswith("For alma, until ")
    assert last_event(cast.administrator).actor is None
    client = Client()
    assert client.get(path).status_code == 302
    form = {"password": NEW_PASSWORD, "again": NEW_PASSWORD}
    assert client.post("/accounts/link/", form).status_code == 302
    assert is_in(signed_in("alma", NEW_PASSWORD))
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("password_link", "nobody")


@pytest.mark.django_db(transaction=True)
def test_a_link_is_used_once_by_two_at_the_same_instant() -> None:
    cast = make.cast()
    _, secret = links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    gate, outcomes = threading.Barrier(2), []

    def use(password: str) -> None:
        try:
            gate.wait(10)
            links.set_password_by_link(secret=secret, password=password)
            outcomes.append("done")
        except GalleyError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(f"{NEW_PASSWORD}{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "not_found"]


def test_no_link_is_made_for_oneself_for_programs_or_for_those_who_left(cast: make.Cast) -> None:
    with pytest.raises(Refused, match="own password"):
        links.make_password_link(person=cast.administrator, actor=cast.administrator)
    program = User.objects.create_user("a-program")
    rater = User.objects.create_user("rater-7", is_active=False)
    for nobody in (program, rater):
        assert nobody not in accounts.people()
        with pytest.raises(Refused):
            links.make_password_link(person=nobody, actor=cast.administrator)
        with pytest.raises(Refused):
            accounts.change_roles(person=nobody, roles=["approver"], actor=cast.administrator)
    with pytest.raises(Refused):
        accounts.activate(person=rater, actor=cast.administrator)
    accounts.deactivate(person=cast.reviewer, actor=cast.administrator)
    with pytest.raises(Refused, match="deactivated"):
        links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    assert not PasswordLink.objects.exists()


# ---------------------------------------------------------------- out


def test_a_deactivated_person_is_out_at_once_with_tokens_and_for_good(cast: make.Cast) -> None:
    session = signed_in("mila")
    _, token = create_token(
        user=cast.ml_engineer, name="a program", scopes=["releases:read"], days=1, actor=cast.ml_engineer
    )
    headers = {"Authorization": f"Token {token}"}
    assert Client().get("/api/v1/releases/", headers=headers).status_code == 200
    accounts.deactivate(person=cast.ml_engineer, actor=cast.administrator, reason="Left the team.")
    event = AuditEvent.objects.get(action="person.deactivate")
    assert (event.reason, event.data["sessions"]) == ("Left the team.", 1)
    assert not is_in(session)
    from models_app.api import authentication

    authentication._recent.clear()  # a token is believed for a second
    assert Client().get("/api/v1/releases/", headers=headers).status_code == 401
    with pytest.raises(Refused):
        accounts.deactivate(person=cast.ml_engineer, actor=cast.administrator)
    accounts.activate(person=cast.ml_engineer, actor=cast.administrator)
    assert last_event(cast.ml_engineer).action == "person.activate"
    assert not is_in(session), "the old session does not come back with the account"
    assert is_in(signed_in("mila"))


def test_ended_sessions_are_those_of_that_person_and_of_nobody_else(cast: make.Cast) -> None:
    phone, desk, other = signed_in("rita"), signed_in("rita"), signed_in("ruben")
    assert len(sessions.sessions_of(cast.reviewer)) == 2
    assert sessions.end_sessions(person=cast.reviewer, actor=cast.administrator) == 2
    assert not is_in(phone)
    assert not is_in(desk)
    assert is_in(other)
    assert last_event(cast.reviewer).data["sessions"] == 2
    assert is_in(signed_in("rita"))


def test_sessions_that_are_over_are_forgotten(cast: make.Cast) -> None:
    signed_in("rita"), signed_in("ruben")
    gone = sessions.sessions_of(cast.reviewer)
    Session.objects.filter(pk__in=gone).update(expire_date=timezone.now())
    assert sessions.sessions_of(cast.reviewer) == []
    assert sessions.forget_expired() == 1
    assert list(UserSession.objects.values_list("user", flat=True)) == [cast.another_reviewer.pk]


def test_a_sign_in_that_waits_for_its_code_ends_too(cast: make.Cast) -> None:
    TOTP.activate(cast.reviewer, "JBSWY3DPEHPK3PXP")
    client = Client()
    assert client.post("/accounts/login/", {"login": "rita", "password": make.PASSWORD})["Location"].endswith(
        "/2fa/authenticate/"
    )
    assert Session.objects.count() == 1
    links.make_password_link(person=cast.reviewer, actor=cast.administrator)
    assert Session.objects.count() == 0


def test_a_removed_second_factor_goes_with_its_recovery_codes_and_leaves_an_event(cast: make.Cast) -> None:
    with pytest.raises(Refused, match="no second factor"):
        factors.remove_second_factor(person=cast.approver, actor=cast.administrator)
    TOTP.activate(cast.approver, "JBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(cast.approver)
    session = Client()
    session.force_login(cast.approver)
    factors.remove_second_factor(person=cast.approver, actor=cast.administrator)
    assert not Authenticator.objects.exists()
    assert not is_in(session)
    event = last_event(cast.approver)
    assert (event.action, event.actor) == ("person.second_factor_removed", cast.administrator)
    TOTP.activate(cast.administrator, "JBSWY3DPEHPK3PXP")
    with pytest.raises(Refused, match="your own"):
        factors.remove_second_factor(person=cast.administrator, actor=cast.administrator)


# ---------------------------------------------------------------- what people do to their own account


def test_own_password_factor_and_codes_leave_events(cast: make.Cast) -> None:
    from allauth.mfa.totp.internal import auth as totp

    client = signed_in("rita")
    form = {"oldpassword": make.PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post("/accounts/password/change/", form).status_code == 302
    assert events(cast.reviewer) == ["person.password_changed"]
    client.post("/accounts/reauthenticate/", {"password": NEW_PASSWORD})
    page = markup(client.get("/accounts/2fa/totp/activate/"))
    found = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page)
    assert found
    code = totp.format_hotp_value(totp.hotp_value(found[1], next(totp.yield_hotp_counters_from_time())))
    assert client.post("/accounts/2fa/totp/activate/", {"code": code}).status_code == 302
    assert client.post("/accounts/2fa/recovery-codes/generate/").status_code == 302
    assert client.post("/accounts/2fa/totp/deactivate/").status_code == 302
    assert events(cast.reviewer)[1:] == [
        "person.second_factor_on",
        "person.recovery_codes_made",
        "person.second_factor_off",
    ]
    assert set(AuditEvent.objects.values_list("actor", flat=True)) == {cast.reviewer.pk}


# ---------------------------------------------------------------- the first accounts


def test_the_first_accounts_are_in_the_trail_like_all_others() -> None:
    made = sample_workspace.create_administrator(username="admin")
    assert made is not None
    assert sample_workspace.create_administrator(username="admin2") is None
    person = User.objects.get(username="admin")
    assert events(person) == ["person.create"]
    assert allowed(person, "manage_people")
    assert not person.is_superuser, "its rights are those of its role"
    assert {account.username for account in sample_workspace.create_sample_accounts()} == set(
        sample_workspace.ACCOUNTS
    )
    assert list(sample_workspace.create_sample_accounts()) == []


# ---------------------------------------------------------------- Django's admin

ADMIN_PATHS = (
    "",
    "login/",
    "auth/user/",
    "django_q/schedule/add/",
    "r/1/1/",
    "mfa/authenticator/",
    "jsi18n/",
)


@pytest.mark.parametrize("path", ADMIN_PATHS)
def test_django_admin_is_an_unknown_address(cast: make.Cast, path: str) -> None:
    administrator = signed_in("alma")
    for client in (Client(), administrator):
        for ask in (client.get, client.post):
            assert ask(f"/admin/{path}").status_code == 404
    assert b"/admin/" not in administrator.get("/people/").content


with_admin = pytest.mark.urls("tests.doors.urls_with_admin")


def admin_addresses() -> list[str]:
    """Of the admin's site, with something in each place."""
    from llmops_site.admin import site

    def walk(patterns: Any, before: str) -> Any:
        for one in patterns:
            if hasattr(one, "url_patterns"):
                yield from walk(one.url_patterns, before + str(one.pattern))
            else:
                yield before + str(one.pattern)

    paths = [re.sub(r"<[\w:]+>", "1", path) for path in walk(site.urls[0], "/admin/")]
    return [re.sub(r"\(\?P<\w+>[^)]*\)|\^|\$", "", path) for path in paths]


@with_admin
def test_django_admin_lets_in_by_the_sign_in_page_alone(cast: make.Cast) -> None:
    TOTP.activate(cast.administrator, "JBSWY3DPEHPK3PXP")
    form = {"username": "alma", "password": make.PASSWORD}
    client = Client()
    assert client.post("/admin/login/", form)["Location"].startswith("/accounts/login/")
    assert client.get("/admin/")["Location"].startswith(("/accounts/login/", "/admin/login/"))
    assert client.post("/accounts/login/", {"login": "alma", "password": make.PASSWORD})[
        "Location"
    ].startswith("/accounts/2fa/")
    assert client.get("/admin/").status_code == 302, "the password alone is not enough"


@with_admin
def test_django_admin_asks_administrators_again_and_nobody_else(cast: make.Cast) -> None:
    for name in ("otto", "ada", "mila", "rita", "stan"):
        User.objects.filter(username=name).update(is_staff=True)
        client = signed_in(name)
        client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
        assert client.get("/admin/models_app/job/").status_code in (302, 403)
        assert client.get("/admin/models_app/job/", follow=True).status_code != 200
    client = signed_in("alma")
    assert client.get("/admin/")["Location"].startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    page = client.get("/admin/")
    assert page.status_code == 200
    assert b"Jobs" in page.content


@with_admin
def test_django_admin_shows_harmless_tables_and_changes_nothing(cast: make.Cast) -> None:
    from llmops_site.admin import site

    release = make.release()
    client = signed_in("alma")
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    assert {table._meta.label for table in site._registry} == {
        "models_app.AuditEvent",
        "models_app.Deployment",
        "models_app.Environment",
        "models_app.Job",
        "models_app.ModelVersion",
        "models_app.Release",
        "models_app.TrainingRun",
    }
    before = list(AuditEvent.objects.values_list("id", flat=True))
    for path in admin_addresses():
        for ask in (client.get, client.post):
            status = ask(path).status_code
            assert status < 500, path
            if "/add/" in path or "/delete/" in path or "/history/" in path:
                assert status in (302, 403), path
    for table in site._registry:
        path = f"/admin/models_app/{table._meta.model_name}/"
        assert client.get(path).status_code == 200, path
        answer = client.post(path, {"action": "delete_selected", "_selected_action": [str(release.pk)]})
        assert answer.status_code in (200, 302, 403)
    one = f"/admin/models_app/release/{release.pk}/change/"
    assert client.get(one).status_code == 200
    assert client.post(one, {"state": "live"}).status_code == 403
    release.refresh_from_db()
    assert release.state == "draft"
    assert list(AuditEvent.objects.values_list("id", flat=True)) == before
    assert client.get("/admin/r/1/1/").status_code == 404


# ---------------------------------------------------------------- kept by nobody


def test_pages_of_a_signed_in_person_are_kept_by_no_browser_and_no_proxy(cast: make.Cast) -> None:
    client = signed_in("alma")
    for path in ("/", "/desk/", "/documents/", "/people/", "/audit/", "/accounts/2fa/", "/nothing-here/"):
        assert "no-store" in client.get(path).get("Cache-Control", ""), path


@pytest.mark.parametrize(
    "words",
    [
        ["createsuperuser", "--username", "ghost", "--email", "ghost@example.org", "--noinput"],
        ["changepassword", "alma"],
    ],
)
def test_no_command_makes_an_account_or_sets_a_password_that_the_trail_does_not_know(
    cast: make.Cast, words: list[str]
) -> None:
    """Django brings two that do."""
    with pytest.raises(CommandError, match="audit trail says"):
        call_command(*words)
    assert not User.objects.filter(username="ghost").exists()
    assert User.objects.get(username="alma").check_password(make.PASSWORD)
