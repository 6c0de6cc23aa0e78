"""Endpoints: made, changed, given another secret, disabled. The secret is shown once, when it is new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.models import AuditEvent, WebhookDelivery, WebhookEndpoint
from models_app.texts.normalise import one_line
from models_app.webhooks import signing
from models_app.webhooks.catalogue import NAMES
from models_app.webhooks.targets import NotThere, parse, refuse_at_once

MOST = 50
# After a new secret was made, deliveries are signed with the one before too, for so long.
BOTH_FOR = timedelta(hours=24)


def create_endpoint(
    *, name: str, url: str, events: Sequence[str], actor: User
) -> tuple[WebhookEndpoint, str]:
    """(row, secret). It is told of what happens from now on."""
    require(actor, "manage_webhooks")
    name, url = _checked(name, url, events)
    with transaction.atomic():
        _one_at_a_time()
        if WebhookEndpoint.objects.filter(disabled_at=None).count() >= MOST:
            raise Refused(f"There are {MOST} webhooks, and no more are made. Disable one that nobody needs.")
        salt = signing.new_salt()
        secret = signing.secret_of(salt, settings.SECRET_KEY)
        endpoint = WebhookEndpoint.objects.create(
            name=name, url=url, events=sorted(set(events)), salt=salt, secret_digest=signing.digest_of(secret),
            after_event=newest_event(), made_by=actor,
        )  # fmt: skip
        audit.record(actor=actor, action="webhook.create", subject=endpoint, data=_told(endpoint))
    return endpoint, secret


def change_endpoint(
    *, endpoint: WebhookEndpoint, name: str, url: str, events: Sequence[str], actor: User
) -> WebhookEndpoint:
    """What waits goes to the new address. Events that are new are told from now on."""
    require(actor, "manage_webhooks")
    name, url = _checked(name, url, events)
    with transaction.atomic():
        endpoint = _enabled(endpoint)
        before = _told(endpoint)
        moved = endpoint.url != url
        if (endpoint.name, endpoint.url, endpoint.events) == (name, url, sorted(set(events))):
            return endpoint
        endpoint.name, endpoint.url, endpoint.events = name, url, sorted(set(events))
        if moved:
            endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
        endpoint.save()
        audit.record(
            actor=actor, action="webhook.change", subject=endpoint, data={**_told(endpoint), "before": before}
        )
    return endpoint


def rotate_secret(*, endpoint: WebhookEndpoint, actor: User) -> tuple[WebhookEndpoint, str]:
    """(row, the new secret). For a day deliveries carry a signature by the old one too."""
    require(actor, "manage_webhooks")
    with transaction.atomic():
        endpoint = _enabled(endpoint)
        endpoint.previous_salt, endpoint.previous_until = endpoint.salt, timezone.now() + BOTH_FOR
        if not key_is_known(endpoint):  # the old secret cannot be computed any more
            endpoint.previous_salt, endpoint.previous_until = "", None
        endpoint.salt = signing.new_salt()
        secret = signing.secret_of(endpoint.salt, settings.SECRET_KEY)
        endpoint.secret_digest = signing.digest_of(secret)
        endpoint.save()
        audit.record(actor=actor, action="webhook.rotate", subject=endpoint, data={"name": endpoint.name})
    return endpoint, secret


def disable_endpoint(*, endpoint: WebhookEndpoint, actor: User, reason: str = "") -> WebhookEndpoint:
    """What waits is given up."""
    require(actor, "manage_webhooks")
    reason = one_line(reason)[: audit.LONGEST_REASON]
    with transaction.atomic():
        endpoint, now = _enabled(endpoint), timezone.now()
        endpoint.disabled_at = now
        endpoint.save(update_fields=["disabled_at"])
        waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=WebhookDelivery.State.WAITING)
        given_up = waiting.update(
            state=WebhookDelivery.State.GIVEN_UP, ended_at=now, reason="The webhook was disabled."
        )
        audit.record(
            actor=actor, action="webhook.disable", subject=endpoint, to_state="disabled", reason=reason,
            data={"name": endpoint.name, "given_up": given_up},
        )  # fmt: skip
    return endpoint


def enable_endpoint(*, endpoint: WebhookEndpoint, actor: User) -> WebhookEndpoint:
    """It is told of what happens from now on, not of what happened meanwhile."""
    require(actor, "manage_webhooks")
    with transaction.atomic():
        _one_at_a_time()
        endpoint = _locked(endpoint)
        if endpoint.disabled_at is None:
            raise Refused(f"The webhook “{endpoint.name}” is enabled already.")
        if WebhookEndpoint.objects.filter(disabled_at=None).count() >= MOST:
            raise Refused(f"There are {MOST} webhooks, and no more are enabled.")
        endpoint.disabled_at, endpoint.after_event = None, newest_event()
        endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
        endpoint.save()
        audit.record(
            actor=actor, action="webhook.enable", subject=endpoint, to_state="enabled", data={"name": endpoint.name}
        )  # fmt: skip
    return endpoint


def secrets_of(endpoint: WebhookEndpoint) -> list[str]:
    """With which deliveries are signed now, the newest first."""
    salts = [endpoint.salt]
    if endpoint.previous_until is not None and endpoint.previous_until > timezone.now():
        salts.append(endpoint.previous_salt)
    return [signing.secret_of(salt, settings.SECRET_KEY) for salt in salts]


def key_is_known(endpoint: WebhookEndpoint) -> bool:
    """False where the installation has another key than when the secret was shown: receivers would refuse it."""
    return signing.digest_of(signing.secret_of(endpoint.salt, settings.SECRET_KEY)) == endpoint.secret_digest


def newest_event() -> int:
    return AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


def _checked(name: str, url: str, events: Sequence[str]) -> tuple[str, str]:
    """Whether a name's address is public is looked at when something is sent: what a name says can change."""
    name, url = one_line(name), url.strip()
    fields = {}
    if not 1 <= len(name) <= 100:
        fields["name"] = (
            "Give the webhook a name of at most 100 characters, such as the program that is told."
        )
    try:
        refuse_at_once(parse(url), settings.GALLEY_WEBHOOK_HOSTS)
    except NotThere as refused:
        fields["url"] = str(refused)
    unknown = [event for event in events if event not in NAMES]
    if not events:
        fields["events"] = "Choose at least one event."
    elif unknown:
        fields["events"] = f"Unknown: {', '.join(one_line(event)[:60] for event in unknown[:5])}."
    if fields:
        raise InvalidInput(" ".join(fields.values()), fields=fields)
    return name, url


def _told(endpoint: WebhookEndpoint) -> dict[str, object]:
    """For the trail, without path and query: with some services these are the password."""
    parts = urlsplit(endpoint.url)
    return {"name": endpoint.name, "to": f"{parts.scheme}://{parts.hostname}", "events": endpoint.events}


def _one_at_a_time() -> None:
    list(WebhookEndpoint.objects.select_for_update().order_by("pk"))


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)


def _enabled(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """The row as it is now, held. Raises Refused."""
    found = _locked(endpoint)
    if found.disabled_at is not None:
        raise Refused(f"The webhook “{found.name}” is disabled. Enable it first.")
    return found
