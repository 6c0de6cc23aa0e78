"""Endpoints: who makes them, what is refused, the secret."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.models import AuditEvent, WebhookDelivery, WebhookEndpoint
from models_app.webhooks import endpoints, signing
from models_app.webhooks.deliveries import send_test
from tests import make
from tests.webhooks.conftest import endpoint_to

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.org/galley?key=very-secret"


def created(cast: make.Cast, **changes: Any) -> tuple[WebhookEndpoint, str]:
    values = {"name": "CI", "url": URL, "events": ["release.approved"], "actor": cast.operator, **changes}
    return endpoints.create_endpoint(**values)


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "approver", "stranger"])
def test_others_make_and_change_none(cast: make.Cast, endpoint: WebhookEndpoint, who: str) -> None:
    actor = getattr(cast, who)
    for act in (
        lambda: created(cast, actor=actor),
        lambda: endpoints.change_endpoint(endpoint=endpoint, name="x", url=URL, events=["x"], actor=actor),
        lambda: endpoints.rotate_secret(endpoint=endpoint, actor=actor),
        lambda: endpoints.disable_endpoint(endpoint=endpoint, actor=actor),
        lambda: endpoints.enable_endpoint(endpoint=endpoint, actor=actor),
        lambda: send_test(endpoint=endpoint, actor=actor),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_who_made_it_and_to_where_is_in_the_trail_and_what_may_be_a_password_is_not(cast: make.Cast) -> None:
    endpoint, secret = created(cast)
    event = AuditEvent.objects.get(action="webhook.create")
    assert (event.actor, event.subject) == (cast.operator, f"webhookendpoint:{endpoint.pk}")
    assert event.data == {"name": "CI", "to": "https://hooks.example.org", "events": ["release.approved"]}
    assert "very-secret" not in str(event.data)
    assert secret not in str(event.data)


def test_the_secret_is_in_no_table(cast: make.Cast) -> None:
    endpoint, secret = created(cast)
    assert secret.startswith("whsec_")
    assert len(secret) > 40
    assert endpoints.secrets_of(endpoint) == [secret]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(e)::text FROM models_app_webhookendpoint e")
        row = cursor.fetchone()[0]
    assert secret not in row
    assert secret.removeprefix("whsec_") not in row


def test_two_endpoints_have_two_secrets(cast: make.Cast) -> None:
    assert created(cast)[1] != created(cast)[1]


def test_another_key_of_the_installation_is_noticed(cast: make.Cast, settings: Any) -> None:
    endpoint, secret = created(cast)
    settings.SECRET_KEY = "another-key-of-at-least-thirty-two-characters"
    assert not endpoints.key_is_known(endpoint)
    endpoint, other = endpoints.rotate_secret(endpoint=endpoint, actor=cast.operator)
    assert endpoints.key_is_known(endpoint)
    assert endpoints.secrets_of(endpoint) == [other], "the old secret cannot be had any more"
    assert other != secret


def test_after_a_new_secret_both_hold_for_a_day(cast: make.Cast) -> None:
    endpoint, old = created(cast)
    endpoint, new = endpoints.rotate_secret(endpoint=endpoint, actor=cast.operator)
    assert endpoints.secrets_of(endpoint) == [new, old]
    WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    endpoint.refresh_from_db()
    assert endpoints.secrets_of(endpoint) == [new]
    assert AuditEvent.objects.get(action="webhook.rotate").actor == cast.operator


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"), ({"name": " \u200b "}, "name"), ({"name": "x" * 101}, "name"),
        ({"name": "x" * 1_000_000}, "name"),
        ({"url": "http://"}, "url"), ({"url": "https://hooks.example.org/" + "x" * 1_000_000}, "url"),
        ({"url": "https://hooks.example.org/\0"}, "url"), ({"url": "https://hooks.example.org/\ud800"}, "url"),
        ({"url": "https://ada:pw@hooks.example.org/"}, "url"), ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"), ({"url": "http://93.184.215.14/"}, "url"),
        ({"events": []}, "events"), ({"events": ["release.approve"]}, "events"), ({"events": ["x\0" * 100]}, "events"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, str) else repr(value)[:50],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_field(
    cast: make.Cast, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        created(cast, **changes)
    assert list(refused.value.fields) == [field]
    assert not WebhookEndpoint.objects.exists()


def test_names_are_cleaned_as_everywhere(cast: make.Cast) -> None:
    endpoint, _ = created(cast, name=" our\0 CI \ud800\n server ", events=["release.approved"] * 3)
    assert (endpoint.name, endpoint.events) == ("our CI server", ["release.approved"])


def test_a_change_is_told_with_what_was_before(cast: make.Cast, endpoint: WebhookEndpoint) -> None:
    changed = endpoints.change_endpoint(
        endpoint=endpoint, name="Other", url="https://other.example.org/", events=["audit.anchored"],
        actor=cast.administrator,
    )  # fmt: skip
    event = AuditEvent.objects.get(action="webhook.change")
    assert (event.data["to"], event.data["before"]["to"]) == (
        "https://other.example.org",
        "https://hooks.example.org",
    )
    assert changed.salt == endpoint.salt
    endpoints.change_endpoint(
        endpoint=endpoint, name="Other", url="https://other.example.org/", events=["audit.anchored"],
        actor=cast.administrator,
    )  # fmt: skip
    assert AuditEvent.objects.filter(action="webhook.change").count() == 1, "nothing was changed"


def test_disabled_it_is_told_nothing_and_what_waits_is_given_up(
    cast: make.Cast, endpoint: WebhookEndpoint
) -> None:
    waiting = send_test(endpoint=endpoint, actor=cast.operator)
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator, reason="not needed")
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("given up", "The webhook was disabled.")
    event = AuditEvent.objects.get(action="webhook.disable")
    assert (event.reason, event.data["given_up"]) == ("not needed", 1)
    for act in (
        lambda: send_test(endpoint=endpoint, actor=cast.operator),
        lambda: endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator),
        lambda: endpoints.rotate_secret(endpoint=endpoint, actor=cast.operator),
        lambda: endpoints.change_endpoint(
            endpoint=endpoint, name="x", url=URL, events=["release.approved"], actor=cast.operator
        ),
    ):
        with pytest.raises(Refused, match="disabled"):
            act()
    endpoint = endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert endpoint.after_event >= event.pk, "what happened meanwhile is not told"
    with pytest.raises(Refused, match="already"):
        endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)


@pytest.mark.django_db(transaction=True)
def test_there_are_never_more_than_fifty(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = make.cast()
    monkeypatch.setattr(endpoints, "MOST", 3)
    endpoint_to("https://hooks.example.org/", cast)
    refused: list[str] = []

    def make_one() -> None:
        try:
            created(cast)
        except Refused as error:
            refused.append(error.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=make_one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (WebhookEndpoint.objects.count(), len(refused)) == (3, 3)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM models_app_webhookendpoint", "TRUNCATE models_app_webhookendpoint CASCADE",
        "UPDATE models_app_webhookendpoint SET made_by_id = NULL", "DELETE FROM models_app_webhookdelivery",
        "UPDATE models_app_webhookdelivery SET body = '{}'", "UPDATE models_app_webhookdelivery SET event = 'x'",
    ],
)  # fmt: skip
def test_the_database_keeps_what_was_told_to_whom(
    cast: make.Cast, endpoint: WebhookEndpoint, statement: str
) -> None:
    send_test(endpoint=endpoint, actor=cast.operator)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {statement}")


def test_an_ended_delivery_stays_as_it_ended(cast: make.Cast, endpoint: WebhookEndpoint) -> None:
    made = send_test(endpoint=endpoint, actor=cast.operator)
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        WebhookDelivery.objects.filter(pk=made.pk).update(state="waiting", ended_at=None)


def test_a_signature_names_its_time_and_is_made_with_every_secret_that_holds() -> None:
    assert signing.signature(["whsec_new", "whsec_old"], 1795824000, b'{"a": 1}') == (
        "t=1795824000,v1=a2ecf1ffd47dfb762caa17fad9dbd7d7bebd1a2990dcfd492a45c3046a6bb957,"
        "v1=a36c331299bdb553c4b2de60cf47988cf44747a1bdaac0eb7d77c0725d84a947"
    )
