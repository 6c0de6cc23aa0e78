from __future__ import annotations

import math
from itertools import chain, combinations

import pytest

from models_app.gates.results import Result, Verdict, worst


def test_a_run_is_as_bad_as_its_worst_row_and_nothing_is_an_error() -> None:
    for some in chain.from_iterable(combinations(Verdict, size) for size in range(5)):
        expected = next(
            (
                each
                for each in (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)
                if each in some
            ),
            Verdict.ERROR,
        )
        assert worst(some) is expected
    assert [each for each in Verdict if worst([each]) is Verdict.PASS] == [Verdict.PASS]


@pytest.mark.parametrize("name", ["estimate", "low", "high", "threshold"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_result_has_a_figure_that_is_no_number(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Result("primary", "rouge2", Verdict.PASS, "Fine.", "fine", "none", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "need"), [("", "something"), ("Something.", "")])
def test_a_result_says_what_was_found_and_what_is_needed(words: str, need: str) -> None:
    with pytest.raises(ValueError, match="says what was found"):
        Result("primary", "", Verdict.PASS, words, need, "none")
