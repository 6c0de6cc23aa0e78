"""Rows that every installation has: the first rubric and the queues. Safe to call again."""

from __future__ import annotations

from typing import Any

# Dimensions and wording after SummEval (Fabbri et al., 2021), with each point worded.
CRITERIA = (
    (
        "consistency",
        "Consistency",
        "Does the summary say only what the source says?",
        [
            "most statements are not in the source",
            "one statement contradicts the source",
            "a detail is wrong or not supported",
            "supported, one phrase could mislead",
            "everything is supported by the source",
        ],
    ),
    (
        "relevance",
        "Relevance",
        "Are the important points in, and only those?",
        [
            "misses what the article is about",
            "most main points are missing",
            "a main point is missing or crowded out",
            "the main points are there, one is missing",
            "all main points, nothing beside them",
        ],
    ),
    (
        "coherence",
        "Coherence",
        "Do the sentences make one text?",
        [
            "unrelated sentences",
            "hard to follow",
            "readable with jumps",
            "reads well, one rough joint",
            "reads as one text",
        ],
    ),
    (
        "fluency",
        "Fluency",
        "Is each sentence good English?",
        [
            "hardly readable",
            "many errors",
            "some errors or clumsy phrases",
            "one small slip",
            "no errors",
        ],
    ),
)

QUEUES = (
    ("New drafts", "new-drafts", "Summaries that the model has just written.", 0),
    ("Live summaries with few stars", "weak-outputs", "What clients complained about comes back here.", 10),
)


def seed(apps: Any) -> None:
    """`apps` is a migration's registry, or django.apps.apps."""
    rubric, made = apps.get_model("reviews", "RubricVersion").objects.get_or_create(
        number=1, defaults={"instructions": "Rate the summary as the model wrote it, before your correction."}
    )
    if made:
        criteria = apps.get_model("reviews", "Criterion").objects
        for position, (key, name, question, anchors) in enumerate(CRITERIA):
            criteria.create(
                rubric=rubric, key=key, name=name, question=question, anchors=anchors, position=position
            )
    queues = apps.get_model("reviews", "ReviewQueue").objects
    for name, slug, description, _ in QUEUES:
        queues.get_or_create(slug=slug, defaults={"name": name, "description": description, "rubric": rubric})
