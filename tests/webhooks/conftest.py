from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from models_app.models import WebhookEndpoint
from models_app.webhooks.endpoints import create_endpoint
from models_app.webhooks.targets import Inside
from tests import make


@pytest.fixture
def loopback(settings: Any) -> None:
    settings.GALLEY_WEBHOOK_HOSTS = Inside(networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def endpoint(cast: make.Cast) -> WebhookEndpoint:
    return endpoint_to("https://hooks.example.org/galley", cast)


def endpoint_to(url: str, cast: make.Cast, *events: str) -> WebhookEndpoint:
    wanted = events or ("release.approved", "training.finished", "review.submitted", "audit.anchored")
    return create_endpoint(name="CI", url=url, events=wanted, actor=cast.operator)[0]
