"""What the review desk's form sends, whole; and a review as it comes of it."""

from __future__ import annotations

import re
from typing import Any

from reviews.desk import claims
from reviews.desk.reviews import Answers, submit_review
from reviews.models import (
    Review,
    ReviewQueue,
)
from tests import make
from tests.pages import markup

JSON = {"Accept": "application/json"}
TEXT = "The old pier of Nordhaven will close for nine months. 140 piles are rotten."
WHOLE = {
    "stars": "2",
    "verdict": "poor",
    "rating-consistency": "2",
    "rating-relevance": "4",
    "rating-coherence": "5",
    "rating-fluency": "5",
    "edited_text": TEXT,
    "comment": "A digit was swapped.",
    "wants_retrain": "1",
    "active_seconds": "42",
}
ANSWERS = Answers(
    stars=2,
    verdict="poor",
    ratings={"consistency": 2, "relevance": 4, "coherence": 5, "fluency": 5},
    edited_text=TEXT,
    comment="A digit was swapped.",
    wants_retrain=True,
)


def assignment(page: Any) -> dict[str, str]:
    html = markup(page)
    return {
        name: re.findall(rf'name="{name}" value="([^"]*)"', html)[0]
        for name in ("assignment", "token", "base_revision", "rubric")
    }


def submitted(cast: make.Cast, queue: ReviewQueue, **changes: Any) -> Review:
    item = make.queue_item(in_queue=queue)
    claims.hold(item=item, reviewer=cast.reviewer)
    return submit_review(item=item, answers=Answers(**{**vars(ANSWERS), **changes}), reviewer=cast.reviewer)
