"""The human side's tables: documents, summaries, queues, reviews, feedback examples, prompt suggestions.

Knows nothing of rules that take more than a row: those are use cases.
"""

from reviews.models.answers import Answer
from reviews.models.documents import (
    NearDuplicate,
    ReferenceHash,
    SketchHash,
    SourceDocument,
    Split,
    Summary,
)
from reviews.models.exports import Export
from reviews.models.imports import Import, ImportBatch, RatingImport
from reviews.models.improvement import ImprovementRequest, ImprovementVote
from reviews.models.queues import (
    Assignment,
    Criterion,
    QueueItem,
    QueueRule,
    ReviewQueue,
    RubricVersion,
    Skip,
)
from reviews.models.raters import Rater
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
    "Answer",
    "Assignment",
    "Comment",
    "Criterion",
    "DeskPreferences",
    "Export",
    "FeedbackExample",
    "GoldAnswer",
    "Grounding",
    "Import",
    "ImportBatch",
    "ImprovementRequest",
    "ImprovementVote",
    "Mention",
    "NearDuplicate",
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
    "ReferenceHash",
    "Review",
    "ReviewQueue",
    "ReviewRating",
    "ReviewReturn",
    "ReviewRevision",
    "RubricVersion",
    "SentenceSupport",
    "SketchHash",
    "Skip",
    "SourceDocument",
    "SpanMark",
    "Split",
    "Summary",
    "Thread",
]
