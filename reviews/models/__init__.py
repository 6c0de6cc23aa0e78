"""The human side's tables: documents, summaries, queues, reviews, feedback examples, prompt suggestions."""

from reviews.models.documents import ImportBatch, SourceDocument, Split, Summary
from reviews.models.queues import (
    Criterion,
    QueueItem,
    QueueRule,
    ReviewQueue,
    ReviewSlot,
    RubricVersion,
    Skip,
)
from reviews.models.reviews import (
    Adjudication,
    DeskPreferences,
    FeedbackExample,
    GoldAnswer,
    Grounding,
    Preference,
    PromptSuggestion,
    Review,
    ReviewRating,
    ReviewReturn,
    ReviewRevision,
    SentenceSupport,
    SpanMark,
)

__all__ = [
    "Adjudication",
    "Criterion",
    "DeskPreferences",
    "FeedbackExample",
    "GoldAnswer",
    "Grounding",
    "ImportBatch",
    "Preference",
    "PromptSuggestion",
    "QueueItem",
    "QueueRule",
    "Review",
    "ReviewQueue",
    "ReviewRating",
    "ReviewReturn",
    "ReviewRevision",
    "ReviewSlot",
    "RubricVersion",
    "SentenceSupport",
    "Skip",
    "SourceDocument",
    "SpanMark",
    "Split",
    "Summary",
]
