"""A prompt trial as it happens: a slot that is really running, a job in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from models_app.foundation import jobs
from models_app.models import Job, PromptVersion
from models_app.prompts.versions import create_version
from models_app.releases.composing import compose_release
from models_app.releases.deploying import install_first_release
from models_app.serving.routing import router
from models_app.training.registering import register_base
from reviews.models import Notification, PromptTrial
from reviews.prompts.trials import choose_articles, start_trial
from tests import make
from tests.serving.conftest import Supervisor, state, until
from tests.tiny_models import make_tiny_t5

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def tried(
    *, based_on: PromptVersion, template: str, count: int, carry_out: Callable[[Job], Job] = make.carried_out
) -> PromptTrial:
    mila = User.objects.get(username="mila")
    articles = choose_articles(words="", queue=None, count=count, actor=mila)
    trial = start_trial(based_on=based_on, template=template, articles=articles, actor=mila, deliver=False)
    assert trial.job is not None
    carry_out(trial.job)
    trial.refresh_from_db()
    return trial


def test_a_prompt_is_tried_on_the_model_that_is_live(serving: Supervisor) -> None:
    documents = [make.document() for _ in range(4)]
    version = PromptVersion.objects.select_related("prompt").get(prompt__name="summarize")
    # in a process of its own, as the queue has it
    trial = tried(based_on=version, template="Briefly: {text}", count=4, carry_out=jobs.carry_out)
    results = list(trial.results.all())
    assert [result.document for result in results] == documents[::-1]
    for result in results:
        assert result.tried_text == result.live_text
        assert result.tried_text.startswith("The harbour authority of Nordhaven")
        assert result.tried_scores["rouge1"] > 0.3
    assert trial.report["same"] == 4
    assert Notification.objects.get().url == f"/prompts/playground/?trial={trial.pk}"


def test_a_learned_model_writes_with_the_words_that_are_tried(
    supervise: Callable[..., Any], tmp_path: Path
) -> None:
    """Weights, tokenizer, conversion and slot are real; the model has two layers."""
    cast = make.cast()
    model = register_base(
        reference=str(make_tiny_t5(tmp_path / "t5", seed=3)), name="tiny", actor=cast.ml_engineer
    )
    version = PromptVersion.objects.select_related("prompt").get(prompt__name="summarize")
    decoding = {"max_new_tokens": 16, "max_words": 20, "max_input_tokens": 64}
    supervise()
    release = install_first_release(
        release=compose_release(
            model_version=model, prompt_version=version, decoding=decoding, origin="initial", actor=None
        )
    )
    until(lambda: state(release) == "live")
    router.reread()
    for town in ("north", "south"):
        make.document(
            f"the council of the {town} town closed the school on monday . the team won the match ."
        )
    trial = tried(based_on=version, template="the coach said that the film opened : {text}", count=2)
    assert trial.report["written"] == 2
    for result in trial.results.all():
        assert result.live_text, "the live prompt's own words"
        assert result.tried_text, "and those that were tried"
        assert result.tried_seconds is not None
    adopted = create_version(
        prompt=version.prompt, template=trial.template, parent=version, actor=cast.ml_engineer
    )
    again = tried(based_on=adopted, template=trial.template, count=2)
    assert [r.tried_text for r in again.results.all()] == [r.tried_text for r in trial.results.all()], (
        "greedy"
    )
