"""What was counted of a token is not forgotten because others come, and is asked of no database."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from llmops_site.settings import caches
from models_app.api.authentication import TokenThrottle
from models_app.foundation import rates
from models_app.foundation.shared_cache import forget_expired
from tests import make
from tests.api.conftest import Api

RATE = "3/day"


@pytest.fixture
def api(db: None, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(TokenThrottle, "rate", RATE, raising=False)
    return Api(make.user("mila", "ml engineer"), "releases:read")


def statuses(api: Api, number: int) -> set[int]:
    return {api.get("releases/live/").status_code for _ in range(number)}


def test_a_throttle_outlives_a_thousand_other_tokens(api: Api) -> None:
    assert statuses(api, 3) == {404}, "nothing is live"
    for number in range(1000):
        rates.used(f"token zebra {number}", seconds=24 * 3600)
    assert statuses(api, 1) == {429}


def test_what_is_over_leaves_the_cache_that_several_processes_share(db: None, settings: Any) -> None:
    settings.CACHES = caches(web_workers=2)
    cache.clear()
    cache.set("over", 1, -10)
    cache.set("lasts", 1, 3600)
    assert forget_expired() == 1
    assert cache.get("lasts") == 1
    cache.clear()
