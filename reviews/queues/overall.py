"""What the single ratings come to where nobody said it otherwise. Pure."""

from __future__ import annotations

from collections.abc import Collection


def stars_of(ratings: Collection[int]) -> int:
    """The mean of ratings of 1–5, rounded half up. Raises ValueError without any."""
    if not ratings:
        raise ValueError("no ratings")
    return (2 * sum(ratings) + len(ratings)) // (2 * len(ratings))


def verdict_of(stars: int) -> str:
    if stars <= 2:
        return "poor"
    return "fair" if stars == 3 else "good"
