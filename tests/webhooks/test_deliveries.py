"""From an event of the trail to what a program was told, and what happens where it is not taken."""

from __future__ import annotations

import io
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import NotAllowed, Refused
from models_app.foundation.tokens import create_token
from models_app.models import AuditEvent, Job, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from models_app.web.trail import PHRASES
from models_app.webhooks import deliveries, endpoints, posting, signing
from models_app.webhooks.catalogue import CATALOGUE, NAMES, told_as
from models_app.webhooks.posting import Answer
from tests import make
from tests.webhooks.conftest import endpoint_to
from tests.webhooks.receiver import answers, receiver

pytestmark = pytest.mark.django_db


def happened(action: str = "release.approved", subject: str = "release:14", **fields: Any) -> AuditEvent:
    with transaction.atomic():
        return audit.record(actor=None, action=action, subject=subject, **fields)


def sent(endpoint: WebhookEndpoint) -> Answer:
    delivery = deliveries.claim_next(endpoint.pk)
    assert delivery is not None, "nothing is due"
    return deliveries.send(delivery)


def now_is_later(endpoint: WebhookEndpoint, **by: float) -> None:
    """What was written down of times moves back by so much."""
    ago = timedelta(**by)
    for row in WebhookDelivery.objects.filter(endpoint=endpoint, state="waiting"):
        WebhookDelivery.objects.filter(pk=row.pk).update(
            due_at=row.due_at - ago, first_tried_at=row.first_tried_at and row.first_tried_at - ago
        )
    found = WebhookEndpoint.objects.get(pk=endpoint.pk)
    found.paused_until = found.paused_until and found.paused_until - ago
    found.failing_since = found.failing_since and found.failing_since - ago
    found.save()


# ---------------------------------------------------------------- made


def test_what_is_told_is_small_and_has_no_texts(
    cast: make.Cast, endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://galley.example.org"
    event = happened(
        from_state="awaiting approval", to_state="approved", reason="Ada says it is good",
        data={"approvals": 2, "note": "secret words"},
    )  # fmt: skip
    assert deliveries.make_what_is_to_be_told() == 1
    made = WebhookDelivery.objects.get()
    assert json.loads(made.body) == {
        "id": str(made.key), "event": "release.approved", "at": event.at.isoformat(), "audit_event": event.pk,
        "about": "release:14", "from": "awaiting approval", "to": "approved",
        "url": "https://galley.example.org/releases/14/",
    }  # fmt: skip
    assert (made.state, made.attempts, made.audit_event) == ("waiting", 0, event)


def test_of_a_token_not_even_its_beginning_is_told(cast: make.Cast) -> None:
    endpoint_to("https://one.example.org/", cast, "token.made", "audit.anchored")
    row, _ = create_token(
        user=cast.ml_engineer, name="x", scopes=["documents:read"], days=9, actor=cast.ml_engineer
    )
    happened("audit.anchor", "audit", data={"up_to": 3, "hash": "0" * 64})
    deliveries.make_what_is_to_be_told()
    token, anchor = (row.body for row in WebhookDelivery.objects.order_by("pk"))
    assert row.token_key not in token
    assert (json.loads(token)["about"], json.loads(anchor)["about"]) == ("token", "audit")


def test_each_event_is_told_once_to_each_that_wants_it(cast: make.Cast) -> None:
    one = endpoint_to("https://one.example.org/", cast, "release.approved")
    two = endpoint_to("https://two.example.org/", cast, "release.approved", "training.finished")
    happened()
    happened("training.failed", "trainingrun:3", to_state="failed")
    happened("training.running", "trainingrun:4", to_state="running")
    happened("comment.edit", "comment:1")
    assert deliveries.make_what_is_to_be_told() == 3
    assert deliveries.make_what_is_to_be_told() == 0
    told = {pk: [] for pk in (one.pk, two.pk)}  # type: dict[int, list[str]]
    for row in WebhookDelivery.objects.order_by("pk"):
        told[row.endpoint_id].append(row.event)
    assert told == {one.pk: ["release.approved"], two.pk: ["release.approved", "training.finished"]}


def test_what_happened_before_it_was_made_is_not_told(cast: make.Cast) -> None:
    happened()
    endpoint_to("https://one.example.org/", cast, "release.approved")
    assert deliveries.make_what_is_to_be_told() == 0


def test_more_than_fit_at_once_come_one_after_the_other(
    cast: make.Cast, endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "AT_ONCE", 3)
    events = [happened(subject=f"release:{n}").pk for n in range(7)]
    assert [deliveries.make_what_is_to_be_told() for _ in range(4)] == [3, 3, 1, 0]
    assert list(WebhookDelivery.objects.order_by("pk").values_list("audit_event", flat=True)) == events


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_rolled_back_is_told_to_nobody() -> None:
    endpoint_to("https://one.example.org/", make.cast(), "release.approved")
    with transaction.atomic():
        audit.record(actor=None, action="release.approved", subject="release:1")
        transaction.set_rollback(True)
    happened(subject="release:2")
    deliveries.make_what_is_to_be_told()
    assert json.loads(WebhookDelivery.objects.get().body)["about"] == "release:2"


@pytest.mark.django_db(transaction=True)
def test_an_event_whose_transaction_is_still_open_is_told_later_and_not_left_out() -> None:
    """Numbers grow in the order of commits: nobody is behind the number up to which it was looked at."""
    cast = make.cast()
    endpoint_to("https://one.example.org/", cast, "release.approved")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            audit.record(actor=None, action="release.approved", subject="release:1")
            begun.set()
            go_on.wait(10)
        connection.close()

    def fast() -> None:
        happened(subject="release:2")
        connection.close()

    first, second = threading.Thread(target=slow), threading.Thread(target=fast)
    first.start()
    assert begun.wait(10)
    second.start()
    assert deliveries.make_what_is_to_be_told() == 0
    go_on.set()
    first.join()
    second.join()
    deliveries.make_what_is_to_be_told()
    told = [json.loads(row.body)["about"] for row in WebhookDelivery.objects.order_by("pk")]
    assert told == ["release:1", "release:2"]


@pytest.mark.django_db(transaction=True)
def test_two_that_look_at_the_same_instant_tell_it_once() -> None:
    cast = make.cast()
    endpoint_to("https://one.example.org/", cast, "release.approved")
    for number in range(20):
        happened(subject=f"release:{number}")

    def look() -> None:
        deliveries.make_what_is_to_be_told()
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliveries.make_what_is_to_be_told()
    assert WebhookDelivery.objects.count() == 20


def test_an_anchor_is_told_with_its_hash_and_a_broken_trail_with_its_place() -> None:
    assert told_as("audit.verify", "whole") is None
    broken = told_as("audit.verify", "broken")
    assert broken is not None
    assert broken.name == "audit.broken"
    assert NAMES["audit.anchored"].facts == ("up_to", "hash")


def test_a_verdict_goes_with_it_and_what_somebody_wrote_does_not(cast: make.Cast) -> None:
    endpoint_to("https://one.example.org/", cast, "gates.finished", "gates.failed", "comparison.finished")
    happened(
        "gates.finished",
        "gaterun:3",
        to_state="finished",
        reason="inconclusive",
        data={"release": 14, "pass": 5},
    )
    happened(
        "gates.failed", "gaterun:4", to_state="failed", reason="RuntimeError: words", data={"release": 14}
    )
    happened(
        "comparison.finish", "comparison:5", reason="worse", data={"candidate": 14, "baseline": 9, "n": 300}
    )
    deliveries.make_what_is_to_be_told()
    gates, failed, compared = (json.loads(row.body) for row in WebhookDelivery.objects.order_by("pk"))
    assert (gates["release"], gates["verdict"]) == (14, "inconclusive")
    assert "words" not in str(failed)
    assert (compared["candidate"], compared["baseline"], compared["verdict"]) == (14, 9, "worse")


def test_no_name_is_given_twice_and_no_action_told_under_two_names() -> None:
    actions = [action for told in CATALOGUE for action in told.actions]
    assert len({told.name for told in CATALOGUE}) == len(CATALOGUE)
    assert len(set(actions)) == len(actions)
    assert set(actions) <= PHRASES.keys(), "no action has this name in the trail"


# ---------------------------------------------------------------- sent


@pytest.mark.usefixtures("loopback")
def test_it_arrives_signed_and_is_written_down(cast: make.Cast) -> None:
    with receiver(answers(204, b"")) as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        sent(endpoint)
        assert deliveries.claim_next(endpoint.pk) is None
    (request,) = to.requests
    made = WebhookDelivery.objects.get()
    stamp = request.headers["X-Galley-Signature"].partition(",")[0].removeprefix("t=")
    assert request.headers["X-Galley-Signature"] == signing.signature(
        endpoints.secrets_of(endpoint), int(stamp), request.body
    )
    assert abs(int(stamp) - timezone.now().timestamp()) < 5
    assert request.body == made.body.encode()
    assert request.headers["X-Galley-Delivery"] == str(made.key)
    assert request.headers["X-Galley-Event"] == "release.approved"
    assert (made.state, made.attempts) == ("delivered", 1)
    attempt = WebhookAttempt.objects.get()
    assert (attempt.number, attempt.status, attempt.address) == (1, 204, "127.0.0.1")


@pytest.mark.usefixtures("loopback")
def test_what_is_not_taken_is_tried_again_until_it_is(cast: make.Cast) -> None:
    with receiver(answers(500, b"no"), answers(302, Location="http://10.0.0.1/"), answers(200)) as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        sent(endpoint)
        assert deliveries.claim_next(endpoint.pk) is None, "it is left alone for a while"
        endpoint.refresh_from_db()
        assert endpoint.failures == 1
        assert endpoint.paused_until is not None
        now_is_later(endpoint, minutes=1)
        sent(endpoint)
        now_is_later(endpoint, minutes=5)
        sent(endpoint)
    made = WebhookDelivery.objects.get()
    assert (made.state, made.attempts) == ("delivered", 3)
    assert [attempt.status for attempt in made.tries.all()] == [500, 302, 200]
    assert len({request.body for request in to.requests}) == 1
    works = WebhookEndpoint.objects.get()
    assert (works.failures, works.failing_since, works.paused_until) == (0, None, None)


@pytest.mark.usefixtures("loopback")
def test_who_answers_500_for_a_day_is_given_up_and_it_is_seen(cast: make.Cast) -> None:
    with receiver(answers(500)) as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        made = WebhookDelivery.objects.get()
        while made.state == "waiting":
            sent(endpoint)
            now_is_later(endpoint, hours=5)
            made.refresh_from_db()
    assert made.state == "given up"
    assert made.reason.startswith("Tried ")
    assert made.reason.endswith(" times over a day.")
    assert 4 <= len(to.requests) == WebhookAttempt.objects.count() <= 6


@pytest.mark.usefixtures("loopback")
def test_what_piled_up_before_a_dead_receiver_is_tried_once_a_pause_and_given_up_after_a_day(
    cast: make.Cast,
) -> None:
    with receiver(answers(500)) as to:
        endpoint = endpoint_to(to.url, cast)
        for number in range(20):
            happened(subject=f"release:{number}")
        deliveries.make_what_is_to_be_told()
        sent(endpoint)
        assert deliveries.claim_next(endpoint.pk) is None
        assert len(to.requests) == 1
        WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(hours=25))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE models_app_webhookdelivery DISABLE TRIGGER USER")
            cursor.execute("UPDATE models_app_webhookdelivery SET made_at = now() - interval '25 hours'")
            cursor.execute("ALTER TABLE models_app_webhookdelivery ENABLE TRIGGER USER")
        deliveries.make_what_is_to_be_told()
    given_up = WebhookDelivery.objects.filter(state="given up")
    assert given_up.count() == 19, "the one that was tried waits for its own time"
    assert {row.reason for row in given_up} == {"The endpoint took nothing for a day."}


def test_after_galley_itself_was_off_for_days_what_waits_is_still_sent(
    cast: make.Cast, endpoint: WebhookEndpoint
) -> None:
    happened()
    deliveries.make_what_is_to_be_told()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE models_app_webhookdelivery DISABLE TRIGGER USER")
        cursor.execute("UPDATE models_app_webhookdelivery SET made_at = now() - interval '3 days'")
        cursor.execute("ALTER TABLE models_app_webhookdelivery ENABLE TRIGGER USER")
    deliveries.make_what_is_to_be_told()
    assert deliveries.claim_next(endpoint.pk) is not None


@pytest.mark.usefixtures("loopback")
def test_one_that_is_not_taken_is_overtaken_by_others(cast: make.Cast) -> None:
    with receiver(answers(500), answers(200)) as to:
        endpoint = endpoint_to(to.url, cast)
        first, second = happened(subject="release:1"), happened(subject="release:2")
        deliveries.make_what_is_to_be_told()
        sent(endpoint)
        now_is_later(endpoint, seconds=37)
        WebhookDelivery.objects.filter(audit_event=first).update(due_at=timezone.now() + timedelta(hours=1))
        sent(endpoint)
    states = dict(WebhookDelivery.objects.values_list("audit_event", "state"))
    assert states == {first.pk: "waiting", second.pk: "delivered"}


def test_one_that_was_claimed_and_died_is_sent_once_more_after_a_minute(
    cast: make.Cast, endpoint: WebhookEndpoint
) -> None:
    happened()
    deliveries.make_what_is_to_be_told()
    claimed = deliveries.claim_next(endpoint.pk)
    assert claimed is not None
    assert deliveries.claim_next(endpoint.pk) is None
    now_is_later(endpoint, seconds=61)
    again = deliveries.claim_next(endpoint.pk)
    assert again is not None
    assert (again.pk, again.attempts) == (claimed.pk, 2)


def test_who_died_and_comes_back_late_changes_nothing(
    cast: make.Cast, endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened()
    deliveries.make_what_is_to_be_told()
    late = deliveries.claim_next(endpoint.pk)
    now_is_later(endpoint, seconds=61)
    other = deliveries.claim_next(endpoint.pk)
    assert late is not None
    assert other is not None
    monkeypatch.setattr(posting, "post", lambda *args, **kwargs: Answer(200, "It answered 200."))
    deliveries.send(other)
    monkeypatch.setattr(posting, "post", lambda *args, **kwargs: Answer(500, "It answered 500."))
    deliveries.send(late)
    assert WebhookDelivery.objects.get().state == "delivered"
    assert [attempt.status for attempt in WebhookAttempt.objects.order_by("number")] == [500, 200]


@pytest.mark.django_db(transaction=True)
def test_twenty_threads_claim_each_delivery_once() -> None:
    endpoint = endpoint_to("https://one.example.org/", make.cast(), "release.approved")
    for number in range(10):
        happened(subject=f"release:{number}")
    deliveries.make_what_is_to_be_told()
    claimed: list[int] = []

    def claim() -> None:
        while (one := deliveries.claim_next(endpoint.pk)) is not None:
            claimed.append(one.pk)
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 10


@pytest.mark.usefixtures("loopback")
def test_one_that_is_disabled_while_it_is_being_told_stays_given_up(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = endpoint_to("https://one.example.org/", cast)
    happened()
    deliveries.make_what_is_to_be_told()
    delivery = deliveries.claim_next(endpoint.pk)
    assert delivery is not None
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    monkeypatch.setattr(posting, "post", lambda *args, **kwargs: Answer(200, "It answered 200."))
    deliveries.send(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries.count()) == ("given up", 1)


@pytest.mark.usefixtures("loopback")
def test_with_another_key_nothing_is_sent_that_the_receiver_would_refuse(
    cast: make.Cast, settings: Any
) -> None:
    with receiver() as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        settings.SECRET_KEY = "another-key-of-at-least-thirty-two-characters"
        answer = sent(endpoint)
    assert (answer.taken, to.requests) == (False, [])
    assert "Make a new secret" in WebhookAttempt.objects.get().words


# ---------------------------------------------------------------- tests and replays


@pytest.mark.usefixtures("loopback")
def test_a_test_is_tried_once(cast: make.Cast) -> None:
    with receiver(answers(500)) as to:
        endpoint = endpoint_to(to.url, cast)
        deliveries.send_test(endpoint=endpoint, actor=cast.operator)
        sent(endpoint)
    made = WebhookDelivery.objects.get()
    assert (made.event, made.state, made.reason) == ("webhook.ping", "given up", "A test is tried once.")
    assert json.loads(to.requests[0].body)["event"] == "webhook.ping"
    assert AuditEvent.objects.get(action="webhook.test").actor == cast.operator


@pytest.mark.usefixtures("loopback")
def test_sent_again_it_has_the_same_words_and_its_own_line(cast: make.Cast) -> None:
    with receiver() as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        first = WebhookDelivery.objects.get()
        with pytest.raises(Refused, match="still waits"):
            deliveries.replay(delivery=first, actor=cast.operator)
        sent(endpoint)
        first.refresh_from_db()
        again = deliveries.replay(delivery=first, actor=cast.administrator)
        with pytest.raises(Refused, match="already"):
            deliveries.replay(delivery=first, actor=cast.administrator)
        sent(endpoint)
    assert [request.body for request in to.requests] == [first.body.encode()] * 2
    assert to.requests[1].headers["X-Galley-Delivery"] == str(again.key) != str(first.key)
    assert uuid.UUID(json.loads(to.requests[1].body)["id"]) == first.key
    again.refresh_from_db()
    assert (again.state, again.replay_of, again.asked_by) == ("delivered", first, cast.administrator)
    event = AuditEvent.objects.get(action="webhook.replay")
    assert event.data == {"name": "CI", "delivery": first.pk, "again": again.pk}


def given_up(cast: make.Cast, count: int) -> WebhookEndpoint:
    """An endpoint that did not take so many, nor a test."""
    endpoint = endpoint_to("https://example.org/hook", cast)
    for number in range(count):
        happened(subject=f"release:{number + 1}")
    deliveries.make_what_is_to_be_told()
    deliveries.send_test(endpoint=endpoint, actor=cast.operator)
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert WebhookDelivery.objects.filter(state="given up").count() == count + 1
    endpoint.refresh_from_db()
    return endpoint


def test_all_that_was_given_up_is_sent_once_more_in_its_order_and_tests_are_not(
    cast: make.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = given_up(cast, 5)
    monkeypatch.setattr(deliveries, "AT_ONCE", 3)
    before = list(deliveries.given_up(endpoint).order_by("pk"))
    assert deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator) == (3, 2)
    assert deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator) == (2, 0)
    with pytest.raises(Refused, match="Nothing that “CI” did not take is left"):
        deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator)
    again = list(WebhookDelivery.objects.filter(state="waiting").order_by("pk"))
    assert [one.replay_of for one in again] == before
    assert [one.body for one in again] == [one.body for one in before]
    assert {one.asked_by for one in again} == {cast.operator}
    assert len({one.key for one in [*again, *before]}) == 10
    said = [
        event.data for event in AuditEvent.objects.filter(action="webhook.replay_given_up").order_by("pk")
    ]
    assert said == [
        {"name": "CI", "deliveries": 3, "first": before[0].pk, "last": before[2].pk},
        {"name": "CI", "deliveries": 2, "first": before[3].pk, "last": before[4].pk},
    ]


def test_what_is_given_up_again_may_be_sent_once_more(cast: make.Cast) -> None:
    endpoint = given_up(cast, 2)
    deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator)
    endpoints.disable_endpoint(endpoint=endpoint, actor=cast.operator)
    with pytest.raises(Refused, match="disabled"):
        deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator)
    endpoints.enable_endpoint(endpoint=endpoint, actor=cast.operator)
    assert deliveries.replay_given_up(endpoint=endpoint, actor=cast.operator) == (2, 0)


@pytest.mark.parametrize("who", ["reviewer", "ml_engineer", "approver"])
def test_who_may_not_manage_webhooks_sends_nothing_again(cast: make.Cast, who: str) -> None:
    endpoint = given_up(cast, 1)
    with pytest.raises(NotAllowed):
        deliveries.replay_given_up(endpoint=endpoint, actor=getattr(cast, who))


@pytest.mark.django_db(transaction=True)
def test_two_who_send_all_of_it_again_send_it_once(cast: make.Cast) -> None:
    endpoint = given_up(cast, 20)

    def again(person: Any) -> bool:
        try:
            deliveries.replay_given_up(endpoint=endpoint, actor=person)
        except Refused:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(again, (cast.operator, cast.administrator))) == [False, True]
    assert WebhookDelivery.objects.filter(state="waiting").count() == 20


def test_the_command_sends_all_of_it(cast: make.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = given_up(cast, 5)
    monkeypatch.setattr(deliveries, "AT_ONCE", 2)
    out = io.StringIO()
    call_command("resend_webhook", "CI", "--user", cast.operator.username, stdout=out)
    assert out.getvalue() == "“CI”: 5 deliveries are sent once more.\n"
    assert Job.objects.filter(kind="deliver_webhooks").exists()
    with pytest.raises(CommandError, match="Nothing that"):
        call_command("resend_webhook", str(endpoint.pk))
    with pytest.raises(CommandError, match="There is no webhook"):
        call_command("resend_webhook", "9" * 40)
    endpoint_to("https://example.org/other", cast)
    with pytest.raises(CommandError, match="Several webhooks are called 'CI'"):
        call_command("resend_webhook", "CI")
    with pytest.raises(CommandError, match="role does not allow"):
        call_command("resend_webhook", str(endpoint.pk), "--user", cast.reviewer.username)


@pytest.mark.usefixtures("loopback")
def test_a_test_is_sent_also_where_the_endpoint_is_left_alone(cast: make.Cast) -> None:
    with receiver(answers(500), answers(200)) as to:
        endpoint = endpoint_to(to.url, cast)
        happened()
        deliveries.make_what_is_to_be_told()
        sent(endpoint)
        assert deliveries.claim_next(endpoint.pk) is None
        deliveries.send_test(endpoint=endpoint, actor=cast.operator)
        assert sent(endpoint).taken
