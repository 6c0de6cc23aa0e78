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
    ("Low-rated summaries", "weak-outputs", "What clients complained about comes back here.", 10),
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


def seed_rules(apps: Any) -> None:
    """What fills the queue of weak outputs until somebody changes it: all that clients find fault with or wish for."""
    from reviews.queues import rules

    queue = apps.get_model("reviews", "ReviewQueue").objects.filter(slug="weak-outputs").first()
    last = apps.get_model("models_app", "ClientFeedback").objects.order_by("-pk").first()
    for params in (rules.FewStars(), rules.Complaint(), rules.Wants()) if queue else ():
        apps.get_model("reviews", "QueueRule").objects.get_or_create(
            queue=queue,
            kind=params.kind,
            defaults={"params": rules.to_json(params), "place": {"feedback": last.pk if last else 0}},
        )
