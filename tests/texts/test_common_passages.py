"""Where two texts say the same, for people to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.texts.common_passages import EXCERPT, common_passages, excerpt, stretches

ONE = "The harbour authority will close the old pier for nine months. Divers found that 140 piles are rotten."
OTHER = (
    "Yesterday: THE OLD PI\u200bER FOR NINE MONTHS — and shops fear. Divers found that 140 piles are rotten!"
)


def passages(one: str, other: str) -> tuple[list[str], list[str]]:
    mine, theirs = common_passages(one, other)
    return [one[a:b] for a, b in mine], [other[a:b] for a, b in theirs]


def test_passages_are_shown_as_they_stand_in_each_text() -> None:
    mine, theirs = passages(ONE, OTHER)
    assert mine == ["the old pier for nine months. Divers found that 140 piles are rotten."]
    assert theirs == ["THE OLD PI\u200bER FOR NINE MONTHS", "Divers found that 140 piles are rotten!"]


def test_two_words_in_a_row_are_no_passage() -> None:
    assert passages("the old boat", "the old pier closes") == ([], [])


def test_scripts_without_spaces_are_read_by_characters() -> None:
    assert passages("码头关闭九个月", "旧码头关闭了") == (["码头关闭"], ["码头关闭"])


@pytest.mark.parametrize(("one", "other"), [("", ""), ("", ONE), ("…", "…"), ("one", "two")])
def test_without_words_in_common_nothing_is_marked(one: str, other: str) -> None:
    assert passages(one, other) == ([], [])
    assert "".join(part.text for part in stretches(one, [])) == one


@given(st.text(max_size=80), st.text(max_size=80))
def test_parts_joined_are_the_text(one: str, other: str) -> None:
    mine, theirs = common_passages(one, other)
    assert "".join(part.text for part in stretches(one, mine)) == one
    assert "".join(part.text for part in stretches(other, theirs)) == other


def test_an_excerpt_begins_a_little_before_the_longest_passage() -> None:
    text = f"{'Before it all. ' * 30}{ONE} {'After it all. ' * 30}"
    mine, _ = common_passages(text, ONE)
    found = excerpt(text, mine)
    assert found.startswith("… ")
    assert found.endswith(" …")
    assert "The harbour authority will close the old pier" in found
    assert len(found) <= EXCERPT


def test_an_excerpt_without_a_passage_is_the_beginning() -> None:
    assert excerpt("Short.", []) == "Short."
    assert excerpt("", []) == ""
    assert len(excerpt("x" * 1000, [])) <= EXCERPT
