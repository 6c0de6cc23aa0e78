from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.ml.prompting import PromptSpec
from models_app.models import PromptVersion
from models_app.releases.composing import live_release
from reviews.playground import try_prompt
from tests import make

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_prompt_is_tried_on_the_model_that_is_live(serving: Any) -> None:
    live = live_release()
    assert live is not None
    trial = try_prompt(
        document=make.document(), prompt=PromptSpec("prefix", "", "Briefly: {text}"), live=live
    )
    assert trial.error is None
    assert trial.tried is not None
    assert trial.tried.text.startswith("The harbour authority of Nordhaven")
    assert trial.live is not None
    assert (trial.same, trial.longer, trial.live.earlier) == (True, 0, False)


def test_what_the_live_release_wrote_before_is_not_written_again(serving: Any) -> None:
    live = live_release()
    assert live is not None
    document = make.document()
    make.summary(document, "Old words.", release=live, source="batch")
    trial = try_prompt(document=document, prompt=PromptSpec("prefix", "", "Briefly: {text}"), live=live)
    assert trial.live is not None
    assert (trial.live.text, trial.live.earlier) == ("Old words.", True)
    assert trial.longer > 10


@pytest.mark.parametrize("script", [True, False])
def test_the_playground_shows_both_side_by_side(serving: Any, script: bool) -> None:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.get(username="mila"))
    document = make.document()
    version = PromptVersion.objects.get(prompt__name="summarize")
    asked = {
        "parent": version.pk, "system": "", "template": "Briefly: {text}", "article": str(document.pk), "queue": "",
        "count": "1", "note": "", "run": "1",
    }  # fmt: skip
    path = f"/prompts/playground/{document.pk}/" if script else "/prompts/playground/"
    answer = client.post(path, asked)
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert "word for word the same" in shown
    assert "Live prompt" in shown
    assert "This prompt" in shown
