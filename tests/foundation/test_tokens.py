from __future__ import annotations

import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.tokens import create_token, grantable_scopes, revoke_token
from models_app.models import ApiToken, AuditEvent
from tests import make

pytestmark = pytest.mark.django_db
LIVE = "/api/v1/releases/live/"


@pytest.fixture
def cast() -> make.Cast:
    cache.clear()
    return make.cast()


def answer(token: str, path: str = LIVE) -> tuple[int, str]:
    response = Client().get(path, headers={"Authorization": f"Token {token}"})
    return response.status_code, response.json().get("error", {}).get("code", "")


def token_for(user: object, *scopes: str, days: int = 30) -> tuple[ApiToken, str]:
    return create_token(user=user, name="a program", scopes=scopes, days=days, actor=user)  # type: ignore[arg-type]


def test_a_token_is_kept_as_a_hash_and_works(cast: make.Cast) -> None:
    row, token = token_for(cast.ml_engineer, "releases:read")
    assert token.startswith("gly_")
    assert token not in (row.digest, row.token_key)
    assert len(row.digest) == 128
    assert answer(token) == (404, "not_found")  # let in; nothing is live


@pytest.mark.parametrize("token", ["", "gly_wrong", "gly_" + "0" * 60, "ümläut", "a b"])
def test_an_unknown_token_is_refused(cast: make.Cast, token: str) -> None:
    assert answer(token)[0] == 401


def test_no_token_is_refused_with_the_one_error_shape(cast: make.Cast) -> None:
    response = Client().get(LIVE)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "not_authenticated"
    assert response["WWW-Authenticate"] == "Token"


def test_expired_revoked_and_inactive_tokens_are_refused(cast: make.Cast) -> None:
    expired, token = token_for(cast.ml_engineer, "releases:read")
    ApiToken.objects.filter(pk=expired.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert answer(token)[0] == 401
    assert ApiToken.objects.filter(pk=expired.pk).exists()

    revoked, token = token_for(cast.ml_engineer, "releases:read")
    revoke_token(token=revoked, actor=cast.ml_engineer)
    assert answer(token)[0] == 401

    _, token = token_for(cast.ml_engineer, "releases:read")
    cast.ml_engineer.is_active = False
    cast.ml_engineer.save()
    assert answer(token)[0] == 401


def test_a_token_lacks_what_is_not_among_its_scopes(cast: make.Cast) -> None:
    _, token = token_for(cast.ml_engineer, "summaries:write")
    assert answer(token) == (403, "permission_denied")


def test_only_scopes_that_the_user_s_role_allows_are_granted(cast: make.Cast) -> None:
    assert set(grantable_scopes(cast.reviewer)) == {
        "summaries:write", "feedback:write", "documents:read", "reviews:write", "comments:write",
        "exports:write",
    }  # fmt: skip
    assert "releases:submit" in grantable_scopes(cast.ml_engineer)
    assert "releases:submit" not in grantable_scopes(cast.operator)
    with pytest.raises(InvalidInput) as refused:
        create_token(user=cast.reviewer, name="x", scopes=["releases:submit"], days=9, actor=cast.reviewer)
    assert "releases:submit" in refused.value.fields["scopes"]


def test_a_token_loses_what_its_user_s_role_lost(cast: make.Cast) -> None:
    _, token = token_for(cast.ml_engineer, "releases:read")
    assert answer(token)[0] == 404
    cast.ml_engineer.groups.set(Group.objects.filter(name="reviewer"))
    assert answer(token)[0] == 403


def test_who_has_no_role_has_no_tokens(cast: make.Cast) -> None:
    with pytest.raises(NotAllowed):
        create_token(user=cast.stranger, name="x", scopes=["summaries:write"], days=9, actor=cast.stranger)


def test_other_people_s_tokens_need_the_right_to_manage_tokens(cast: make.Cast) -> None:
    row, _ = token_for(cast.reviewer, "summaries:write")
    with pytest.raises(NotAllowed):
        revoke_token(token=row, actor=cast.ml_engineer)
    revoke_token(token=row, actor=cast.operator)
    row.refresh_from_db()
    assert row.revoked_at is not None


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": " "}),
        ("name", {"name": "x" * 101}),
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": ["releases:approve"]}),
        ("days", {"days": 0}),
        ("days", {"days": 366}),
    ],
)
def test_nonsense_is_refused_field_by_field(cast: make.Cast, field: str, values: dict[str, object]) -> None:
    asked = {"name": "x", "scopes": ["summaries:write"], "days": 30, **values}
    with pytest.raises(InvalidInput) as refused:
        create_token(user=cast.reviewer, actor=cast.reviewer, **asked)  # type: ignore[arg-type]
    assert set(refused.value.fields) == {field}
    assert not ApiToken.objects.exists()


def test_the_audit_trail_tells_of_tokens_and_does_not_hold_them(cast: make.Cast) -> None:
    row, token = token_for(cast.ml_engineer, "releases:read")
    revoke_token(token=row, actor=cast.administrator)
    revoke_token(token=row, actor=cast.administrator)
    events = AuditEvent.objects.filter(subject=f"token:{row.token_key}").order_by("id")
    assert [event.action for event in events] == ["token.create", "token.revoke"]
    assert all(token not in str(event.__dict__) and row.digest not in str(event.__dict__) for event in events)


def test_the_command_prints_the_token_alone_on_standard_output(cast: make.Cast) -> None:
    out, err = StringIO(), StringIO()
    call_command(
        "create_token", "--user", "mila", "--scope", "metrics:read", "--scope", "summaries:write", "--days", "7",
        stdout=out, stderr=err,
    )  # fmt: skip
    token = out.getvalue().strip()
    assert answer(token, f"/api/v1/summaries/{uuid.UUID(int=5)}/")[0] == 404
    assert ApiToken.objects.get().scopes == ["metrics:read", "summaries:write"]
    assert token not in err.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "nobody", "--scope", "summaries:write"], "no user"),
        (["--user", "rita", "--scope", "metrics:read"], "role"),
        (["--user", "mila", "--scope", "releases:submit"], "cannot know who types"),
        (["--user", "mila", "--scope", "everything"], "invalid choice"),
    ],
)
def test_the_command_says_what_is_wrong(cast: make.Cast, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("create_token", *arguments, stdout=StringIO(), stderr=StringIO())
    assert not ApiToken.objects.exists()
