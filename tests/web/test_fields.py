"""Form fields take what settings need from the settings, in range, kind and words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest
from django import forms

from models_app.ml.recipe import Recipe
from models_app.texts.needs import AtLeast, Between, OneOf, mistakes, needs_of
from models_app.web.fields import field_of
from models_app.web.training import RunForm
from reviews.ingest.imports import ImportOptions
from reviews.queues import rules
from reviews.queues.settings import QueueSettings
from reviews.web.ingest.imports import HubForm, OptionsForm
from reviews.web.queues.rules import RULES
from reviews.web.queues.settings import SettingsForm


@dataclass(frozen=True)
class Settings:
    name: Annotated[str, Between(1, 5)] = "a"
    note: Annotated[str, Between(0, 3)] = ""
    free: str = ""
    count: Annotated[int, Between(1, 20)] = 1
    share: Annotated[float, Between(0, 1, above=True)] = 0.5
    certainty: Annotated[float, Between(0.9, 1, below=True)] = 0.99
    most: Annotated[int | None, Between(1, 20)] = None
    times: Annotated[int, AtLeast(1)] = 1
    colour: Annotated[str, OneOf(("red", "blue"))] = "red"
    kind: Literal["long", "short"] = "long"
    on: bool = True


class SettingsOnAPage(forms.Form):
    name = field_of(Settings, "name")
    note = field_of(Settings, "note")
    free = field_of(Settings, "free")
    count = field_of(Settings, "count")
    share = field_of(Settings, "share")
    certainty = field_of(Settings, "certainty")
    most = field_of(Settings, "most")
    times = field_of(Settings, "times")
    colour = field_of(Settings, "colour", choices=[("red", "Red"), ("blue", "Blue")])
    kind = field_of(Settings, "kind", label="Which")
    on = field_of(Settings, "on")


GOOD = {
    "name": "abc", "count": "2", "share": "1", "certainty": "0.9", "times": "3", "colour": "blue", "kind": "short",
}  # fmt: skip


def test_what_may_stay_empty_may() -> None:
    form = SettingsOnAPage(GOOD)
    assert form.is_valid(), form.errors
    assert mistakes(Settings(**form.cleaned_data)) == {}
    assert form.cleaned_data["most"] is None
    assert form.cleaned_data["on"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "abcdef"), ("note", "abcd"), ("count", "0"), ("count", "21"), ("share", "0"), ("share", "-1"),
        ("share", "1.1"), ("certainty", "1"), ("certainty", "0.89"), ("most", "0"), ("times", "0"),
    ],
)  # fmt: skip
def test_what_is_out_is_refused_once_in_the_words_of_the_settings(name: str, value: str) -> None:
    form = SettingsOnAPage({**GOOD, name: value})
    assert form.errors == {name: [needs_of(Settings)[name].words]}


@pytest.mark.parametrize(
    ("name", "value"), [("count", ""), ("name", ""), ("colour", "green"), ("kind", "wide")]
)
def test_what_is_missing_or_unknown_is_refused(name: str, value: str) -> None:
    assert set(SettingsOnAPage({**GOOD, name: value}).errors) == {name}


def test_browsers_are_told_the_ends() -> None:
    form = SettingsOnAPage()
    for name, attributes in (
        ("name", 'maxlength="5"'), ("count", 'min="1" max="20"'), ("share", 'min="0" max="1"'),
    ):  # fmt: skip
        told = str(form[name])
        assert all(part in told for part in attributes.split()), told
    assert 'min="1"' in str(form["times"])


FORMS: list[tuple[type[forms.Form], Any]] = [
    (SettingsForm, QueueSettings),
    (RunForm, Recipe),
    (HubForm, ImportOptions),
    (OptionsForm, ImportOptions),
    *((form, rules.KINDS[kind]) for kind, (form, _) in RULES.items()),
]


@pytest.mark.parametrize(("form", "settings"), FORMS, ids=lambda known: known.__name__)
def test_pages_offer_the_ranges_of_their_settings(form: type[forms.Form], settings: Any) -> None:
    needs = needs_of(settings)
    for name in {field.name for field in fields(settings)} & set(form.base_fields):
        rule, field = needs[name].rule, form.base_fields[name]
        if isinstance(rule, Between) and needs[name].kind is str:
            assert field.max_length == rule.most, name  # type: ignore[attr-defined]
        elif isinstance(rule, Between):
            assert (field.min_value, field.max_value) == (rule.least, rule.most), name  # type: ignore[attr-defined]
        elif isinstance(rule, OneOf):
            assert {value for value, _ in field.choices} == set(rule.choices), name  # type: ignore[attr-defined]
