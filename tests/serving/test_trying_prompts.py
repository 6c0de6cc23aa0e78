"""A reviewer tries a prompt on an article: the desk's page asks the slot that is really running."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from models_app.models import Route
from reviews.models import PromptSuggestion
from tests import make
from tests.pages import markup
from tests.serving.conftest import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_tried_prompt_is_written_by_the_live_slot_and_kept_with_its_output(
    serving: Supervisor, client: Client
) -> None:
    item = make.queue_item(make.summary(make.document()))
    reviewer = User.objects.get(username="rita")
    client.force_login(reviewer)
    assert client.get("/desk/new-drafts/").status_code == 200
    route = Route.objects.select_related("release").get(release__isnull=False)
    assert route.release is not None
    values = {"based_on": route.release.prompt_version_id, "template": "In brief: {text}"}
    answer = client.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    assert answer.status_code == 200, markup(answer)
    trial = re.findall(r'name="trial" value="([^"]+)"', markup(answer))[0]
    client.post(f"/desk/item/{item.pk}/suggest/", {**values, "trial": trial})
    kept = PromptSuggestion.objects.get()
    assert kept.suggested_by == reviewer
    assert kept.output.startswith("The harbour authority of Nordhaven said on Monday")

    serving.stop()
    answer = client.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert "Retry-After" in answer
    assert 'role="alert"' in markup(answer)
