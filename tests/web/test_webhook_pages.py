"""The pages of webhooks: made, changed, tested, sent again."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from models_app.foundation import audit
from models_app.models import AuditEvent, Job, WebhookDelivery, WebhookEndpoint
from models_app.webhooks import deliveries, endpoints, posting
from models_app.webhooks.posting import Answer
from tests import make
from tests.pages import markup

pytestmark = pytest.mark.django_db
FORM = {
    "name": "CI",
    "url": "https://hooks.example.org/galley",
    "events": ["release.approved", "audit.anchored"],
}


@pytest.fixture
def otto(cast: make.Cast) -> Client:
    """The operator, who has shown the password just now."""
    client = Client()
    client.force_login(cast.operator)
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    return client


def made(otto: Client) -> WebhookEndpoint:
    assert otto.post("/webhooks/new/", FORM).status_code == 201
    return WebhookEndpoint.objects.get()


def failed(
    endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch, words: str = "It answered 500."
) -> WebhookDelivery:
    with transaction.atomic():
        audit.record(actor=None, action="release.approved", subject="release:14")
    deliveries.make_what_is_to_be_told()
    delivery = deliveries.claim_next(endpoint.pk)
    assert delivery is not None
    with monkeypatch.context() as patch:
        patch.setattr(
            posting,
            "post",
            lambda *args, **kwargs: Answer(500, words, "<script>alert(1)</script>"),
        )
        deliveries.send(delivery)
    return delivery


def test_the_secret_is_shown_once(otto: Client) -> None:
    answer = otto.post("/webhooks/new/", FORM)
    endpoint = WebhookEndpoint.objects.get()
    (secret,) = endpoints.secrets_of(endpoint)
    assert (answer.status_code, answer["Cache-Control"].count("no-store")) == (201, 1)
    assert secret in answer.content.decode()
    for path in ("/webhooks/", f"/webhooks/{endpoint.pk}/", "/audit/"):
        assert secret not in otto.get(path).content.decode()
    again = otto.post(f"/webhooks/{endpoint.pk}/secret/")
    endpoint.refresh_from_db()
    new, old = endpoints.secrets_of(endpoint)
    assert new in again.content.decode()
    assert old == secret
    assert old not in again.content.decode()


def test_who_has_not_shown_a_password_lately_is_asked_first(cast: make.Cast) -> None:
    client = Client()
    client.force_login(cast.operator)
    answer = client.post("/webhooks/new/", FORM)
    assert answer.status_code == 302
    assert "reauthenticate" in answer["Location"]
    assert not WebhookEndpoint.objects.exists()


def test_who_signed_in_just_now_is_not_asked_again(cast: make.Cast) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": "otto", "password": make.PASSWORD})
    assert client.post("/webhooks/new/", FORM).status_code == 201
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    session.save()
    assert "reauthenticate" in client.post("/webhooks/new/", {**FORM, "name": "another"})["Location"]


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"url": "http://"}, {"url": "https://x:y@z.example.org/"}, {"events": []}, {"events": ["x"]},
     {"name": "x" * 1_000_000}, {"url": "https://x.example.org/" + "y" * 100_000}],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
def test_what_makes_no_sense_comes_back_with_the_reason(otto: Client, changes: dict[str, Any]) -> None:
    answer = otto.post("/webhooks/new/", {**FORM, **changes})
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    endpoint = made(otto)
    assert otto.post(f"/webhooks/{endpoint.pk}/change/", {**FORM, **changes}).status_code == 422
    assert WebhookEndpoint.objects.count() == 1


def test_it_is_changed_tested_disabled_and_enabled(otto: Client) -> None:
    endpoint = made(otto)
    page = f"/webhooks/{endpoint.pk}/"
    assert otto.post(f"{page}change/", {**FORM, "name": "Build server"}).status_code == 302
    otto.post(f"{page}test/")
    assert Job.objects.filter(kind="deliver_webhooks", state="queued").count() == 1
    text = markup(otto.get(page))
    assert "Build server" in text
    assert "webhook.ping" in text
    otto.post(f"{page}disable/", {"reason": "moved away"})
    text = markup(otto.get(page))
    assert "disabled" in text
    assert "The webhook was disabled." in text
    otto.post(f"{page}enable/")
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None
    events = AuditEvent.objects.filter(action__startswith="webhook.").order_by("pk")
    assert [event.action for event in events] == [
        "webhook.create", "webhook.change", "webhook.test", "webhook.disable", "webhook.enable",
    ]  # fmt: skip
    trail = markup(otto.get("/audit/?action=webhook."))
    assert "disabled the webhook Build server" in trail
    assert "moved away" in trail
    assert f'href="{page}"' in trail


def test_the_log_shows_every_attempt_and_no_markup_of_others(
    otto: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = made(otto)
    delivery = failed(endpoint, monkeypatch)
    text = markup(otto.get(f"/webhooks/{endpoint.pk}/"))
    assert "It answered 500." in text
    assert "The last attempt failed." in text
    assert "<script>alert" not in text
    assert "release:14" in text
    assert "fails" in markup(otto.get("/webhooks/"))
    assert otto.get(f"/webhooks/{endpoint.pk}/?state=given+up").context["deliveries"] == []
    assert otto.get(f"/webhooks/{endpoint.pk}/?state=nonsense&before=x").context["deliveries"] == [delivery]


def test_one_that_ended_is_sent_again_and_nobody_elses(
    otto: Client, cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = made(otto)
    delivery = failed(endpoint, monkeypatch)
    again = f"/webhooks/{endpoint.pk}/deliveries/{delivery.pk}/replay/"
    assert otto.post(again).status_code == 409
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert otto.post(again).status_code == 302
    assert WebhookDelivery.objects.get(replay_of=delivery).body == delivery.body
    other = f"/webhooks/{endpoint.pk + 1}/deliveries/{delivery.pk}/replay/"
    assert otto.post(other).status_code == 404


def test_all_that_was_given_up_is_sent_again_by_one_button(otto: Client, cast: make.Cast) -> None:
    endpoint = made(otto)
    page, again = f"/webhooks/{endpoint.pk}/", f"/webhooks/{endpoint.pk}/deliveries/replay/"
    assert otto.post(again).status_code == 409
    with transaction.atomic():
        audit.record(actor=None, action="release.approved", subject="release:14")
    deliveries.make_what_is_to_be_told()
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert "Send all of them again" not in markup(otto.get(page))
    endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert "1 given up and not sent once more" in markup(otto.get(page))
    assert otto.post(again).status_code == 302
    shown = markup(otto.get(page))
    assert "1 delivery is sent once more." in shown
    assert "Send all of them again" not in shown


def test_another_key_of_the_installation_is_said(otto: Client, cast: make.Cast, settings: Any) -> None:
    endpoint = made(otto)
    settings.SECRET_KEY = "another-key-of-at-least-thirty-two-characters"
    client = Client()
    client.force_login(cast.operator)
    assert "Make a new secret" in markup(client.get(f"/webhooks/{endpoint.pk}/"))


def test_long_logs_have_pages_and_a_fixed_number_of_queries(
    otto: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    endpoint = made(otto)
    for number in range(120):
        with transaction.atomic():
            audit.record(actor=None, action="release.approved", subject=f"release:{number}")
    deliveries.make_what_is_to_be_told()
    seen: list[int] = []
    query: str | None = ""
    while query is not None:
        with django_assert_max_num_queries(13):
            answer = otto.get(f"/webhooks/{endpoint.pk}/{query}")
        seen += [row.pk for row in answer.context["deliveries"]]
        older = answer.context["older"]
        query = f"?before={older}" if older else None
    assert seen == sorted(WebhookDelivery.objects.values_list("pk", flat=True), reverse=True)
    assert len(seen) == 120


def test_many_endpoints_take_no_more_queries(
    otto: Client, cast: make.Cast, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        endpoints.create_endpoint(
            name=f"CI {number}", url=FORM["url"], events=["release.approved"], actor=cast.operator  # type: ignore[arg-type]
        )  # fmt: skip
    with django_assert_max_num_queries(11):
        assert len(otto.get("/webhooks/").context["endpoints"]) == 20
