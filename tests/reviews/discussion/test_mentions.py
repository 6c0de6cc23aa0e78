from __future__ import annotations

import pytest

from reviews.discussion.mentions import Piece, named_in, pieces


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@mila, look", ["mila"]),
        ("Ask @mila.", ["mila.", "mila"]),
        ("(@ruben) and @ruben again", ["ruben"]),
        ("write to rita@example.org", []),
        ("@ alone, and a@b", []),
        ("@zoë @李雷", ["zoë", "李雷"]),
        ("@rita@example.org is a username too", ["rita@example.org"]),
        ("@...", ["...", "..", "."]),
    ],
)  # fmt: skip
def test_names_after_an_at_sign_are_mentions_and_addresses_are_not(text: str, names: list[str]) -> None:
    assert named_in(text) == names


def test_pieces_give_the_text_again_and_the_longest_name_wins() -> None:
    text = "@ann. said to @ann-marie: ask @nobody."
    parts = pieces(text, ["ann", "ann.", "ann-marie"])
    assert "".join(part.text for part in parts) == text
    assert [part.name for part in parts if part.name] == ["ann.", "ann-marie"]
    assert pieces("plain", ["ann"]) == [Piece("plain")]
    assert pieces("", ["ann"]) == []
