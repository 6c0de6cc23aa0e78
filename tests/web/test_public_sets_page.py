"""The page of public sets: what is known by fingerprints, which test documents occur in it, what models are declared to
have learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from models_app.gates.public_sets import declare_training, occurrences
from tests.gates.test_public_sets import ARTICLES, load, public, with_texts, written
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene
from tests.texts.test_overlaps import article

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    cache.clear()
    return scenes.scene(documents=24)


def shown(the: Scene) -> str:
    client = Client()
    client.force_login(the.cast.approver)
    return markup(client.get("/public-sets/"))


def test_without_any_it_says_how_to_add_one(the: Scene) -> None:
    page = shown(the)
    assert "No public sets are known yet" in page
    assert "Nothing is declared yet" in page
    assert "load_fingerprints" in page


def test_sets_occurrences_and_declarations_are_shown_as_text(the: Scene, tmp_path: Path) -> None:
    with_texts(the, source=ARTICLES[3])
    made = load(public(tmp_path), "<b>news</b> test", note="from <i>there</i>", actor=the.cast.ml_engineer)
    occurrences(the.on)
    declare_training(
        model_version=the.live.model_version, name=made.name, note="its card", actor=the.cast.ml_engineer
    )
    declare_training(model_version=the.live.model_version, name="C4", actor=None)
    page = shown(the)
    assert "&lt;b&gt;news&lt;/b&gt; test" in page
    assert "<b>news" not in page
    assert "from &lt;i&gt;there" in page
    assert f"test set {the.on.pk}" in page
    assert "1 of 24 of" in page
    assert "not known" in page
    assert page.count("by mila") == 2


def test_many_sets_are_asked_for_at_once(
    the: Scene, tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    client = Client()
    client.force_login(the.cast.approver)
    client.get("/public-sets/")
    for number in range(8):
        load(written(tmp_path, {"article": article(f"of set {number}")}), f"set {number}")
    occurrences(the.on)
    with django_assert_max_num_queries(12):
        client.get("/public-sets/")
