"""How far two texts are apart. Pure."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

from models_app.texts.measures import words


def word_edit_share(one: str, other: str) -> float:
    """The word edit distance as a share, 0 (the same words) to 1 (no word at its place in the other).

    Levenshtein's distance over words, divided by the number of words of the longer text; case and punctuation don't
    count. Of two texts without words it is 0.
    """
    first, second = words(one), words(other)
    longer = max(len(first), len(second))
    return Levenshtein.distance(first, second) / longer if longer else 0.0
