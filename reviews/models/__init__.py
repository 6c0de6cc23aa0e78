"""The human side's tables: documents, summaries, queues, reviews, feedback examples, prompt suggestions."""

from reviews.models.documents import ImportBatch, SourceDocument, Split, Summary
from reviews.models.exports import Export
from reviews.models.queues import (
    Criterion,
    QueueItem,
    QueueRule,
    ReviewQueue,
    ReviewSlot,
    RubricVersion,
    Skip,
)
from reviews.models.rating_imports import Rater, RatingImport
from reviews.models.reviews import (
    Adjudication,
    AgreementReport,
    DeskPreferences,
    FeedbackExample,
    GoldAnswer,
    Grounding,
    Preference,
    ProgressFigures,
    PromptSuggestion,
    Review,
    ReviewRating,
    ReviewReturn,
    ReviewRevision,
    SentenceSupport,
    SpanMark,
)
from reviews.models.talk import Comment, Mention, Notification, Thread
from reviews.models.trials import PromptTrial, PromptTrialResult

__all__ = [
    "Adjudication",
    "AgreementReport",
    "Comment",
    "Criterion",
    "DeskPreferences",
    "Export",
    "FeedbackExample",
    "GoldAnswer",
    "Grounding",
    "ImportBatch",
    "Mention",
    "Notification",
    "Preference",
    "ProgressFigures",
    "PromptSuggestion",
    "PromptTrial",
    "PromptTrialResult",
    "QueueItem",
    "QueueRule",
    "Rater",
    "RatingImport",
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
    "Thread",
]
