"""The questions of a rubric version, kept in memory: the database refuses to change them (migration 0002)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reviews.models import Criterion, Review, RubricVersion
from reviews.models.answers import POINTS

LONGEST_EXPLANATION_CHARACTERS = 4000
_known: dict[int, tuple[Criterion, ...]] = {}
_versions: dict[int, RubricVersion] = {}


def version_of(rubric: int) -> RubricVersion:
    """The caller must not change it."""
    if rubric not in _versions:
        _versions[rubric] = RubricVersion.objects.get(pk=rubric)
    return _versions[rubric]


def criteria_of(rubric: int) -> tuple[Criterion, ...]:
    """In the order in which a page asks them; empty for an unknown version. The caller must not change them."""
    found = _known.get(rubric)
    if found is None:
        found = tuple(Criterion.objects.filter(rubric=rubric).order_by("position"))
        if found:  # a version may be made in this very moment
            _known[rubric] = found
    return found


def unknown_questions(criteria: Iterable[Criterion], ratings: Iterable[str]) -> dict[str, str]:
    known = {criterion.key for criterion in criteria}
    return {key: "Not a question of this rubric." for key in ratings if key not in known}


def left_open(
    rubric: int, *, stars: int | None, verdict: str, ratings: Mapping[str, int], explanation: str, why: str
) -> dict[str, str]:
    """By field what is missing or wrong in an answer that others are measured by, so that nothing may be left open.
    `why` asks for the explanation."""
    criteria = criteria_of(rubric)
    wrong = unknown_questions(criteria, ratings)
    if stars not in POINTS:
        wrong["stars"] = "Give one to five stars."
    if verdict not in Review.Verdict.values:
        wrong["verdict"] = "Good, fair or poor?"
    for criterion in criteria:
        if ratings.get(criterion.key) not in POINTS:
            wrong[criterion.key] = f"Rate {criterion.name.lower()}."
    if not explanation:
        wrong["explanation"] = why
    elif len(explanation) > LONGEST_EXPLANATION_CHARACTERS:
        wrong["explanation"] = f"Longer than {LONGEST_EXPLANATION_CHARACTERS:,} characters."
    return wrong
