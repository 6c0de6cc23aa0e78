"""Which requests get lines in the log, and which of them are warnings."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_and_metrics_leave_no_line(
    client: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get(path, REMOTE_ADDR="127.0.0.1")
    assert [record for record in caplog.records if path in str(record.msg)] == []


def test_what_a_client_did_wrong_is_logged_and_is_no_warning(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert client.get("/accounts/nowhere/").status_code in (302, 404)
        assert client.post("/api/v1/summaries/", {}, content_type="application/json").status_code == 401
    lines = [record for record in caplog.records if "/api/v1/summaries/" in str(record.msg)]
    assert lines
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
