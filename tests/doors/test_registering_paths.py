"""People who register a model do not learn which directories there are on the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client

from llmops_site.env import read_environment
from models_app.foundation.errors import InvalidInput
from models_app.ml.errors import MLError
from models_app.ml.families import resolve_base
from models_app.ml.recipe import Recipe
from models_app.models import AuditEvent, DatasetSnapshot, Job, PromptVersion
from models_app.training.registering import start_registering
from models_app.training.starting import start_training
from tests import make

pytestmark = pytest.mark.django_db

Ask = Callable[[str], str]


@pytest.fixture
def models(tmp_path: Path, settings: Any) -> Path:
    """The one place that is named; a model lies in it, and a secret beside it."""
    place = tmp_path / "models"
    (place / "good").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (place / "link").symlink_to(tmp_path / "secret")
    (place / "loop").symlink_to(place / "loop")
    settings.GALLEY_MODEL_DIRECTORIES = [place]
    return place


def by_page(reference: str) -> str:
    client = Client()
    person = User.objects.filter(username="mila").first() or make.user("mila", "ml engineer")
    client.force_login(person)
    answer = client.post("/models/register/", {"reference": reference})
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def by_command(reference: str) -> str:
    with pytest.raises(CommandError) as refused:
        call_command("register_model", reference)
    return str(refused.value)


def by_training(reference: str) -> str:
    prompt = PromptVersion.objects.filter(prompt__kind="prefix").get(number=1)
    with pytest.raises(InvalidInput) as refused:
        start_training(
            snapshot=DatasetSnapshot(), base=reference, prompt_version=prompt, recipe=Recipe(method="lora", base="x"),
            actor=None,
        )  # fmt: skip
    return refused.value.message


@pytest.mark.parametrize("ask", [by_page, by_command, by_training])
def test_what_is_elsewhere_gets_one_answer_whether_it_is_there_or_not(models: Path, ask: Ask) -> None:
    beside = models.parent
    there = ["/", "/etc", "/etc/passwd", "/root", "~", "~root", ".", "..", "./models_app", str(beside / "secret"),
             f"{models}/../secret", f"{models}/good/../../secret", f"{models}/link", f"{models}/link/deeper",
             f"{models}/loop", f"{beside}/models-of-others"]  # fmt: skip
    not_there = ["/no/such/thing", "~nobody-of-this-name/x", "./nothing", f"{beside}/nothing",
                 f"{models}/../nothing", "/\x00"]  # fmt: skip
    answers = {ask(reference) for reference in (*there, *not_there)}
    assert len(answers) == 1
    assert "has to lie below" in answers.pop()
    assert not Job.objects.exists()
    assert not AuditEvent.objects.filter(action="model.register").exists()


def test_what_lies_in_its_place_is_taken(models: Path, cast: make.Cast) -> None:
    for reference in (str(models / "good"), f"{models}/./good/"):
        job = start_registering(reference=reference, actor=cast.ml_engineer, deliver=False)
        assert job.payload["reference"] == str(models / "good")
    bases = Path(configured.GALLEY_HOME) / "bases" / "mine"
    assert start_registering(reference=str(bases), actor=cast.ml_engineer, deliver=False)


def test_a_hub_name_is_no_directory_whatever_lies_where_galley_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    said = set()
    for name in ("here/model", "gone/model"):
        with pytest.raises(MLError) as refused:
            resolve_base(name, tmp_path / "cache", offline=True)
        said.add(refused.value.message.replace(name, "NAME"))
    assert len(said) == 1


@pytest.mark.parametrize("value", ["models", "srv/models,/x"])
def test_a_place_is_an_absolute_path(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="GALLEY_MODEL_DIRECTORIES"):
        read_environment({**os.environ, "GALLEY_MODEL_DIRECTORIES": value})


def test_the_command_registers_for_nobody_who_may_not() -> None:
    make.user("rita", "reviewer")
    for name, said in (("rita", "Your role does not allow"), ("nobody", "no active user")):
        with pytest.raises(CommandError, match=said):
            call_command("register_model", "starter", "--user", name)
    assert not Job.objects.exists()
