from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from models_app.foundation import jobs
from models_app.models import Release
from tests import make
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def metrics(**extra: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = Client().get("/metrics", **extra)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_requests_slots_and_waiting_jobs_are_counted(api: Api, live: Release) -> None:
    served = ("galley_summaries_total", (("outcome", "ok"),))
    before = metrics().get(served, 0)
    api.post("summaries/", {"text": make.ARTICLE})
    jobs.enqueue(kind="generate_summaries", actor=None)
    found = metrics()
    assert found[served] == before + 1
    assert (
        found["galley_api_requests_total", (("method", "POST"), ("status", "201"), ("view", "SummariesView"))]
        >= 1
    )
    assert found["galley_slot_ready", (("release", str(live.pk)),)] == 1
    assert found["galley_live_release", (("environment", "production"),)] == live.pk
    assert found["galley_jobs", (("queue", "default"), ("state", "queued"))] == 1
    assert found["galley_jobs", (("queue", "training"), ("state", "queued"))] == 0


@pytest.mark.parametrize(
    "extra",
    [
        {"REMOTE_ADDR": "10.0.0.7"},
        {"headers": {"X-Forwarded-For": "10.0.0.7"}},
        {"headers": {"Authorization": "Token wrong"}},
        {"REMOTE_ADDR": ""},
    ],
)
def test_others_need_a_token(db: None, extra: dict[str, Any]) -> None:
    assert Client().get("/metrics", **extra).status_code == 401


def test_a_token_with_the_scope_reads_them_from_anywhere(cast: make.Cast) -> None:
    reader, other = Api(cast.operator, "metrics:read"), Api(cast.operator, "releases:read")
    away: dict[str, Any] = {"REMOTE_ADDR": "10.0.0.7"}
    assert metrics(headers={"Authorization": f"Token {reader.token}", "Accept": "text/plain"}, **away)
    answer = Client().get("/metrics", headers={"Authorization": f"Token {other.token}"}, **away)
    assert answer.status_code == 403
