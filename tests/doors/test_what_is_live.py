"""All that tell what is live tell the same, however it came to be so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from models_app.foundation.errors import Refused
from models_app.models import Release
from models_app.models.releases import Environment, live_deployment, live_release, live_releases
from models_app.monitoring import metrics
from models_app.releases.deploying import give_up, roll_back, stop_warming
from models_app.serving.readiness import readiness
from models_app.serving.routing import Router
from models_app.serving.state import serving_state
from reviews.filling.drafts import usual_writer
from reviews.prompts.trying import live_prompt
from tests import make
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def deployed() -> Release:
    return make.put_live(make.release())


def nothing(cast: make.Cast) -> Release | None:
    make.release()
    return None


def the_first_warms_up(cast: make.Cast) -> Release | None:
    make.release(state="warming")
    return None


def the_first(cast: make.Cast) -> Release | None:
    return deployed()


def another_warms_up(cast: make.Cast) -> Release | None:
    live = deployed()
    make.release(state="warming")
    return live


def another_failed(cast: make.Cast) -> Release | None:
    live = deployed()
    give_up(release=make.release(state="warming"), reason="Its files are missing.")
    return live


def another_was_stopped(cast: make.Cast) -> Release | None:
    live = deployed()
    stop_warming(release=make.release(state="warming"), actor=cast.operator, reason="Not now.")
    return live


def a_switch(cast: make.Cast) -> Release | None:
    deployed()
    return deployed()


def a_rollback(cast: make.Cast) -> Release | None:
    first = deployed()
    deployed()
    _roll_back(cast)
    return first


def two_rollbacks(cast: make.Cast) -> Release | None:
    first = deployed()
    deployed(), deployed()
    _roll_back(cast)
    _roll_back(cast)
    return first


def a_rollback_while_another_warms_up(cast: make.Cast) -> Release | None:
    first = deployed()
    deployed()
    make.release(state="warming")
    _roll_back(cast)
    return first


def _roll_back(cast: make.Cast) -> None:
    roll_back(
        environment=Environment.objects.get(name="production"),
        actor=cast.operator,
        reason="It invents numbers.",
    )


def told(cast: make.Cast) -> dict[str, int | None]:
    """By door, the number of what it says is live."""
    everywhere = [release.pk for release in live_releases()]
    deployment = live_deployment()
    state = serving_state()
    answer = Api(cast.ml_engineer, "releases:read").get("releases/live/")
    page = _signed_in(cast.ml_engineer).get("/documents/").context["live"]
    compose = _signed_in(cast.ml_engineer).get("/releases/new/").context["live"]
    prompt = live_prompt()
    states = list(Release.objects.filter(state=Release.State.LIVE).values_list("pk", flat=True))
    gauges = [
        int(sample.value)
        for family in text_string_to_metric_families(metrics.text()[0].decode())
        for sample in family.samples
        if sample.name == "galley_live_release"
    ]
    assert len(everywhere) <= 1
    assert len(states) <= 1
    assert len(gauges) <= 1
    writer: Release | None
    try:
        writer = usual_writer()
    except Refused:
        writer = None
    live = live_release()
    assert prompt == (live.prompt_version if live else None)
    return {
        "live_release": live.pk if live else None,
        "live_releases": everywhere[0] if everywhere else None,
        "live_deployment": deployment.release_id if deployment else None,
        "the router": Router().reread().live.release_id,
        "the deployments page": state.live.release_id if state.live else None,
        "the API": answer.json()["release"] if answer.status_code == 200 else None,
        "the documents page": page.pk if page else None,
        "composing a release": compose.pk if compose else None,
        "drafts": writer.pk if writer else None,
        "its state": states[0] if states else None,
        "the metrics": gauges[0] if gauges else None,
        "readiness": live.pk if live and f"elease {live.pk} " in readiness()[1] else None,
    }


def _signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "happened",
    [
        nothing, the_first_warms_up, the_first, another_warms_up, another_failed, another_was_stopped, a_switch,
        a_rollback, two_rollbacks, a_rollback_while_another_warms_up,
    ],
)  # fmt: skip
def test_all_doors_tell_the_same_release(
    cast: make.Cast, happened: Callable[[make.Cast], Release | None]
) -> None:
    live = happened(cast)
    expected = live.pk if live else None
    found = told(cast)
    assert found == dict.fromkeys(found, expected)
