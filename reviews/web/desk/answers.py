"""A review as the desk's form sends it, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from models_app.foundation.errors import InvalidInput
from reviews.desk.reviews import Answers
from reviews.models import QueueItem, Review
from reviews.texts.marks import UnreadableMarks, read_marks, read_support
from reviews.web.desk.form_values import integer, ratings_of

_KINDS = dict(zip(Review.VERDICTS, ("bad", "maybe", "ok"), strict=True))
#: As a form offers them: value, word, how it is marked.
VERDICTS = tuple((verdict.value, verdict.label, _KINDS[verdict]) for verdict in Review.VERDICTS)
Read = TypeVar("Read")


def _json_of(
    values: Mapping[str, str], name: str, read: Callable[[Any], tuple[Read, ...]], errors: dict[str, str]
) -> tuple[Read, ...]:
    raw = values.get(name, "").strip()
    if not raw:
        return ()
    try:
        return read(json.loads(raw))
    except UnreadableMarks as error:
        errors[name] = str(error)
    except (ValueError, RecursionError):
        errors[name] = "Not JSON."
    return ()


def answers_of(values: Mapping[str, str]) -> Answers:
    """Shape only; the use cases know the rules."""
    errors: dict[str, str] = {}
    answers = Answers(
        stars=integer(values, "stars", errors),
        verdict=values.get("verdict", "").strip(),
        ratings=ratings_of(values, errors),
        overall_from_ratings=bool(values.get("overall_from_ratings")),
        edited_text=values.get("edited_text", ""),
        comment=values.get("comment", ""),
        wants_retrain=bool(values.get("wants_retrain")),
        wants_refine=bool(values.get("wants_refine")),
        active_seconds=max(0, integer(values, "active_seconds", errors) or 0),
        rubric=integer(values, "rubric", errors),
        marks=_json_of(values, "marks", read_marks, errors),
        support=_json_of(values, "support", read_support, errors),
    )
    if errors:
        raise InvalidInput("Some answers cannot be read.", fields=errors)
    return answers


def answers_json(review: Review) -> dict[str, Any]:
    """What is saved, for the script that has to put it beside what is typed."""
    return {
        "revision": review.revision,
        "stars": review.stars,
        "verdict": review.verdict,
        "ratings": review.ratings,
        "overall_from_ratings": review.overall_from_ratings,
        "edited_text": review.edited_text if review.revision else review.summary.text,
        "comment": review.comment,
        "wants_retrain": review.wants_retrain,
        "wants_refine": review.wants_refine,
        "active_seconds": review.active_seconds,
        "marks": review.marks,
        "support": review.support,
    }


def saved_answers(review: Review | None, item: QueueItem) -> Answers:
    if review is None:
        return Answers(edited_text=item.summary.text)
    return Answers(
        stars=review.stars,
        verdict=review.verdict,
        ratings=review.ratings,
        overall_from_ratings=review.overall_from_ratings,
        edited_text=review.edited_text,
        comment=review.comment,
        wants_retrain=review.wants_retrain,
        wants_refine=review.wants_refine,
        active_seconds=review.active_seconds,
        marks=read_marks(review.marks),
        support=read_support(review.support),
    )


def touched(answers: Answers, item: QueueItem) -> bool:
    text = answers.edited_text.replace("\r\n", "\n")
    return bool(
        answers.stars or answers.verdict or answers.ratings or answers.comment.strip() or answers.marks
        or answers.wants_retrain or answers.wants_refine or answers.support
        or text.strip() != item.summary.text.strip()
    )  # fmt: skip
