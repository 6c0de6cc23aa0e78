"""How pleased the writer of a comment on a summary is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from models_app.texts.comment_cues import balance, find_cues

_CLEAR = 0.45  # a score nearer to zero is neutral: mixed, mild or about nothing we know


@dataclass(frozen=True)
class Sentiment:
    label: Literal["positive", "neutral", "negative"]
    score: float  # from −1 (displeased) to 1 (pleased)


def sentiment(text: str) -> Sentiment:
    """The balance of a comment's praise and blame, squeezed between −1 and 1."""
    total = balance(text, find_cues(text))
    score = total / math.sqrt(total * total + 4)
    if abs(score) < _CLEAR:
        return Sentiment("neutral", score)
    return Sentiment("positive" if score > 0 else "negative", score)
