from __future__ import annotations

import re

import pytest
from django.test import Client

from models_app.models import ApiToken, ServiceAccount
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def asked(**values: object) -> dict[str, object]:
    return {"name": "web shop", "scopes": ["summaries:write"], "days": "90", **values}


def test_a_new_token_is_shown_once(cast: make.Cast) -> None:
    client = signed_in(cast.reviewer)
    made = client.post("/tokens/", asked())
    assert made.status_code == 201
    found = re.search(r'id="token-value"[^>]*>(gly_[0-9a-f]+)<', markup(made))
    assert found is not None
    again = markup(client.get("/tokens/"))
    assert "web shop" in again
    assert found[1] not in again
    assert "no-store" in made["Cache-Control"]
    answer = Client().get(
        "/api/v1/summaries/00000000-0000-0000-0000-000000000000/",
        headers={"Authorization": f"Token {found[1]}"},
    )
    assert answer.status_code == 404


def test_mistakes_are_shown_at_their_fields_and_nothing_is_made(cast: make.Cast) -> None:
    answer = signed_in(cast.reviewer).post("/tokens/", asked(name="", scopes=["releases:submit"]))
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"name", "scopes"}
    assert not ApiToken.objects.exists()


def test_people_see_their_own_tokens_and_operators_see_all(cast: make.Cast) -> None:
    signed_in(cast.reviewer).post("/tokens/", asked(name="rita's"))
    signed_in(cast.ml_engineer).post("/tokens/", asked(name="mila's"))
    mine = markup(signed_in(cast.reviewer).get("/tokens/"))
    assert "rita&#x27;s" in mine
    assert "mila&#x27;s" not in mine
    everybody = markup(signed_in(cast.operator).get("/tokens/"))
    assert "rita&#x27;s" in everybody
    assert "mila&#x27;s" in everybody


def test_one_cannot_make_or_revoke_tokens_of_others(cast: make.Cast) -> None:
    signed_in(cast.ml_engineer).post("/tokens/", asked())
    token = ApiToken.objects.get()
    assert signed_in(cast.reviewer).post(f"/tokens/{token.token_key}/revoke/").status_code == 404
    signed_in(cast.reviewer).post("/tokens/", asked(user=cast.operator.pk))
    assert set(ApiToken.objects.values_list("user__username", flat=True)) == {"mila", "rita"}
    token.refresh_from_db()
    assert token.revoked_at is None


def test_an_operator_revokes_anybodys_token(cast: make.Cast) -> None:
    signed_in(cast.reviewer).post("/tokens/", asked())
    token = ApiToken.objects.get(user=cast.reviewer)
    client = signed_in(cast.operator)
    assert client.post(f"/tokens/{token.token_key}/revoke/").status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_a_service_account_is_made_gets_a_token_and_is_closed(cast: make.Cast) -> None:
    client = signed_in(cast.reviewer)
    assert client.post("/tokens/accounts/new/", {"account": " nightly  export "}).status_code == 302
    account = ServiceAccount.objects.get()
    assert (account.name, account.owner) == ("nightly export", cast.reviewer)
    assert client.post("/tokens/", asked(service_account=account.pk)).status_code == 201
    assert ApiToken.objects.get().service_account == account
    assert "nightly export" in markup(client.get("/tokens/"))
    assert client.post(f"/tokens/accounts/{account.pk}/close/").status_code == 302
    assert ApiToken.objects.get().revoked_at is not None
    assert client.post("/tokens/", asked(service_account=account.pk)).status_code == 422
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "nightly export", "NIGHTLY EXPORT"])
def test_a_service_account_needs_a_name_that_is_free(cast: make.Cast, name: str) -> None:
    client = signed_in(cast.reviewer)
    client.post("/tokens/accounts/new/", {"account": "nightly export"})
    answer = client.post("/tokens/accounts/new/", {"account": name})
    assert answer.status_code == 422
    assert 'aria-describedby="account-error"' in markup(answer)
    assert ServiceAccount.objects.count() == 1


def test_somebody_elses_service_account_is_not_there_to_close(cast: make.Cast) -> None:
    signed_in(cast.reviewer).post("/tokens/accounts/new/", {"account": "nightly"})
    account = ServiceAccount.objects.get()
    assert signed_in(cast.ml_engineer).post(f"/tokens/accounts/{account.pk}/close/").status_code == 404
    assert "nightly" in markup(signed_in(cast.operator).get("/tokens/"))
    assert signed_in(cast.operator).post(f"/tokens/accounts/{account.pk}/close/").status_code == 302


def test_who_has_no_role_gets_no_tokens_page(cast: make.Cast) -> None:
    client = signed_in(cast.stranger)
    assert client.get("/tokens/").status_code == 403
    assert client.post("/tokens/", asked()).status_code == 403
    assert Client().get("/tokens/").status_code == 302
    assert not ApiToken.objects.exists()


def test_the_page_asks_the_database_a_fixed_number_of_questions(
    cast: make.Cast, django_assert_max_num_queries: object
) -> None:
    client = signed_in(cast.operator)
    for number in range(30):
        client.post("/tokens/", asked(name=f"program {number}"))
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        client.get("/tokens/")
