"""The human side's tables: documents, summaries, queues, reviews, feedback examples, prompt suggestions."""

from reviews.models.documents import ImportBatch, SourceDocument, Split, Summary
from reviews.models.queues import Criterion, QueueItem, ReviewQueue, ReviewSlot, RubricVersion, Skip
from reviews.models.reviews import FeedbackExample, PromptSuggestion, Review, ReviewRating, ReviewRevision

__all__ = [
    "Criterion",
    "FeedbackExample",
    "ImportBatch",
    "PromptSuggestion",
    "QueueItem",
    "Review",
    "ReviewQueue",
    "ReviewRating",
    "ReviewRevision",
    "ReviewSlot",
    "RubricVersion",
    "Skip",
    "SourceDocument",
    "Split",
    "Summary",
]
