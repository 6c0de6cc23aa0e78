from __future__ import annotations

import pytest
from django.test import Client

from models_app.models import PromptVersion, Route
from tests import make


@pytest.fixture
def rita(cast: make.Cast, client: Client) -> Client:
    client.force_login(cast.reviewer)
    return client


@pytest.fixture
def live(cast: make.Cast) -> PromptVersion:
    """A release is live; its model's process is not running in these tests."""
    prompt = PromptVersion.objects.get(prompt__name="news summary", number=1)
    Route.objects.update(release=make.release(state="live", prompt_version=prompt))
    return prompt
