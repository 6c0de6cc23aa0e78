"""A token is one's own, widens nobody's rights, and what is done with it is done by its person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from models_app.api import authentication
from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.tokens import (
    close_service_account,
    create_service_account,
    create_token,
    revoke_token,
)
from models_app.models import ApiToken, Release, ServiceAccount
from reviews.models import Assignment, Export
from tests import make
from tests.api.conftest import Api, error
from tests.releases.scene import gates_done, scene

pytestmark = pytest.mark.django_db
LIVE = "releases/live/"


@pytest.fixture
def cast(db: None) -> Iterator[make.Cast]:
    cache.clear()
    authentication._recent.clear()
    yield make.cast()
    cache.clear()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def of_account(owner: User, *scopes: str) -> Api:
    """A program with a token of a service account of `owner`."""
    account = create_service_account(name="nightly", actor=owner)
    api = Api(owner, "summaries:write")
    api.row, api.token = create_token(
        user=owner, name="x", scopes=scopes, days=9, actor=owner, service_account=account
    )
    return api


# ---------------------------------------------------------------- for somebody else


@pytest.mark.parametrize("who", ["administrator", "operator", "ml_engineer"])
def test_a_token_for_somebody_else_cannot_be_made(cast: make.Cast, who: str) -> None:
    actor = getattr(cast, who)
    with pytest.raises(NotAllowed, match="Nobody makes tokens for somebody else"):
        create_token(user=cast.reviewer, name="x", scopes=["summaries:write"], days=9, actor=actor)
    signed_in(actor).post(
        "/tokens/",
        {"name": "x", "scopes": ["summaries:write"], "days": 90, "user": cast.reviewer.pk,
         "created_by": cast.reviewer.pk, "owner": cast.reviewer.pk},
    )  # fmt: skip
    assert not ApiToken.objects.exclude(user=actor).exists()


def test_the_form_does_not_ask_whose_a_token_is(cast: make.Cast) -> None:
    assert 'name="user"' not in signed_in(cast.administrator).get("/tokens/").content.decode()


@pytest.mark.parametrize(
    "scope", sorted(set(ApiToken.SCOPES) - {"summaries:write", "feedback:write", "metrics:read"})
)
def test_the_command_makes_no_token_that_acts_in_a_persons_name(cast: make.Cast, scope: str) -> None:
    with pytest.raises(CommandError):
        call_command("create_token", "--user", "alma", "--scope", scope, stdout=StringIO(), stderr=StringIO())
    with pytest.raises(InvalidInput, match="cannot know who types"):
        create_token(user=cast.administrator, name="x", scopes=[scope], days=9, actor=None)
    assert not ApiToken.objects.exists()


def test_the_database_itself_refuses_tokens_made_for_others(cast: make.Cast) -> None:
    mine = Api(cast.reviewer, "documents:read").row
    for values, refused in (
        ({"created_by_id": cast.administrator.pk, "user_id": cast.ml_engineer.pk}, "token_made_by_whose_it_is"),
        ({"created_by_id": None, "scopes": ["releases:submit"]}, "token_made_by_whose_it_is"),
    ):  # fmt: skip
        row = ApiToken(
            digest="0" * 128, token_key="gly_0", user=cast.reviewer, created_by=cast.reviewer,
            scopes=["documents:read"], expiry=timezone.now(), name="x",
        )  # fmt: skip
        for name, value in values.items():
            setattr(row, name, value)
        with pytest.raises(IntegrityError, match=refused), transaction.atomic():
            ApiToken.objects.bulk_create([row])
    for statement in (
        f"UPDATE models_app_apitoken SET user_id = {cast.ml_engineer.pk}, created_by_id = {cast.ml_engineer.pk}",
        "UPDATE models_app_apitoken SET scopes = '[\"releases:submit\"]'",
        "UPDATE models_app_apitoken SET expiry = now() + interval '10 years'",
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            _sql(statement)
    revoke_token(token=mine, actor=cast.reviewer)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        _sql("UPDATE models_app_apitoken SET revoked_at = NULL")


def _sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


# ---------------------------------------------------------------- service accounts


def test_a_service_account_is_no_user_and_cannot_sign_in(cast: make.Cast) -> None:
    create_service_account(name="nightly", actor=cast.ml_engineer)
    assert not User.objects.filter(username="nightly").exists()
    answer = Client().post("/accounts/login/", {"login": "nightly", "password": ""})
    assert "_auth_user_id" not in answer.client.session


def test_a_token_of_somebody_elses_service_account_cannot_be_made(cast: make.Cast) -> None:
    account = create_service_account(name="nightly", actor=cast.ml_engineer)
    for actor in (cast.administrator, cast.operator):
        with pytest.raises(NotAllowed):
            create_token(
                user=actor, name="x", scopes=["summaries:write"], days=9, actor=actor, service_account=account
            )
        answer = signed_in(actor).post(
            "/tokens/",
            {"name": "x", "scopes": ["summaries:write"], "days": 90, "service_account": account.pk},
        )
        assert answer.status_code == 422
    row = Api(cast.operator, "summaries:write").row
    stolen = ApiToken(
        digest="0" * 128, token_key="gly_0", user=cast.operator, created_by=cast.operator, name="x",
        scopes=["summaries:write"], expiry=row.expiry, service_account=account,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="token_of_the_owners_account"), transaction.atomic():
        ApiToken.objects.bulk_create([stolen])
    with pytest.raises(IntegrityError), transaction.atomic():
        _sql(f"UPDATE models_app_serviceaccount SET owner_id = {cast.operator.pk}")


def test_what_a_service_account_does_counts_as_its_owner_s(cast: make.Cast) -> None:
    """One review a person and item: the owner's other hand finds nothing more to take."""
    item = make.queue_item()
    program = of_account(cast.reviewer, "reviews:write")
    taken = program.post("queues/new-drafts/next/", {}).json()
    assert taken["item"] == item.pk
    assert Assignment.objects.get(item=item, reviewer__isnull=False).reviewer == cast.reviewer
    again = Api(cast.reviewer, "reviews:write").post("queues/new-drafts/next/", {})
    assert again.json()["item"] == item.pk, "the same assignment: the owner holds it already"
    assert Assignment.objects.filter(reviewer__isnull=False).count() == 1


def test_what_a_service_account_submitted_its_owner_cannot_approve() -> None:
    the = scene()
    owner = make.user("olga", "ml engineer", "approver")
    answer = of_account(owner, "releases:submit").post("releases/", {"comparison": the.comparison.pk})
    assert answer.status_code == 201, answer.content
    release = gates_done(Release.objects.get(pk=the.candidate.pk))
    assert release.requested_by == owner
    with pytest.raises(NotAllowed):
        the.approved_by(owner)
    assert the.approved_by(the.cast.approver)


def test_a_closed_service_account_works_no_more(cast: make.Cast) -> None:
    program = of_account(cast.ml_engineer, "releases:read")
    account = ServiceAccount.objects.get()
    with pytest.raises(NotAllowed):
        close_service_account(account=account, actor=cast.reviewer)
    assert error(program.get(LIVE)) == (404, "not_found")
    close_service_account(account=account, actor=cast.operator)
    assert program.get(LIVE).status_code == 401
    with pytest.raises(InvalidInput, match="closed"):
        create_token(
            user=cast.ml_engineer, name="x", scopes=["releases:read"], days=9, actor=cast.ml_engineer,
            service_account=account,
        )  # fmt: skip


# ---------------------------------------------------------------- never wider, now and later


@pytest.mark.parametrize("account", [False, True])
def test_a_token_loses_at_once_what_its_person_lost(cast: make.Cast, account: bool) -> None:
    person = cast.ml_engineer
    made = of_account(person, "releases:read") if account else Api(person, "releases:read")
    assert error(made.get(LIVE)) == (404, "not_found")
    person.groups.set(Group.objects.filter(name="reviewer"))
    assert error(made.get(LIVE)) == (403, "permission_denied")
    person.groups.set(Group.objects.filter(name="ml engineer"))
    assert made.get(LIVE).status_code == 404
    person.is_active = False
    person.save()
    assert made.get(LIVE).status_code == 401


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds go by for what was believed of tokens."""
    passed = 0.0
    now = time.monotonic

    def go_by(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr("models_app.api.authentication.time.monotonic", lambda: now() + passed)
    return go_by


def test_a_program_that_asks_for_summaries_loses_that_with_its_persons_last_role(
    cast: make.Cast, later: Callable[[float], None]
) -> None:
    made = Api(cast.operator, "summaries:write")
    path = "summaries/00000000-0000-0000-0000-000000000000/"
    assert made.get(path).status_code == 404
    cast.operator.groups.clear()
    later(authentication.BELIEVED_SECONDS)
    assert made.get(path).status_code == 403


def test_a_revoked_token_is_refused_at_once_or_within_a_second_where_it_serves_readers(
    cast: make.Cast, later: Callable[[float], None]
) -> None:
    person, program = Api(cast.ml_engineer, "releases:read"), Api(cast.ml_engineer, "summaries:write")
    path = "summaries/00000000-0000-0000-0000-000000000000/"
    assert (person.get(LIVE).status_code, program.get(path).status_code) == (404, 404)
    ApiToken.objects.update(revoked_at=timezone.now())  # as another process does
    assert person.get(LIVE).status_code == 401
    assert authentication.BELIEVED_SECONDS <= 1
    later(authentication.BELIEVED_SECONDS)
    assert program.get(path).status_code == 401


def test_an_export_by_token_holds_what_the_page_would_give(cast: make.Cast) -> None:
    """`exports:write` of a reviewer: their own reviews; those of others, with names, need the right to manage."""
    asked: dict[str, Any] = {"kind": "reviews", "mine": False, "reviewers": "names"}
    reviewer = Api(cast.reviewer, "exports:write")
    assert reviewer.post("exports/", asked).status_code == 403
    assert not Export.objects.exists()
    made = Api(cast.ml_engineer, "exports:write")
    assert made.post("exports/", asked).status_code == 202
    export = Export.objects.get()
    cast.ml_engineer.groups.set(Group.objects.filter(name="reviewer"))
    assert made.get(f"exports/{export.pk}/file/").status_code == 403, "asked for in time, fetched too late"
