"""Which weights a training run kept, and why, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def kept_in_words(*, keep: str, step: int, loss: float, validations: Sequence[tuple[int, float]]) -> str:
    """`keep` is the recipe's; `step` and `loss` are of the weights that were kept; `validations` are (step, loss), the
    one before the first step included, or empty where they were not written down."""
    began = next((value for number, value in validations if number == 0), None)
    lowest = min(validations, key=lambda point: (point[1], point[0]), default=None)
    if keep == "best":
        if step == 0:
            return (
                f"No step was better than where it began: {loss:.3f}. The base model's own weights were kept, so that "
                "nothing that was trained here is in them."
            )
        return f"The weights of step {step} were kept: their validation loss, {loss:.3f}, was the lowest{_from(began)}."
    kept = f"The weights of the end, step {step}, were kept, as the recipe asks; their validation loss is {loss:.3f}"
    if lowest is None:
        return f"{kept}."
    if lowest[1] >= loss:
        return f"{kept}, the lowest{_from(began)}."
    if lowest[0] == 0:
        return f"{kept}. No step was better than where it began: {lowest[1]:.3f}."
    return f"{kept}. Step {lowest[0]} had the lowest, {lowest[1]:.3f}{_from(began)}."


def _from(began: float | None) -> str:
    return "" if began is None else f" (it began at {began:.3f})"
