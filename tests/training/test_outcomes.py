"""Which weights a run kept, in words."""

from __future__ import annotations

import pytest

from models_app.training.outcomes import kept_in_words

WORSE = [(0, 1.305), (3, 1.38), (5, 1.416)]
BETTER = [(0, 1.305), (3, 1.1), (5, 1.0)]
TURNED = [(0, 1.305), (3, 1.1), (5, 1.416)]


@pytest.mark.parametrize(
    ("keep", "step", "validations", "words"),
    [
        (
            "last", 5, WORSE,
            "The weights of the end, step 5, were kept, as the recipe asks; their validation loss is 1.416. No step "
            "was better than where it began: 1.305.",
        ),
        (
            "best", 0, WORSE,
            "No step was better than where it began: 1.305. The base model's own weights were kept, so that nothing "
            "that was trained here is in them.",
        ),
        (
            "last", 5, BETTER,
            "The weights of the end, step 5, were kept, as the recipe asks; their validation loss is 1.000, the lowest "
            "(it began at 1.305).",
        ),
        (
            "best", 5, BETTER,
            "The weights of step 5 were kept: their validation loss, 1.000, was the lowest (it began at 1.305).",
        ),
        (
            "last", 5, TURNED,
            "The weights of the end, step 5, were kept, as the recipe asks; their validation loss is 1.416. Step 3 had "
            "the lowest, 1.100 (it began at 1.305).",
        ),
        (
            "best", 3, TURNED,
            "The weights of step 3 were kept: their validation loss, 1.100, was the lowest (it began at 1.305).",
        ),
    ],
)  # fmt: skip
def test_the_words_say_which_weights_were_kept_and_why(
    keep: str, step: int, validations: list[tuple[int, float]], words: str
) -> None:
    assert kept_in_words(keep=keep, step=step, loss=dict(validations)[step], validations=validations) == words


def test_of_an_old_run_only_what_is_known_is_said() -> None:
    assert kept_in_words(keep="last", step=122, loss=2.445, validations=[]) == (
        "The weights of the end, step 122, were kept, as the recipe asks; their validation loss is 2.445."
    )
