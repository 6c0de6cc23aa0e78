"""What was counted of a token is not forgotten because others come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from llmops_site.settings import caches
from models_app.api.authentication import TokenThrottle
from models_app.foundation.shared_cache import forget_expired
from tests import make
from tests.api.conftest import Api

RATE = "3/day"


@pytest.fixture(params=[1, 2], ids=["in memory", "in the database"])
def api(
    request: pytest.FixtureRequest, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """Of one web process, and of one among several."""
    settings.CACHES = caches(request.param, RATE)
    cache.clear()
    monkeypatch.setattr(TokenThrottle, "rate", RATE, raising=False)
    yield Api(make.user("mila", "ml engineer"), "releases:read")
    cache.clear()


def statuses(api: Api, number: int) -> set[int]:
    return {api.get("releases/live/").status_code for _ in range(number)}


def test_a_throttle_outlives_a_thousand_other_keys(api: Api) -> None:
    assert statuses(api, 3) == {404}, "nothing is live"
    for number in range(1000):
        cache.set(f"zebra:{number}", 1, 3600)  # the database forgets by the alphabet, and this comes last
    assert statuses(api, 1) == {429}


@pytest.mark.parametrize("api", [2], indirect=True)
def test_a_count_of_a_day_is_kept_for_a_day(api: Api) -> None:
    assert statuses(api, 3) == {404}
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(expires) FROM galley_cache WHERE cache_key LIKE '%throttle%'")
        (until,) = cursor.fetchone()
    assert until > timezone.now() + timedelta(hours=24)


@pytest.mark.parametrize("api", [2], indirect=True)
def test_counts_that_are_over_leave_the_table(api: Api) -> None:
    cache.set("over", 1, -10)
    assert statuses(api, 3) == {404}
    assert forget_expired() == 1
    assert statuses(api, 1) == {429}
