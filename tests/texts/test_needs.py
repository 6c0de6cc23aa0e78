"""What a field of settings needs stands beside it, and is said in words where it is not met."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, Literal

import pytest

from models_app.texts.needs import AtLeast, Between, OneOf, mistakes, unmet


@dataclass(frozen=True)
class Settings:
    name: Annotated[str, Between(1, 5)] = "a"
    note: Annotated[str, Between(0, 3)] = ""
    count: Annotated[int, Between(1, 2000)] = 1
    share: Annotated[float, Between(0, 1, above=True)] = 0.5
    certainty: Annotated[float | None, Between(0.9, 1, below=True)] = None
    colour: Annotated[str, OneOf(("red", "blue"))] = "red"
    kind: Literal["long", "short"] = "long"
    stars: Annotated[int, Between(1, 4, said="From 1 to 4 stars.")] = 1
    on: bool = True
    day: date | None = None
    places: tuple[str, ...] = ()
    times: Annotated[int | None, AtLeast(1)] = None


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("name", ("", "abcdef", 7, None), "1 to 5 characters."),
        ("note", ("abcd",), "At most 3 characters."),
        ("count", (0, 2001, True, 1.0, "1", None), "From 1 to 2,000."),
        ("share", (0, 1.01, float("nan"), float("inf"), True, 10**400), "Above 0 and up to 1."),
        ("certainty", (0.8, 1, "x"), "From 0.9 and below 1."),
        ("colour", ("green", None, 1, []), "One of red, blue."),
        ("kind", ("", "wide"), "One of long, short."),
        ("stars", (5,), "From 1 to 4 stars."),
        ("on", (1, None, "yes"), "True or false."),
        ("times", (0, -1, 1.0, "1"), "At least 1."),
    ],
)
def test_what_is_not_met_is_said_at_its_field(field: str, values: tuple[Any, ...], words: str) -> None:
    for value in values:
        assert mistakes(replace(Settings(), **{field: value})) == {field: words}, value


def test_what_is_met_says_nothing() -> None:
    assert mistakes(Settings()) == {}
    good = Settings("abcde", "abc", 2000, 1, 0.9, "blue", "short", 4, False, date(2026, 1, 1), ("a",), 1)
    assert mistakes(good) == {}


def test_several_mistakes_are_told_at_once() -> None:
    assert set(mistakes(Settings(name="", count=0, on=None))) == {"name", "count", "on"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "noun"),
    [
        ({"count": 0}, "a whole number from 1 to 2,000"),
        ({"share": 0}, "a number above 0 and up to 1"),
        ({"colour": ""}, "one of red, blue"),
        ({"on": 1}, "true or false"),
        ({"times": 0}, "a whole number of at least 1"),
    ],
)
def test_a_need_is_named_for_a_sentence(values: dict[str, Any], noun: str) -> None:
    (need,) = unmet(replace(Settings(), **values)).values()
    assert need.noun == noun
