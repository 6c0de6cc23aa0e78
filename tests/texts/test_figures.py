"""Figures are written in one way, wherever they stand."""

from __future__ import annotations

import pytest

from models_app.texts.figures import interval, number, signed


@pytest.mark.parametrize(
    ("value", "places", "said"),
    [
        (-0.04, 1, "0.0"), (-0.06, 1, "−0.1"), (1234.56, 1, "1,234.6"), (0, 1, "0.0"), (1204, 0, "1,204"),
        (-0.5, None, "−0.5"), (1204, None, "1,204"), (None, 1, "–"),
    ],
)  # fmt: skip
def test_a_number_has_a_proper_minus_and_zero_has_none(
    value: float | None, places: int | None, said: str
) -> None:
    assert number(value, places) == said


def test_a_difference_says_which_way_it_goes_unless_it_is_none() -> None:
    values = (2.24, -0.1, 0.0, 0.01, -0.01, 1200.0, None)
    assert [signed(value, 1) for value in values] == ["+2.2", "−0.1", "0.0", "0.0", "0.0", "+1,200.0", "–"]


def test_an_interval_has_both_ends_or_none() -> None:
    assert interval(-0.94, 3.06, 1) == "−0.9 … 3.1"
    assert interval(None, None, 1) == "–"
