"""The job that sends: what it does to others, and what others do to it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from models_app.foundation import audit, jobs
from models_app.models import AuditEvent, Job, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from models_app.webhooks import deliveries, job, posting
from models_app.webhooks.anchoring import anchor_later
from models_app.webhooks.catalogue import CATALOGUE, is_told_soon
from tests import make
from tests.webhooks.conftest import endpoint_to
from tests.webhooks.receiver import answers, hangs, receiver


def happened(action: str = "release.approved", subject: str = "release:14") -> None:
    with transaction.atomic():
        audit.record(actor=None, action=action, subject=subject)


@pytest.mark.django_db(transaction=True)
def test_a_process_of_its_own_sends_what_is_due(
    settings: Any, loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALLEY_WEBHOOK_HOSTS", "127.0.0.1")
    cast = make.cast()
    with receiver() as to:
        endpoint_to(to.url, cast)
        happened()
        waiting = Job.objects.get(kind="deliver_webhooks")
        done = jobs.carry_out(waiting)
    assert done.result == {"taken": 1, "not taken": 0}
    assert len(to.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_hangs_holds_up_itself_alone(loopback: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 3.0)
    cast = make.cast()
    with receiver(hangs(6)) as slow, receiver() as fast:
        one, two = endpoint_to(slow.url, cast), endpoint_to(fast.url, cast)
        for number in range(15):
            happened(subject=f"release:{number}")
        began = time.monotonic()
        done = make.carried_out(Job.objects.get(kind="deliver_webhooks"))
        took = time.monotonic() - began
    assert done.result == {"taken": 15, "not taken": 1}
    assert took < 8, "one attempt, then it is left alone"
    assert WebhookDelivery.objects.filter(endpoint=two, state="delivered").count() == 15
    assert WebhookDelivery.objects.filter(endpoint=one, state="waiting").count() == 15
    last = WebhookAttempt.objects.filter(delivery__endpoint=two).latest("at")
    assert (last.at - WebhookAttempt.objects.earliest("at").at).total_seconds() < 3, (
        "they did not wait for it"
    )


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_makes_room_where_other_jobs_wait(loopback: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SLICE_SECONDS", 0.3)
    cast = make.cast()
    with receiver() as to:
        endpoint = endpoint_to(to.url, cast)
        for number in range(400):
            happened(subject=f"release:{number}")
        jobs.enqueue(kind="verify_audit", actor=None)
        done = make.carried_out(Job.objects.get(kind="deliver_webhooks"))
    assert 0 < done.result["taken"] < 400, "some is sent in any case"
    assert deliveries.due().filter(endpoint=endpoint).exists()
    assert job.deliver_later() is not None, "the clock goes on with it"


@pytest.mark.django_db(transaction=True)
def test_what_is_to_be_told_soon_is_sent_once_it_is_committed() -> None:
    happened()
    assert not Job.objects.filter(kind="deliver_webhooks").exists(), "nobody listens"
    endpoint_to("https://hooks.example.org/", make.cast(), "release.approved", "review.submitted")
    happened("review.submit", "review:1")
    assert not Job.objects.filter(kind="deliver_webhooks").exists(), "reviews go out by the clock"
    happened()
    happened()
    assert Job.objects.filter(kind="deliver_webhooks").count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_goes_wrong_after_the_commit_undoes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the queue is away")

    monkeypatch.setattr(job, "deliver_later", fail)
    endpoint_to("https://hooks.example.org/", make.cast(), "release.approved")
    happened()
    monkeypatch.undo()
    assert job.deliver_later() is not None


@pytest.mark.django_db
def test_the_clock_asks_for_a_job_only_where_something_is_due(cast: make.Cast) -> None:
    assert job.deliver_later() is None
    endpoint_to("https://hooks.example.org/", cast, "review.submitted")
    assert job.deliver_later() is None
    happened("review.submit", "review:1")
    first, second = job.deliver_later(), job.deliver_later()
    assert first is not None
    assert first == second, "one at a time"


@pytest.mark.django_db
def test_a_commit_without_listeners_costs_one_query(cast: make.Cast, django_assert_num_queries: Any) -> None:
    with TestCase.captureOnCommitCallbacks() as callbacks, transaction.atomic():
        for number in range(3):
            audit.record(actor=None, action="release.approved", subject=f"release:{number}")
    assert len(callbacks) == 1
    with django_assert_num_queries(1):
        callbacks[0]()
    with TestCase.captureOnCommitCallbacks() as callbacks, transaction.atomic():
        audit.record(actor=None, action="review.submit", subject="review:1")
    assert callbacks == []


def test_reviewers_acts_go_out_by_the_clock_and_no_others() -> None:
    waiting = {told.name.partition(".")[0] for told in CATALOGUE if not told.soon}
    assert waiting == {"review", "feedback"}
    assert not is_told_soon("comment.edit")


@pytest.mark.django_db
def test_the_trail_is_anchored_by_the_clock_where_somebody_takes_it(
    cast: make.Cast, settings: Any, tmp_path: Any
) -> None:
    happened()
    assert anchor_later() is None, "nobody takes anchors"
    endpoint = endpoint_to("https://hooks.example.org/", cast, "audit.anchored")
    waiting = anchor_later()
    assert waiting is not None
    assert waiting == anchor_later()
    assert make.carried_out(waiting).state == "succeeded"
    assert anchor_later() is None, "nothing has happened since"
    deliveries.make_what_is_to_be_told()
    body = json.loads(WebhookDelivery.objects.get(endpoint=endpoint).body)
    event = AuditEvent.objects.get(pk=body["up_to"])
    assert (body["event"], body["hash"], event.action) == ("audit.anchored", event.hash, "webhook.create")
    WebhookEndpoint.objects.update(events=["release.approved"])
    happened()
    assert anchor_later() is None
    settings.GALLEY_AUDIT_ANCHOR_FILE = tmp_path / "anchors"
    assert anchor_later() is not None


@pytest.mark.django_db
def test_an_answer_is_never_markup_in_the_log(cast: make.Cast, loopback: None) -> None:
    with receiver(answers(500, b"<script>alert(1)</script>")) as to:
        endpoint = endpoint_to(to.url, cast)
        deliveries.send_test(endpoint=endpoint, actor=cast.operator)
        delivery = deliveries.claim_next(endpoint.pk)
        assert delivery is not None
        deliveries.send(delivery)
    assert WebhookAttempt.objects.get().answer == "<script>alert(1)</script>"
