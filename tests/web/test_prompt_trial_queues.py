"""Queues of the kind “prompt trial”: reviewed at the desk, where another prompt is asked for first."""

from __future__ import annotations

import pytest
from django.test import Client

from models_app.models import Route
from reviews.desk.claims import claim_next
from reviews.filling.rule_runs import set_rule
from tests import make
from tests.api.conftest import Api
from tests.pages import markup

pytestmark = pytest.mark.django_db


def test_a_prompt_trial_is_reviewed_at_the_desk_and_asks_for_another_prompt(client: Client) -> None:
    cast = make.cast()
    queue = make.queue(kind="prompt trial")
    item = make.queue_item(in_queue=queue)
    assert claim_next(queue=queue, reviewer=cast.reviewer, kind="pairwise") is None
    set_rule(queue=queue, kind="few stars", params={"at_most": 2}, actor=cast.ml_engineer)
    client.force_login(cast.reviewer)
    assert ">prompt trial</span>" in markup(client.get("/desk/"))
    page = client.get("/desk/new-drafts/")
    assert page.context["nav_waiting"] == 1
    assert "no prompt can be tried now" in markup(page)
    Route.objects.update(release=make.release(state="live"))
    assert "then try another prompt" in markup(client.get(f"/desk/item/{item.pk}/"))
    api = Api(cast.reviewer, "reviews:write")
    listed = api.get("queues/").json()["results"]
    assert [row["kind"] for row in listed if row["waiting"]] == ["prompt trial"]
    assert api.post("queues/new-drafts/next/", {}).json()["item"] == item.pk


def test_without_script_another_prompt_is_tried_and_kept_on_a_page(client: Client) -> None:
    cast = make.cast()
    item = make.queue_item()
    client.force_login(cast.reviewer)
    url = f"/desk/item/{item.pk}/try/"
    assert client.get(url).status_code == 409, "nothing is live"
    live = make.release(state="live")
    Route.objects.update(release=live)
    assert f'href="{url}"' in markup(client.get("/desk/new-drafts/"))
    assert f"{live.prompt_version.template}</textarea>" in markup(client.get(url))
    asked = {"based_on": live.prompt_version_id, "template": "Briefly: {text}", "note": "Shorter."}
    page = markup(client.post(url, asked))
    assert "Nothing is live" not in page
    assert f'formaction="/desk/item/{item.pk}/suggest/"' in page
    assert ">Shorter.</textarea>" in page
