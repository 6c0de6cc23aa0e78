"""Signing in, the second factor and sessions wear Galley's look, and nothing on them breaks the policy."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.pages import markup

PASSWORD = "a galley is a proof 7"


@pytest.fixture
def signed_in(db: None) -> Client:
    User.objects.create_user("marta", password=PASSWORD)
    client = Client()
    form = {"login": "marta", "password": PASSWORD, "next": reverse("mfa_index")}
    answer = client.post(reverse("account_login"), form)
    assert answer.status_code == 302
    return client


def page(client: Client, name: str) -> str:
    answer = client.get(reverse(name))
    assert answer.status_code == 200
    text = markup(answer)
    assert "css/galley.css" in text
    assert not re.search(r"<[^>]*\sstyle\s*=", text)
    return text


def test_the_sign_in_page_has_named_fields_and_no_way_to_sign_up(client: Client, db: None) -> None:
    text = page(client, "account_login")
    assert '<label for="id_login">' in text
    assert "sign up" not in text.lower()
    assert 'class="nav-links"' not in text


def test_a_wrong_password_is_said_above_the_form(client: Client, db: None) -> None:
    answer = client.post(reverse("account_login"), {"login": "nobody", "password": "wrong"})
    assert 'class="form-errors" role="alert"' in markup(answer)


@pytest.mark.parametrize(
    "name",
    [
        "account_change_password",
        "account_logout",
        "account_reauthenticate",
        "mfa_index",
        "usersessions_list",
    ],
)
def test_account_pages_wear_the_look(signed_in: Client, name: str) -> None:
    page(signed_in, name)


def test_the_second_factor_is_set_up_with_a_picture_and_a_secret_and_leads_to_recovery_codes(
    signed_in: Client,
) -> None:
    again = signed_in.post(
        reverse("account_reauthenticate"), {"password": PASSWORD, "next": reverse("mfa_index")}
    )
    assert again.status_code == 302
    text = page(signed_in, "mfa_activate_totp")
    secret = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', text)
    assert secret
    assert "<svg" in text.partition('class="qr"')[2]
    code = totp.format_hotp_value(totp.hotp_value(secret[1], next(totp.yield_hotp_counters_from_time())))
    assert signed_in.post(reverse("mfa_activate_totp"), {"code": code}).status_code == 302
    assert "active" in page(signed_in, "mfa_index")
    for name in ("mfa_view_recovery_codes", "mfa_generate_recovery_codes", "mfa_deactivate_totp"):
        page(signed_in, name)


def test_an_address_without_a_page_says_so_inside_the_frame(signed_in: Client) -> None:
    answer = signed_in.get("/no/such/page/")
    assert answer.status_code == 404
    assert "data-error-lead" in markup(answer)


def test_no_link_that_sets_a_password_is_ever_made(signed_in: Client) -> None:
    for path in ("reset/", "reset/key/1-abc/", "reset/done/"):
        for client in (Client(), signed_in):
            assert client.get(f"/accounts/password/{path}").status_code == 404
            assert client.post(f"/accounts/password/{path}", {"email": "m@example.org"}).status_code == 404
    shown = page(signed_in, "account_change_password")
    assert "an administrator can set a new one" in shown
    assert "password/reset" not in shown
