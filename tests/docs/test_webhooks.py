"""The receiver of docs/webhooks.md, taken from there, run as it stands, and told something for real."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from models_app.models import WebhookAttempt, WebhookDelivery
from models_app.webhooks import deliveries, endpoints, signing
from models_app.webhooks.catalogue import table
from models_app.webhooks.deliveries import claim_next, make_what_is_to_be_told, send, send_test
from models_app.webhooks.targets import Inside
from tests import make
from tests.process.programs import free_port
from tests.webhooks.test_deliveries import happened

DOCUMENT = Path(django_settings.BASE_DIR) / "docs" / "webhooks.md"


def test_the_list_of_events_is_the_one_the_code_has() -> None:
    assert table() in DOCUMENT.read_text()


@contextmanager
def documented_receiver(directory: Path, port: int, secret: str) -> Iterator[subprocess.Popen[str]]:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    path = directory / "receiver.py"
    path.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(path), str(port)],
        env={**os.environ, "GALLEY_WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.django_db
def test_the_documented_receiver_takes_what_galley_sends_and_nothing_else(
    cast: make.Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GALLEY_WEBHOOK_HOSTS = Inside(networks=(ip_network("127.0.0.1/32"),))
    settings.PUBLIC_URL = "https://galley.example.org"
    port = free_port()
    endpoint, secret = endpoints.create_endpoint(
        name="docs", url=f"http://127.0.0.1:{port}/", events=["release.approved"], actor=cast.operator
    )

    def told() -> WebhookAttempt:
        delivery = claim_next(endpoint.pk)
        assert delivery is not None
        send(delivery)
        return delivery.tries.latest("number")

    with documented_receiver(tmp_path, port, secret) as process:
        happened(to_state="approved")
        make_what_is_to_be_told()
        assert (told().status, told_again(cast, told)) == (200, 200)
        with monkeypatch.context() as patch:  # signed by somebody who has not got the secret
            patch.setattr(deliveries, "secrets_of", lambda endpoint: ["whsec_another"])
            send_test(endpoint=endpoint, actor=cast.operator)
            refused = told()
            assert (refused.status, refused.answer) == (401, "The signature does not match.")
        with monkeypatch.context() as patch:  # an hour ago
            signature = signing.signature
            patch.setattr(signing, "signature", lambda secrets, at, body: signature(secrets, at - 3600, body))
            send_test(endpoint=endpoint, actor=cast.operator)
            assert told().status == 401
        endpoints.rotate_secret(endpoint=endpoint, actor=cast.operator)
        send_test(endpoint=endpoint, actor=cast.operator)
        assert told().status == 200, "the old secret holds for a day"
        process.kill()
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
    assert lines[0] == "release.approved release:14 https://galley.example.org/releases/14/"
    assert len(lines) == 2, "what was sent again was known by its id"
    assert lines[1].startswith("webhook.ping ")


def told_again(cast: make.Cast, told: Any) -> int:
    deliveries.replay(delivery=WebhookDelivery.objects.latest("pk"), actor=cast.operator)
    status: int = told().status
    return status
