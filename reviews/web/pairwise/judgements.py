"""A choice between two summaries as the form sends it, and back; left and right is all that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.foundation.errors import InvalidInput
from reviews.desk.choices import ANSWERS, SIDES, Judgement, seen
from reviews.models import Preference
from reviews.web.desk.form_values import integer


def judgement_of(values: Mapping[str, str]) -> Judgement:
    """Shape only; the use cases know the rules."""
    errors: dict[str, str] = {}
    chosen = values.get("choice", "").strip()
    answer, _, degree = chosen.partition(" ") if chosen.startswith(SIDES) else (chosen, "", "")
    judgement = Judgement(
        answer=answer,
        strength=integer({"strength": degree}, "strength", errors),
        reason=values.get("reason", "").replace("\r\n", "\n"),
        active_seconds=max(0, integer(values, "active_seconds", errors) or 0),
    )
    if errors:
        raise InvalidInput("Some answers are no numbers.", fields=errors)
    return judgement


def choice_value(judgement: Judgement) -> str:
    if judgement.answer in SIDES and judgement.strength:
        return f"{judgement.answer} {judgement.strength}"
    return judgement.answer if judgement.answer in ANSWERS else ""


def in_words(judgement: Judgement) -> str:
    if judgement.answer in SIDES and judgement.strength:
        return f"{judgement.answer}, {Preference.Strength(judgement.strength).label}"
    return {"tie": "no difference", "both bad": "both bad"}.get(judgement.answer, judgement.answer)


def judgement_json(preference: Preference) -> dict[str, Any]:
    """What is saved, for the script that has to put it beside what is typed."""
    judgement = seen(preference)
    return {"revision": preference.revision, "choice": choice_value(judgement), "reason": judgement.reason}
