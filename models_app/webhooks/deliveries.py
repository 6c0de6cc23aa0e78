"""Deliveries: made from the audit trail, by a test or by a replay; sent; given up.

A sender first claims a delivery by one conditional UPDATE, so that two never send the same at the same instant.
A process that dies between sending and writing down leaves it to be sent once more: receivers know what they had by
the `id` in the body.
"""

from __future__ import annotations

import json
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.models import AuditEvent, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from models_app.texts.normalise import row_number
from models_app.webhooks import posting, retrying, signing
from models_app.webhooks.catalogue import PAGES, PING, actions_of, facts_of, told_as
from models_app.webhooks.endpoints import key_is_known, newest_event, secrets_of
from models_app.webhooks.posting import Answer

AT_ONCE = 500
# Longer than an attempt can take: by then its sender has died.
CLAIMED_FOR = timedelta(seconds=60)
WAITING, DELIVERED = WebhookDelivery.State.WAITING, WebhookDelivery.State.DELIVERED
GIVEN_UP = WebhookDelivery.State.GIVEN_UP


# ---------------------------------------------------------------- made


def make_what_is_to_be_told() -> int:
    """Look at the trail from where each endpoint was left, and give up what an endpoint did not take for a day.
    Returns how many deliveries are new."""
    newest = newest_event()
    behind = WebhookEndpoint.objects.filter(disabled_at=None, after_event__lt=newest).values_list(
        "pk", flat=True
    )
    made = sum(_tell(pk, newest) for pk in behind)
    _give_up_old()
    return made


def _tell(pk: int, newest: int) -> int:
    with transaction.atomic():
        rows = WebhookEndpoint.objects.select_for_update(skip_locked=True)
        endpoint = rows.filter(pk=pk, disabled_at=None, after_event__lt=newest).first()
        if endpoint is None:
            return 0
        events = list(
            AuditEvent.objects.filter(
                pk__gt=endpoint.after_event, pk__lte=newest, action__in=actions_of(endpoint.events)
            ).order_by("pk")[:AT_ONCE]
        )
        deliveries = [made for event in events if (made := _delivery(endpoint, event)) is not None]
        WebhookDelivery.objects.bulk_create(deliveries, ignore_conflicts=True)
        endpoint.after_event = events[-1].pk if len(events) == AT_ONCE else newest
        endpoint.save(update_fields=["after_event"])
    return len(deliveries)


def _delivery(endpoint: WebhookEndpoint, event: AuditEvent) -> WebhookDelivery | None:
    told = told_as(event.action, event.to_state)
    if told is None or told.name not in endpoint.events:
        return None
    key = uuid.uuid4()
    body = {
        "id": str(key),
        "event": told.name,
        "at": event.at.isoformat(),
        "audit_event": event.pk,
        "about": about(event.subject),
        "from": event.from_state,
        "to": event.to_state,
        "url": page_of(event.subject),
        **facts_of(told, event.data, event.reason),
    }
    return WebhookDelivery(
        endpoint=endpoint, key=key, event=told.name, audit_event=event, body=json.dumps(body)
    )


def about(subject: str) -> str:
    """'release:14'. A token is named in the trail by its first characters, which stay here."""
    name, _, number = subject.partition(":")
    return subject if row_number(number) is not None else name


def page_of(subject: str) -> str:
    """The whole address of the page that shows it; empty where there is none."""
    name, _, number = subject.partition(":")
    if name not in PAGES:
        return ""
    try:
        return f"{settings.PUBLIC_URL}{reverse(PAGES[name], args=[number])}"
    except NoReverseMatch:
        return ""


def _give_up_old() -> None:
    """Of endpoints that took nothing for a day; most of these deliveries were never tried by themselves."""
    now = timezone.now()
    since = now - retrying.TRIED_FOR
    WebhookDelivery.objects.filter(
        state=WAITING, made_at__lt=since, endpoint__failing_since__lt=since, due_at__lte=now
    ).update(state=GIVEN_UP, ended_at=now, reason="The endpoint took nothing for a day.")


def send_test(*, endpoint: WebhookEndpoint, actor: User) -> WebhookDelivery:
    """A delivery that tells of nothing, at once also where the endpoint is left alone for a while."""
    require(actor, "manage_webhooks")
    with transaction.atomic():
        endpoint = _to_be_sent_to(endpoint)
        key, now = uuid.uuid4(), timezone.now()
        subject = audit.subject_of(endpoint)
        body = {
            "id": str(key),
            "event": PING,
            "at": now.isoformat(),
            "about": subject,
            "url": page_of(subject),
        }
        made = WebhookDelivery.objects.create(
            endpoint=endpoint, key=key, event=PING, asked_by=actor, body=json.dumps(body)
        )
        audit.record(actor=actor, action="webhook.test", subject=endpoint, data={"name": endpoint.name})
    return made


def replay(*, delivery: WebhookDelivery, actor: User) -> WebhookDelivery:
    """The same words once more, with the same `id`, as a delivery of its own."""
    require(actor, "manage_webhooks")
    with transaction.atomic():
        endpoint = _to_be_sent_to(delivery.endpoint)
        delivery = WebhookDelivery.objects.select_for_update().get(pk=delivery.pk)
        if delivery.state == WAITING:
            raise Refused("It still waits and is sent by itself.")
        if WebhookDelivery.objects.filter(replay_of=delivery, state=WAITING).exists():
            raise Refused("It is being repeated already.")
        made = WebhookDelivery.objects.create(
            endpoint=endpoint, event=delivery.event, audit_event=delivery.audit_event, replay_of=delivery,
            asked_by=actor, body=delivery.body,
        )  # fmt: skip
        audit.record(
            actor=actor, action="webhook.replay", subject=endpoint,
            data={"name": endpoint.name, "delivery": delivery.pk, "again": made.pk},
        )  # fmt: skip
    return made


def given_up(endpoint: WebhookEndpoint) -> QuerySet[WebhookDelivery]:
    """What it never took, and nobody has sent once more; without tests, which tell of nothing."""
    again = WebhookDelivery.objects.filter(replay_of=OuterRef("pk"))
    return WebhookDelivery.objects.filter(~Exists(again), endpoint=endpoint, state=GIVEN_UP).exclude(
        event=PING
    )


def replay_given_up(*, endpoint: WebhookEndpoint, actor: User | None) -> tuple[int, int]:
    """All of it once more, the oldest first, AT_ONCE of it at a time: (how many are sent, how many are left)."""
    require(actor, "manage_webhooks")
    with transaction.atomic():
        endpoint = _to_be_sent_to(endpoint)
        found = list(given_up(endpoint).order_by("pk")[:AT_ONCE])
        if not found:
            raise Refused(f"Nothing that “{endpoint.name}” did not take is left to be sent once more.")
        WebhookDelivery.objects.bulk_create(
            WebhookDelivery(
                endpoint=endpoint, event=one.event, audit_event_id=one.audit_event_id, replay_of=one, asked_by=actor,
                body=one.body,
            )
            for one in found
        )  # fmt: skip
        audit.record(
            actor=actor, action="webhook.replay_given_up", subject=endpoint,
            data={"name": endpoint.name, "deliveries": len(found), "first": found[0].pk, "last": found[-1].pk},
        )  # fmt: skip
        return len(found), given_up(endpoint).count()


def _to_be_sent_to(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    if found.disabled_at is not None:
        raise Refused(f"The webhook “{found.name}” is disabled. Enable it first.")
    if found.paused_until is not None:
        found.paused_until = None
        found.save(update_fields=["paused_until"])
    return found


# ---------------------------------------------------------------- sent


def due() -> QuerySet[WebhookDelivery]:
    """What is to be sent now, to endpoints that are not left alone."""
    now = timezone.now()
    return WebhookDelivery.objects.filter(
        Q(endpoint__paused_until=None) | Q(endpoint__paused_until__lte=now),
        state=WAITING, due_at__lte=now, endpoint__disabled_at=None,
    )  # fmt: skip


def claim_next(endpoint_id: int) -> WebhookDelivery | None:
    """The one of this endpoint that waits longest, for this process; None where nothing is due."""
    with transaction.atomic():
        rows = due().filter(endpoint_id=endpoint_id).order_by("due_at", "pk")
        row = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if row is None:
            return None
        now = timezone.now()
        WebhookDelivery.objects.filter(pk=row.pk).update(
            attempts=F("attempts") + 1, first_tried_at=row.first_tried_at or now, due_at=now + CLAIMED_FOR
        )
    return WebhookDelivery.objects.select_related("endpoint").get(pk=row.pk)


def send(delivery: WebhookDelivery) -> Answer:
    """One that was claimed: post it and write down the outcome."""
    began = timezone.now()
    answer = _post(delivery)
    write_down(delivery, answer, began)
    return answer


def _post(delivery: WebhookDelivery) -> Answer:
    endpoint = delivery.endpoint
    if not key_is_known(endpoint):
        return Answer(
            None,
            "Nothing was sent: the installation has another key than when the secret was shown. Make a new secret.",
        )
    body, timestamp = delivery.body.encode(), int(timezone.now().timestamp())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"Galley/{settings.VERSION}",
        "X-Galley-Event": delivery.event,
        "X-Galley-Delivery": str(delivery.key),
        "X-Galley-Signature": signing.signature(secrets_of(endpoint), timestamp, body),
    }
    return posting.post(endpoint.url, body, headers, inside=settings.GALLEY_WEBHOOK_HOSTS)


def write_down(delivery: WebhookDelivery, answer: Answer, began: datetime) -> None:
    """The outcome of one that was claimed."""
    now = timezone.now()
    with transaction.atomic():
        # first, as disabling it does
        endpoint = WebhookEndpoint.objects.select_for_update().get(pk=delivery.endpoint_id)
        WebhookAttempt.objects.create(
            delivery=delivery, number=delivery.attempts, at=began, milliseconds=answer.milliseconds,
            address=answer.address, status=answer.status, words=answer.words, answer=answer.text,
        )  # fmt: skip
        rows = WebhookDelivery.objects.filter(pk=delivery.pk, state=WAITING, attempts=delivery.attempts)
        rows.update(**_after_success(now) if answer.taken else _after_failure(delivery, now))
        _keep_in_mind(endpoint, now, taken=answer.taken)


def _after_success(now: datetime) -> dict[str, Any]:
    return {"state": DELIVERED, "ended_at": now}


def _after_failure(delivery: WebhookDelivery, now: datetime) -> dict[str, Any]:
    if delivery.event == PING:
        return {"state": GIVEN_UP, "ended_at": now, "reason": "A test is tried once."}
    due_at = retrying.next_try(
        failed=delivery.attempts, first=delivery.first_tried_at or now, now=now, chance=random.random()
    )
    if due_at is not None:
        return {"due_at": due_at}
    return {"state": GIVEN_UP, "ended_at": now, "reason": f"Tried {delivery.attempts} times over a day."}


def _keep_in_mind(endpoint: WebhookEndpoint, now: datetime, *, taken: bool) -> None:
    """An endpoint that fails is left alone for a while, with all that waits for it. The row is held by the caller."""
    if taken:
        endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
    else:
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.paused_until = now + retrying.pause(endpoint.failures, random.random())
    endpoint.save(update_fields=["failures", "failing_since", "paused_until"])
